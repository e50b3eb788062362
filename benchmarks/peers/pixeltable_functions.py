"""What Pixeltable computes with, in a module of its own as it demands.

Its own `frame_iterator` and `audio_splitter` do not serve: the one gives the first frame and then every so many seconds
at full size, so no picture at a time, the other takes files of sound, and the two cannot be joined. What its users do
then is an iterator of their own. Pictures and sound are not stored, as in its documentation, but decoded again where
they are asked for. One thread of Python does all of it, so the decoder and the nets get all cores.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from typing import TypedDict

import numpy as np
import pixeltable as pxt
from decode import segments
from pixeltable.func import Batch
from work import BATCH, Clip, arguments

Pictures, Sound, Seconds = pxt.Array[np.uint8], pxt.Array[np.float32], pxt.Array[np.float64]
CORES = os.cpu_count() or 1
WORK = []


class Segment(TypedDict):
    source: pxt.String
    segment: pxt.Int
    seconds: Seconds
    frames: Pictures
    wave: Sound


@pxt.iterator(unstored_cols=["seconds", "frames", "wave"])
class cut(pxt.PxtIterator[Segment]):  # noqa: N801 - it is used as a function
    def __init__(self, video: pxt.Video) -> None:
        self.path = video
        self.clips: Iterator[Clip] = segments(video, threads=CORES)

    def __next__(self) -> Segment:
        return next(self.clips)

    def seek(self, pos: int, **kwargs: object) -> None:
        self.clips = islice(segments(self.path, threads=CORES), pos, None)


@pxt.udf(batch_size=BATCH)
def encode(
    source: Batch[str],
    segment: Batch[int],
    seconds: Batch[Seconds],
    frames: Batch[Pictures],
    wave: Batch[Sound],
) -> Batch[str]:
    if not WORK:
        options = arguments()
        WORK.append(options.work(options.precision, threads=CORES))
    columns = source, segment, seconds, frames, wave
    return WORK[0]([dict(zip(Segment.__annotations__, values, strict=True)) for values in zip(*columns, strict=True)])
