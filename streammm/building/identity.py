"""Configuration -> what rows and embeddings depend on, and the name of a model by it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from streammm.building.encoders import is_built_in, make_encoder
from streammm.building.modalities import loaded_encoders, used_modalities
from streammm.config import Config
from streammm.types import MODALITIES, Modality

_OF_NO_ROW = ("journal", "deliver_seconds")
"""Settings of output on which rows do not depend."""


def identity(config: Config) -> dict[str, Any]:
    """All that rows depend on, by key: the settings that matter and the weights of the encoders that are used."""
    from streammm.speech import recogniser_identity

    used = loaded_encoders(config)
    sections = config.model_dump(
        mode="json", include={"labels", "segment", "encoders", "speech", "fusion", "events", "output"}
    )
    found: dict[str, Any] = {"labels": sections.pop("labels")}
    if config.distractors:
        found["distractors"] = list(config.distractors)
    if config.model is not None:
        found["model"] = model_digest(config)
    for section, values in sections.items():
        found |= {f"{section}.{key}": value for key, value in values.items() if key not in _OF_NO_ROW}
    found |= {f"decode.{key}": getattr(config.decode, key) for key in ("mode", "threads")}
    if config.decode.mode == "adaptive":
        found["decode.max_difference"] = config.decode.max_difference
    found["runtime.precision"] = config.runtime.precision
    for modality in MODALITIES:
        if modality in used:
            found[f"weights of {getattr(config.encoders, modality)}"] = weights_of(config, modality)
    if config.speech.recogniser:
        found["weights of the recogniser"] = recogniser_identity(config.speech.recogniser).get("weights")
    return found


def feature_identity(config: Config) -> dict[str, Any]:
    """All that embeddings depend on, by key: `identity` without labels, fusion, events and what a row holds."""
    return {
        key: value
        for key, value in identity(config).items()
        if key not in ("labels", "distractors", "model") and not key.startswith(("fusion.", "events.", "output."))
    }


def model_name(config: Config) -> str:
    """Names all that the numbers in a row depend on: the encoders, and a digest of the settings that matter."""
    from streammm.speech import recogniser_identity

    encoders = "+".join(getattr(config.encoders, m) for m in ("video", "audio", "text") if m in used_modalities(config))
    matters = config.model_dump(mode="json", include={"labels", "segment", "encoders", "fusion"})
    if config.distractors:
        matters["distractors"] = list(config.distractors)
    matters["precision"] = config.runtime.precision
    matters["mode"] = config.decode.mode
    if config.decode.mode == "adaptive":
        matters["max_difference"] = config.decode.max_difference
    if config.model is not None:
        matters["model"] = model_digest(config)
    own = {m: weights_of(config, m) for m in used_modalities(config) if not is_built_in(config, m)}
    if own:
        matters["weights"] = own
    if config.speech.recogniser:
        recogniser = recogniser_identity(config.speech.recogniser)
        encoders += "+" + recogniser["name"]
        matters["speech"] = {**config.speech.model_dump(mode="json"), "recogniser": recogniser}
    digest = hashlib.sha256(json.dumps(matters, sort_keys=True).encode()).hexdigest()
    return f"{encoders}:{digest[:8]}"


def model_digest(config: Config) -> str:
    """Names the trained model of the configuration by its content, wherever it lies."""
    from streammm.fusion.card import digest_of

    assert config.model is not None
    return digest_of(Path(config.model))


def weights_of(config: Config, modality: Modality) -> list[str]:
    """What names the weights of an encoder: digests of files, or where they come from."""
    from streammm.encoders.weights import MODELS

    name = getattr(config.encoders, modality)
    if name in MODELS:
        return sorted(MODELS[name].files.values())
    return list(getattr(make_encoder(config, modality), "identity", ()))
