"""A learned fusion that begins as the one without training: what it learns is added to what the labels mean.

Input and output are those of ``learned.py``, but that an encoder's class scores follow its vectors. Before the first
step of training the answers are those of ``model.py``; where these are right already, there is little to be learned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from streammm.fusion.card import StartCard
from streammm.fusion.learned import LearnedFusion, Logits
from streammm.fusion.memory import State
from streammm.fusion.model import ZeroShotFusion
from streammm.fusion.vocabulary import Vocabulary
from streammm.types import MODALITIES, Modality

_START = "start."
_ARRAYS = ("label_vectors", "picture_cosines", "sound_weights", "reliability", "phrase_starts", "bias")
_LEAST = 1e-3
"""A score below this is as good as none: what was never thought of can still be learned."""


class StartedFusion(LearnedFusion):
    """A `LearnedFusion` whose logits are added to those of a `ZeroShotFusion`, and are zero at first.

    Args:
        dims: length of each modality's vectors, without the class scores that follow them in the inputs.
        num_classes: K.
        start: how it begins.
        vocabulary: the labels as what it begins with knows them.
        places: the columns of the vocabulary's labels among the K.
        background: the column of "none of these", if there is one.
        is_multi_label: several labels hold at once.
        more: as for `LearnedFusion`.
    """

    def __init__(
        self,
        dims: Mapping[Modality, int],
        num_classes: int,
        start: StartCard,
        vocabulary: Vocabulary,
        places: Sequence[int],
        background: int | None,
        *,
        is_multi_label: bool,
        **more: Any,
    ) -> None:
        super().__init__(dims, num_classes, **more)
        self.vocabulary = vocabulary
        self.is_multi_label = is_multi_label
        self._strength = start.strength
        self._places = list(places)
        self._background = background
        self.zero_shot = ZeroShotFusion(vocabulary, start.weights, start.smoothing_seconds)
        for last in (self.head[-1], *self.alone.values()):
            assert isinstance(last, nn.Linear)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def init_state(self, batch: int) -> State:
        """The state of ``batch`` sources of which nothing was seen yet."""
        return super().init_state(batch) | self._begun(self.zero_shot.init_state(batch))

    def forward(
        self,
        inputs: Mapping[Modality, Tensor],
        present: Tensor,
        start_seconds: Tensor,
        end_seconds: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Logits, State]:
        """As `LearnedFusion.forward`."""
        state = self.init_state(present.shape[0]) if state is None else state
        known = {name.removeprefix(_START): _array(x) for name, x in state.items() if name.startswith(_START)}
        state = {name: value for name, value in state.items() if not name.startswith(_START)}
        vectors = {m: x[..., : self.dims[m]] for m, x in inputs.items()}
        learned, after = super().forward(vectors, present, start_seconds, end_seconds, state, lengths)
        judged = {
            m: _array(x[..., self._part(m)]) for m, x in inputs.items() if m == "text" or num_tags(m, self.vocabulary)
        }
        said, known = self.zero_shot(judged, _array(present), _array(start_seconds), _array(end_seconds), known)
        logits = Logits(
            learned.fused + self._logits(self._tensor(said.scores)),
            learned.by_modality + self._logits(self._tensor(said.by_modality)),
            learned.weights,
        )
        return logits, after | self._begun(known)

    def step(self, *arguments: Any, **more: Any) -> NoReturn:
        """There is none: it is run over whole stretches."""
        raise TypeError("a fusion that began with the labels' meaning is run over stretches, not in steps")

    def _begun(self, known: Mapping[str, npt.NDArray[Any]]) -> State:
        """The state of what it begins with as a part of its own."""
        return {f"{_START}{name}": self._tensor(value) for name, value in known.items()}

    def _tensor(self, values: npt.NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.absent.device)

    def _part(self, modality: Modality) -> slice:
        """What of the inputs is judged: of text the vectors, else the class scores behind them."""
        return slice(self.dims[modality]) if modality == "text" else slice(self.dims[modality], None)

    def _logits(self, scores: Tensor) -> Tensor:
        """Scores of the vocabulary's labels [..., L] as logits of the classes [..., K]."""
        found = scores.new_full((*scores.shape[:-1], self.num_classes), _LEAST)
        found[..., self._places] = scores.clamp(_LEAST, 1 - _LEAST)
        if self._background is not None:
            found[..., self._background] = (1 - scores.sum(-1)).clamp(_LEAST, 1 - _LEAST)
        return self._strength * (found.logit() if self.is_multi_label else found.log())


def _array(values: Tensor) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = values.detach().cpu().numpy()
    return found


def num_tags(modality: Modality, vocabulary: Vocabulary) -> int:
    """How many class scores a vocabulary takes of a modality; of text it takes the vectors."""
    classes = {"audio": vocabulary.sound_weights, "video": vocabulary.picture_cosines}
    return classes[modality].shape[1] if modality in classes else 0


def vocabulary_tensors(vocabulary: Vocabulary) -> dict[str, Tensor]:
    """Its arrays, to be saved."""
    return {name: torch.from_numpy(getattr(vocabulary, name)) for name in _ARRAYS}


def digest_of(vocabulary: Vocabulary) -> str:
    """Names a vocabulary by its arrays."""
    digest = hashlib.sha256()
    for array in vocabulary_tensors(vocabulary).values():
        digest.update(array.contiguous().numpy().tobytes())
    return digest.hexdigest()


def saved_vocabulary(tensors: Mapping[str, Tensor], labels: Sequence[str], card: StartCard) -> Vocabulary:
    """The vocabulary of a saved model.

    Raises:
        ValueError: the arrays do not fit to the labels or to each other.
    """
    if missing := set(_ARRAYS) - set(tensors):
        raise ValueError(f"{sorted(missing)[0]} of the vocabulary is missing")
    arrays = {name: tensors[name].numpy() for name in _ARRAYS}
    starts, num_phrases = arrays["phrase_starts"], len(arrays["label_vectors"])
    num_rows = len(labels) + card.num_distractors + len(card.rival_of)
    shapes = {
        "label_vectors": (num_phrases, arrays["label_vectors"].shape[-1]),
        "picture_cosines": (num_rows, arrays["picture_cosines"].shape[-1]),
        "sound_weights": (num_rows, arrays["sound_weights"].shape[-1]),
        "reliability": (len(MODALITIES), num_rows),
        "phrase_starts": (num_rows,),
        "bias": (len(MODALITIES), len(labels)),
    }
    for name, shape in shapes.items():
        dtype = np.int64 if name == "phrase_starts" else np.float32
        if arrays[name].shape != shape or arrays[name].dtype != dtype:
            raise ValueError(f"{name} of the vocabulary must be {np.dtype(dtype)} {shape}, got {arrays[name].shape}")
    ordered = np.diff([*starts.tolist(), num_phrases]) > 0
    if starts[0] != 0 or not ordered.all() or any(k >= len(labels) for k in card.rival_of):
        raise ValueError("the rows of the vocabulary do not fit to its labels")
    return Vocabulary(tuple(labels), num_distractors=card.num_distractors, rival_of=card.rival_of, **arrays)
