"""Configuration -> what training begins with: the encoders that are trained further, and what the labels mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from streammm.building.encoders import find_encoder
from streammm.building.modalities import used_modalities
from streammm.building.vocabulary import classes_of
from streammm.config import Config
from streammm.errors import ConfigError
from streammm.labels import Label
from streammm.types import Modality

if TYPE_CHECKING:  # torch takes seconds to import
    from streammm.encoders.net import NetEncoder
    from streammm.fusion.vocabulary import Vocabulary


def tuned_encoders(config: Config) -> dict[Modality, NetEncoder]:
    """The encoders that training is to train further.

    Raises:
        ConfigError: one of them cannot be trained, or is not used.
    """
    if not config.training.fine_tune:
        return {}
    from streammm.encoders.tuned import tunable

    found: dict[Modality, NetEncoder] = {}
    for modality in config.training.fine_tune:
        name = getattr(config.encoders, modality)
        if modality not in used_modalities(config):
            raise ConfigError(f"training.fine_tune: {modality} has no weight in fusion.weights")
        encoder = tunable(find_encoder(config, modality))
        if encoder is None:
            raise ConfigError(f"training.fine_tune: {name} (encoders.{modality}) is no published net to train further")
        found[modality] = encoder
    return found


def training_inputs(config: Config) -> Config:
    """The configuration under which features for training are extracted: raw content for what is trained further.

    Raises:
        ConfigError: as `tuned_encoders`.
    """
    from streammm.encoders.content import content_name

    content: dict[str, str] = {m: content_name(m, encoder.picture) for m, encoder in tuned_encoders(config).items()}
    return config.model_copy(update={"encoders": config.encoders.model_copy(update=content)})


def start_vocabulary(config: Config, labels: Sequence[str]) -> tuple[Vocabulary | None, str]:
    """What the labels of a training mean, if it is to begin with that, and why not where it was not forbidden.

    A label is looked up by its phrases in the configuration, else by its name, in which _ stands for a blank.

    Raises:
        ConfigError: it is asked for and cannot be, or the configuration knows labels that there are not.
    """
    from streammm.fusion.vocabulary import build_vocabulary

    said = config.labels or {}
    if unknown := [name for name in said if name not in labels]:
        raise ConfigError(f"labels: {unknown[0]!r} is none of the labels {', '.join(labels)}")
    if config.training.start == "nothing":
        return None, ""
    words = {name: said.get(name, Label()) for name in labels if name != config.training.background}
    words = {
        name: label if label.phrases else label.model_copy(update={"phrases": (name.replace("_", " ").lower(),)})
        for name, label in words.items()
    }
    try:
        encoder = find_encoder(config, "text")
        if not hasattr(encoder, "embed"):
            raise ConfigError(f"{config.encoders.text} makes no vectors of labels; minilm and hf:... do")
        classes = {m: _classes_if_any(config, m) for m in ("audio", "video")}
        if not any(classes.values()):
            raise ConfigError("the encoders have no classes to look labels up among")
        encoder.setup()
        found = build_vocabulary(
            words,
            encoder.embed,
            picture_classes=classes["video"],
            sound_classes=classes["audio"],
            distractors=config.distractors,
        )
    except ConfigError as error:
        if config.training.start == "labels":
            raise ConfigError(f"training.start: labels: {error}") from error
        return None, f"it begins with nothing: {error}"
    return found, ""


def _classes_if_any(config: Config, modality: Modality) -> tuple[str, ...]:
    """As `classes_of`; () also where there are none, or raw content is taken for an encoder to be trained further."""
    if modality in config.training.fine_tune:
        return ()
    try:
        return classes_of(config, modality)
    except ConfigError:
        return ()
