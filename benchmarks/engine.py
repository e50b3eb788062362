"""What Ray costs: the same files in one process, on Ray with encoders inside the shards, and with encoders as actors.

    python benchmarks/engine.py CLIP_OR_FOLDER [--copies 1 6] [--repeats 3] [--quick] [--json FILE]

CPU seconds are those of the whole process tree, Ray's daemons included. Each way is run over few and over many copies
of the media, as a process of its own and in alternating order; the difference is the cost of the media itself, without
start-up. Then the times from the command to the first row and to its end: cold, which for Ray means that Ray is started
for it, and attached to a cluster that runs already.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from clips import make_media
from figures import Result
from processes import Cost, measure

from streammm.media.listing import list_sources

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0"}

HERE, INLINE, ACTORS = "one process", "--ray, encoders inside", "--ray, encoders as actors"
LABELS = "speech,music,explosion,car,person,city,animal,computer"
RUN = [sys.executable, "-c", "from streammm.cli import main; main()", "run", "--labels", LABELS]
WAYS = {HERE: [], INLINE: ["--set", "ray.encoders=threads"], ACTORS: ["--set", "ray.encoders=actors"]}


def command(way: str, sources: Sequence[str], out: Path, address: str = "local") -> list[str]:
    """The command line of a way; ``out`` is started anew."""
    ray = [] if way == HERE else [f"--ray={address}"]
    return [*RUN, *ray, *WAYS[way], "--out", str(out), "--fresh", *sources]


def copies_of(media: Path, count: int, folder: Path) -> list[str]:
    """So many copies of the files that a clip or a folder is."""
    paths = [Path(found) for found in list_sources([str(media)]) if isinstance(found, str)]
    copies = []
    for n in range(count):
        for path in paths:
            copies.append(str(folder / f"{n}-{path.name}"))
            shutil.copyfile(path, copies[-1])
    return copies


def media_seconds(out: Path) -> float:
    """Seconds of media in the rows of a run."""
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    return sum(row["end_seconds"] - row["start_seconds"] for row in rows)


def times(arguments: list[str], out: Path) -> tuple[float, float]:
    """Seconds from the command to its first row and to its end."""
    shutil.rmtree(out, ignore_errors=True)
    results, first = out / "results.jsonl", 0.0
    started = time.perf_counter()
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            if not first and results.exists() and results.stat().st_size:
                first = time.perf_counter() - started
            time.sleep(0.01)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
    return first, time.perf_counter() - started


@contextmanager
def cluster() -> Iterator[str]:
    """The address of a Ray of one node, which is this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--disable-usage-stats"]
    options = ["--node-ip-address=127.0.0.1", f"--port={port}", "--include-dashboard=false"]
    with subprocess.Popen([*start, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"no Ray listens at port {port}: {error}") from error
            time.sleep(0.2)
        else:
            return


def print_costs(
    ways: Sequence[str], few: Sequence[str], many: Sequence[str], repeats: int, folder: Path, result: Result
) -> None:
    """The tables of CPU seconds."""
    costs: dict[str, list[float]] = defaultdict(list)
    roles: dict[str, list[Counter[str]]] = defaultdict(list)
    walls: dict[str, list[float]] = defaultdict(list)
    peaks: Counter[str] = Counter()
    extra = 0.0
    for repeat in range(repeats):
        for way in ways[:: 1 if repeat % 2 == 0 else -1]:
            short: Cost = measure(command(way, few, folder / "short"))
            long: Cost = measure(command(way, many, folder / "long"))
            extra = media_seconds(folder / "long") - media_seconds(folder / "short")
            costs[way].append(1000 * (long.cpu_seconds - short.cpu_seconds) / extra)
            print(f"{way}: {short.cpu_seconds:.1f} and {long.cpu_seconds:.1f} CPU s", file=sys.stderr, flush=True)
            walls[way].append(extra / (long.wall_seconds - short.wall_seconds))
            long.cpu_by_role.subtract(short.cpu_by_role)
            roles[way].append(long.cpu_by_role)
            peaks[way] = max(peaks[way], round(long.peak_mib))
    print(f"{extra:.0f} s of media beyond start-up, medians (least to most) of {repeats}")
    print(f"{'':28}{'CPU ms/media s':>26}{'efficiency':>25}{'media s/s':>11}{'peak MiB':>10}")
    for way, found in costs.items():
        efficiency = [here / this for here, this in zip(costs[HERE], found, strict=True)]
        result.add(f"{way}/CPU", "ms a media second", found)
        result.add(f"{way}/efficiency", "", efficiency, "more")
        result.add(f"{way}/rate", "media s/s", walls[way], "more")
        result.add(f"{way}/peak", "MiB", [peaks[way]])
        print(
            f"{way:28}{_spread(found, 2):>26}{_spread(efficiency, 3):>25}{statistics.median(walls[way]):11.1f}"
            f"{peaks[way]:10}"
        )
    print(f"\n{'CPU ms/media s by process':28}" + "".join(f"{way:>28}" for way in costs))
    names = sorted({name for found in roles.values() for counter in found for name in counter})
    table = {n: [1000 * statistics.median(c[n] for c in found) / extra for found in roles.values()] for n in names}
    for name, values in sorted(table.items(), key=lambda item: -max(item[1])):
        if max(values) >= 0.01:
            print(f"{name:28}" + "".join(f"{value:28.2f}" for value in values))


def print_times(ways: Sequence[str], sources: Sequence[str], repeats: int, folder: Path, result: Result) -> None:
    """The table of seconds to the first row and to the end."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with cluster() as address:
        times(command(INLINE, sources, folder / "out", address), folder / "out")  # until it answers and has loaded
        for _ in range(repeats):
            for way in ways[1:]:
                attached = command(way, sources, folder / "out", address)
                found[f"{way}, attached"].append(times(attached, folder / "out"))
    for _ in range(repeats):
        for way in ways:
            found[f"{way}, cold"].append(times(command(way, sources, folder / "out"), folder / "out"))
    print(f"\n{'seconds':38}{'to the first row':>24}{'to the end':>24}")
    for name in sorted(found):
        first, end = zip(*found[name], strict=True)
        result.add(f"{name}/first row", "s", first)
        result.add(f"{name}/end", "s", end)
        here = [one for one, _ in found[f"{HERE}, cold"]]
        result.add(f"{name}/first row of one process's", "", [a / b for a, b in zip(first, here, strict=True)])
        print(f"{name:38}{_spread(first, 1):>24}{_spread(end, 1):>24}", flush=True)


def _spread(values: Sequence[float], digits: int) -> str:
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path, metavar="CLIP_OR_FOLDER")
    parser.add_argument("--copies", type=int, nargs=2, default=(1, 6), metavar=("FEW", "MANY"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="of 20 s of 360p, without encoders as actors")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.copies = (1, 3)
    ways = [HERE, INLINE] if arguments.quick else list(WAYS)
    result = Result("engine")
    few, many = arguments.copies
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        media = make_media(arguments.media, folder, "360p", 20.0) if arguments.quick else arguments.media
        sources = copies_of(media, many, folder)
        num_few = few * len(sources) // many
        print_costs(ways, sources[:num_few], sources, arguments.repeats, folder, result)
        print_times(ways, sources[: len(sources) // many], arguments.repeats, folder, result)
    result.write(arguments.json)


if __name__ == "__main__":
    main()
