"""Thousands of damaged files through the decoding process: python benchmarks/fuzz_media.py FOLDER [--count 1000]

Takes the small files of every container in FOLDER, changes bytes, cuts, repeats and swaps pieces of them (seeded), and
reads each as a run would. Prints what became of them by container: read to the end without an error, partly (with
errors, all counted), refused, crashed (the decoding process died and was replaced), hung (it was ended); and the most
memory that a decoding process took.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import psutil

from streammm.errors import SourceError
from streammm.media.options import DecodeOptions, Limits
from streammm.media.process import ProcessPool
from streammm.media.read import open_reader

LARGEST_BYTES = 600_000
OUTCOMES = ("read", "partly", "refused", "crashed", "hung")


def mutate(data: bytes, dice: random.Random) -> bytes:
    """One damaged version of a file."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4))):
        at = dice.randrange(len(changed)) if dice.random() < 0.7 else dice.randrange(min(len(changed), 4096))
        length = dice.choice((1, 4, 16, 256, 4096))
        match dice.randrange(6):
            case 0:
                for _ in range(dice.choice((1, 8, 64))):
                    changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
            case 1:
                changed[at : at + length] = dice.randbytes(min(length, len(changed) - at))
            case 2:
                changed[at : at + length] = bytes([dice.choice((0, 255))]) * min(length, len(changed) - at)
            case 3:
                del changed[at : at + length]
            case 4:
                changed[at:at] = changed[max(0, at - length) : at]
            case _:
                changed[at : at + 4] = dice.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF)).to_bytes(4, "big")
        if dice.random() < 0.05:
            del changed[dice.randrange(len(changed)) :]
        if len(changed) < 16:
            return data[:64]
    return bytes(changed)


def read(path: Path, options: DecodeOptions, pool: ProcessPool) -> tuple[str, int]:
    """What becomes of a file, and the memory of the process that read it, bytes."""
    memory, died = 0, ""
    try:
        with open_reader(str(path), options, pool=pool) as reader:
            is_last = False
            while not is_last:
                _, is_last = reader.read(8)
                if reader._process is not None and reader._process.is_alive:
                    memory = max(memory, psutil.Process(reader._process._process.pid).memory_info().rss)
                if reader.num_restarts:
                    died = died or reader.last_error or "died"
    except SourceError as error:
        if error.reason != "decoder-died":
            return "refused", memory
        died = error.detail
    if died:
        return ("hung" if "said nothing" in died or "without coming" in died else "crashed"), memory
    return ("partly" if reader.num_errors else "read"), memory


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for the files that crashed or hung")
    arguments = parser.parse_args()
    files = sorted(p for p in arguments.folder.rglob("*.*") if p.is_file() and 1000 < p.stat().st_size < LARGEST_BYTES)
    by_suffix: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        by_suffix[path.suffix.lower()].append(path)
    by_suffix = {s: paths for s, paths in by_suffix.items() if s not in (".csv", ".md", ".tsv", ".align", ".txt")}
    dice = random.Random(arguments.seed)  # noqa: S311 - the same damage every time
    options = DecodeOptions(limits=Limits(memory_bytes=2**30, progress_seconds=10.0, segment_seconds=60.0))
    pool = ProcessPool(options.limits)
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    memory: Counter[str] = Counter()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for n in range(arguments.count):
            suffix = sorted(by_suffix)[n % len(by_suffix)]
            damaged = Path(folder, f"{n}{suffix}")
            damaged.write_bytes(mutate(dice.choice(by_suffix[suffix]).read_bytes(), dice))
            outcome, size = read(damaged, options, pool)
            outcomes[suffix][outcome] += 1
            memory[suffix] = max(memory[suffix], size)
            if outcome in ("crashed", "hung") and arguments.keep:
                arguments.keep.mkdir(parents=True, exist_ok=True)
                damaged.rename(arguments.keep / damaged.name)
            else:
                damaged.unlink()
    pool.close()
    print(f"{'container':<10}{'files':>7}" + "".join(f"{name:>9}" for name in OUTCOMES) + "   most MiB")
    for suffix, counts in sorted(outcomes.items()):
        cells = "".join(f"{counts[name]:>9}" for name in OUTCOMES)
        print(f"{suffix:<10}{counts.total():>7}{cells}{memory[suffix] / 2**20:>11.0f}")
    total = sum(outcomes.values(), Counter())
    cells = "".join(f"{total[name]:>9}" for name in OUTCOMES)
    print(f"{'all':<10}{total.total():>7}{cells}{max(memory.values()) / 2**20:>11.0f}")
    print(f"seed {arguments.seed}, {time.monotonic() - started:.0f} s; no file ended the run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
