"""A model directory -> a fusion that answers in the labels it was trained on, in the place of ``model.py``.

The directory holds ``model.json`` (labels, architecture, calibration) and ``model.safetensors``. Nothing in it is
executed: it may come from a stranger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from streammm.errors import ConfigError
from streammm.fusion.learned import LearnedFusion, Logits
from streammm.fusion.model import Fused
from streammm.fusion.started import StartCard, StartedFusion, num_tags, saved_vocabulary, vocabulary_tensors
from streammm.fusion.temporal import Flags, Scores, Seconds, State
from streammm.fusion.vocabulary import Vocabulary
from streammm.types import Embeddings, Modality

_VOCABULARY = "vocabulary."

MODEL_FILE, WEIGHTS_FILE = "model.json", "model.safetensors"

Task = Literal["multi_class", "multi_label"]


class EventCard(BaseModel):
    """What makes an event of a label: the scores at which it opens and ends, its least length, the longest pause."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    open_score: Annotated[float, Field(ge=0, le=1)]
    close_score: Annotated[float, Field(ge=0, le=1)]
    min_seconds: Annotated[float, Field(ge=0)]
    merge_seconds: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _closes_below(self) -> Self:
        if self.close_score > self.open_score:
            raise ValueError(f"an event opens at {self.open_score} and ends below {self.close_score}")
        return self


