"""Clips with something wrong in them, what every segment of them holds, and how many segments of a run are right.

Pictures are grey, and how grey counts frames; the tone of every segment has a loudness of its own. So what a row must
have seen and heard is known from how its clip was made, and none of those compared is the judge of the others.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, cycle, takewhile
from pathlib import Path
from typing import Any

import av
import numpy as np

SECONDS = 12
SEGMENT_SECONDS = 2
EVEN_RATE = tuple(range(0, 1000 * SECONDS, 100))
"""Milliseconds at which pictures start, ten a second."""
UNEVEN_RATE = tuple(takewhile(lambda at: at < 1000 * SECONDS, accumulate(cycle((40, 120, 300, 20, 180)), initial=0)))

_WIDTH, _HEIGHT = 480, 360
_SOUND_HZ = 48_000
_AMPLITUDES = (0.1, 0.4, 0.2, 0.5, 0.15, 0.3)
_GOP = 10
_QUARTER_TURN = (0, 1 << 16, 0, -1 << 16, 0, 0, _HEIGHT << 16, 0, 1 << 30)
"""The matrix of an MP4 track, by rows, that turns clockwise (ISO/IEC 14496-12, 8.3.2)."""
_MATRIX_AT = 44
"""Where it is after the name of the box of version 0 that holds it."""

_GREY_ERROR = 3.0
_LOUDNESS_ERROR = 0.1
_LEAST_LOUDNESS_ERROR = 0.001
_BRIGHTER = 40.0


@dataclass(frozen=True)
class Truth:
    """What must have been seen and heard in a segment. What is None cannot be known, and is not judged.

    ``greys`` are those instants at which a known picture is shown, with its grey level. ``loudness`` is the root mean
    square of the sound. ``is_upright`` asks for pictures with a brighter upper half.
    """

    greys: Mapping[float, float]
    num_pictures: int | None
    loudness: float | None
    is_upright: bool = False

    def is_met(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of `work.Probe` is right."""
        seconds, quarters, rms = row["seconds"], row["quarters"], row["rms"]
        if self.num_pictures is not None and len(quarters) != self.num_pictures:
            return False
        if self.is_upright and not all(min(a, b) - max(c, d) > _BRIGHTER for a, b, c, d in quarters):
            return False
        for at, grey in self.greys.items():
            before = [quarter for start, quarter in zip(seconds, quarters, strict=True) if start <= at]
            if not before or any(abs(value - grey) > _GREY_ERROR for value in before[-1]):
                return False
        if self.loudness is None:
            return True
        return bool(abs(rms - self.loudness) <= max(_LEAST_LOUDNESS_ERROR, _LOUDNESS_ERROR * self.loudness))


