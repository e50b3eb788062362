"""Configuration and vocabulary -> what makes events: the scores and times of each label."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from streammm.building.identity import model_name
from streammm.building.labels import label_thresholds
from streammm.config import Config
from streammm.config.events import LabelEventsConfig
from streammm.errors import ConfigError
from streammm.event_rows import EventSettings
from streammm.labels import DEFAULT_THRESHOLD

if TYPE_CHECKING:  # torch takes seconds to import
    from streammm.fusion.vocabulary import Vocabulary


def make_events(config: Config, vocabulary: Vocabulary | None) -> EventSettings | None:
    """What makes events of the labels of a trained model or of a vocabulary; None where none are to be made.

    What the configuration says of a label comes first, then what it says of all, then what the model was tuned to.

    Raises:
        ConfigError: a label is set that there is not, or one would end above the score that opens it.
    """
    labels, tuned = _tuned_events(config, vocabulary)
    if not config.events.enabled or not labels:
        return None
    if unknown := sorted(set(config.events.labels) - set(labels)):
        raise ConfigError(f"events.labels: {unknown[0]!r} is none of the labels {', '.join(labels)}")
    for n, alert in enumerate(config.alerts):
        if unknown := sorted(set(alert.labels) - set(labels)):
            raise ConfigError(f"alerts.{n}.labels: {unknown[0]!r} is none of the labels {', '.join(labels)}")
    found = []
    for label in labels:
        own, before = config.events.labels.get(label, LabelEventsConfig()), tuned.get(label, LabelEventsConfig())

        def value(name: str, default: float, own: Any = own, before: Any = before) -> float:
            for section in (own, config.events, before):
                if (chosen := getattr(section, name)) is not None:
                    return float(chosen)
            return default

        opens = value("open_score", DEFAULT_THRESHOLD)
        closes = value("close_score", opens / 2)
        is_set = own.close_score is not None or config.events.close_score is not None
        if closes > opens and is_set:
            raise ConfigError(f"events: {label} closes below {closes:g}, which is above {opens:g}, where it opens")
        found.append((opens, min(opens, closes), value("min_seconds", 0.0), value("merge_seconds", 2.0)))
    opens_, closes_, least, merge = zip(*found, strict=True)
    return EventSettings(labels, opens_, closes_, least, merge, config.events.gap_seconds, model_name(config))


def _tuned_events(
    config: Config, vocabulary: Vocabulary | None
) -> tuple[tuple[str, ...], dict[str, LabelEventsConfig]]:
    """The labels, and what is known of each one's events without the configuration's section of events."""
    tuned = {label: LabelEventsConfig(open_score=score) for label, score in label_thresholds(config).items()}
    if config.model is None:
        return (vocabulary.labels if vocabulary is not None else ()), tuned
    from streammm.fusion.card import read_card

    card = read_card(Path(config.model))
    tuned |= {label: LabelEventsConfig(**events.model_dump()) for label, events in card.events.items()}
    return tuple(label for label in card.labels if label != card.background), tuned
