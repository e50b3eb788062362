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
    magnitudes = np.abs(np.fft.rfft(frames, FFT_SAMPLES))
    slopes, first_bin, starts, rising = _slopes()
    inside = magnitudes[:, first_bin : first_bin + len(rising)]
    up = np.add.reduceat(inside * rising, starts, axis=1)
    down = np.add.reduceat(inside * (1 - rising), starts, axis=1)
    mels = np.full((len(frames), NUM_MELS + 2), LOG_OFFSET, np.float32)  # a band more at each end, for half a triangle
    mels[:, slopes + 1] += up
    mels[:, slopes] += down
    logarithms: npt.NDArray[np.float32] = np.log(mels[:, 1:-1])
    return logarithms


def num_frames(num_samples: int) -> int:
    """Whole log-mel frames in so many samples."""
    return max(0, (num_samples - FRAME_SAMPLES) // HOP_SAMPLES + 1)


@functools.cache
def _window() -> npt.NDArray[np.float32]:
    """A periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME_SAMPLES) / FRAME_SAMPLES)).astype(np.float32)


@functools.cache
def _slopes() -> tuple[npt.NDArray[np.int64], int, npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The triangles as slopes, on each of which one band rises and the one before falls.

    To multiply by the triangles would be threads' work for BLAS, and their waking takes ten times as long.

    Returns:
        which slopes have bins, the first bin of all, where each slope begins among the bins, and how far each bin has
        risen, in [0, 1).
    """
    bins, edges = _bins_and_edges()
    slope = np.searchsorted(edges, bins, side="right") - 1
    inside = np.flatnonzero((slope >= 0) & (slope <= NUM_MELS))
    slopes, starts = np.unique(slope[inside], return_index=True)
    low, high = edges[slope[inside]], edges[slope[inside] + 1]
    return slopes, int(inside[0]), starts, ((bins[inside] - low) / (high - low)).astype(np.float32)


@functools.cache
def mel_triangles() -> npt.NDArray[np.float32]:
    """The weight of each of 257 spectral bins in each of 64 mel bands: float32 [257, 64]."""
    bins, edges = _bins_and_edges()
    bins, low, centre, high = bins[:, None], edges[:-2], edges[1:-1], edges[2:]
    weights = np.maximum(0.0, np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)))
    return weights.astype(np.float32)


def _bins_and_edges() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Where the spectral bins [257] and the corners of the triangles [66] lie, in mel."""
    bins = _mel(np.linspace(0.0, SAMPLE_RATE_HZ / 2, FFT_SAMPLES // 2 + 1))
    return bins, np.linspace(_mel(_MEL_LOW_HZ), _mel(_MEL_HIGH_HZ), NUM_MELS + 2)


def _mel(frequency_hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """HTK's mel scale."""
    return 1127.0 * np.log1p(np.asarray(frequency_hz, np.float64) / 700.0)
