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
from streammm.training.vary import other_pictures, other_sounds
from streammm.types import Modality

_ITEMS_AT_ONCE = 8
"""Of how many pictures or sounds all that a net works out is held at once: the others' is worked out again."""


class TunedTower(nn.Module):
    """A published net, and what brings raw content into the shape that it takes.

    Shape:
        - rows: float32 [N, D], raw content of a segment each, filled up with NaN, see `encoders.content`
        - output: float32 [N, E]

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

    def forward(self, rows: Tensor) -> Tensor:
        items = [self._items(row) for row in rows.numpy()]
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
        return torch.cat(parts)[order]

    def save(self, folder: Path, modality: Modality) -> str:
        """Writes the net beside a model; returns the name of the encoder that it is then."""
        return save_tuned(self.encoder, folder / f"{modality}.safetensors")

    def _items(self, row: npt.NDArray[np.float32]) -> Tensor:
        """What the net looks at in a row of content, a little changed in training: [I, ...]."""
        modality = self.encoder.modality
        segment = segment_of(row, modality, self.encoder.picture)
        if self.training and modality == "video":
            frames = other_pictures(torch.from_numpy(segment.frames).float()[None])[0]
            segment = replace(segment, frames=frames.round().byte().numpy())
        elif self.training and modality == "audio":
            segment = replace(segment, waveform=other_sounds(torch.from_numpy(segment.waveform)[None])[0].numpy())
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
