"""How many live streams a machine can follow, how late their rows are, and what a stream costs; beside other ways.

    python benchmarks/live.py CLIP [--streams 8] [--repeats 3] [--most 256] [--inference] [--quick] [--json FILE]

CLIP is turned into H.264 at 360p, 25 pictures a second, with AAC, and played by an RTSP server on loopback, once for
each stream; its packets go out unchanged, so that the server needs little, and its CPU is told apart. Every way follows
the same streams, looks at two pictures a second with the same net on the same runtime and writes rows into a file:

  streammm         `streammm run ... --out DIR`: picture, sound and labels; a process for each stream
  plain script     live_plain.py: the same work in one process, a thread for each stream and one for the nets
  inference        live_inference.py: Roboflow's InferencePipeline with the picture net alone, neither sound nor labels,
                   a row for each picture; only with --inference, for which its environment (8 GB) is made in the cache

First `--streams` streams are followed by each way in alternating order: CPU of the whole process tree for a second of a
stream, and latency, from a segment's end to when its row can be read in the file. The end is on the wall's clock: that
of the stream, set by the packet that was least late, as streammm and the plain script find it. `inference` only says
when a picture had been decoded, so the last column, what there is of latency after decoding, is what compares all.

Then the number of streams is doubled until a way does not keep up, and halved between the last two numbers, to within
an eighth. A way keeps up if 98 % of the rows of all streams come whole (all pictures, no outage, nothing left out to
catch up; one of each stream may fall outside), 95 % of them at most 2 s late, and those of the last third of the time
less than half a second later than those of the first.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from figures import Result
from platformdirs import user_cache_path
from processes import cpu_seconds
from rtsp import Cameras, make_clip

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}

LABELS = "speech,music,explosion,car,person,city,animal,computer"
PRECISION = "fp32"
HERE = Path(__file__).resolve().parent
INFERENCE = user_cache_path("streammm-peers") / "live_inference"
FRAMES = 4
MEASURED_SECONDS, SEARCHED_SECONDS = 30.0, 20.0
LOOK_SECONDS = 0.02

SHARE_OF_ROWS, LATE_SECONDS, GROWTH_SECONDS = 0.98, 2.0, 0.5


@dataclass(frozen=True, slots=True)
class Way:
    """How streams are followed.

    Args:
        command: from addresses and an empty folder; rows come in results.jsonl there.
        row_seconds: of a stream, for each row.
        end: when what a row is about was over, in Unix time; None for a row that is not whole.
        decoded: how many seconds after that it had been decoded; None where the end is not known, and `end` is that.
    """

    command: Callable[[Sequence[str], Path], list[object]]
    row_seconds: float
    end: Callable[[dict[str, Any]], float | None]
    decoded: Callable[[dict[str, Any]], float] | None


def run_streammm(addresses: Sequence[str], folder: Path) -> list[object]:
    """The command of streammm."""
    run = [sys.executable, "-c", "from streammm.cli import main; main()", "run", "--labels", LABELS, "--fresh"]
    runtime = ["--set", "runtime.backend=openvino", "--set", f"runtime.precision={PRECISION}"]
    return [*run, *runtime, "--out", folder, *addresses]


def run_plain(addresses: Sequence[str], folder: Path) -> list[object]:
    """The command of the plain script."""
    script = [sys.executable, HERE / "live_plain.py", "--labels", LABELS, "--precision", PRECISION]
    return [*script, "--out", folder / "results.jsonl", *addresses]


def run_inference(addresses: Sequence[str], folder: Path) -> list[object]:
    """The command of the peer, which is given the net as a file."""
    import openvino

    from streammm.encoders.image import _EXAMPLE, make_net
    from streammm.encoders.openvino_cpu import _convert

    net = _convert(openvino, make_net(), _EXAMPLE, num_free_axes=1)
    openvino.save_model(net, folder / "net.xml", compress_to_fp16=False)
    script = [INFERENCE / "bin" / "python", HERE / "live_inference.py", "--precision", PRECISION]
    return [*script, "--net", folder / "net.xml", "--out", folder / "results.jsonl", *addresses]


def segment_end(row: dict[str, Any]) -> float | None:
    """Of a row of a segment."""
    is_all = row["modalities"]["video"]["frames"] == FRAMES and row["modalities"]["audio"]["coverage"] > 0.99
    if not is_all or row.get("outage") or row["live"]["shed"] != "none":
        return None
    began = datetime.fromisoformat(row["live"]["start"]).timestamp()
    return began + float(row["end_seconds"] - row["start_seconds"])


def segment_decoded(row: dict[str, Any]) -> float:
    """Of a row of a segment."""
    return float(row["live"]["lag_seconds"])


def picture_decoded(row: dict[str, Any]) -> float:
    """When the picture of a row had been decoded."""
    return datetime.fromisoformat(row["start"]).timestamp()


WAYS = {
    "streammm": Way(run_streammm, 2.0, segment_end, segment_decoded),
    "plain script": Way(run_plain, 2.0, segment_end, segment_decoded),
    # Its limiter waits for whole pictures: each thirteenth of 25.
    "inference": Way(run_inference, 0.52, picture_decoded, None),
}


def make_inference() -> None:
    """Makes the environment of the peer; nothing happens where it is made."""
    if not (INFERENCE / "made").exists():
        print(f"installing into {INFERENCE}", file=sys.stderr)
        venv.create(INFERENCE, clear=True, with_pip=True)
        pip = [INFERENCE / "bin" / "python", "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "-r", HERE / "live_inference.txt"], check=True)
        (INFERENCE / "made").touch()


@dataclass(frozen=True, slots=True)
class Followed:
    """What was seen of a way while it was measured."""

    num_streams: int
    latencies: tuple[tuple[float, float], ...]
    """When a whole row came, and how late it was; seconds."""

    after: float
    """How long after its decoding half of the rows come at the most, seconds."""

    cpu: float
    """CPU seconds a second."""

    server_cpu: float
    memory_mib: float
    share_of_rows: float
    """Whole rows of those there should be."""

    @property
    def p50(self) -> float:
        """Half of the rows are no later."""
        return statistics.median(late for _, late in self.latencies) if self.latencies else float("inf")

    @property
    def p95(self) -> float:
        """Of 20 rows 19 are no later."""
        return statistics.quantiles((late for _, late in self.latencies), n=20)[-1] if self.latencies[1:] else self.p50

    @property
    def growth(self) -> float:
        """By how many seconds rows are later in the last third of the time than in the first."""
        third = len(self.latencies) // 3
        if not third:
            return 0.0
        first, last = ([late for _, late in part] for part in (self.latencies[:third], self.latencies[-third:]))
        return statistics.median(last) - statistics.median(first)

    @property
    def keeps_up(self) -> bool:
        """Whether it can go on like this."""
        is_in_time = self.p95 <= LATE_SECONDS and self.growth < GROWTH_SECONDS
        return self.share_of_rows >= SHARE_OF_ROWS and is_in_time


class Rows:
    """The lines of a file that grows, with the time at which each could be read."""

    def __init__(self, path: Path) -> None:
        self.lines: list[tuple[float, bytes]] = []
        self._path = path
        self._read = 0
        self._rest = b""

    def look(self) -> None:
        """Reads what is new."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            found = file.read()
        self._read += len(found)
        now = time.time()
        *lines, self._rest = (self._rest + found).split(b"\n")
        self.lines += [(now, line) for line in lines]


