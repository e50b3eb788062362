"""Configuration -> the parts of the pipeline. The only module that knows both."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streammm.config import Config, seconds
from streammm.errors import ConfigError
from streammm.media.cutting import Windows
from streammm.media.filter import SourceFilter
from streammm.media.listing import MEDIA_SUFFIXES, ListingOptions
from streammm.media.network import NetworkOptions
from streammm.media.options import DecodeOptions, Limits, LiveOptions
from streammm.media.store import READ_SECONDS
from streammm.types import MODALITIES, Modality

if TYPE_CHECKING:  # torch takes seconds to import, and those who only decode do not need it
    from streammm.classifier import Classifier
    from streammm.encoders.base import Encoder
    from streammm.fusion.vocabulary import Vocabulary


def used_modalities(config: Config) -> tuple[Modality, ...]:
    """The modalities that count: those whose weight is above 0, and that a trained model knows."""
    used = tuple(m for m in MODALITIES if config.fusion.weights[m] > 0)
    if config.model is None:
        return used
    from streammm.fusion.trained import read_card

    return tuple(m for m in used if m in read_card(Path(config.model)).dims)


def loaded_encoders(config: Config) -> tuple[Modality, ...]:
    """The modalities whose encoders are needed: that of text also reads the labels, where no model knows them."""
    used = used_modalities(config)
    return tuple(m for m in MODALITIES if m in used or (m == "text" and config.model is None))


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
        mode=config.decode.mode,
        hardware=config.decode.hardware,
        threads=config.decode.threads,
        max_pixels=config.decode.max_pixels,
        network=NetworkOptions(**dict(config.network)),
        live=LiveOptions(**dict(config.live)),
        limits=Limits(config.decode.memory_mb * 2**20, config.decode.progress_seconds, config.decode.segment_seconds),
        filter=SourceFilter(config.sources.min_seconds, config.sources.max_seconds, config.sources.require),
    )


def listing_options(config: Config) -> ListingOptions:
    """What is taken of directories and lists."""
    named = config.sources.extensions
    return ListingOptions(
        MEDIA_SUFFIXES if named is None else frozenset(named),
        config.sources.deduplicate,
        config.network.read_seconds or READ_SECONDS,
    )


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
    return encoder


def make_vocabulary(config: Config, text_encoder: Any) -> Vocabulary:
    """The labels of the configuration, worded for every modality by the encoder that reads text. Not for a model.

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


def make_classifier(config: Config, vocabulary: Vocabulary | None) -> Classifier:
    """Fusion and row format: of the trained model that the configuration names, or else for a vocabulary.

    Raises:
        ConfigError: the model cannot be read, or was trained on other encoders.
    """
    from streammm.classifier import Classifier, Fusion
    from streammm.fusion.model import ZeroShotFusion
    from streammm.fusion.trained import load_model

    fusion: Fusion
    if config.model is not None:
        fusion = load_model(Path(config.model))
        for modality, name in fusion.card.encoders.items():
            if (ours := getattr(config.encoders, modality)) != name:
                raise ConfigError(f"encoders.{modality}: the model {config.model} was trained on {name}, not on {ours}")
    else:
        assert vocabulary is not None
        fusion = ZeroShotFusion(vocabulary, config.fusion.weights, config.fusion.smoothing_seconds).eval()
    return Classifier(fusion, model_name(config), config.output.top_labels)


def identity(config: Config) -> dict[str, Any]:
    """All that rows depend on, by key: the settings that matter and the weights of the encoders that are used."""
    from streammm.encoders.weights import MODELS

    used = loaded_encoders(config)
    sections = config.model_dump(mode="json", include={"labels", "segment", "encoders", "fusion", "output"})
    found: dict[str, Any] = {"labels": sections.pop("labels")}
    if config.model is not None:
        found["model"] = model_digest(config)
    for section, values in sections.items():
        found |= {f"{section}.{key}": value for key, value in values.items() if key != "journal"}
    found |= {f"decode.{key}": getattr(config.decode, key) for key in ("mode", "threads")}
    found["runtime.precision"] = config.runtime.precision
    names = (getattr(config.encoders, modality) for modality in sorted(used))
    found |= {f"weights of {name}": sorted(MODELS[name].files.values()) for name in names if name in MODELS}
    return found


def feature_identity(config: Config) -> dict[str, Any]:
    """All that embeddings depend on, by key: `identity` without labels, fusion and what a row holds."""
    return {
        key: value
        for key, value in identity(config).items()
        if key not in ("labels", "model") and not key.startswith(("fusion.", "output."))
    }


def model_name(config: Config) -> str:
    """Names all that the numbers in a row depend on: the encoders, and a digest of the settings that matter."""
    encoders = "+".join(getattr(config.encoders, m) for m in ("video", "audio", "text") if m in used_modalities(config))
    matters = config.model_dump(mode="json", include={"labels", "segment", "encoders", "fusion"})
    matters["precision"] = config.runtime.precision
    matters["mode"] = config.decode.mode
    if config.model is not None:
        matters["model"] = model_digest(config)
    digest = hashlib.sha256(json.dumps(matters, sort_keys=True).encode()).hexdigest()
    return f"{encoders}:{digest[:8]}"


def model_digest(config: Config) -> str:
    """Names the trained model of the configuration by its content, wherever it lies."""
    from streammm.fusion.trained import digest_of

    assert config.model is not None
    return digest_of(Path(config.model))


def num_decoders(config: Config, num_sources: int, cores: int) -> int:
    """How many decode workers to make where nothing is set: one a core, at most one a source."""
    return config.engine.decoders or max(1, min(num_sources, cores))
