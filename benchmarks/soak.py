"""Whether a run goes on for ever: memory, file handles, threads and processes of runs that last, of files and live.

    python benchmarks/soak.py MEDIA... [--minutes 60] [--pace 0.3] [--json FILE]

One run is given the files of MEDIA, damaged ones among them, again and again under new names, through a list that grows
as it goes on. Another follows two RTSP cameras on loopback, whose server every five minutes, in turns, is killed and
started again after a while, or stopped for as long; every quarter of an hour the streams end. Both are
`streammm run ... --out DIR`; what their whole process trees hold is looked at every ten seconds. Memory is what is no
file's, swapped out or not: pages of libraries would count for more as soon as nobody else maps them. Files are given in
blocks, such that all of it uses about `--pace` of a core.

What a run holds is flat if the median of its last quarter is at most 3 % or 8 MiB above that of its first, whichever is
more, and that of file handles, threads and processes at most 10 % or 2 above it. The first two minutes, in which models
load and sizes are found, are left out. The slope is the median of those between any two samples (Theil-Sen). It ends
with 1 if something grew.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import psutil
from figures import Result
from processes import cpu_seconds
from rtsp import Cameras, make_clip

from streammm.media.listing import list_sources

os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"}

RUN = [sys.executable, "-c", "from streammm.cli import main; main()", "run"]
SAMPLE_SECONDS = 10.0
SETTLE_SECONDS = 120.0
NUM_CAMERAS = 2
FAULT_SECONDS, AWAY_SECONDS = 300.0, 20.0
CLIP_MINUTES = 15.0

BLOCK_FILES = 256
"""As many sources as a run reads of a list at once."""

ABOVE = {"MiB": (0.03, 8.0), "": (0.1, 2.0)}
"""By unit: how far above the first quarter's median the last one's may be, as a share of it and at least."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process tree holds at a time."""

    seconds: float
    memory_mib: float
    driver_mib: float
    file_handles: float
    threads: float
    processes: float


HELD = [field.name for field in fields(Sample)][1:]


