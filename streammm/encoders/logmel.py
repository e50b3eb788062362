"""YAMNet's front end: a waveform in, log-mel frames out; the first half of ``audio.py``.

Input: float32 [..., N] at 16 kHz. Output: float32 [..., F, 64], a frame every 10 ms.
The numbers are those of AudioSet's models (``mel_features.py`` in TensorFlow's ``research/audioset/vggish``
with the parameters of ``research/audioset/yamnet``): frames of 25 ms, a periodic Hann window, the magnitude of
a 512-point transform, 64 triangles that are linear in mel, and the logarithm of the sum plus 0.001.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from streammm.types import SAMPLE_RATE_HZ

FRAME_SAMPLES = 400
HOP_SAMPLES = 160
NUM_MELS = 64

_FFT_SAMPLES = 512
_MEL_LOW_HZ = 125.0
_MEL_HIGH_HZ = 7500.0
_LOG_OFFSET = 0.001


class LogMel(nn.Module):
    """Log-mel frames of a waveform.

    Shape:
        - waveform: float32 [..., N] in [-1, 1] at 16 kHz, N at least 400
        - output: float32 [..., F, 64] where F = (N - 400) // 160 + 1
    """

    window: Tensor
    mel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(FRAME_SAMPLES, periodic=True), persistent=False)
        self.register_buffer("mel", torch.from_numpy(mel_triangles()), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        frames = waveform.unfold(-1, FRAME_SAMPLES, HOP_SAMPLES) * self.window
        return torch.log(torch.fft.rfft(frames, _FFT_SAMPLES).abs() @ self.mel + _LOG_OFFSET)


def num_frames(num_samples: int) -> int:
    """Whole log-mel frames in so many samples."""
    return max(0, (num_samples - FRAME_SAMPLES) // HOP_SAMPLES + 1)


def mel_triangles() -> npt.NDArray[np.float32]:
    """The weight of each of 257 spectral bins in each of 64 mel bands: float32 [257, 64]."""
    bins = _mel(np.linspace(0.0, SAMPLE_RATE_HZ / 2, _FFT_SAMPLES // 2 + 1))[:, None]
    edges = np.linspace(_mel(_MEL_LOW_HZ), _mel(_MEL_HIGH_HZ), NUM_MELS + 2)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    weights = np.maximum(0.0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    return weights.astype(np.float32)


def _mel(frequency_hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """HTK's mel scale."""
    return 1127.0 * np.log1p(np.asarray(frequency_hz, np.float64) / 700.0)
