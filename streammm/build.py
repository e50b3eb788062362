"""Configuration -> the parts of the pipeline. The only module that knows both."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from streammm.config import Config, seconds
from streammm.errors import ConfigError
from streammm.media.cutting import Windows
from streammm.media.listing import MEDIA_SUFFIXES, ListingOptions
from streammm.media.network import NetworkOptions
from streammm.media.options import DecodeOptions, Limits, LiveOptions, SpeechWindow
from streammm.types import MODALITIES, Modality

if TYPE_CHECKING:  # torch takes seconds to import, and those who only decode do not need it
    from streammm.classifier import Classifier
    from streammm.encoders.base import Encoder
    from streammm.fusion.vocabulary import Vocabulary


def used_modalities(config: Config) -> tuple[Modality, ...]:
    """The modalities that count: those whose weight is above 0."""
    return tuple(m for m in MODALITIES if config.fusion.weights[m] > 0)


def decode_options(config: Config) -> DecodeOptions:
    """How to decode and cut; the pictures are those that the image encoders here want."""
    segment = config.segment
    return DecodeOptions(
        windows=Windows(
            seconds(segment.length_seconds),
            seconds(segment.hop_seconds or segment.length_seconds),
            seconds(segment.frames_per_second),
        ),
        max_shot_seconds=seconds(segment.max_shot_seconds) if segment.by == "shots" else None,
        speech=SpeechWindow(seconds(config.speech.before_seconds)) if config.speech.recogniser else None,
        mode=config.decode.mode,
        hardware=config.decode.hardware,
        threads=config.decode.threads,
        max_pixels=config.decode.max_pixels,
        network=NetworkOptions(**dict(config.network)),
        live=LiveOptions(**dict(config.live)),
        limits=Limits(config.decode.memory_mb * 2**20, config.decode.progress_seconds, config.decode.segment_seconds),
    )


def listing_options(config: Config) -> ListingOptions:
    """What is taken of directories and lists."""
    named = config.sources.extensions
    return ListingOptions(MEDIA_SUFFIXES if named is None else frozenset(named), config.sources.deduplicate)


def make_encoder(config: Config, modality: Modality) -> Encoder:
    """The encoder of a modality, not yet set up.

    Raises:
        ConfigError: there is no encoder of that name for that modality.
    """
    from streammm.encoders import ENCODERS

    name = getattr(config.encoders, modality)
    if name not in ENCODERS:
        raise ConfigError(f"encoders.{modality}: there is no encoder {name!r}; there are {', '.join(sorted(ENCODERS))}")
    settings = config.runtime.model_dump()
    encoder: Encoder = ENCODERS[name](runtime=settings.pop("backend"), **settings)
    if encoder.modality != modality:
        raise ConfigError(f"encoders.{modality}: {name} is an encoder of {encoder.modality}, not of {modality}")
    return _listening(config, encoder) if modality == "text" and config.speech.recogniser else encoder


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
        precision=runtime.precision,
        threads=runtime.threads,
    )
    return ListeningReader(encoder, recogniser)


def make_vocabulary(config: Config, text_encoder: Any) -> Vocabulary:
    """The labels of the configuration, worded for every modality by the encoder that reads text.

    Raises:
        ConfigError: a label cannot be used.
    """
    from streammm.encoders.audio import audioset_classes
    from streammm.encoders.image import imagenet_classes
    from streammm.fusion.vocabulary import GENERAL_LABELS, build_vocabulary

    return build_vocabulary(
        GENERAL_LABELS if config.labels is None else config.labels,
        text_encoder.embed,
        picture_classes=imagenet_classes()[1],
        sound_classes=audioset_classes(),
    )


def make_classifier(config: Config, vocabulary: Vocabulary) -> Classifier:
    """Fusion and row format for a vocabulary."""
    from streammm.classifier import Classifier
    from streammm.fusion.model import ZeroShotFusion

    fusion = ZeroShotFusion(vocabulary, config.fusion.weights, config.fusion.smoothing_seconds)
    return Classifier(fusion, model_name(config), config.output.top_labels, with_text=config.output.text)


def identity(config: Config) -> dict[str, Any]:
    """All that rows depend on, by key: the settings that matter and the weights of the encoders that are used."""
    from streammm.encoders.weights import MODELS
    from streammm.speech import recogniser_identity

    used = {*used_modalities(config), "text"}
    sections = config.model_dump(mode="json", include={"labels", "segment", "encoders", "speech", "fusion", "output"})
    found: dict[str, Any] = {"labels": sections.pop("labels")}
    for section, values in sections.items():
        found |= {f"{section}.{key}": value for key, value in values.items() if key != "journal"}
    found |= {f"decode.{key}": getattr(config.decode, key) for key in ("mode", "threads")}
    found["runtime.precision"] = config.runtime.precision
    names = (getattr(config.encoders, modality) for modality in sorted(used))
    found |= {f"weights of {name}": sorted(MODELS[name].files.values()) for name in names if name in MODELS}
    if config.speech.recogniser:
        found["weights of the recogniser"] = recogniser_identity(config.speech.recogniser).get("weights")
    return found


def model_name(config: Config) -> str:
    """Names all that the numbers in a row depend on: the encoders, and a digest of the settings that matter."""
    from streammm.speech import recogniser_identity

    encoders = "+".join(getattr(config.encoders, m) for m in ("video", "audio", "text") if m in used_modalities(config))
    matters = config.model_dump(mode="json", include={"labels", "segment", "encoders", "fusion"})
    matters["precision"] = config.runtime.precision
    matters["mode"] = config.decode.mode
    if config.speech.recogniser:
        recogniser = recogniser_identity(config.speech.recogniser)
        encoders += "+" + recogniser["name"]
        matters["speech"] = {**config.speech.model_dump(mode="json"), "recogniser": recogniser}
    digest = hashlib.sha256(json.dumps(matters, sort_keys=True).encode()).hexdigest()
    return f"{encoders}:{digest[:8]}"


def num_decoders(config: Config, num_sources: int, cores: int) -> int:
    """How many decode workers to make where nothing is set: one a core, at most one a source."""
    return config.engine.decoders or max(1, min(num_sources, cores))
