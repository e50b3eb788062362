"""Packets of a video stream -> what its decoder is to do with them: which pictures are decoded at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import av

from streammm.media import adaptive
from streammm.media.lookahead import Glance, LookAhead
from streammm.media.options import DecodeOptions, Mode

Skip = Literal["DEFAULT", "NONREF", "NONKEY"]

SKIPPED: dict[Mode, Skip] = {"exact": "DEFAULT", "adaptive": "DEFAULT", "fast": "NONREF", "keyframes": "NONKEY"}
"""What FFmpeg's decoders leave out in each mode."""

_LEAVES_OUT = frozenset({"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"})
"""Decoders that leave out a picture no other refers to, when asked from one packet to the next, and nothing else."""


@dataclass(frozen=True, slots=True)
class Step:
    """A packet to decode; None: all pictures are taken out of the decoder, which begins anew with a key picture.

    ``skip`` is what the decoder may leave out from here on, None: as before. ``stands_for`` are packets that are not
    decoded, for which the picture that came last stands.
    """

    packet: av.Packet[Any] | None
    skip: Skip | None = None
    stands_for: Sequence[av.Packet[Any]] = ()


class Selection:
    """Says what is decoded of one stream.

    Args:
        context: the stream's decoder.
        options: with the mode.
        is_sampled: pts of a picture and of the next one -> whether an instant falls between them.
        is_live: packets come as they are made, and are not held back but for adaptive decoding.
        is_whole: every picture counts, whatever the mode says.
    """

    def __init__(
        self,
        context: av.VideoCodecContext,
        options: DecodeOptions,
        is_sampled: Callable[[int, int], bool],
        *,
        is_live: bool,
        is_whole: bool,
    ) -> None:
        mode: Mode = "exact" if is_whole else options.mode
        self.skips = SKIPPED[mode]
        self._look_ahead: LookAhead | Glance | None = None
        self._stretches: adaptive.Stretches | None = None
        if not is_whole and self.skips == "DEFAULT" and context.name in _LEAVES_OUT:
            self._look_ahead = Glance(is_sampled) if is_live else LookAhead(is_sampled)
        if mode == "adaptive" and context.name in adaptive.CODECS:
            look = adaptive.KeyPictures(context, options.max_pixels)
            seconds = adaptive.LIVE_SECONDS if is_live else adaptive.FILE_SECONDS
            self._stretches = adaptive.Stretches(look, options.max_difference, seconds)

    def push(self, packet: av.Packet[Any]) -> Iterator[Step]:
        """Takes the next packet; an empty one ends the stream."""
        if self._stretches is None:
            yield from self._ahead(packet)
        elif packet.size == 0:
            yield from self.flush()
            yield from self._ahead(packet)
        else:
            yield from self._of(self._stretches.push(packet))

    def flush(self) -> Iterator[Step]:
        """Nothing follows, and there may have been no empty packet, as where a connection is lost."""
        if self._stretches is not None:
            yield from self._of(self._stretches.flush())
        if self._look_ahead is not None:
            yield from _needed(self._look_ahead.flush())

    def _of(self, stretches: Iterable[adaptive.Stretch]) -> Iterator[Step]:
        for stretch in stretches:
            if not stretch.is_calm:
                for packet in stretch.packets:
                    yield from self._ahead(packet)
                continue
            if self._look_ahead is not None:
                yield from _needed(self._look_ahead.flush())
            yield Step(None)
            yield Step(stretch.packets[0], None if self._look_ahead is None else "DEFAULT")
            yield Step(None, stands_for=stretch.packets)

    def _ahead(self, packet: av.Packet[Any]) -> Iterator[Step]:
        if self._look_ahead is None:
            yield Step(packet)
        elif packet.size == 0:
            yield from _needed(self._look_ahead.flush())
            yield Step(packet)
        else:
            yield from _needed(self._look_ahead.push(packet))


def _needed(packets: Iterable[tuple[av.Packet[Any], bool]]) -> Iterator[Step]:
    for packet, is_needed in packets:
        yield Step(packet, "DEFAULT" if is_needed else "NONREF")