def follow(name: str, num_streams: int, clip: Path, measured_seconds: float) -> Followed:
    """Lets a way follow so many streams until all have begun, and then measures it."""
    way = WAYS[name]
    with tempfile.TemporaryDirectory() as temporary, Cameras(clip, Path(temporary)) as cameras:
        out = Path(temporary) / "out"
        out.mkdir()
        addresses = cameras.addresses(num_streams)
        with (Path(temporary) / "log").open("wb") as log:
            process = psutil.Popen([str(word) for word in way.command(addresses, out)], stdout=log, stderr=log)
        rows = Rows(out / "results.jsonl")
        try:
            begun: set[str] = set()
            deadline = time.monotonic() + 60 + 2 * num_streams
            while len(begun) < num_streams and time.monotonic() < deadline:
                if process.poll() is not None:
                    raise SystemExit(f"{name} ended:\n{(Path(temporary) / 'log').read_text()[-2000:]}")
                time.sleep(0.5)
                rows.look()
                begun = {row["source"] for _, line in rows.lines if way.end(row := json.loads(line)) is not None}
            settled = time.monotonic() + 5  # what had piled up while it started is done by then, where it keeps up
            while time.monotonic() < settled:
                time.sleep(LOOK_SECONDS)
                rows.look()
            since, cpu, server = time.time(), cpu_seconds(process), cameras.cpu_seconds()
            while time.time() - since < measured_seconds:
                time.sleep(LOOK_SECONDS)
                rows.look()
            seconds = time.time() - since
            used = (cpu_seconds(process) - cpu) / seconds, (cameras.cpu_seconds() - server) / seconds
            tree = [process, *process.children(recursive=True)]
            memory = sum(each.memory_full_info().pss for each in tree) / 2**20
        finally:
            _end(process)
    came = [(at, json.loads(line)) for at, line in rows.lines if at >= since]
    whole = [(at, at - end, row) for at, row in came if (end := way.end(row)) is not None]
    late = tuple((at, late) for at, late, _ in whole)
    after = statistics.median([late - (way.decoded(row) if way.decoded else 0.0) for _, late, row in whole] or [0.0])
    num_rows = num_streams * (seconds / way.row_seconds - 1)  # one of each may have come just before or after
    return Followed(num_streams, late, after, *used, memory, min(1.0, len(late) / num_rows))


