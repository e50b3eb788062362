"""Segments on which precisions are compared: made up, the same on every machine, and not easy.

Pictures are smooth, as sky, walls and drawings are: there a net takes small differences of large numbers, and what
rounding spoils shows. Sounds are chirps with overtones in noise.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streammm.types import MODALITIES, SAMPLE_RATE_HZ, Cue, Modality, Segment, Status

_SIDE = 224
_SAMPLES = 15_600
_TEXTS = (
    "a dog barks at the postman",
    "the goalkeeper kicks the ball",
    "it will rain tomorrow",
    "two glasses of water",
)


def check_segments(modality: Modality, num_segments: int) -> list[Segment]:
    """Segments with something of one modality: a picture, the sound of one patch of YAMNet's, or a sentence."""
    return [_segment(modality, n) for n in range(num_segments)]


def _segment(modality: Modality, n: int) -> Segment:
    random = np.random.default_rng(n)
    frames = _picture(random)[None] if modality == "video" else np.zeros((0, _SIDE, _SIDE, 3), np.uint8)
    return Segment(
        source="check",
        index=n,
        start_seconds=float(n),
        end_seconds=n + 1.0,
        frames=frames,
        frame_seconds=np.full(len(frames), n + 0.5),
        waveform=_sound(random) if modality == "audio" else np.zeros(0, np.float32),
        cues=(Cue(float(n), n + 1.0, f"{_TEXTS[n % len(_TEXTS)]}, {n}"),) if modality == "text" else (),
        status={m: Status.OK if m == modality else Status.ABSENT for m in MODALITIES},
    )


def _picture(random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A slope of colour with soft spots on it and a little noise: uint8 [224, 224, 3]."""
    y, x = np.mgrid[0:_SIDE, 0:_SIDE] / (_SIDE - 1)
    angle = random.uniform(0, 2 * np.pi)
    slope = (np.cos(angle) * x + np.sin(angle) * y)[..., None]
    picture = random.uniform(60, 200, 3) + slope * random.uniform(-60, 60, 3)
    for _ in range(random.integers(0, 4)):
        across, down, size = random.uniform(0.2, 0.8), random.uniform(0.2, 0.8), random.uniform(0.02, 0.2)
        spot = np.exp(-((x - across) ** 2 + (y - down) ** 2) / size**2)[..., None]
        picture = picture + spot * random.uniform(-120, 120, 3)
    noise = random.normal(0, random.choice([0, 2, 8]), picture.shape)
    found: npt.NDArray[np.uint8] = (picture + noise).clip(0, 255).astype(np.uint8)
    return found


def _sound(random: np.random.Generator) -> npt.NDArray[np.float32]:
    """A rising or falling tone with overtones, and noise under it: float32 [15600] in [-1, 1]."""
    seconds = np.arange(_SAMPLES) / SAMPLE_RATE_HZ
    first, last = random.uniform(80, 1000, 2)
    phase = 2 * np.pi * (first * seconds + (last - first) * seconds**2 / 2)
    tone = sum(np.sin(k * phase) / k for k in range(1, random.integers(2, 8)))
    loudness = random.uniform(0.01, 0.3) * np.abs(np.sin(np.pi * random.uniform(1, 5) * seconds))
    found: npt.NDArray[np.float32] = (
        (loudness * tone + random.normal(0, random.uniform(0.001, 0.05), seconds.shape)).clip(-1, 1).astype(np.float32)
    )
    return found
