"""Which streams of an open container are used, and how their decoders are set up."""

from __future__ import annotations

import av
from av.container import InputContainer


def choose_video(container: InputContainer) -> av.VideoStream | None:
    """The video stream that FFmpeg thinks best, if it is neither cover art nor without a decoder, else the first."""
    pictures = [
        s
        for s in container.streams.video
        if s.codec_context is not None and not s.disposition & av.stream.Disposition.attached_pic
    ]
    best = container.streams.best("video")
    return next((s for s in pictures if s is best), pictures[0] if pictures else None)


def choose_audio(container: InputContainer, video: av.VideoStream | None) -> av.AudioStream | None:
    """The audio stream that belongs to the video by FFmpeg's judgement, else the first that has a decoder."""
    usable = [s for s in container.streams.audio if s.codec_context is not None]
    best = container.streams.best("audio", related=video)
    return next((s for s in usable if s is best), usable[0] if usable else None)


def set_up_video(stream: av.VideoStream, threads: int, max_pixels: int) -> None:
    """Bounds what the decoder of a stream may use: threads, and pixels of a picture."""
    stream.codec_context.options = {"max_pixels": str(max_pixels)}
    stream.thread_type = "SLICE" if threads == 1 else "AUTO"
    stream.codec_context.thread_count = threads
