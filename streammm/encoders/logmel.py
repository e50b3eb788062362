"""YAMNet's front end: a waveform in, log-mel frames out; the first half of ``audio.py``.

Input: float32 [N] at 16 kHz. Output: float32 [F, 64], a frame every 10 ms. ``logmel_net.py`` is the same as a net.
The numbers are those of AudioSet's models (``mel_features.py`` in TensorFlow's ``research/audioset/vggish``
with the parameters of ``research/audioset/yamnet``): frames of 25 ms, a periodic Hann window, the magnitude of
a 512-point transform, 64 triangles that are linear in mel, and the logarithm of the sum plus 0.001.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from streammm.types import SAMPLE_RATE_HZ

FRAME_SAMPLES = 400
HOP_SAMPLES = 160
NUM_MELS = 64

FFT_SAMPLES = 512
_MEL_LOW_HZ = 125.0
_MEL_HIGH_HZ = 7500.0
LOG_OFFSET = 0.001


def log_mel(waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Log-mel frames of a waveform.

    Shape:
        - waveform: float32 [N] in [-1, 1] at 16 kHz, N at least 400
        - output: float32 [F, 64] where F = (N - 400) // 160 + 1
    """
    frames = sliding_window_view(waveform, FRAME_SAMPLES)[::HOP_SAMPLES] * _window()
    mels: npt.NDArray[np.float32] = np.abs(np.fft.rfft(frames, FFT_SAMPLES)) @ mel_triangles()
    logarithms: npt.NDArray[np.float32] = np.log(mels + LOG_OFFSET)
    return logarithms


def num_frames(num_samples: int) -> int:
    """Whole log-mel frames in so many samples."""
    return max(0, (num_samples - FRAME_SAMPLES) // HOP_SAMPLES + 1)


@functools.cache
def _window() -> npt.NDArray[np.float32]:
    """A periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME_SAMPLES) / FRAME_SAMPLES)).astype(np.float32)


@functools.cache
def mel_triangles() -> npt.NDArray[np.float32]:
    """The weight of each of 257 spectral bins in each of 64 mel bands: float32 [257, 64]."""
    bins = _mel(np.linspace(0.0, SAMPLE_RATE_HZ / 2, FFT_SAMPLES // 2 + 1))[:, None]
    edges = np.linspace(_mel(_MEL_LOW_HZ), _mel(_MEL_HIGH_HZ), NUM_MELS + 2)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    weights = np.maximum(0.0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    return weights.astype(np.float32)


def _mel(frequency_hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """HTK's mel scale."""
    return 1127.0 * np.log1p(np.asarray(frequency_hz, np.float64) / 700.0)
