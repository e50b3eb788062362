"""How many segments of faulty clips each gets right."""

from __future__ import annotations

import subprocess
import sys

from bench import Bench
from faults import make_faults

FAULT_SECONDS = 300
"""After which a program is ended."""


def count_faults(bench: Bench) -> None:
    """How many segments of each faulty clip are right."""
    folder = bench.folder / "faults"
    folder.mkdir()
    faults = make_faults(folder)
    sources = [fault.path for fault in faults.values()]
    table: dict[str, dict[str, int]] = {}
    notes = []
    for peer in bench.peers:
        command, out = bench.command(peer, sources, probe=True)
        print(f"{peer.name}: faults", file=sys.stderr, flush=True)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=FAULT_SECONDS, check=False)
            if done.returncode:
                notes.append(
                    f"{peer.name} ended with {done.returncode}: {(done.stderr.split(chr(10)) or [''])[-2:][0]}"
                )
        except subprocess.TimeoutExpired:
            notes.append(f"{peer.name} was ended after {FAULT_SECONDS} s")
        rows = peer.probed(out)
        table[peer.name] = {name: fault.num_right(rows) for name, fault in faults.items()}
    print(f"\n{'segments right':18}{'of':>5}" + "".join(f"{peer.name:>16}" for peer in bench.peers))
    for name, fault in faults.items():
        print(f"{name:18}{len(fault.truths):5}" + "".join(f"{table[peer.name][name]:16}" for peer in bench.peers))
        for peer in bench.peers:
            share = 100 * table[peer.name][name] / len(fault.truths)
            bench.result.add(f"faults/{peer.name}/{name}", "% right", [share], "more")
    print("\n".join(notes), flush=True)
