"""YAMNet's front end on torch, for waveforms that are on a GPU or in a net: ``logmel.py`` with the same numbers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from streammm.encoders.logmel import FFT_SAMPLES, FRAME_SAMPLES, HOP_SAMPLES, LOG_OFFSET, mel_triangles


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
        return torch.log(torch.fft.rfft(frames, FFT_SAMPLES).abs() @ self.mel + LOG_OFFSET)
