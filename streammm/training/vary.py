"""Raw content -> the same said differently: what nets that look at it see of it in training.

Used by ``towers.py`` and ``tuning.py``. Each segment is varied in its own way, drawn anew each time.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from streammm.encoders.founding import FILLING, UNKNOWN
from streammm.types import SAMPLE_RATE_HZ

_TURN = math.radians(10.0)
_STRETCH = 0.15
_SHEAR = 0.15
_SHIFT = 0.125
_CONTRAST = 0.2
"""Pictures are turned, made larger or smaller along each side, sheared, shifted by a share of half their side, and
given more or less contrast, each by up to so much."""

_SPEED = 0.1
_LOUDNESS = 0.5
_NOISE = 0.003
_HIDDEN_SHARE = 0.15
_HIDDEN_MELS = 0.2
"""Sound is made faster or slower and louder or fainter by up to so much, with some noise; a stretch of up to so large a
share of it, and a band of up to so large a share of the mel scale, are hidden."""

_UNKNOWN_SHARE = 0.1
"""Share of words that are replaced by the unknown word, so that it has been seen when one comes."""


def other_pictures(frames: Tensor) -> Tensor:
    """All frames of a segment alike.

    Shape:
        - frames, output: float32 [N, F, H, W, 3] in [0, 255]
    """
    size, num_frames, height, width, channels = frames.shape
    turn = _between(size, _TURN)
    across, down = torch.exp(_between(size, _STRETCH)), torch.exp(_between(size, _STRETCH))
    first = torch.stack([turn.cos() * across, _between(size, _SHEAR) - turn.sin(), _between(size, _SHIFT)], -1)
    second = torch.stack([turn.sin(), turn.cos() * down, _between(size, _SHIFT)], -1)
    planes = frames.movedim(-1, 2).reshape(size, num_frames * channels, height, width)
    grid = functional.affine_grid(torch.stack([first, second], 1), list(planes.shape), align_corners=False)
    moved = functional.grid_sample(planes, grid, padding_mode="border", align_corners=False)
    mean = moved.mean((1, 2, 3), keepdim=True)
    contrast = 1 + _between(size, _CONTRAST)[:, None, None, None]
    moved = (mean + contrast * (moved - mean)).clamp(0, 255)
    return moved.view(size, num_frames, channels, height, width).movedim(2, -1)


def other_sounds(waveforms: Tensor) -> Tensor:
    """Speed and hidden parts after Ko et al. (Interspeech 2015) and SpecAugment (Park et al., arXiv:1904.08779).

    Shape:
        - waveforms, output: float32 [N, S] at 16 kHz
    """
    size, length = waveforms.shape
    x = _hidden_band(_other_speed(waveforms))
    at = torch.arange(length)
    hidden = (length * _HIDDEN_SHARE * torch.rand(size, 1)).long()
    first = ((length - hidden) * torch.rand(size, 1)).long()
    x = x.masked_fill((at >= first) & (at < first + hidden), 0.0)
    gain = 1 + _between(size, _LOUDNESS)[:, None]
    return gain * x + _NOISE * torch.rand(size, 1) * torch.randn_like(x)


def other_words(numbers: Tensor) -> Tensor:
    """Some words unknown: int64 [N, L]."""
    replaced = (torch.rand(numbers.shape) < _UNKNOWN_SHARE) & (numbers != FILLING)
    return numbers.masked_fill(replaced, UNKNOWN)


def _other_speed(waveforms: Tensor) -> Tensor:
    """Faster ones end in silence, slower ones are cut off; linear between samples."""
    size, length = waveforms.shape
    at = torch.arange(length) * torch.exp(_between(size, _SPEED))[:, None]
    before = at.long()
    padded = functional.pad(waveforms, (0, 2))
    low = padded.gather(1, before.clamp_max(length))
    high = padded.gather(1, (before + 1).clamp_max(length))
    return low + (at - before) * (high - low)


def _hidden_band(waveforms: Tensor) -> Tensor:
    size, length = waveforms.shape
    spectrum = torch.fft.rfft(waveforms)
    mels = torch.log1p(torch.linspace(0, SAMPLE_RATE_HZ / 2, spectrum.shape[1]) / 700.0)
    mels = mels / mels[-1]
    width = _HIDDEN_MELS * torch.rand(size, 1)
    first = (1 - width) * torch.rand(size, 1)
    left = spectrum.masked_fill((mels >= first) & (mels < first + width), 0.0)
    varied: Tensor = torch.fft.irfft(left, length)
    return varied


def _between(size: int, most: float) -> Tensor:
    """Numbers in [-most, most]: float32 [size]."""
    return most * (2 * torch.rand(size) - 1)
