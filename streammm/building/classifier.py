"""Configuration and vocabulary -> the classifier: fusion, trained or zero-shot, and the format of rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from streammm.building.identity import model_name
from streammm.building.labels import label_thresholds
from streammm.config import Config
from streammm.errors import ConfigError

if TYPE_CHECKING:  # torch takes seconds to import
    from streammm.classifier import Classifier
    from streammm.fusion.vocabulary import Vocabulary


def make_classifier(config: Config, vocabulary: Vocabulary | None) -> Classifier:
    """Fusion and row format: of the trained model that the configuration names, or else for a vocabulary.

    Raises:
        ConfigError: the model cannot be read, or was trained on other encoders.
    """
    from streammm.classifier import Classifier, Fusion
    from streammm.fusion.model import ZeroShotFusion
    from streammm.fusion.nothing import NoFusion

    fusion: Fusion
    if config.model is not None:
        from streammm.fusion.trained import load_model

        fusion = load_model(Path(config.model))
        for modality, name in fusion.card.encoders.items():
            ours = getattr(config.encoders, modality)
            if ours != name and ours != name.replace(":", f":{config.model}/", 1):
                raise ConfigError(f"encoders.{modality}: the model {config.model} was trained on {name}, not on {ours}")
    elif vocabulary is None:
        fusion = NoFusion()
    else:
        fusion = ZeroShotFusion(vocabulary, config.fusion.weights, config.fusion.smoothing_seconds)
    return Classifier(
        fusion,
        model_name(config),
        config.output.top_labels,
        with_text=config.output.text,
        thresholds=label_thresholds(config),
    )
