"""What all peers do with a segment, not counted as theirs: encoders, labels, the row; or what came, in their place."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

LABELS = ("speech", "music", "explosion", "car", "person", "city", "animal", "computer")
SEGMENT_SECONDS = 2
RATE_HZ = 16_000

Clip = dict[str, Any]
"""A segment: source, segment (its index), seconds (float64 [T] of its pictures), frames (uint8 [T, 224, 224, 3]) and
wave (float32 [N] in [-1, 1] at 16 kHz); T or N is 0 where there is none."""

BATCH = 16
"""Segments that are encoded at once, as streammm does."""


class Work:
    """Picture and sound through the nets, labels scored, a row a segment. Loads when it is made.

    The nets run on one thread, where there is a process for each core.
    """

    def __init__(self, precision: str, threads: int = 1) -> None:
        from streammm.building.classifier import make_classifier
        from streammm.building.encoders import make_encoder
        from streammm.building.vocabulary import make_vocabulary
        from streammm.config import load

        # Segments are judged by themselves, so that a peer may take them in any order.
        runtime = {"backend": "openvino", "precision": precision, "threads": threads}
        config = load(labels=LABELS, runtime=runtime, fusion={"smoothing_seconds": 0})
        self._look, self._listen, read = (make_encoder(config, m) for m in ("video", "audio", "text"))
        for encoder in (self._look, self._listen, read):
            encoder.setup()
        self._classifier = make_classifier(config, make_vocabulary(config, read))

    def __call__(self, clips: Sequence[Clip]) -> list[str]:
        """The rows of segments, a line of JSON each."""
        from streammm.types import MODALITIES, Segment, Status

        segments = []
        for clip in clips:
            n, frames, wave = int(clip["segment"]), clip["frames"], clip["wave"]
            status = dict.fromkeys(MODALITIES, Status.ABSENT)
            status |= {"video": Status.OK} if len(frames) else {}
            status |= {"audio": Status.OK} if len(wave) else {}
            times = SEGMENT_SECONDS * float(n), SEGMENT_SECONDS * float(n + 1)
            segments.append(Segment(str(clip["source"]), n, *times, frames, clip["seconds"], wave, (), status))
        made = {"video": self._look.encode(segments), "audio": self._listen.encode(segments)}
        return [json.dumps(row.to_json()) for row in self._classifier.begin().push(segments, made)]


class Probe:
    """In the place of the nets: says what came to them, for it to be held against what the file was made of."""

    def __init__(self, precision: str, threads: int = 1) -> None:
        """Nothing to load."""

    def __call__(self, clips: Sequence[Clip]) -> list[str]:
        """A line of JSON a segment."""
        return [
            json.dumps(
                {
                    "source": str(clip["source"]),
                    "segment": int(clip["segment"]),
                    "seconds": [float(at) for at in clip["seconds"]],
                    "quarters": [quarters(frame) for frame in clip["frames"]],
                    "rms": loudness(clip["wave"]),
                }
            )
            for clip in clips
        ]


def quarters(frame: np.ndarray) -> list[float]:
    """Mean of a picture's quarters: above left and right, below left and right."""
    half = len(frame) // 2
    return [float(part.mean()) for rows in (frame[:half], frame[half:]) for part in (rows[:, :half], rows[:, half:])]


def loudness(wave: np.ndarray) -> float:
    """Root mean square of a piece of sound; 0 where there is none."""
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if len(wave) else 0.0


def arguments() -> argparse.Namespace:
    """What every peer's program is told; ``work`` is the class of its work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="file of rows")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--probe", dest="work", action="store_const", const=Probe, default=Work)
    return parser.parse_args()


def write(path: Path, lines: Iterable[str]) -> None:
    """Writes rows as they come."""
    with path.open("w", buffering=1) as out:
        out.writelines(f"{line}\n" for line in lines)
