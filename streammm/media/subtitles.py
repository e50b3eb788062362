"""Timed text: embedded subtitle packets and sidecar caption files -> Cues on the source's clock."""

from __future__ import annotations

import re
from collections.abc import Iterator

import av
import av.error
from av.container import InputContainer

from streammm.errors import SourceError
from streammm.media.source import reason
from streammm.types import Cue

_LONGEST_SECONDS = 3600.0
"""A caption that claims to stay longer is cut off there."""

_MARKUP = re.compile(r"<[^>]*>|\{[^}]*\}")
_SPACE = re.compile(r"\s+")

_TEXT_CODECS = frozenset({"subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text", "microdvd", "subviewer", "sami"})


def is_text(stream: av.stream.Stream) -> bool:
    """True for a subtitle stream that holds text and has a decoder; picture subtitles and unknown codecs are not."""
    return stream.type == "subtitle" and stream.codec_context is not None and stream.codec_context.name in _TEXT_CODECS


def packet_cues(packet: av.Packet[av.stream.Stream], offset_seconds: float) -> Iterator[Cue]:
    """The cues of one demuxed subtitle packet, shifted by ``offset_seconds``.

    Raises:
        av.error.FFmpegError: the packet is damaged.
    """
    if packet.pts is None or packet.size == 0:
        return
    start = float(packet.pts * packet.time_base) + offset_seconds
    duration = float(packet.duration * packet.time_base) if packet.duration else 0.0
    for rect in packet.decode():
        text = plain_text(_spoken(rect))
        if text and duration > 0:
            yield Cue(start, start + min(duration, _LONGEST_SECONDS), text)


def _spoken(rect: object) -> str:
    """The text of a decoded subtitle: FFmpeg hands all kinds over as an ASS event, whose ninth field is the text."""
    raw = getattr(rect, "ass", b"") or getattr(rect, "text", b"")
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    fields = text.split(",", 8)
    return fields[8] if len(fields) == 9 else text


def plain_text(text: str) -> str:
    r"""Caption text without style tags (``<i>``, ``{\an8}``), with line breaks and runs of space as one space."""
    text = text.replace("\\N", " ").replace("\\n", " ").replace("\\h", " ")
    return _SPACE.sub(" ", _MARKUP.sub("", text)).strip()


def read_captions(container: InputContainer, name: str) -> list[Cue]:
    """All cues of an open caption file, in order of their start.

    Raises:
        SourceError: the file is not a caption file that FFmpeg reads.
    """
    stream = next((s for s in container.streams if is_text(s)), None)
    if stream is None:
        raise SourceError(name, "not-media", "not a caption file")
    cues: list[Cue] = []
    try:
        for packet in container.demux(stream):
            cues.extend(packet_cues(packet, 0.0))
    except (av.error.FFmpegError, ValueError) as error:
        raise SourceError(name, "damaged", f"caption file is damaged: {reason(error)}") from error
    return sorted(cues, key=lambda cue: (cue.start_seconds, cue.end_seconds))
