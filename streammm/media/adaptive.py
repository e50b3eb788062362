"""Packets of a video stream -> stretches of them, each with the word whether anything changes in it.

A stretch runs from one key picture to the next. Where both look alike, and what lies between them takes equally many
bytes all along, nothing is taken to happen: the first picture then stands for the stretch, and no other of it need be
decoded. What is decided of a stretch follows from its own packets and the key picture after it, so that wherever
reading starts it is the same.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import av
import av.error
import numpy as np

from streammm.media.thumbnails import Thumbnail, Thumbnails

CODECS = frozenset({"av1", "h264", "hevc", "libdav1d", "mpeg1video", "mpeg2video", "mpeg4", "vp8", "vp9"})
"""Decoders that can be emptied before any key picture, and go on from there."""

_MAX_PACKETS, _MAX_BYTES = 600, 32 * 2**20
FILE_SECONDS, LIVE_SECONDS = 20.0, 2.5
"""A stretch that is longer is decoded whole: it is held until it is decided, and sound waits for it."""

_MOST_AT_A_POINT = 5
"""At one point pictures that are alike may differ by so many times what they may in the mean."""

_BIN_SECONDS, _MOST_SWELLING = Fraction(1, 2), 1.4
"""Of a stretch in which nothing happens no half second takes more than so many times the bytes of the median one."""

_LEAST_SHARE, _LEAST_RATIO = 0.5, 3.0
"""A packet with such a share of the key picture's bytes, and so many times those of the median packet, is a new picture
that is no key picture."""

_LEAST_BYTES = 256
"""What takes less is none: where all is of one colour, a key picture itself takes some tens of bytes."""

Packet: TypeAlias = "av.Packet[Any]"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Packets in decoding order. Of a calm one the first alone is to be decoded, after whatever came before is out."""

    packets: list[Packet]
    is_calm: bool


class Stretches:
    """Cuts a stream into stretches; holds one back until it is decided.

    A key picture after which pictures come that are shown before it is no place to cut: they refer to what came before
    it. What such a picture is in, or whose times are missing or out of order, is not calm.

    Args:
        look: key picture -> its thumbnail, or None if it does not stand by itself.
        max_difference: of key pictures that are alike.
        max_seconds: a longer stretch is not calm.
    """

    def __init__(
        self, look: Callable[[Packet], Thumbnail | None], max_difference: float, max_seconds: float = FILE_SECONDS
    ) -> None:
        self._look = look
        self._max_seconds = max_seconds
        self._max_difference = max_difference
        self._held: list[Packet] = []
        self._held_bytes = 0
        self._next: Packet | None = None
        self._seen: tuple[Packet, Thumbnail | None] | None = None

    def push(self, packet: Packet) -> Iterator[Stretch]:
        """Takes the next packet; gives what is decided."""
        if self._next is not None and _follows(packet, self._next):
            yield self._decided(self._next)
        latest = self._next if self._next is not None else self._held[0] if self._held else None
        if latest is not None and not _follows(packet, latest):
            yield from self._given_up()
        if packet.is_keyframe and packet.pts is not None:
            if self._held:
                self._next = packet
            else:
                self._begin(packet)
        elif not self._held:
            yield Stretch([packet], is_calm=False)
        elif self._is_full(packet):
            yield from self._given_up(packet)
        else:
            self._held.append(packet)
            self._held_bytes += packet.size

    def flush(self) -> Iterator[Stretch]:
        """Nothing follows: gives what is held, which is not calm, since nobody knows what came of it."""
        yield from self._given_up()

    def _begin(self, packet: Packet) -> None:
        self._held, self._held_bytes, self._next = [packet], packet.size, None

    def _is_full(self, packet: Packet) -> bool:
        seconds = (_pts(packet) - _pts(self._held[0])) * packet.time_base
        return len(self._held) >= _MAX_PACKETS or self._held_bytes > _MAX_BYTES or seconds > self._max_seconds

    def _given_up(self, *packets: Packet) -> Iterator[Stretch]:
        """All that is held and these, not calm; what follows is passed on until the next key picture."""
        held = [*self._held, *([self._next] if self._next is not None else []), *packets]
        self._held, self._next = [], None
        if held:
            yield Stretch(held, is_calm=False)

    def _decided(self, after: Packet) -> Stretch:
        """The stretch that ends before a key picture, with which the next one begins."""
        packets = self._held
        is_calm = (
            len(packets) > 1
            and not any(packet.is_corrupt for packet in (*packets, after))
            and all(_pts(packet) < _pts(after) for packet in packets)
            and is_even(packets)
            and is_alike(self._thumbnail(packets[0]), self._thumbnail(after), self._max_difference)
        )
        self._begin(after)
        return Stretch(packets, is_calm)

    def _thumbnail(self, packet: Packet) -> Thumbnail | None:
        if self._seen is None or self._seen[0] is not packet:
            self._seen = packet, self._look(packet)
        return self._seen[1]


def _pts(packet: Packet) -> int:
    """Of a packet that is held, which has one."""
    assert packet.pts is not None
    return packet.pts


def _follows(packet: Packet, key: Packet) -> bool:
    return packet.pts is not None and packet.pts > _pts(key)


def is_even(packets: list[Packet]) -> bool:
    """Whether the packets after the first take equally many bytes in every half second, and none is a new picture.

    The first and the last half second are left out of that: encoders mend there what the key picture left, and it may
    be cut.
    """
    after = [packet.size for packet in packets[1:]]
    least = max(_LEAST_BYTES, _LEAST_SHARE * packets[0].size, _LEAST_RATIO * statistics.median(after))
    if max(after, default=0) > least:
        return False
    begin = _pts(packets[0])
    sizes: Counter[int] = Counter()
    for packet in packets[1:]:
        sizes[int((_pts(packet) - begin) * packet.time_base / _BIN_SECONDS)] += packet.size
    between = [sizes[n] for n in range(1, max(sizes, default=0))]
    return not between or max(between) <= _MOST_SWELLING * statistics.median(between)


def is_alike(one: Thumbnail | None, other: Thumbnail | None, max_difference: float) -> bool:
    """Whether two key pictures show the same: their mean difference, and that at the point where it is largest."""
    if one is None or other is None:
        return False
    difference = np.abs(one - other).mean(0)
    return bool(difference.mean() <= max_difference and difference.max() <= _MOST_AT_A_POINT * max_difference)


class KeyPictures:
    """Looks at single key pictures with a decoder of its own, so that the stream's own is not disturbed.

    Args:
        context: the decoder of the stream, which is left as it is.
        max_pixels: a picture with more is not looked at.
    """

    def __init__(self, context: av.VideoCodecContext, max_pixels: int) -> None:
        self._context: Any = av.CodecContext.create(context.codec.name, "r")
        if context.extradata:
            self._context.extradata = context.extradata
        self._context.options = {"max_pixels": str(max_pixels), "skip_loop_filter": "all"}
        self._context.thread_count = 1
        self._thumbnails = Thumbnails()

    def __call__(self, packet: Packet) -> Thumbnail | None:
        """The thumbnail of a key picture, None unless it can be decoded by itself."""
        frames: list[av.VideoFrame] = []
        with suppress(av.error.FFmpegError, ValueError):
            frames += self._context.decode(packet)
            frames += self._context.decode(None)
        self._context.flush_buffers()
        if len(frames) != 1 or frames[0].is_corrupt or not frames[0].key_frame:
            return None
        return self._thumbnails(frames[0])
