"""Media of a source -> its waveform and a few small pictures, read as everything untrusted is: in a process apart."""

from __future__ import annotations

import base64
import io
import math
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
from PIL import Image

from streammm.config import Config
from streammm.media.address import is_address
from streammm.media.cutting import Windows
from streammm.media.options import DecodeOptions, Limits
from streammm.media.process import ProcessPool
from streammm.media.read import open_reader

MAX_PICTURES = 40
MAX_PEAKS = 1000

_LEAST_STEP_SECONDS = 0.5
_MOST_WINDOW_SECONDS = 300.0
_EXACT_UP_TO_SECONDS = 120.0
"""Of longer media only key pictures are decoded: a film takes seconds instead of minutes."""

_SIDE = 160
_COLUMNS = 8
_QUALITY = 60
_BORDER = 16

Pictures = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Preview:
    """Shape:
    - peaks: uint8 [N], the loudest sample of each N-th of the time, in 255ths; N is 0 where there is no sound
    - pictures: uint8 [P, H, W, 3], each the one shown in the middle of a P-th of the time; P is 0 without pictures
    """

    peaks: npt.NDArray[np.uint8]
    pictures: Pictures

    def to_json(self) -> dict[str, Any]:
        """As plain JSON types: the pictures as one WebP in base64, row by row of ``columns``."""
        found: dict[str, Any] = {}
        if len(self.peaks):
            found["peaks"] = base64.b64encode(self.peaks.tobytes()).decode()
        if len(self.pictures):
            num, height, width, _ = self.pictures.shape
            found["pictures"] = {"count": num, "columns": _COLUMNS, "width": width, "height": height}
            found["pictures"]["webp"] = base64.b64encode(_sprite(self.pictures)).decode()
        return found


def find_media(source: str, media: Path | None = None) -> Path | None:
    """The file of a source, on this machine; a folder in which sources lie is looked into first."""
    if is_address(source):
        return None
    named = Path(source)
    places = [media / name for name in (named, named.name)] if media is not None else []
    for place in (*places, named):
        try:
            if place.is_file():
                return place
        except (OSError, ValueError):  # a name that no file can have
            continue
    return None


def link(media: Path, page: Path) -> str:
    """How a page names a file: relative, so that both may be moved together."""
    relative = os.path.relpath(media.resolve(), page.parent.resolve())
    return quote(relative)


def preview(
    media: Path, end_seconds: float, config: Config, pool: ProcessPool, stop: threading.Event | None = None
) -> Preview:
    """Reads a file as far as there are rows of it, or until it is stopped.

    Raises:
        SourceError: it cannot be read.
    """
    count = max(1, min(MAX_PICTURES, math.ceil(end_seconds / _LEAST_STEP_SECONDS)))
    parts = max(1, math.ceil(end_seconds / count / _MOST_WINDOW_SECONDS))  # windows a picture
    window = Fraction(end_seconds / count / parts).limit_denominator(1000)
    options = DecodeOptions(
        windows=Windows(window, window, 1 / window),
        mode="exact" if end_seconds <= _EXACT_UP_TO_SECONDS else "keyframes",
        crop=_SIDE,
        whole=True,
        max_pixels=config.decode.max_pixels,
        limits=Limits(config.decode.memory_mb * 2**20, config.decode.progress_seconds, config.decode.segment_seconds),
    )
    peaks = np.zeros(MAX_PEAKS, np.uint8)
    pictures: dict[int, Pictures] = {}
    has_sound = False
    with open_reader(str(media), options, pool=pool) as reader:
        for segment in reader:
            if segment.start_seconds >= end_seconds or (stop is not None and stop.is_set()):
                break
            if len(segment.waveform):
                has_sound = True
                _add_peaks(peaks, segment.waveform, segment.start_seconds, segment.end_seconds, end_seconds)
            if segment.index % parts == parts // 2 and len(segment.frames):
                pictures[segment.index // parts] = segment.frames[0]
    return Preview(peaks if has_sound else peaks[:0], _trimmed(_in_order(pictures, count)))


def _add_peaks(
    peaks: npt.NDArray[np.uint8], waveform: npt.NDArray[np.float32], start: float, end: float, whole_seconds: float
) -> None:
    """Raises the peaks to what is heard in [start, end)."""
    seconds = np.linspace(start, end, len(waveform), endpoint=False)
    bins = np.minimum(seconds / whole_seconds * len(peaks), len(peaks) - 1).astype(np.int64)
    first = np.flatnonzero(np.diff(bins, prepend=-1))
    loudest = np.maximum.reduceat(np.abs(waveform), first)
    heights = np.round(255 * np.clip(loudest, 0.0, 1.0)).astype(np.uint8)
    peaks[bins[first]] = np.maximum(peaks[bins[first]], heights)


def _in_order(pictures: Mapping[int, Pictures], count: int) -> Pictures:
    """One picture for each place; where none could be decoded it is black."""
    if not pictures:
        return np.zeros((0, 1, 1, 3), np.uint8)
    nothing = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    return np.stack([pictures.get(n, nothing) for n in range(count)])


def _trimmed(pictures: Pictures) -> Pictures:
    """Without the border that is black in all of them."""
    bright: npt.NDArray[np.bool_] = np.asarray(pictures.max(axis=(0, 3), initial=0) > _BORDER)
    if not bright.any():
        return pictures
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    return pictures[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _sprite(pictures: Pictures) -> bytes:
    num, height, width, _ = pictures.shape
    num_rows = -(-num // _COLUMNS)
    sheet = np.zeros((num_rows * _COLUMNS, height, width, 3), np.uint8)
    sheet[:num] = pictures
    grid = sheet.reshape(num_rows, _COLUMNS, height, width, 3).swapaxes(1, 2)
    out = io.BytesIO()
    Image.fromarray(grid.reshape(num_rows * height, _COLUMNS * width, 3)).save(out, "webp", quality=_QUALITY)
    return out.getvalue()
