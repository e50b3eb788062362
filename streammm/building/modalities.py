"""Configuration -> the modalities that count in a run, and those whose encoders it needs."""

from __future__ import annotations

from pathlib import Path

from streammm.building.labels import reads_labels
from streammm.config import Config
from streammm.types import MODALITIES, Modality


def used_modalities(config: Config) -> tuple[Modality, ...]:
    """The modalities that count: those whose weight is above 0, and that a trained model knows."""
    used = tuple(m for m in MODALITIES if config.fusion.weights[m] > 0)
    if config.model is None:
        return used
    from streammm.fusion.card import read_card

    return tuple(m for m in used if m in read_card(Path(config.model)).dims)


def loaded_encoders(config: Config) -> tuple[Modality, ...]:
    """The modalities whose encoders are needed: that of text also reads the labels, where no model knows them."""
    used = used_modalities(config)
    return tuple(m for m in MODALITIES if m in used or (m == "text" and reads_labels(config)))
