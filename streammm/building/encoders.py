"""Configuration -> the encoder of a modality, with speech recognition before that of text; not yet set up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streammm.config import Config
from streammm.errors import ConfigError
from streammm.types import Modality

if TYPE_CHECKING:  # torch takes seconds to import
    from streammm.encoders.base import Encoder


def make_encoder(config: Config, modality: Modality) -> Encoder:
    """The encoder of a modality, not yet set up.

    Raises:
        ConfigError: there is no encoder of that name for that modality, something that it needs is missing, or it
            hands on what privacy.keeps does not allow.
    """
    from streammm.encoders.content import is_content

    encoder = find_encoder(config, modality)
    if not config.privacy.keeps_media and is_content(name := getattr(config.encoders, modality)):
        keeps = config.privacy.keeps
        raise ConfigError(f"encoders.{modality}: {name} hands on what it looks at, and privacy.keeps is {keeps}")
    return _listening(config, encoder) if modality == "text" and config.speech.recogniser else encoder


def find_encoder(config: Config, modality: Modality) -> Encoder:
    """The encoder of that name, whatever privacy.keeps, and without the recogniser.

    Raises:
        ConfigError: there is no encoder of that name for that modality, or something that it needs is missing.
    """
    from streammm.encoders import find

    settings = config.runtime.model_dump()
    if modality == "text":
        settings["precision"] = "fp32"  # labels are to mean the same on every machine, and there is little to read
    try:
        return find(getattr(config.encoders, modality), modality, runtime=settings.pop("backend"), **settings)
    except ConfigError as error:
        raise ConfigError(f"encoders.{modality}: {error}") from error


def is_built_in(config: Config, modality: Modality) -> bool:
    """Whether the encoder of a modality is one of streammm's own."""
    from streammm.encoders import BUILT_IN

    return getattr(config.encoders, modality) in BUILT_IN


def _listening(config: Config, encoder: Any) -> Encoder:
    """The text encoder with the recogniser of the configuration before it."""
    from streammm.encoders.placement import Placement
    from streammm.speech import make_recogniser
    from streammm.speech.text import ListeningReader

    runtime = config.runtime
    recogniser = make_recogniser(
        str(config.speech.recogniser),
        language=config.speech.language,
        device=Placement(runtime.backend, runtime.device).resolved().device,
        threads=runtime.threads,
    )
    return ListeningReader(encoder, recogniser)
