"""Daft: paths, a generator function that decodes them into segments, and a class that holds the nets, in batches.

`daft.read_video_frames` does not serve: it has no sound, squeezes pictures to a size with Pillow, and takes the first
frame after a time, not the one shown at it. What its users do then is this.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import daft
from daft import DataType, Series, col
from decode import segments
from work import BATCH, Clip, arguments, write

CLIP = {
    "source": DataType.string(),
    "segment": DataType.int64(),
    "seconds": DataType.tensor(DataType.float64()),
    "frames": DataType.tensor(DataType.uint8()),
    "wave": DataType.tensor(DataType.float32()),
}


@daft.func(return_dtype=DataType.struct(CLIP), unnest=True, on_error="ignore", use_process=True)
def decode(path: str) -> Iterator[Clip]:
    yield from segments(path)


@daft.cls(max_concurrency=os.cpu_count(), use_process=True)
class Encode:
    def __init__(self, work: type, precision: str) -> None:
        self.work = work(precision)

    @daft.method.batch(return_dtype=DataType.string(), batch_size=BATCH)
    def rows(self, *columns: Series) -> list[str]:
        clips = zip(*(column.to_pylist() for column in columns), strict=True)
        return self.work([dict(zip(CLIP, values, strict=True)) for values in clips])


if __name__ == "__main__":
    options = arguments()
    encode = Encode(options.work, options.precision)
    rows = (
        daft.from_pydict({"path": options.sources})
        .select(decode(col("path")))
        .where(col("segment").not_null())
        .select(encode.rows(*map(col, CLIP)).alias("row"))
    )
    write(options.out, (row["row"] for row in rows.iter_rows()))
