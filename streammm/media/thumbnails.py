"""Decoded picture -> a tiny copy of it, by which pictures are compared."""

from __future__ import annotations

from typing import TypeAlias

import av
import av.error
import numpy as np
import numpy.typing as npt
from av.video.reformatter import Interpolation, VideoReformatter

WIDTH, HEIGHT = 32, 18

Thumbnail: TypeAlias = npt.NDArray[np.int16]
"""int16 [3, 18, 32]: Y, U and V on a scale of 255, each value the mean of an area."""


class Thumbnails:
    """Makes thumbnails; keeps what scaling needs from one to the next."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> Thumbnail | None:
        """The thumbnail of a picture, or None for one that cannot be scaled."""
        try:
            small = self._reformatter.reformat(
                frame, width=WIDTH, height=HEIGHT, format="yuv444p", interpolation=Interpolation.AREA, threads=1
            )
        except (av.error.FFmpegError, ValueError):
            return None
        planes = [
            np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:HEIGHT, :WIDTH]
            for plane in small.planes
        ]
        return np.stack(planes).astype(np.int16)