class ModelCard(BaseModel):
    """What is known of a trained model, as ``model.json`` says it.

    ``background`` is the label that means "none of these", if there is one; rows tell it as ``other``. ``encoders``
    names the encoder of each modality, ``weights`` the digests of their files. ``temperature`` divides the logits
    (Guo et al., arXiv:1706.04599), ``thresholds`` are the probabilities from which a label counts as there, and
    ``events`` what makes an event of it, tuned where the labels had times. ``start`` is what is added to
    the network's answers, if it began with what its labels mean.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    task: Task
    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    background: str | None = None
    dims: dict[Modality, Annotated[int, Field(gt=0, le=65_536)]]
    encoders: dict[Modality, str]
    weights: dict[Modality, list[str]] = {}
    width: Annotated[int, Field(gt=0, le=65_536)] = 128
    join: str = "gated"
    memory: str = "ssm"
    look_ahead: Annotated[int, Field(ge=0, le=1000)] = 0
    temperature: Annotated[float, Field(gt=0)] = 1.0
    thresholds: dict[str, float] = {}
    events: dict[str, EventCard] = {}
    start: StartCard | None = None

    @property
    def places(self) -> list[int]:
        """The columns of the labels that rows tell: all but the background."""
        return [n for n, label in enumerate(self.labels) if label != self.background]

    def network(self, dropout: float = 0.0, vocabulary: Vocabulary | None = None) -> LearnedFusion:
        """The network, with weights at random; one with a ``start`` needs the vocabulary of its labels."""
        more = {"width": self.width, "join": self.join, "memory": self.memory, "look_ahead": self.look_ahead}
        if self.start is None or vocabulary is None:
            return LearnedFusion(self.dims, len(self.labels), **more, dropout=dropout)  # type: ignore[arg-type]
        return StartedFusion(
            self.dims,
            len(self.labels),
            self.start,
            vocabulary,
            self.places,
            None if self.background is None else self.labels.index(self.background),
            is_multi_label=self.task == "multi_label",
            **more,
            dropout=dropout,
        )


class TrainedFusion:
    """A trained network and its calibration; arrays go in and come out.

    Args:
        card: what is known of it.
        network: with the weights that belong to it, on the CPU; it learns no more.
    """

    def __init__(self, card: ModelCard, network: LearnedFusion) -> None:
        self.card = card
        self.network = network.eval()
        self.look_ahead = network.look_ahead
        self.labels = tuple(card.labels[n] for n in card.places)
        self._places = card.places
        self.with_tags = tuple(m for m, d in input_dims(network).items() if d > network.dims[m])

    def init_state(self, batch: int) -> State:
        """As `LearnedFusion.init_state`."""
        return _arrays(self.network.init_state(batch))

    def input_of(self, made: Embeddings) -> Scores:
        """What of an encoder's embeddings it takes: float32 [T, D], and class scores behind it where it knows them."""
        return np.concatenate([made.vectors, made.tags], -1) if made.modality in self.with_tags else made.vectors

    @torch.inference_mode()
    def __call__(
        self,
        inputs: Mapping[Modality, Scores],
        present: Flags,
        start_seconds: Seconds,
        end_seconds: Seconds,
        state: State | None = None,
    ) -> tuple[Fused, State]:
        """As `ZeroShotFusion`; the last segments are answered with what there is of the look-ahead."""
        before = None if state is None else {name: torch.tensor(value) for name, value in state.items()}
        given = {modality: torch.tensor(values) for modality, values in inputs.items()}
        at = torch.tensor(present), torch.tensor(start_seconds), torch.tensor(end_seconds)
        logits, after = self.network(given, *at, before)
        return self._probabilities(logits), _arrays(after)

    def _probabilities(self, logits: Logits) -> Fused:
        """Logits as calibrated probabilities: of several labels at once they are independent of each other."""
        fused, other = self._split(logits.fused / self.card.temperature)
        by_modality, _ = self._split(logits.by_modality)
        return Fused(fused.numpy(), other.numpy(), by_modality.numpy(), logits.weights.numpy())

    def _split(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities of the labels, and that of none of them."""
        if self.card.task == "multi_label":
            found = logits.sigmoid()[..., self._places]
            return found, (1.0 - found).prod(-1)
        found = logits.softmax(-1)[..., self._places]
        return found, (1.0 - found.sum(-1)).clamp_min(0.0)


def load_model(path: Path) -> TrainedFusion:
    """The model in a directory.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    card = read_card(path)
    try:
        tensors = safetensors.load_file(path / WEIGHTS_FILE)
        arrays = {k.removeprefix(_VOCABULARY): tensors.pop(k) for k in list(tensors) if k.startswith(_VOCABULARY)}
        labels = [card.labels[n] for n in card.places]
        vocabulary = None if card.start is None else saved_vocabulary(arrays, labels, card.start)
        network = card.network(0.0, vocabulary)
        network.load_state_dict(tensors)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ConfigError(f"the model {path} cannot be read: {str(error).splitlines()[0]}") from error
    return TrainedFusion(card, network)


def _arrays(state: Mapping[str, Tensor]) -> dict[str, npt.NDArray[Any]]:
    return {name: value.numpy() for name, value in state.items()}


def read_card(path: Path) -> ModelCard:
    """What is known of the model in a directory; see `load_model`."""
    try:
        return ModelCard.model_validate_json((path / MODEL_FILE).read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} holds no model: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or MODEL_FILE
        raise ConfigError(f"the model {path} cannot be read: {where}: {first['msg']}") from error


def save_model(path: Path, card: ModelCard, network: LearnedFusion) -> None:
    """Writes a model directory's two files."""
    path.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    if isinstance(network, StartedFusion):
        arrays = vocabulary_tensors(network.vocabulary)
        tensors |= {f"{_VOCABULARY}{name}": value.contiguous() for name, value in arrays.items()}
    safetensors.save_file(tensors, path / WEIGHTS_FILE)
    (path / MODEL_FILE).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def input_dims(network: LearnedFusion) -> dict[Modality, int]:
    """The lengths of what a network takes of each modality."""
    if not isinstance(network, StartedFusion):
        return dict(network.dims)
    return {m: d + num_tags(m, network.vocabulary) for m, d in network.dims.items()}


def digest_of(path: Path) -> str:
    """Names all that the numbers of a model depend on.

    Raises:
        ConfigError: there is none.
    """
    digest = hashlib.sha256()
    try:
        for name in (MODEL_FILE, WEIGHTS_FILE):
            digest.update((path / name).read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} holds no model: {error.strerror or error}") from error
    return digest.hexdigest()
