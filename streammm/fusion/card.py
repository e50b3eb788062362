"""What is known of a trained model, as ``model.json`` in its directory says it: labels, architecture, calibration.

Who only needs to know about a model needs no torch, which takes seconds to import; `trained.py` makes it run.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from streammm.errors import ConfigError
from streammm.types import Modality

if TYPE_CHECKING:
    from streammm.fusion.learned import LearnedFusion
    from streammm.fusion.vocabulary import Vocabulary

MODEL_FILE, WEIGHTS_FILE = "model.json", "model.safetensors"

Task = Literal["multi_class", "multi_label"]


class StartCard(BaseModel):
    """How it begins, as ``model.json`` says it, but for the vocabulary's arrays; see `ZeroShotFusion` and `Vocabulary`.

    ``strength`` is what the logits of the scores are multiplied by.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weights: dict[Modality, Annotated[float, Field(ge=0)]]
    smoothing_seconds: Annotated[float, Field(ge=0)]
    strength: Annotated[float, Field(gt=0, le=1)] = 1.0
    num_distractors: Annotated[int, Field(ge=0, le=100_000)] = 0
    rival_of: tuple[Annotated[int, Field(ge=0)], ...] = ()


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
        from streammm.fusion.learned import LearnedFusion
        from streammm.fusion.started import StartedFusion

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
