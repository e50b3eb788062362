"""The plain script: a process a core, each takes the next file, decodes it, and encodes its segments in batches."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import islice
from multiprocessing import Pool

import av
from decode import segments
from work import BATCH, arguments, write

ARGUMENTS = arguments()


def load() -> None:
    global work
    work = ARGUMENTS.work(ARGUMENTS.precision)


def rows(path: str) -> list[str]:
    found: list[str] = []
    clips = segments(path)
    try:
        while batch := list(islice(clips, BATCH)):
            found += work(batch)
    except av.FFmpegError as error:
        print(f"{path}: {error}", file=sys.stderr)
    return found


def all_rows() -> Iterator[str]:
    with Pool(os.cpu_count(), load) as pool:
        for found in pool.imap_unordered(rows, ARGUMENTS.sources):
            yield from found


if __name__ == "__main__":
    write(ARGUMENTS.out, all_rows())
