"""What is in a source, from its headers alone: for `streammm probe`, nothing is decoded."""

from __future__ import annotations

from dataclasses import dataclass

import av

from streammm.media.source import open_media, sidecars


@dataclass(frozen=True, slots=True)
class Probe:
    """Container, streams and captions of a source, in words; ``duration_seconds`` is None where it is not known."""

    container: str
    duration_seconds: float | None
    video: tuple[str, ...]
    audio: tuple[str, ...]
    text: tuple[str, ...]

    def lines(self) -> list[tuple[str, str]]:
        """What there is and what it is like, a line each."""
        duration = "unknown duration" if self.duration_seconds is None else f"{self.duration_seconds:.2f} s"
        streams = (("video", self.video), ("audio", self.audio), ("text", self.text))
        return [("container", f"{self.container}, {duration}"), *((kind, s) for kind, found in streams for s in found)]


def probe(source: str) -> Probe:
    """Looks into a source.

    Raises:
        SourceError: it cannot be opened.
    """
    with open_media(source, max_pixels=100_000_000) as container:
        return Probe(
            container.format.name,
            container.duration / av.time_base if container.duration else None,
            tuple(_video(stream) for stream in container.streams.video),
            tuple(_audio(stream) for stream in container.streams.audio),
            (
                *(_codec(stream) for stream in container.streams if stream.type == "subtitle"),
                *(f"beside it: {path.name}" for path in sidecars(source)),
            ),
        )


def _codec(stream: av.stream.Stream) -> str:
    return stream.codec_context.name if stream.codec_context is not None else "no decoder"


def _video(stream: av.VideoStream) -> str:
    if stream.codec_context is None:
        return "no decoder"
    if stream.disposition & av.stream.Disposition.attached_pic:
        return f"cover art ({_codec(stream)})"
    rate = f" {float(stream.average_rate):.4g}/s" if stream.average_rate else ""
    return f"{_codec(stream)} {stream.codec_context.width}x{stream.codec_context.height}{rate}"


def _audio(stream: av.AudioStream) -> str:
    if stream.codec_context is None:
        return "no decoder"
    return f"{_codec(stream)} {stream.codec_context.sample_rate} Hz {stream.codec_context.layout.name}"
