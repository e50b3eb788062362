"""Nets small enough to train from nothing, together with the fusion: pictures or sound in, a vector out. `small:FILE`.

They take segments' raw content, so that the same module is trained and run; `save_net` writes FILE.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from streammm.encoders.base import Picture
from streammm.encoders.logmel import NUM_MELS
from streammm.encoders.logmel_net import LogMel
from streammm.encoders.net import NetEncoder, Recipe, frames_of
from streammm.encoders.placement import Placement
from streammm.encoders.sound import Sound
from streammm.encoders.trained import describe, identity, read_net
from streammm.types import SAMPLE_RATE_HZ, Modality

_CONVS = ((32, 2), (64, 2), (128, 2), (128, 1))
"""Channels and strides. The last one looks at 31 of 64 pixels or frames, every 8: what is smaller than 23 is seen
whole somewhere."""

_REDUCTION = 8
_GROUPS = 8
"""Normalising within groups of channels, a net does the same in training and afterwards, whatever the batch."""

_QUIET, _RANGE = -6.9, 7.0
"""Log-mel of silence, and what it is divided by to be about as large as pixels are."""


class SmallPictureNet(nn.Module):
    """Four convolutions over each frame, mean and maximum over its places, and the mean over the frames.

    Shape:
        - frames: uint8 [N, T, H, W, 3], brought to ``pixels`` squared
        - output: float32 [N, D]
    """

    def __init__(self, dim: int = 128, pixels: int = 64, grey: bool = False) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {"dim": dim, "pixels": pixels, "grey": grey}
        self.pixels = pixels
        self.grey = grey
        self.convs = _convs(1 if grey else 3)
        self.out = nn.Linear(2 * _CONVS[-1][0], dim)

    def forward(self, frames: Tensor) -> Tensor:
        x = pixels_of(frames, self.pixels).to(self.out.weight.dtype)
        x = self.convs(x.mean(1, keepdim=True) if self.grey else x)
        vectors: Tensor = self.out(torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)).float()
        return vectors.view(*frames.shape[:2], -1).mean(1)


class SmallSoundNet(nn.Module):
    """Four convolutions over YAMNet's log-mel frames, the mean over time; which band it was stays known.

    Shape:
        - waveforms: float32 [N, S] at 16 kHz, S at least 1,600
        - output: float32 [N, D]
    """

    def __init__(self, dim: int = 128) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {"dim": dim}
        self.convs = _convs(1)
        self.out = nn.Linear(_CONVS[-1][0] * NUM_MELS // _REDUCTION, dim)
        self._front_end = [LogMel()]  # no part of the net: a short precision would spoil it

    def forward(self, waveforms: Tensor) -> Tensor:
        mels = self._front_end[0].to(waveforms.device)(waveforms.float())
        x = (mels[:, None] - _QUIET) / _RANGE
        x = self.convs(x.to(self.out.weight.dtype))
        vectors: Tensor = self.out(x.mean(2).flatten(1)).float()
        return vectors


NETS: dict[str, type[nn.Module]] = {net.__name__: net for net in (SmallPictureNet, SmallSoundNet)}


def make(rest: str, modality: Modality, placement: Placement) -> NetEncoder:
    """The encoder `small:` + ``rest``.

    Raises:
        ConfigError: the files are missing, or of another net.
    """
    path = Path(rest)
    described = describe(path, NETS)
    if described["net"] == SmallPictureNet.__name__:
        return picture_encoder(f"small:{rest}", path, NETS, described["settings"], placement)
    sound = Sound()
    recipe = Recipe(
        name=f"small:{rest}",
        modality="audio",
        make_net=lambda: read_net(path, NETS),
        items=sound,
        examples=[0.1 * torch.sin(torch.arange(n) / 5.0)[None] for n in (SAMPLE_RATE_HZ, sound.least)],
        identity=identity(path),
        num_free_axes=2,
    )
    return NetEncoder(recipe, placement)


def picture_encoder(
    name: str, path: Path, nets: dict[str, type[nn.Module]], settings: dict[str, Any], placement: Placement
) -> NetEncoder:
    """An encoder around a net that takes all frames of a segment at once, as small as it wants them."""
    pixels = int(settings.get("pixels", 64))
    picture = Picture(pixels, pixels)
    frames = frames_of(name, picture)
    recipe = Recipe(
        name=name,
        modality="video",
        make_net=lambda: read_net(path, nets),
        items=lambda segment: frames(segment)[None],
        examples=[torch.zeros((1, t, pixels, pixels, 3), dtype=torch.uint8) for t in (4, 1)],
        identity=identity(path),
        picture=picture,
        num_free_axes=2,
    )
    return NetEncoder(recipe, placement)


def pixels_of(frames: Tensor, pixels: int) -> Tensor:
    """Frames uint8 [N, T, H, W, 3] as one batch of pictures in [-1, 1]: float32 [N * T, 3, pixels, pixels]."""
    x = frames.flatten(0, 1).movedim(-1, 1).float() / 127.5 - 1.0
    if x.shape[2:] != (pixels, pixels):
        x = functional.interpolate(x, (pixels, pixels), mode="area")
    return x


def _convs(channels_in: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels, stride in _CONVS:
        layers += [nn.Conv2d(channels_in, channels, 3, stride, 1), nn.GroupNorm(_GROUPS, channels), nn.GELU()]
        channels_in = channels
    return nn.Sequential(*layers)
