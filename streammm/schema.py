"""What a row, an event and a line of quarantine hold: one description, from which JSON Schema and Parquet are made.

A change of it is a new version (`types.SCHEMA_VERSION`), and every version stays published in ``streammm/schemas``.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from streammm.types import SCHEMA_VERSION

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Id = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", description="The same whenever and wherever it is worked out.")]
Version = Annotated[Literal[2], Field(description="Version of this schema.")]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Score(_Form):
    """How much a label holds."""

    label: str
    score: Share


class Said(_Form):
    """A caption, or words that were recognised."""

    start_seconds: float
    end_seconds: float
    text: str


class _Modality(_Form):
    status: Literal["ok", "absent", "silent", "black", "damaged", "late"]
    weight: Annotated[Share, Field(description="Its share in the labels of the row.")]
    labels: Annotated[list[Score], Field(description="What it says alone, best first.")]
    coverage: Annotated[Share, Field(description="The share of the segment that was there.")]
    errors: Annotated[Count, Field(description="What could not be decoded.")]
    dropped: Annotated[Count, Field(description="What came twice, or too late.")]


class Video(_Modality):
    """What is seen."""

    frames: Count


class Audio(_Modality):
    """What is heard."""

    samples: Count


class Text(_Modality):
    """What is said or shown as captions."""

    cues: Count
    origin: Annotated[Literal["captions", "speech"] | None, Field(alias="from")] = None
    said: list[Said] | None = None


class Modalities(_Form):
    """What each modality says alone."""

    video: Video
    text: Text
    audio: Audio


class Live(_Form):
    """How a live source stood; counts are of the whole time since it was first opened."""

    start: Annotated[str, Field(description="The segment's start by the wall's clock, UTC in ISO 8601.")]
    lag_seconds: float
    shed: Literal["none", "nonref", "nonkey"]
    reconnects: Count
    outage_seconds: NotNegative
    dropped_segments: Count
    shed_steps: Count
    jumps: Count
    reopens: Count


class Row(_Form):
    """What is seen, heard and said in one segment, [start_seconds, end_seconds)."""

    id: Id
    schema_: Annotated[Version, Field(alias="schema")]
    source: str
    segment: Count
    start_seconds: float
    end_seconds: float
    labels: Annotated[list[Score], Field(description="Best first; none in an outage.")]
    other: Annotated[Share, Field(description='The share of "none of these".')]
    found: Annotated[list[str], Field(description="Labels whose score reaches their threshold, best first.")]
    modalities: Modalities
    model: Annotated[str, Field(description="Names the encoders and all settings on which the scores depend.")]
    latency_seconds: float
    offset_seconds: Annotated[float, Field(description="By how much sound started late, which was corrected.")]
    live: Annotated[Live | None, Field(description="Of live sources.")] = None
    outage: Annotated[str | None, Field(description="Why a stretch of a live source is missing.")] = None


class Quarantine(_Form):
    """A source, or one segment of it, that was given up."""

    schema_: Annotated[Version, Field(alias="schema")]
    source: str
    reason: Annotated[str, Field(description="A short code, to count by.")]
    detail: str
    segment: Annotated[Count | None, Field(description="Where it is one segment only.")] = None


class EventTimes(_Form):
    """An event's start and end by the wall's clock, UTC in ISO 8601."""

    start: str
    end: str


class Event(_Form):
    """A label that holds for a time, as far as it is known: told when it opens, goes on and closes, with one id."""

    id: Id
    schema_: Annotated[Version, Field(alias="schema")]
    source: str
    label: str
    state: Literal["open", "update", "close"]
    start_seconds: float
    end_seconds: float
    opened_seconds: Annotated[float, Field(description="Before this nobody could know of it.")]
    last_start_seconds: Annotated[float, Field(description="From when on the last segment in which it was on added.")]
    score: Annotated[Share, Field(description="In that segment.")]
    peak_score: Share
    mean_score: Share
    segments: Annotated[Count, Field(description="Segments in which the label was on.")]
    segment: Annotated[Count, Field(description="With which this is told.")]
    model: Annotated[str, Field(description="Names the encoders and all settings on which the scores depend.")]
    live: Annotated[EventTimes | None, Field(description="Of live sources.")] = None


class Alert(_Form):
    """Somebody is to be told of an event, which is as it was when its rule called for that."""

    id: Id
    schema_: Annotated[Version, Field(alias="schema")]
    alert: Annotated[str, Field(description="The name of the rule.")]
    held_seconds: Annotated[NotNegative, Field(description="How long the score had been high enough.")]
    event: Event


FORMS: dict[str, type[BaseModel]] = {"row": Row, "event": Event, "quarantine": Quarantine, "alert": Alert}
"""What the entries of each kind hold."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of everything that is written, as it has to be published."""
    _, found = models_json_schema([(form, "validation") for form in FORMS.values()])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:streammm:schema:{SCHEMA_VERSION}",
        "title": "What streammm writes: a row a segment, events, alerts, and what was given up",
        "anyOf": [{"$ref": f"#/$defs/{form.__name__}"} for form in FORMS.values()],
        "$defs": found["$defs"],
    }


def published(version: int = SCHEMA_VERSION) -> dict[str, Any]:
    """A version of the schema as it was published.

    Raises:
        FileNotFoundError: there is none.
    """
    text = resources.files("streammm").joinpath("schemas", f"{version}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
