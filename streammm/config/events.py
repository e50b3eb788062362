"""Settings of events: from when to when a label holds, for all labels and for each."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from streammm.config.section import NotNegative, Section, Share
from streammm.labels import DEFAULT_THRESHOLD


class LabelEventsConfig(Section):
    """What makes an event of one label; what is not set is as for all."""

    open_score: Share | None = None
    close_score: Share | None = None
    min_seconds: NotNegative | None = None
    merge_seconds: NotNegative | None = None

    @model_validator(mode="after")
    def _closes_below(self) -> Self:
        _check_scores(self.open_score, self.close_score)
        return self


class EventsConfig(Section):
    """Events: when a label began, went on and ended, as rows of their own."""

    enabled: bool = Field(True, description="Make events.")
    open_score: Share | None = Field(
        None,
        description="Score from which a label is an event. Default: what its model or the label itself says, else "
        f"{DEFAULT_THRESHOLD}.",
    )
    close_score: Share | None = Field(
        None, description="Score below which it ends. Default: what its model says, else half of that which opens it."
    )
    min_seconds: NotNegative | None = Field(
        None, description="Events shorter than this are none. Default: what the model says, else 0."
    )
    merge_seconds: NotNegative | None = Field(
        None,
        description="Events of a label with a pause of no more than this are one, which closes so much later. Default: "
        "what the model says, else 2.",
    )
    gap_seconds: NotNegative = Field(
        1.0, description="What is missing of a source for longer than this, as in an outage, counts as such a pause."
    )
    labels: dict[str, LabelEventsConfig] = Field(
        {}, description="The same by label, such as {music: {open_score: 0.6, min_seconds: 4}}."
    )

    @model_validator(mode="after")
    def _closes_below(self) -> Self:
        _check_scores(self.open_score, self.close_score)
        return self


def _check_scores(open_score: float | None, close_score: float | None) -> None:
    if open_score is not None and close_score is not None and close_score > open_score:
        raise ValueError(f"close_score {close_score} must not exceed open_score {open_score}")
