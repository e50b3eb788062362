"""Nets trained from nothing together with the fusion: raw content in, vectors out, and then encoders like any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from streammm.encoders.content import PIXELS, UNTRAINED
from streammm.encoders.founding import FoundingCnn, FoundingRnn, Words
from streammm.encoders.small import SmallPictureNet, SmallSoundNet
from streammm.encoders.sound import Sound
from streammm.encoders.trained import save_net
from streammm.training.dataset import Example
from streammm.training.vary import other_pictures, other_sounds, other_words
from streammm.types import Modality

_MOST_ROWS = 256
"""So many segments go through a net at once, which bounds the memory that takes."""


class Tower(nn.Module):
    """A net and what brings raw content into the shape that it takes.

    Shape:
        - rows: float32 [N, D], raw content of a segment each, filled up with NaN, see `encoders.content`
        - output: float32 [N, E]

    Args:
        net: what is trained.
        items: content of N segments of one length, float32 [N, L], to what the net takes.
        vary: changes items in training.
        name: of the family of encoders that runs it afterwards.
        more: what is saved with the net.
    """

    def __init__(
        self,
        net: nn.Module,
        items: Callable[[Tensor], Tensor],
        vary: Callable[[Tensor], Tensor],
        name: str,
        more: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.net = net
        self.name = name
        self.more = dict(more)
        self._items = items
        self._vary = vary

    @property
    def dim(self) -> int:
        """E, found out by running the net."""
        with torch.no_grad():
            found: Tensor = self.net(self._items(torch.zeros(1, PIXELS * PIXELS * 3)))
        return found.shape[-1]

    def forward(self, rows: Tensor) -> Tensor:
        lengths = (~rows.isnan()).sum(-1)
        parts: list[Tensor] = []
        places: list[Tensor] = []
        for length in torch.unique(lengths).tolist():
            for place in (lengths == length).nonzero()[:, 0].split(_MOST_ROWS):
                items = self._items(rows[place, : max(1, length)].nan_to_num())
                parts.append(self.net(self._vary(items) if self.training else items))
                places.append(place)
        order = torch.cat(places).argsort()
        return torch.cat(parts)[order]

    def save(self, folder: Path, modality: Modality) -> str:
        """Writes the net beside a model; returns the name of the encoder that it is then."""
        path = folder / f"{modality}.safetensors"
        save_net(self.net, path, **self.more)
        return f"{self.name}:{path.name}"


def make_towers(names: Mapping[Modality, str], train: Sequence[Example]) -> dict[Modality, Tower]:
    """A tower for each encoder that is yet to be trained.

    Args:
        names: of the encoders.
        train: what is learned from; the words that a text net knows are those in it.
    """
    return {m: _make(name, m, train) for m, name in names.items() if (name, m) in UNTRAINED}


def _make(name: str, modality: Modality, train: Sequence[Example]) -> Tower:
    kind = UNTRAINED[name, modality]
    if kind == "SmallSoundNet":
        return Tower(SmallSoundNet(), _sounds, other_sounds, name, {})
    if kind == "FoundingRnn":
        texts = [_text(row) for e in train for row in e.features.vectors.get("text", np.zeros((0, 0), np.float32))[:]]
        words = Words.of(texts, least_count=1)
        net = FoundingRnn(len(words))
        return Tower(net, lambda x: _numbers(x, words), other_words, name, {"words": words.to_json()})
    cnn = FoundingCnn(PIXELS) if kind == "FoundingCnn" else SmallPictureNet(pixels=PIXELS)
    return Tower(cnn, _pictures, other_pictures, name, {})


def _pictures(rows: Tensor) -> Tensor:
    whole = rows.shape[1] // (PIXELS * PIXELS * 3) * (PIXELS * PIXELS * 3)
    if not whole:  # nothing is there, and what comes out does not matter
        return torch.zeros(len(rows), 1, PIXELS, PIXELS, 3)
    return rows[:, :whole].reshape(len(rows), -1, PIXELS, PIXELS, 3)


def _sounds(rows: Tensor) -> Tensor:
    return functional.pad(rows, (0, max(0, Sound().least - rows.shape[1])))


def _numbers(rows: Tensor, words: Words) -> Tensor:
    numbers = [torch.tensor(words.numbers(_text(row.numpy()))) for row in rows]
    return nn.utils.rnn.pad_sequence(numbers, batch_first=True)


def _text(row: npt.NDArray[np.float32]) -> str:
    return "".join(chr(int(n)) for n in row[~np.isnan(row)] if 0 < n < 0x110000)