def written_mib(pid: int) -> float:
    """Memory of a process that is no file's, in RAM or swapped out (proc(5): RssAnon, VmSwap)."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return sum(int(line[1]) / 2**10 for line in lines if line[0] in ("RssAnon:", "VmSwap:"))


class Watched:
    """A run, and what it held so far."""

    def __init__(self, name: str, arguments: Sequence[str], folder: Path) -> None:
        self.name = name
        self.out = folder / name
        self.samples: list[Sample] = []
        self._folder = folder
        with (folder / f"{name}.log").open("wb") as log:
            self.process = psutil.Popen(
                [*RUN, *arguments, "--out", str(self.out), "--fresh"], stdout=log, stderr=subprocess.STDOUT
            )

    def look(self, seconds: float) -> None:
        """Takes a sample."""
        memory: list[float] = []
        files = threads = 0
        for each in self._tree():
            try:
                found = written_mib(each.pid), each.num_fds(), each.num_threads()
            except (psutil.Error, OSError):  # it has just ended
                continue
            memory.append(found[0])
            files += found[1]
            threads += found[2]
        self.samples.append(Sample(seconds, sum(memory), memory[0], files, threads, len(memory)))

    def cpu_seconds(self) -> float:
        """What it has used, with all processes that it started."""
        return cpu_seconds(self.process)

    def num_rows(self) -> int:
        """Rows that were written."""
        return _num_lines(self.out / "results.jsonl")

    def num_given_up(self) -> int:
        """What stands in quarantine."""
        return _num_lines(self.out / "quarantine.jsonl")

    def end(self, with_signal: bool) -> int:
        """Waits for its end, which it may be asked for, and returns its status."""
        if with_signal and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        status: int = self.process.wait(timeout=600)
        return status

    def write(self) -> None:
        """Writes the samples as a table."""
        with (self._folder / f"{self.name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["seconds", *HELD], *map(astuple, self.samples)])

    def _tree(self) -> list[psutil.Process]:
        if self.process.poll() is not None:
            raise SystemExit(f"the run of {self.name} ended: {(self._folder / f'{self.name}.log').read_text()[-2000:]}")
        return [self.process, *self.process.children(recursive=True)]


class Feeder(threading.Thread):
    """Gives a run links to the same files again and again, through a pipe that it reads as its list."""

    def __init__(self, files: Sequence[str], folder: Path, runs: Sequence[Watched], pace: float) -> None:
        super().__init__(daemon=True)
        self.num_given = 0
        self._names = self._links(files, folder / "links")
        self._pipe = folder / "list.txt"
        self._runs = runs
        self._pace = pace
        self._is_over = threading.Event()
        os.mkfifo(self._pipe)

    def run(self) -> None:
        started = time.monotonic()
        with self._pipe.open("w") as pipe:
            while not self._is_over.is_set():
                pipe.writelines(f"{name}\n" for name in itertools.islice(self._names, BLOCK_FILES))
                pipe.flush()
                self.num_given += BLOCK_FILES
                self._is_over.wait(10)
                while not self._is_over.is_set() and self._used() > self._pace * (time.monotonic() - started):
                    self._is_over.wait(1)

    def stop(self) -> None:
        """Ends the list."""
        self._is_over.set()
        self.join()

    def _used(self) -> float:
        return sum(run.cpu_seconds() for run in self._runs)

    def _links(self, files: Sequence[str], folder: Path) -> Iterator[Path]:
        folder.mkdir()
        for n in itertools.count():
            for m, file in enumerate(files):
                link, first = (folder / f"{k}-{m}-{Path(file).name}" for k in (n, 0))
                shutil.copyfile(file, link) if n == 0 else os.link(first, link)
                yield link


def trouble(cameras: Cameras, stop: threading.Event) -> None:
    """Kills the server and stops it in turns, and lets it go on after a while."""
    for n in itertools.count():
        if stop.wait(FAULT_SECONDS):
            return
        (cameras.server.freeze if n % 2 else cameras.server.kill)()
        stop.wait(AWAY_SECONDS)
        (cameras.server.thaw if n % 2 else cameras.server.start)()


def slope_per_hour(samples: Sequence[Sample], held: str) -> float:
    """The median of the slopes between any two samples."""
    values = [(sample.seconds, getattr(sample, held)) for sample in samples]
    return 3600 * statistics.median((b - a) / (t - s) for (s, a), (t, b) in itertools.combinations(values, 2))


def is_flat(unit: str, first: float, last: float) -> bool:
    """Whether the last quarter holds no more than the first, by the rule above."""
    share, at_least = ABOVE[unit]
    return last - first <= max(share * first, at_least)


def judge(runs: Sequence[Watched], result: Result) -> bool:
    """Prints the table and notes the figures; whether all is flat."""
    print(f"\n{'':24}{'first quarter':>16}{'last quarter':>16}{'an hour':>12}")
    flat = True
    for run in runs:
        samples = [sample for sample in run.samples if sample.seconds >= SETTLE_SECONDS] or run.samples
        quarter = max(1, len(samples) // 4)
        for held in HELD:
            unit = "MiB" if held.endswith("_mib") else ""
            first, last = ([getattr(s, held) for s in part] for part in (samples[:quarter], samples[-quarter:]))
            a, b = statistics.median(first), statistics.median(last)
            slope = slope_per_hour(samples, held)
            says = "flat" if is_flat(unit, a, b) else "GROWS"
            flat &= says == "flat"
            print(f"{run.name + ' ' + held:24}{a:16.1f}{b:16.1f}{slope:+12.2f}  {says}")
            result.add(f"{run.name}/{held}/first quarter", unit, first)
            result.add(f"{run.name}/{held}/last quarter", unit, last)
            result.add(f"{run.name}/{held}/slope", f"{unit} an hour".strip(), [slope])
    return flat


def _num_lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file)


def outages(out: Path) -> int:
    """Rows that stand for an outage."""
    with (out / "results.jsonl").open() as file:
        return sum("outage" in json.loads(line) for line in file)


def soak(arguments: argparse.Namespace, folder: Path) -> bool:
    """Runs both for so long; whether all is flat."""
    files = [found for found in list_sources(map(str, arguments.media)) if isinstance(found, str)]
    with Cameras(make_clip(Path(arguments.clip or files[0]), folder, CLIP_MINUTES), folder) as cameras:
        live = Watched("live", cameras.addresses(NUM_CAMERAS), folder)
        runs = [live]
        feeder = Feeder(files, folder, runs, arguments.pace)
        runs.append(Watched("files", [f"@{folder}/list.txt", "--set", "engine.decoders=1"], folder))
        stop = threading.Event()
        threading.Thread(target=trouble, args=(cameras, stop), daemon=True).start()
        feeder.start()
        started = time.monotonic()
        while (passed := time.monotonic() - started) < 60 * arguments.minutes:
            for run in runs:
                run.look(passed)
                run.write()
            time.sleep(SAMPLE_SECONDS)
        used = sum(run.cpu_seconds() for run in runs) / passed
        stop.set()
        feeder.stop()
        statuses = {run.name: run.end(with_signal=run is live) for run in runs}
    result = Result("soak")
    flat = judge(runs, result)
    print(f"\nfiles: {feeder.num_given} given, {runs[1].num_rows()} rows, {runs[1].num_given_up()} given up")
    print(f"live: {live.num_rows()} rows of {NUM_CAMERAS} cameras, {outages(live.out)} of them outages")
    print(f"{passed / 60:.0f} minutes, {used:.2f} of a core; ended with {statuses}")
    result.add("files/given", "files", [feeder.num_given], "more")
    result.add("files/rows", "rows", [runs[1].num_rows()], "more")
    result.add("live/rows", "rows", [live.num_rows()], "more")
    result.write(arguments.json)
    return flat


def main() -> int:
    """Prints the table; 1 if something grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", nargs="+", type=Path, metavar="MEDIA", help="files and folders")
    parser.add_argument("--clip", type=Path, help="what the cameras show; default: the first of MEDIA")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--pace", type=float, default=1.0, help="share of a core that is used")
    parser.add_argument("--keep", type=Path, help="folder for run directories and samples; default: none are kept")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True)
        return not soak(arguments, arguments.keep)
    with tempfile.TemporaryDirectory() as folder:
        return not soak(arguments, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
