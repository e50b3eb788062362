"""Ray Data: paths, and a pool of actors that hold the nets, each of which decodes and encodes a file at a time.

`ray.data.read_videos` does not serve: it needs decord, has no sound, and gives every frame, or every n-th one by the
mean frame rate, at full size or squeezed to a size, so no picture at a time. With tasks that decode before actors that
encode, the other usual way, the pictures go through the object store and all costs a third more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice

import numpy as np
import ray
from decode import segments
from ray.data import ActorPoolStrategy, DataContext
from work import BATCH, arguments, write


class Encode:
    def __init__(self, work: type, precision: str) -> None:
        self.work = work(precision)

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, list[str]]]:
        for path in batch["path"]:
            clips = segments(str(path))
            while some := list(islice(clips, BATCH)):
                yield {"row": self.work(some)}


if __name__ == "__main__":
    options = arguments()
    ray.init(log_to_driver=False, include_dashboard=False)
    DataContext.get_current().max_errored_blocks = -1  # a file that cannot be decoded does not end the run
    DataContext.get_current().enable_progress_bars = False
    rows = ray.data.from_items(
        [{"path": path} for path in options.sources],
        override_num_blocks=len(options.sources),
    ).map_batches(
        Encode,
        fn_constructor_args=[options.work, options.precision],
        batch_size=1,
        compute=ActorPoolStrategy(size=os.cpu_count()),
        num_cpus=1,
    )
    write(options.out, (row["row"] for row in rows.iter_rows()))
