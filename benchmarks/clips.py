"""Clips that benchmarks measure with: any film, as H.264 and AAC of a given size and length."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import PictureType

SIZES = {"360p": (640, 360), "1080p": (1920, 1080)}


def make_media(clip: Path, folder: Path, name: str, seconds: float, key_seconds: float = 10.0) -> Path:
    """The clip's first seconds, looped if it is short, as H.264 25/s and AAC 48 kHz stereo.

    A key picture comes every ``key_seconds``, and where the shot changes.
    """
    path = folder / f"{name}.mp4"
    width, height = SIZES[name]
    with av.open(str(path), "w") as out:
        video = out.add_stream(
            "libx264", rate=25, options={"preset": "medium", "crf": "23", "g": str(round(25 * key_seconds))}
        )
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = out.add_stream("aac", rate=48_000)
        audio.layout = "stereo"
        resampler = av.AudioResampler("fltp", "stereo", 48_000, frame_size=1024)
        num_frames = num_samples = 0
        while num_frames < seconds * 25:
            with av.open(str(clip)) as source:
                offset = Fraction(num_frames, 25)
                for frame in source.decode(video=0, audio=0):
                    if isinstance(frame, av.VideoFrame):
                        while num_frames < seconds * 25 and offset + frame.pts * frame.time_base >= Fraction(
                            num_frames, 25
                        ):
                            picture = frame.reformat(width, height, "yuv420p")
                            picture.pts, picture.time_base = num_frames, Fraction(1, 25)
                            picture.pict_type = PictureType.NONE  # else the encoder takes over the film's
                            out.mux(video.encode(picture))
                            num_frames += 1
                    elif num_samples < seconds * 48_000:
                        frame.pts = None
                        for piece in resampler.resample(frame):
                            piece.pts, piece.time_base = num_samples, Fraction(1, 48_000)
                            out.mux(audio.encode(piece))
                            num_samples += piece.samples
        out.mux(video.encode(None))
        out.mux(audio.encode(None))
    return path
