"""The two encoders of the founding description, to be trained from nothing: `founding_cnn:FILE`, `founding_rnn:FILE`.

A CNN of 32 and 64 channels with an embedding of 128, and for text words without stop words, an embedding of 128, a
bidirectional GRU of 64 and a dense layer of 64. `save_net` writes FILE; the words of a GRU go with it as
``words=Words.to_json()``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from streammm.encoders.net import NetEncoder, Recipe, TextNetEncoder
from streammm.encoders.placement import Placement
from streammm.encoders.small import picture_encoder, pixels_of
from streammm.encoders.trained import describe, identity, read_net
from streammm.errors import ConfigError
from streammm.types import Modality

STOP_WORDS = frozenset(
    (
        "a about after all also an and any are as at be because been but by can could did do does for from had has "
        "have he her his how i if in into is it its just me more my no not of on or our out she so some than that "
        "the their them then there these they this to up was we were what when which who will with would you your"
    ).split()
)
"""Frequent words of English that say little of what a text is about."""

MOST_WORDS = 512
FILLING, UNKNOWN = 0, 1
"""Numbers that stand for no word, and for any that is not known."""

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")


class FoundingCnn(nn.Module):
    """Two convolutions with pooling and a dense layer over each frame, the mean over the frames.

    Shape:
        - frames: uint8 [N, T, H, W, 3], brought to ``pixels`` squared
        - output: float32 [N, 128]
    """

    def __init__(self, pixels: int = 64) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {"pixels": pixels}
        self.pixels = pixels
        side = ((pixels - 2) // 2 - 2) // 2
        self.net = nn.Sequential(
            *(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(64 * side * side, 128), nn.ReLU()),
        )

    def forward(self, frames: Tensor) -> Tensor:
        x = pixels_of(frames, self.pixels).to(next(self.parameters()).dtype)
        vectors: Tensor = self.net(x).float()
        return vectors.view(*frames.shape[:2], -1).mean(1)


class FoundingRnn(nn.Module):
    """Word embeddings, a bidirectional GRU, and a dense layer over the last state of each direction.

    Shape:
        - words: int64 [N, L], numbers of `Words`, filled up at the end with 0, which changes nothing
        - output: float32 [N, 64]
    """

    def __init__(self, num_words: int) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {"num_words": num_words}
        self.embedding = nn.Embedding(num_words, 128, padding_idx=FILLING)
        self.gru = nn.GRU(128, 64, bidirectional=True, batch_first=True)
        self.out = nn.Linear(128, 64)

    def forward(self, words: Tensor) -> Tensor:
        lengths = (words != FILLING).sum(1).clamp_min(1)
        packed = pack_padded_sequence(self.embedding(words), lengths.cpu(), batch_first=True, enforce_sorted=False)
        _, last = self.gru(packed)
        return torch.relu(self.out(torch.cat([last[0], last[1]], 1))).float()


@dataclass(frozen=True)
class Words:
    """The words that a GRU knows, in the order of their numbers from 2 on; 0 fills up and 1 is any other word."""

    words: tuple[str, ...]
    stop_words: frozenset[str] = STOP_WORDS
    _numbers: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_numbers", {word: number for number, word in enumerate(self.words, UNKNOWN + 1)})

    def __len__(self) -> int:
        return len(self.words) + UNKNOWN + 1

    @classmethod
    def of(
        cls, texts: Iterable[str], most: int = 20_000, least_count: int = 2, stop_words: frozenset[str] = STOP_WORDS
    ) -> Words:
        """The words of a training set: those that come often enough, the most frequent first."""
        counts = Counter(word for text in texts for word in tokens(text) if word not in stop_words)
        known = sorted((word for word in counts if counts[word] >= least_count), key=lambda w: (-counts[w], w))
        return cls(tuple(known[:most]), stop_words)

    def numbers(self, text: str) -> list[int]:
        """The numbers of a text's words, at least one and at most 512."""
        found = [self._numbers.get(word, UNKNOWN) for word in tokens(text) if word not in self.stop_words]
        return found[:MOST_WORDS] or [UNKNOWN]

    def to_json(self) -> dict[str, list[str]]:
        """Plain JSON types, which `from_json` reads back."""
        return {"words": list(self.words), "stop_words": sorted(self.stop_words)}

    @classmethod
    def from_json(cls, values: Any) -> Words:
        """The words that `to_json` wrote.

        Raises:
            ConfigError: these are none.
        """
        try:
            return cls(tuple(str(word) for word in values["words"]), frozenset(values["stop_words"]))
        except (KeyError, TypeError) as error:
            raise ConfigError(f"no words go with this net: {error}") from error


def tokens(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return _WORD.findall(text.lower())


def make(rest: str, modality: Modality, placement: Placement) -> NetEncoder:
    """The encoder `founding_cnn:` or `founding_rnn:` + ``rest``, by modality.

    Raises:
        ConfigError: the files are missing, or of another net.
    """
    path = Path(rest)
    if modality == "video":
        cnns: dict[str, type[nn.Module]] = {"FoundingCnn": FoundingCnn}
        return picture_encoder(f"founding_cnn:{rest}", path, cnns, describe(path, cnns)["settings"], placement)
    rnns: dict[str, type[nn.Module]] = {"FoundingRnn": FoundingRnn}
    words = Words.from_json(describe(path, rnns).get("words"))
    recipe = Recipe(
        name=f"founding_rnn:{rest}",
        modality="text",
        make_net=lambda: read_net(path, rnns),
        items=lambda segment: torch.tensor([words.numbers(segment.text)]),
        examples=[torch.tensor([numbers]) for numbers in ([UNKNOWN] * 3, [UNKNOWN])],
        identity=identity(path),
        num_free_axes=2,
    )
    return TextNetEncoder(recipe, placement, words.numbers)
