"""Settings of training: what is learned, from which part of the labels, and for how long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from streammm.config.section import Count, Positive, Section
from streammm.types import Modality


class TrainingConfig(Section):
    """How `streammm train` makes a model."""

    task: Literal["auto", "multi_class", "multi_label"] = Field(
        "auto", description="One label at a time or several; auto: several where labels overlap."
    )
    background: str = Field(
        "none", description="The label, if there is one of this name, that means none of the others."
    )
    validation_split: str | None = Field(
        None, description="What the labels call the part that chooses the epoch, such as a fold's number."
    )
    validation_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="Share of the sources that chooses it, where the labels name no part for that."
    )
    join: Literal["weighted_sum", "concat", "gated"] = Field("gated", description="How modalities become one.")
    memory: Literal["none", "ema", "gru", "ssm", "attn"] = Field(
        "ssm", description="What is remembered of earlier segments: nothing, an average, or what is learned to matter."
    )
    look_ahead: Annotated[int, Field(ge=0)] = Field(0, description="Segments that an answer waits for after its own.")
    start: Literal["auto", "labels", "nothing"] = Field(
        "auto",
        description="What is learned is added to: labels: what the labels mean, as without training, so that a few "
        "examples of each are enough. auto: that, where the encoders have classes to look them up among.",
    )
    width: Count = Field(128, description="Channels of the network.")
    epochs: Count = Field(60, description="How often all is gone through, at most.")
    patience: Count = Field(15, description="Epochs without a better validation that end it.")
    learning_rate: Positive | None = Field(None, description="Default: 0.001 to 0.01, by the number of segments.")
    fine_tune: tuple[Modality, ...] = Field(
        (),
        description="Modalities whose encoders, such as efficientnet_lite0 or timm:resnet50, are trained further: slow "
        "without a GPU.",
    )
    fine_tune_learning_rate: Positive = Field(0.0001, description="Of the encoders that are trained further.")
    modality_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.2, description="Share of modalities left out at random, so that each learns to do without the others."
    )
    balance_classes: bool = Field(False, description="Let rare labels count as much as frequent ones.")
    seed: int = Field(0, description="Of everything that is drawn at random.")
