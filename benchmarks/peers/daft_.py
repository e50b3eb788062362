"""Daft: paths, and a class that holds the nets, in a pool of processes, each of which does a file at a time.

`daft.read_video_frames` does not serve: it has no sound, squeezes pictures to a size with Pillow, and takes the first
frame after a time, not the one shown at it. A generator function that decodes, before a class that encodes, is the
other usual way; its files are decoded one after another, and all takes three times as long.
"""

from __future__ import annotations

import os
from itertools import islice

import daft
from daft import DataType, col
from decode import segments
from work import BATCH, arguments, write


@daft.cls(max_concurrency=os.cpu_count(), use_process=True, on_error="ignore")
class Encode:
    def __init__(self, work: type, precision: str) -> None:
        self.work = work(precision)

    @daft.method(return_dtype=DataType.list(DataType.string()))
    def rows(self, path: str) -> list[str]:
        found: list[str] = []
        clips = segments(path)
        while some := list(islice(clips, BATCH)):
            found += self.work(some)
        return found


if __name__ == "__main__":
    options = arguments()
    encode = Encode(options.work, options.precision)
    rows = (
        daft.from_pydict({"path": options.sources})
        .into_batches(1)
        .select(encode.rows(col("path")).alias("row"))
        .explode("row")
        .where(col("row").not_null())
    )
    write(options.out, (row["row"] for row in rows.iter_rows()))