def _end(process: psutil.Popen) -> None:
    tree = [process, *process.children(recursive=True)] if process.poll() is None else []
    for each in tree:
        try:
            each.kill()
        except psutil.Error:
            continue
    process.wait()


def say(way: str, found: Followed) -> None:
    """Prints what was found, as it is found."""
    late = "keeps up" if found.keeps_up else "TOO SLOW"
    print(
        f"{way:16}{found.num_streams:5} streams  {found.share_of_rows:6.1%} of rows, {found.p50:.2f} s "
        f"late (95 %: {found.p95:.2f} s), {found.growth:+.2f} s at the end, {found.cpu:.2f} cores, "
        f"{found.server_cpu:.2f} of the server, {found.memory_mib:.0f} MiB  {late}",
        file=sys.stderr,
        flush=True,
    )


def compare(num_streams: int, clip: Path, repeats: int, result: Result) -> dict[str, bool]:
    """The table of one number of streams; says which ways keep up with it."""
    found: dict[str, list[Followed]] = defaultdict(list)
    for repeat in range(repeats):
        for way in list(WAYS)[:: 1 if repeat % 2 == 0 else -1]:
            found[way].append(follow(way, num_streams, clip, MEASURED_SECONDS))
            say(way, found[way][-1])
    print(f"\n{num_streams} streams, medians of {repeats}")
    heads = f"{'CPU ms/stream s':>22}{'late s':>24}{'95 % s':>24}{'after decoding s':>24}{'MiB':>8}{'server cores':>14}"
    print(f"{'':16}{heads}")
    for way, runs in found.items():
        cpu = result.add(f"{way}/CPU", "ms a stream second", [1000 * run.cpu / num_streams for run in runs])
        figures = [str(cpu)]
        if WAYS[way].decoded is None:
            figures += ["-", "-"]
        else:
            figures.append(str(result.add(f"{way}/late, median", "s", [run.p50 for run in runs])))
            figures.append(str(result.add(f"{way}/late, 95 %", "s", [run.p95 for run in runs])))
        figures.append(str(result.add(f"{way}/after decoding", "s", [run.after for run in runs])))
        memory = result.add(f"{way}/memory", "MiB", [run.memory_mib for run in runs])
        server = statistics.median(run.server_cpu for run in runs)
        print(
            f"{way:16}{figures[0]:>22}" + "".join(f"{each:>24}" for each in figures[1:]),
            f"{memory.median:7.0f}{server:14.2f}",
            flush=True,
        )
    return {way: runs[-1].keeps_up for way, runs in found.items()}


def most_streams(way: str, clip: Path, good: int, bad: int) -> int:
    """The largest number of streams that a way keeps up with, to within an eighth: with ``good`` at least."""
    is_open = True
    while bad - good > max(1, bad // 8):
        number = min(bad - 1, 2 * good or 8) if is_open else (good + bad) // 2
        found = follow(way, number, clip, SEARCHED_SECONDS)
        say(way, found)
        good, bad = (number, bad) if found.keeps_up else (good, number)
        is_open = is_open and found.keeps_up
    return good


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--streams", type=int, default=8, help="that are compared at first; 0 leaves the table out")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--most", type=int, default=256, help="streams that are tried; 0 leaves the search out")
    parser.add_argument("--inference", action="store_true", help="also follow with Roboflow's inference")
    parser.add_argument("--quick", action="store_true", help="one repeat, no search: two minutes")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.repeats, arguments.most = 1, 0
    if arguments.inference:
        make_inference()
    else:
        del WAYS["inference"]
    result = Result("live")
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(arguments.clip, Path(folder), minutes=10.0)
        keeps_up: dict[str, bool] = {}
        if arguments.streams:
            keeps_up = compare(arguments.streams, clip, arguments.repeats, result)
        if arguments.most:
            print(f"\n{'':16}{'streams that it keeps up with':>32}")
        for way in WAYS if arguments.most else ():
            good, bad = (arguments.streams, arguments.most + 1) if keeps_up.get(way, True) else (0, arguments.streams)
            most = most_streams(way, clip, good, bad)
            result.add(f"{way}/streams", "streams", [most], "more")
            print(f"{way:16}{most:32}", flush=True)
    result.write(arguments.json)


if __name__ == "__main__":
    main()
