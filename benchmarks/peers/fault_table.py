"""How many segments of faulty clips each gets right."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import Bench
from faults import make_faults
from programs import Peer

FAULT_SECONDS = 300
"""After which a program is ended."""


def count_faults(bench: Bench) -> None:
    """Prints how many segments are right, all clips given in one run; and each by itself, where that run died."""
    folder = bench.folder / "faults"
    folder.mkdir()
    faults = make_faults(folder)
    right: dict[str, dict[str, int]] = {}
    alone: dict[str, dict[str, int]] = {}
    deaths = []
    for peer in bench.peers:
        rows, death = _run(bench, peer, [fault.path for fault in faults.values()])
        right[peer.name] = {name: fault.num_right(rows) for name, fault in faults.items()}
        if death:
            deaths.append(f"{peer.name} {death}; in brackets: each clip in a run of its own")
            alone[peer.name] = {
                name: fault.num_right(_run(bench, peer, [fault.path])[0]) for name, fault in faults.items()
            }
    print(f"\n{'segments right':18}{'of':>5}" + "".join(f"{peer.name:>16}" for peer in bench.peers))
    for name, fault in faults.items():
        cells = []
        for peer in bench.peers:
            count = right[peer.name][name]
            cells.append(f"{count} ({alone[peer.name][name]})" if peer.name in alone else f"{count}")
            bench.result.add(f"faults/{peer.name}/{name}", "% right", [100 * count / len(fault.truths)], "more")
        print(f"{name:18}{len(fault.truths):5}" + "".join(f"{cell:>16}" for cell in cells))
    print("\n".join(deaths), flush=True)


def _run(bench: Bench, peer: Peer, sources: Sequence[Path]) -> tuple[list[dict[str, Any]], str]:
    """What a peer has written when it ended, and how it died, if it did."""
    command, out = bench.command(peer, sources, probe=True)
    print(f"{peer.name}: {len(sources)} faulty clips", file=sys.stderr, flush=True)
    death = ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FAULT_SECONDS, check=False)
        if done.returncode:
            death = f"ended with {done.returncode} ({done.stderr.strip().rpartition(chr(10))[2]})"
    except subprocess.TimeoutExpired:
        death = f"was ended after {FAULT_SECONDS} s"
    return peer.probed(out), death
