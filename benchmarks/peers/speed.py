"""How long each takes: cold to the first row, and warm, without start-up."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from bench import Bench
from figures import Figure
from processes import measure
from programs import Peer


def times(peer: Peer, command: Sequence[str], out: Path) -> tuple[float, float]:
    """Seconds from a command to its first row, and to its end."""
    rows, first = peer.results(out), 0.0
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            with suppress(FileNotFoundError):
                first = first or (time.perf_counter() - started if rows.stat().st_size else 0.0)
            time.sleep(0.005)
        end = time.perf_counter() - started
    if process.returncode or not peer.rows(out):
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode} and {len(peer.rows(out))} rows")
    return first or end, end


def measure_cold(bench: Bench, clip: Path) -> None:
    """Seconds to the first row and to the end of a process that does one short clip."""
    firsts: dict[str, list[float]] = defaultdict(list)
    ends: dict[str, list[float]] = defaultdict(list)
    for repeat in range(bench.repeats):
        for peer in bench.order(repeat):
            first, end = times(peer, *bench.command(peer, [clip]))
            print(f"{peer.name}: {first:.2f} s to the first row, {end:.2f} s in all", file=sys.stderr, flush=True)
            firsts[peer.name].append(first)
            ends[peer.name].append(end)
    print(
        f"\n{'cold, ' + clip.name:18}{'lines of code':>14}{'first row s':>24}{'of ours':>9}{'end s':>24}{'of ours':>9}"
    )
    for peer in bench.peers:
        name, ours = peer.name, bench.peers[0].name
        first = bench.result.add(f"cold/{name}/first row", "s", firsts[name])
        end = bench.result.add(f"cold/{name}/end", "s", ends[name])
        lines = bench.result.add(f"{name}/lines of code", "lines", [peer.num_lines()])
        print(
            f"{name:18}{lines.median:14.0f}{first!s:>24}{ratio(firsts[name], firsts[ours]):9.2f}"
            f"{end!s:>24}{ratio(ends[name], ends[ours]):9.2f}",
            flush=True,
        )


def measure_warm(bench: Bench, media: Path, seconds: float, few: int, many: int) -> None:
    """What media costs beyond start-up: speed, CPU and memory."""
    size, copies = media.stem, [media.with_name(f"{media.stem}-{n}.mp4") for n in range(many)]
    for copy in copies:
        os.link(media, copy)
    extra, cores = (many - few) * seconds, os.cpu_count() or 1
    speeds: dict[str, list[float]] = defaultdict(list)
    costs: dict[str, list[float]] = defaultdict(list)
    peaks: dict[str, list[float]] = defaultdict(list)
    for repeat in range(bench.repeats):
        for peer in bench.order(repeat):
            short = measure(bench.command(peer, copies[:few])[0], bench.server(peer))
            long = measure(bench.command(peer, copies)[0], bench.server(peer))
            speeds[peer.name].append(extra / (long.wall_seconds - short.wall_seconds))
            costs[peer.name].append(1000 * (long.cpu_seconds - short.cpu_seconds) / extra)
            peaks[peer.name].append(long.peak_mib / 1024)
            print(
                f"{size}, {peer.name}: {short.wall_seconds:.1f} and {long.wall_seconds:.1f} s, "
                f"{dict(long.cpu_by_role - short.cpu_by_role)}",
                file=sys.stderr,
                flush=True,
            )
    header = f"{'media s/s':>24}{'a core':>8}{'ours of it':>11}{'CPU ms/media s':>24}{'peak GiB':>24}"
    print(f"\n{f'warm, {size}, {extra:g} s':18}{header}")
    for peer in bench.peers:
        name, ours = peer.name, bench.peers[0].name
        speed = bench.result.add(f"{size}/{name}/speed", "media s/s", speeds[name], "more")
        cost = bench.result.add(f"{size}/{name}/CPU", "ms/media s", costs[name])
        peak = bench.result.add(f"{size}/{name}/peak memory", "GiB", peaks[name])
        print(
            f"{name:18}{speed!s:>24}{speed.median / cores:8.1f}{ratio(speeds[ours], speeds[name]):11.2f}"
            f"{cost!s:>24}{peak!s:>24}",
            flush=True,
        )


def print_goals(bench: Bench, sizes: Iterable[str]) -> None:
    """What was wanted of streammm, and what is."""
    frameworks = [peer.name for peer in bench.peers if peer.is_framework]
    ours, figures = bench.peers[0].name, bench.result.figures
    if ours != "streammm" or not frameworks:
        return

    def best(prefix: str, what: str, choose: Callable[..., Figure]) -> Figure:
        return choose((figures[f"{prefix}/{name}/{what}"] for name in frameworks), key=lambda figure: figure.median)

    print()
    for size in sizes:
        if f"{size}/{ours}/speed" in figures:
            other, our = best(size, "speed", max), figures[f"{size}/{ours}/speed"]
            print(f"{size}, warm: {our.median / other.median:.2f} times as fast as {other.name} (wanted: 3)")
    if f"cold/{ours}/first row" not in figures:
        return
    other, our = best("cold", "first row", min), figures[f"cold/{ours}/first row"]
    print(f"first row, cold: {other.median / our.median:.2f} times as soon as {other.name} (wanted: 10)")


def ratio(these: Sequence[float], those: Sequence[float]) -> float:
    """The median of ratios within a repeat."""
    return statistics.median(a / b for a, b in zip(these, those, strict=True))
