"""Packets of sound -> decoded frames that do not depend on where reading began.

Some codecs make noise up: AAC and AC-3 fill bands with it, Opus too, from a generator whose state depends on all that
was decoded before. Their decoder is therefore made anew at every multiple of 20 s on the source's clock, warmed up by
one second, so that whoever starts at such a point hears what everybody hears.
"""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
import av.error

_MAKE_NOISE_UP = frozenset(("aac", "aac_latm", "ac3", "amrnb", "amrwb", "eac3", "mp1", "mp2", "mp3", "opus"))

BLOCK_SECONDS = 20

LEAD_SECONDS = 1
"""Decoders of sound need some of what came before, Opus the most: 80 ms (RFC 7845, section 4.6)."""


class SoundDecoder:
    """Decodes one stream of sound."""

    def __init__(self, stream: av.AudioStream) -> None:
        self._stream = stream
        self._is_renewed = stream.codec_context.name in _MAKE_NOISE_UP
        self._block = 0
        self._context: Any = stream.codec_context
        self._upcoming: Any = None

    def start_of(self, seconds: Fraction) -> Fraction:
        """From where packets must be decoded to get the sound at a time right; 0 or less is the beginning."""
        if not self._is_renewed:
            return seconds - LEAD_SECONDS
        return Fraction(seconds // BLOCK_SECONDS * BLOCK_SECONDS - LEAD_SECONDS)

    def decode(self, packet: av.Packet[Any], seconds: float | None) -> list[av.AudioFrame]:
        """Decodes the next packet, which is heard from ``seconds`` on; an empty one flushes.

        Raises:
            av.error.FFmpegError: the packet is damaged.
        """
        if self._is_renewed and seconds is not None:
            self._renew(packet, seconds)
        frames: list[av.AudioFrame] = self._context.decode(packet)
        return frames

    def _renew(self, packet: av.Packet[Any], seconds: float) -> None:
        block = int(seconds // BLOCK_SECONDS)
        if block > self._block:
            self._context = (self._upcoming if block == self._block + 1 else None) or self._make()
            self._block, self._upcoming = block, None
        if seconds >= (block + 1) * BLOCK_SECONDS - LEAD_SECONDS:
            self._upcoming = self._upcoming or self._make()
            with suppress(av.error.FFmpegError, ValueError):  # counted when it is decoded for good
                self._upcoming.decode(packet)

    def _make(self) -> Any:
        """A decoder that knows what the stream's own knew at the beginning."""
        known = self._stream.codec_context
        context: Any = av.CodecContext.create(known.codec.name, "r")
        context.extradata = known.extradata
        context.sample_rate = known.sample_rate
        context.layout = known.layout
        return context
