"""Configuration and an encoder that reads text -> what the labels mean to every modality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streammm.building.encoders import make_encoder
from streammm.building.labels import reads_labels
from streammm.building.modalities import used_modalities
from streammm.config import Config
from streammm.errors import ConfigError
from streammm.types import Modality

if TYPE_CHECKING:  # torch takes seconds to import
    from streammm.fusion.vocabulary import Vocabulary


def make_vocabulary(config: Config, text_encoder: Any) -> Vocabulary:
    """The labels of the configuration, worded for every modality by the encoder that reads text. Not for a model.

    Raises:
        ConfigError: a label cannot be used, or the encoders cannot judge labels without training.
    """
    from streammm.fusion.vocabulary import GENERAL_LABELS, build_vocabulary

    if not hasattr(text_encoder, "embed"):
        raise ConfigError(f"encoders.text: {config.encoders.text} makes no vectors of labels; minilm and hf:... do")
    return build_vocabulary(
        GENERAL_LABELS if config.labels is None else config.labels,
        text_encoder.embed,
        picture_classes=classes_of(config, "video"),
        sound_classes=classes_of(config, "audio"),
        distractors=config.distractors,
    )


def read_vocabulary(config: Config) -> Vocabulary | None:
    """The vocabulary by a text encoder that is loaded for nothing else; None where no labels are looked up.

    Raises:
        ConfigError: as `make_vocabulary`.
    """
    if not reads_labels(config):
        return None
    nobody = config.speech.model_copy(update={"recogniser": None})
    encoder = make_encoder(config.model_copy(update={"speech": nobody}), "text")
    encoder.setup()
    return make_vocabulary(config, encoder)


def classes_of(config: Config, modality: Modality) -> tuple[str, ...]:
    """What the classes of an encoder are, in words, for labels to be looked up among them; () where it is not used."""
    if modality not in used_modalities(config):
        return ()
    name = getattr(config.encoders, modality)
    if name == "efficientnet_lite0":
        from streammm.encoders.image import imagenet_classes

        return imagenet_classes()[1]
    if name == "yamnet":
        from streammm.encoders.audio import audioset_classes

        return audioset_classes()
    encoder = make_encoder(config, modality)
    classes: tuple[str, ...] = getattr(encoder, "descriptions", ()) or encoder.classes
    if not classes:
        raise ConfigError(
            f"encoders.{modality}: {name} has no classes to look labels up among; it needs a fusion that was trained, "
            f"or leave it out with fusion.weights={{{modality}: 0}}"
        )
    return classes
