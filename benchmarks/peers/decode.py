"""The segments of a file with PyAV, as everybody has to write it whose framework has no reader that serves."""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
from work import RATE_HZ, SEGMENT_SECONDS, Clip

PER_SEGMENT = 4
SAMPLES = SEGMENT_SECONDS * RATE_HZ
UNTAGGED = 2
NO_PICTURES = np.zeros((0, 224, 224, 3), np.uint8)


def segments(path: str, threads: int = 1) -> Iterator[Clip]:
    """Segments of 2 s: the picture shown in the middle of every half second, and the sound, 16 kHz mono.

    One thread decodes, where there is a process for each core.
    """
    with av.open(path) as container:
        videos, audios = container.streams.video[:1], container.streams.audio[:1]
        for video in videos:
            video.thread_type, video.codec_context.thread_count = "AUTO", threads
        resampler = av.AudioResampler("flt", "mono", RATE_HZ)
        seconds: list[float] = []
        pictures: list[np.ndarray] = []
        sound = np.zeros(0, np.float32)
        pieces: list[np.ndarray] = []
        held, num_due, n = None, 0, 0

        def take(until: float) -> None:
            nonlocal num_due
            while held is not None and until > num_due / 2 + 0.25:
                seconds.append(held.time)
                pictures.append(picture(held))
                num_due += 1

        def cut() -> Clip:
            nonlocal sound, n
            frames = np.stack(pictures[:PER_SEGMENT]) if pictures else NO_PICTURES
            times, wave, sound = np.array(seconds[:PER_SEGMENT], np.float64), sound[:SAMPLES], sound[SAMPLES:]
            del seconds[:PER_SEGMENT], pictures[:PER_SEGMENT]
            n += 1
            return {"source": path, "segment": n - 1, "seconds": times, "frames": frames, "wave": wave}

        for packet in container.demux([*videos, *audios]):
            for frame in packet.decode():
                if isinstance(frame, av.AudioFrame):
                    pieces += [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
                else:
                    take(frame.time)
                    held = frame
            if sum(map(len, pieces)) + len(sound) >= SAMPLES or not audios:
                sound, pieces = np.concatenate([sound, *pieces]), []
                while (len(pictures) >= PER_SEGMENT or not videos) and (len(sound) >= SAMPLES or not audios):
                    yield cut()
        if held is not None:
            take(held.time + (held.duration or 0) * held.time_base)
        sound = np.concatenate([sound, *pieces])
        while pictures or len(sound) > RATE_HZ // 10:  # a shorter rest is padding of the codec
            yield cut()


def picture(frame: av.VideoFrame) -> np.ndarray:
    """The shorter side scaled to 256, and 224 by 224 out of the middle; HD that does not say so is BT.709 too."""
    scale = 256 / min(frame.width, frame.height)
    width, height = round(frame.width * scale), round(frame.height * scale)
    matrix = "ITU709" if frame.colorspace == UNTAGGED and frame.height >= 720 else None
    rgb = frame.reformat(width, height, "rgb24", src_colorspace=matrix, interpolation="AREA").to_ndarray()
    top, left = (height - 224) // 2, (width - 224) // 2
    return rgb[top : top + 224, left : left + 224]