@dataclass(frozen=True)
class Fault:
    """A clip, and what each of its segments holds."""

    path: Path
    truths: tuple[Truth, ...]

    def num_right(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """How many of its segments have one row, and that right; the rows may be those of other clips as well."""
        found: dict[int, list[Mapping[str, Any]]] = {}
        for row in rows:
            if Path(row["source"]).name == self.path.name:
                found.setdefault(row["segment"], []).append(row)
        return sum(len(found.get(n, ())) == 1 and truth.is_met(found[n][0]) for n, truth in enumerate(self.truths))


def make_faults(folder: Path) -> dict[str, Fault]:
    """Writes a clip for each fault, and one without."""
    clean = _write(folder / "ordinary.mp4", EVEN_RATE)
    return {
        "ordinary": Fault(clean, _truths(EVEN_RATE)),
        "truncated": _truncated(clean, folder / "truncated.mp4", 7.3),
        "audio only": Fault(_write(folder / "audio_only.mp4", ()), _truths(())),
        "no sound": Fault(_write(folder / "no_sound.mp4", EVEN_RATE, sound=False), _truths(EVEN_RATE, sound=False)),
        "damaged": _damaged(clean, folder / "damaged.mp4", 5.2, 5.8),
        "uneven rate": Fault(_write(folder / "uneven_rate.mp4", UNEVEN_RATE), _truths(UNEVEN_RATE)),
        "turned": _turned(folder / "turned.mp4"),
    }


def _grey(n: int) -> int:
    """The level of picture n."""
    return 24 + 8 * (n % 25)


def _loudness(segment: int) -> float:
    return _AMPLITUDES[segment] / math.sqrt(2)


def _truths(starts: Sequence[int], *, sound: bool = True, unknown: Iterable[int] = ()) -> tuple[Truth, ...]:
    """The segments of a clip whose pictures start at these milliseconds; those of some pictures are not known."""
    left_out, truths = set(unknown), []
    for segment in range(SECONDS // SEGMENT_SECONDS):
        instants = [SEGMENT_SECONDS * segment + n / 2 + 0.25 for n in range(2 * SEGMENT_SECONDS)] if starts else []
        shown = {at: max(n for n, start in enumerate(starts) if start <= 1000 * at) for at in instants}
        greys = {at: float(_grey(n)) for at, n in shown.items() if n not in left_out}
        count = len(instants) if len(greys) == len(instants) else None
        truths.append(Truth(greys, count, _loudness(segment) if sound else 0.0))
    return tuple(truths)


def _write(path: Path, starts: Sequence[int], *, sound: bool = True, halves: bool = False) -> Path:
    """A clip of grey pictures that start at these milliseconds, or of pictures whose left half is bright."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as out:
        packets = []
        if starts:
            video = out.add_stream("libx264", rate=10, options={"crf": "4"})
            video.width, video.height, video.pix_fmt, video.gop_size = _WIDTH, _HEIGHT, "yuv420p", _GOP
            video.codec_context.time_base = Fraction(1, 1000)
            for n, start in enumerate(starts):
                pixels = np.full((_HEIGHT, _WIDTH, 3), _grey(n), np.uint8)
                if halves:
                    pixels[:, : _WIDTH // 2], pixels[:, _WIDTH // 2 :] = 200, 40
                frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
                frame.pts, frame.time_base = start, Fraction(1, 1000)
                packets += video.encode(frame)
            packets += video.encode(None)
        if sound:
            audio = out.add_stream("aac", rate=_SOUND_HZ, layout="mono")
            at = np.arange(SECONDS * _SOUND_HZ)
            amplitude = np.array(_AMPLITUDES)[at // (SEGMENT_SECONDS * _SOUND_HZ)]
            tone = (amplitude * np.sin(2 * np.pi * 440 * at / _SOUND_HZ)).astype(np.float32)
            for first in range(0, len(tone), 1024):
                piece = av.AudioFrame.from_ndarray(tone[None, first : first + 1024], format="fltp", layout="mono")
                piece.rate, piece.pts, piece.time_base = _SOUND_HZ, first, Fraction(1, _SOUND_HZ)
                packets += audio.encode(piece)
            packets += audio.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            out.mux(packet)
    return path


@dataclass(frozen=True)
class _Packet:
    kind: str
    start: float
    first: int
    end: int


def _packets(path: Path) -> list[_Packet]:
    """Where the packets of a clip lie, in the order of the file: their first byte, and the one after their last."""
    with av.open(str(path)) as clip:
        found = [p for p in clip.demux(video=0, audio=0) if p.size]
        packets = [_Packet(p.stream.type, float(p.pts * p.time_base), p.pos, p.pos + p.size) for p in found]
    return sorted(packets, key=lambda packet: packet.first)


def _truncated(clean: Path, path: Path, at: float) -> Fault:
    """The clip up to the middle of the first picture's packet of a time."""
    packets = _packets(clean)
    last = next(packet for packet in packets if packet.kind == "video" and packet.start >= at)
    length = (last.first + last.end) // 2
    path.write_bytes(clean.read_bytes()[:length])
    whole = [packet for packet in packets if packet.end <= length]
    seen = {round(10 * packet.start) for packet in whole if packet.kind == "video"}
    heard = max(packet.start for packet in whole if packet.kind == "audio")
    truths = _truths(EVEN_RATE, unknown=set(range(len(EVEN_RATE))) - seen)
    kept = []
    for n, truth in enumerate(truths[: math.ceil(max(max(seen) / 10, heard) / SEGMENT_SECONDS)]):
        is_heard = heard >= SEGMENT_SECONDS * (n + 1)
        kept.append(Truth(truth.greys, truth.num_pictures, truth.loudness if is_heard else None))
    return Fault(path, tuple(kept))


def _damaged(clean: Path, path: Path, since: float, until: float) -> Fault:
    """The clip with random bytes for all packets of a time: what refers to its pictures is not known either."""
    content, noise = bytearray(clean.read_bytes()), random.Random(0)  # noqa: S311 - the same noise each time
    for packet in _packets(clean):
        if since <= packet.start < until:
            content[packet.first : packet.end] = noise.randbytes(packet.end - packet.first)
    path.write_bytes(content)
    unknown = range(_GOP * int(10 * since / _GOP), _GOP * math.ceil(10 * until / _GOP))
    truths = list(_truths(EVEN_RATE, unknown=unknown))
    for n in range(int(since // SEGMENT_SECONDS), int(until // SEGMENT_SECONDS) + 1):
        truths[n] = Truth(truths[n].greys, truths[n].num_pictures, None)
    return Fault(path, tuple(truths))


def _turned(path: Path) -> Fault:
    """A clip whose left is bright and which is to be shown turned clockwise, so that its top is bright."""
    content = bytearray(_write(path, EVEN_RATE, halves=True).read_bytes())
    at = content.index(b"tkhd") + _MATRIX_AT
    content[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in _QUARTER_TURN)
    path.write_bytes(content)
    truths = [Truth({}, truth.num_pictures, truth.loudness, is_upright=True) for truth in _truths(EVEN_RATE)]
    return Fault(path, tuple(truths))
