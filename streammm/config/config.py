"""The whole configuration: all sections, and what must hold between them."""

from __future__ import annotations

from typing import Any, Self

import yaml
from pydantic import Field, field_serializer, field_validator, model_validator

from streammm.config.alerts import AlertConfig
from streammm.config.engine import EngineConfig, RayConfig
from streammm.config.events import EventsConfig
from streammm.config.media import DecodeConfig, LiveConfig, NetworkConfig, SegmentConfig, SourcesConfig
from streammm.config.models import EncodersConfig, FusionConfig, RuntimeConfig, SpeechConfig
from streammm.config.output import OutputConfig, PrivacyConfig, RetentionConfig, WatchConfig
from streammm.config.section import Section
from streammm.config.sinks import SinkConfig
from streammm.config.training import TrainingConfig
from streammm.config.writing import plain_values
from streammm.labels import Label, Phrases, listed_labels, plain_labels


class Config(Section):
    """Everything that can be set. Every key has a default; a file or --set names only what differs."""

    labels: dict[str, Label] | None = Field(
        None,
        description="What to look and listen for: a list of words; or a mapping from each to phrases, not, threshold "
        "and bias, such as {applause: {phrases: [people clapping], not: [rain], threshold: 0.3}}; or a file (.yaml, "
        ".json) with that and distractors; [] for nothing. Default: a general list.",
    )
    distractors: Phrases = Field(
        (), description="What is there as well and competes with the labels for the score, but is never reported."
    )
    model: str | None = Field(
        None, description="Directory of a trained model, whose labels, encoders and segments are used. Default: none."
    )
    sinks: tuple[SinkConfig, ...] = Field(
        (),
        description="Where rows, events and what was given up are delivered as well: addresses, or mappings with to, "
        "name, kinds and options of each kind of sink.",
    )
    alerts: tuple[AlertConfig, ...] = Field(
        (),
        description="When somebody is told of an event, and how: mappings with labels, score, duration_seconds, "
        "cooldown_seconds, hours, weekdays, time_zone, sources, max_age_seconds, and to or command.",
    )
    sources: SourcesConfig = SourcesConfig()
    segment: SegmentConfig = SegmentConfig()
    decode: DecodeConfig = DecodeConfig()
    network: NetworkConfig = NetworkConfig()
    live: LiveConfig = LiveConfig()
    encoders: EncodersConfig = EncodersConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    speech: SpeechConfig = SpeechConfig()
    fusion: FusionConfig = FusionConfig()
    events: EventsConfig = EventsConfig()
    training: TrainingConfig = TrainingConfig()
    output: OutputConfig = OutputConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    retention: RetentionConfig = RetentionConfig()
    watch: WatchConfig = WatchConfig()
    engine: EngineConfig = EngineConfig()
    ray: RayConfig = RayConfig()

    @model_validator(mode="after")
    def _labels_of_one(self) -> Self:
        if self.model is not None and (self.labels is not None or self.distractors):
            raise ValueError("a trained model has its own labels: leave labels out")
        names = {name.casefold() for name in self.labels or ()}
        if both := [word for word in self.distractors if word.casefold() in names]:
            raise ValueError(f"distractors: {both[0]!r} is one of the labels")
        return self

    @field_validator("sinks", mode="before")
    @classmethod
    def _addresses(cls, sinks: Any) -> Any:
        if isinstance(sinks, str):
            sinks = [sinks]
        return [{"to": s} if isinstance(s, str) else s for s in sinks] if isinstance(sinks, list | tuple) else sinks

    @field_validator("labels", mode="before")
    @classmethod
    def _named(cls, labels: Any) -> Any:
        return plain_labels(labels)

    @field_serializer("labels")
    def _listed(self, labels: dict[str, Label] | None) -> Any:
        return listed_labels(labels)

    @model_validator(mode="after")
    def _alerts_are_of_events(self) -> Self:
        if self.alerts and not self.events.enabled:
            raise ValueError("alerts are of events, and events.enabled is false")
        return self

    @model_validator(mode="after")
    def _speech_is_read(self) -> Self:
        if self.speech.recogniser is not None and not self.fusion.weights["text"]:
            raise ValueError("speech.recogniser is for text, whose weight in fusion.weights is 0")
        return self

    @model_validator(mode="after")
    def _output_is_private(self) -> Self:
        keeps = self.privacy.keeps
        if self.output.text and not self.privacy.keeps_media:
            raise ValueError(f"output.text writes what is said, and privacy.keeps is {keeps}: leave one of them out")
        if self.output.embeddings and keeps == "scores":
            raise ValueError("output.embeddings keeps embeddings, and privacy.keeps is scores: leave one of them out")
        return self

    @model_validator(mode="after")
    def _size_is_of_files(self) -> Self:
        if self.retention.max_size_mb is not None and self.output.journal is not None:
            raise ValueError("retention.max_size_mb is for a journal in the run directory, and output.journal is not")
        return self

    def to_yaml(self) -> str:
        """The resolved configuration, which `load` reads back to an equal value."""
        return yaml.safe_dump(plain_values(self), sort_keys=False, allow_unicode=True)
