"""A segment's waveform as a net was trained to hear it: at its own rate, and in parts if it takes only so much."""

from __future__ import annotations

import math

import numpy as np
import torch
import torchaudio
from torch import Tensor
from torch.nn import functional

from streammm.types import SAMPLE_RATE_HZ, Segment

LEAST_SECONDS = 0.1
"""A shorter waveform is filled up with zeros, as convolutions over it need some length."""


class Sound:
    """The items of a segment: float32 [I, S], I equal parts of its waveform.

    Args:
        rate_hz: of the waveforms that the net takes; from 16 kHz up nothing is added that was not there.
        samples: the length that the net takes, to which shorter waveforms are filled up; None: any.
        most_samples: the length of a part at most, where the net takes any below.
    """

    def __init__(
        self, rate_hz: int = SAMPLE_RATE_HZ, samples: int | None = None, most_samples: int | None = None
    ) -> None:
        self.rate_hz = rate_hz
        self.least = samples or math.ceil(LEAST_SECONDS * rate_hz)
        self.most = samples or most_samples

    def __call__(self, segment: Segment) -> Tensor:
        waveform = torch.from_numpy(np.ascontiguousarray(segment.waveform))
        if self.rate_hz != SAMPLE_RATE_HZ:
            waveform = torchaudio.functional.resample(waveform, SAMPLE_RATE_HZ, self.rate_hz)
        num_parts = -(-len(waveform) // self.most) if self.most else 1
        length = max(self.least, -(-len(waveform) // num_parts))
        return functional.pad(waveform, (0, num_parts * length - len(waveform))).reshape(num_parts, length)
