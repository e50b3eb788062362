"""Configuration -> whether its labels are looked up by what they mean, and the score from which each counts."""

from __future__ import annotations

from pathlib import Path

from streammm.config import Config
from streammm.labels import DEFAULT_THRESHOLD


def reads_labels(config: Config) -> bool:
    """Whether labels are looked up by what they mean: not where a model knows its own, or where there are none."""
    return config.model is None and config.labels != {}


def label_thresholds(config: Config) -> dict[str, float]:
    """The score from which each label counts as there: its own, that of the trained model, or the default."""
    from streammm.fusion.general_labels import GENERAL_LABELS

    if config.model is not None:
        from streammm.fusion.card import read_card

        card = read_card(Path(config.model))
        return {name: card.thresholds.get(name, 0.5) for name in card.labels if name != card.background}
    if config.labels is None:
        return dict.fromkeys(GENERAL_LABELS, DEFAULT_THRESHOLD)
    return {name: label.threshold or DEFAULT_THRESHOLD for name, label in config.labels.items()}
