"""The script that a good engineer writes in an hour to follow cameras: a thread for each, one more for the nets.

    python benchmarks/live_plain.py --out FILE ADDRESS...

Each thread decodes its stream, takes two pictures a second and the sound, and puts segments of two seconds into a
queue; the last takes what waits there as a batch, runs the same encoders as streammm, scores the labels and writes a
row. It does not connect again, has no bounds, and trusts what it decodes.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import av
import numpy as np

from streammm.building.classifier import make_classifier
from streammm.building.encoders import make_encoder
from streammm.building.vocabulary import make_vocabulary
from streammm.config import load
from streammm.types import MODALITIES, LiveState, Modality, Segment, Status

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

BATCH = 16
SECONDS, FRAMES, SAMPLES = 2.0, 4, 32_000
AMOUNTS: dict[Modality, int] = {"video": FRAMES, "audio": SAMPLES}
STATUS = {**dict.fromkeys(MODALITIES, Status.OK), "text": Status.ABSENT}


class Camera(threading.Thread):
    """Follows one stream."""

    def __init__(self, address: str, segments: queue.Queue[Segment]) -> None:
        super().__init__(daemon=True)
        self._address = address
        self._segments = segments
        self._index = 0
        self._pictures: deque[np.ndarray] = deque()
        self._sound = np.zeros(0, np.float32)

    def run(self) -> None:
        with av.open(self._address, options={"rtsp_transport": "tcp"}, timeout=10.0) as container:
            video, audio = container.streams.video[0], container.streams.audio[0]
            video.thread_type, video.codec_context.thread_count = "SLICE", 1
            resampler = av.AudioResampler("fltp", "mono", 16_000)
            start = least = held = None
            num_due = 0
            for packet in container.demux(video, audio):
                if packet.pts is None:
                    continue
                behind = time.time() - float(packet.pts * packet.time_base)
                least = behind if least is None else min(least, behind)
                for frame in packet.decode():
                    start = frame.time if start is None else start
                    if isinstance(frame, av.AudioFrame):
                        pieces = [piece.to_ndarray()[0] for piece in resampler.resample(frame)]
                        self._sound = np.concatenate([self._sound, *pieces])
                        continue
                    while held is not None and frame.time > start + 0.25 + 0.5 * num_due:
                        self._pictures.append(picture(held))
                        num_due += 1
                    held = frame
                self._cut(least + (start or 0.0))

    def _cut(self, zero: float) -> None:
        while len(self._pictures) >= FRAMES and len(self._sound) >= SAMPLES:
            frames = np.stack([self._pictures.popleft() for _ in range(FRAMES)])
            sound, self._sound = self._sound[:SAMPLES], self._sound[SAMPLES:]
            begin = SECONDS * self._index
            at = self._address, self._index, begin, begin + SECONDS
            more = {"amounts": AMOUNTS, "live": LiveState(zero + begin, time.time() - zero - begin - SECONDS)}
            self._segments.put(Segment(*at, frames, np.zeros(FRAMES), sound, (), STATUS, **more))
            self._index += 1


def picture(frame: Any) -> np.ndarray:
    """The middle of a picture, 256 pixels high."""
    width = round(256 * frame.width / frame.height)
    rgb = frame.reformat(width, 256, "rgb24", interpolation="AREA").to_ndarray()
    left = (width - 224) // 2
    return rgb[16:240, left : left + 224]


def main() -> None:
    """Follows the cameras until it is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("addresses", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--labels", required=True)
    arguments = parser.parse_args()
    runtime = {"backend": "openvino", "precision": arguments.precision}
    config = load(labels=arguments.labels.split(","), runtime=runtime)
    look, listen, read = (make_encoder(config, m) for m in ("video", "audio", "text"))
    for encoder in (look, listen, read):
        encoder.setup()
    classifier = make_classifier(config, make_vocabulary(config, read))
    of = {address: classifier.begin() for address in arguments.addresses}
    segments: queue.Queue[Segment] = queue.Queue()
    for address in arguments.addresses:
        Camera(address, segments).start()
    with arguments.out.open("w", buffering=1) as out:
        while True:
            batch = [segments.get()]
            while len(batch) < BATCH and not segments.empty():
                batch.append(segments.get())
            made = {"video": look.encode(batch), "audio": listen.encode(batch)}
            for n, segment in enumerate(batch):
                for row in of[segment.source].push([segment], {m: some[n : n + 1] for m, some in made.items()}):
                    out.write(json.dumps(row.to_json()) + "\n")


if __name__ == "__main__":
    main()
