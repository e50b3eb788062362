"""Settings of one alert: which events somebody is told of, when and how."""

from __future__ import annotations

from typing import Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from streammm.alerts import minutes_of
from streammm.config.section import NotNegative, Positive, Section, Share

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class AlertConfig(Section):
    """When somebody is told of an event, once. Only where to must be there: ``to`` or ``command``."""

    name: str | None = Field(
        None, min_length=1, description="By which a run that goes on knows it. Default: its labels."
    )
    labels: tuple[str, ...] = Field((), description="Events of these labels. Default: of all.")
    score: Share = Field(0.0, description="The score that the label must have all the time.")
    duration_seconds: NotNegative = Field(0.0, description="For how long.")
    cooldown_seconds: NotNegative = Field(
        0.0,
        description="After an alert there is none of the same source for so long; an event that still holds then is "
        "told then.",
    )
    hours: tuple[str, ...] = Field(
        (), description="Times of the day, such as 22:00-06:00. Files have none: where this is set, none are told of."
    )
    weekdays: tuple[Weekday, ...] = Field((), description="Days on which the hours begin, such as [sat, sun].")
    time_zone: str | None = Field(None, description="Of the hours, such as Europe/Berlin. Default: this machine's.")
    sources: str = Field("*", description="Pattern of the sources, with * and ?.")
    max_age_seconds: Positive = Field(
        3600.0, description="What a live source showed longer ago, as while nobody could be told, is told no more."
    )
    to: str | None = Field(None, description="https://... or mqtt://HOST/TOPIC; credentials as in sinks.")
    secret: str | None = Field(None, description="As in sinks.")
    command: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="A program and its arguments, which is given the alert as JSON on its standard input.",
    )
    timeout_seconds: Positive | None = Field(None, description="How long that, or an answer, may take. Default: 30.")

    @field_validator("labels", "hours", "weekdays", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return _parts(value)

    @field_validator("hours")
    @classmethod
    def _spans(cls, hours: tuple[str, ...]) -> tuple[str, ...]:
        for span in hours:
            minutes_of(span)
        return hours

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                ZoneInfo(name)
            except (OSError, ValueError, ZoneInfoNotFoundError) as error:
                raise ValueError(f"there is no time zone {name!r}, such as Europe/Berlin") from error
        return name

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.to is None) == (self.command is None):
            raise ValueError("an alert has either to or command")
        return self

    @property
    def title(self) -> str:
        """Its name, which tells it from others."""
        return self.name or f"alert {', '.join(self.labels) or 'any'}"


def _parts(value: Any) -> Any:
    """A list, also where it is written with commas."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value
