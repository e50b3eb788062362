"""Published encoders trained further together with the fusion: raw content in, vectors out.

A net stays as it is in use: normalisation by the statistics that it came with, and nothing dropped out. Batches are too
small and too much alike to find new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from streammm.encoders.content import segment_of
from streammm.encoders.net import NetEncoder
from streammm.encoders.tuned import save_tuned
from streammm.types import Modality

_ITEMS_AT_ONCE = 8
"""Of how many pictures or sounds all that a net works out is held at once: the others' is worked out again."""

_SHIFT_SHARE = 1 / 16
_NOISE = 0.003
_LOUDNESS = 0.5
"""In training pictures are shifted by up to this share of their side, and sound is made up to so much louder or
fainter, with some noise."""


class TunedTower(nn.Module):
    """A published net, and what brings raw content into the shape that it takes.

    Shape:
        - content: float32 [..., D], each row filled up with NaN, see `encoders.content`
        - output: float32 [..., E]

    Args:
        encoder: whose net is trained.
    """

    def __init__(self, encoder: NetEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.net = encoder.trainable_module()
        with torch.no_grad():
            self.dim = encoder.features(self._on_device(encoder.recipe.examples[0][None])).shape[-1]

    def train(self, mode: bool = True) -> TunedTower:
        super().train(mode)
        self.net.eval()
        return self

    def forward(self, content: Tensor) -> Tensor:
        rows = content.flatten(0, -2).numpy()
        items = [self._items(row) for row in rows]
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for n, item in enumerate(items):
            by_shape.setdefault(tuple(item.shape), []).append(n)
        parts: list[Tensor] = []
        for shape, places in by_shape.items():
            at_once = max(1, _ITEMS_AT_ONCE // shape[0])
            parts += [
                self._features([items[n] for n in places[first : first + at_once]])
                for first in range(0, len(places), at_once)
            ]
        order = torch.tensor([n for places in by_shape.values() for n in places]).argsort()
        return torch.cat(parts)[order].reshape(*content.shape[:-1], self.dim)

    def save(self, folder: Path, modality: Modality) -> str:
        """Writes the net beside a model; returns the name of the encoder that it is then."""
        return save_tuned(self.encoder, folder / f"{modality}.safetensors")

    def _items(self, row: npt.NDArray[np.float32]) -> Tensor:
        """What the net looks at in a row of content, a little changed in training: [I, ...]."""
        modality, picture = self.encoder.modality, self.encoder.picture
        if not np.nan_to_num(row).any():  # filling, or absent: what comes out does not matter
            return self.encoder.recipe.examples[0]
        segment = segment_of(row, modality, picture)
        if self.training and modality == "video":
            segment = replace(segment, frames=_shifted(segment.frames))
        elif self.training and modality == "audio":
            segment = replace(segment, waveform=_other_sound(segment.waveform))
        return self.encoder.items(segment)

    def _features(self, items: Sequence[Tensor]) -> Tensor:
        """Vectors of segments whose items have one shape; a backward pass works the net out again: [N, E]."""
        stacked = self._on_device(torch.stack(list(items)))
        if not torch.is_grad_enabled():
            return self.encoder.features(stacked).cpu()
        vectors: Tensor = checkpoint(self.encoder.features, stacked, use_reentrant=False)
        return vectors.cpu()

    def _on_device(self, items: Tensor) -> Tensor:
        return items.to(next(self.net.parameters()).device)


def _shifted(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """All frames moved by the same distance, their edges drawn out."""
    most = round(_SHIFT_SHARE * frames.shape[1])
    down, across = (int(n) for n in torch.randint(0, 2 * most + 1, (2,)))
    padded = np.pad(frames, ((0, 0), (most, most), (most, most), (0, 0)), mode="edge")
    return np.ascontiguousarray(padded[:, down : down + frames.shape[1], across : across + frames.shape[2]])


def _other_sound(waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    gain = 1 + _LOUDNESS * (2 * torch.rand(1) - 1)
    noise = _NOISE * torch.rand(1) * torch.randn(len(waveform))
    return (gain * torch.from_numpy(waveform) + noise).numpy()
