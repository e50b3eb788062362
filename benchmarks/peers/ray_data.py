"""Ray Data: paths, decoded by tasks into segments, which actors that hold the nets take in batches.

`ray.data.read_videos` does not serve: it needs decord, has no sound, and gives every frame, or every n-th one by the
mean frame rate, at full size or squeezed to a size, so no picture at a time. What its users do then is this.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import ray
from decode import segments
from ray.data import ActorPoolStrategy, DataContext
from work import BATCH, Clip, arguments, write


def decode(row: dict[str, str]) -> Iterator[Clip]:
    yield from segments(row["path"])


class Encode:
    def __init__(self, work: type, precision: str) -> None:
        self.work = work(precision)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        names = list(batch)
        return {
            "row": self.work([dict(zip(names, values, strict=True)) for values in zip(*batch.values(), strict=True)])
        }


if __name__ == "__main__":
    options = arguments()
    cores = os.cpu_count() or 1
    ray.init(log_to_driver=False, include_dashboard=False)
    DataContext.get_current().max_errored_blocks = -1  # a file that cannot be decoded does not end the run
    DataContext.get_current().enable_progress_bars = False
    rows = (
        ray.data.from_items([{"path": path} for path in options.sources], override_num_blocks=len(options.sources))
        .flat_map(decode)
        .map_batches(
            Encode,
            fn_constructor_args=[options.work, options.precision],
            batch_size=BATCH,
            # As many as cores, without taking them from the tasks that decode: the system divides them best.
            compute=ActorPoolStrategy(size=cores),
            num_cpus=0,
        )
    )
    write(options.out, (row["row"] for row in rows.iter_rows()))
