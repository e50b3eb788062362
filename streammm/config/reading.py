"""A file, ``a.b=c`` settings, a file of labels and a trained model's own settings -> one checked `Config`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from streammm.config.config import Config
from streammm.config.mistakes import in_words
from streammm.errors import ConfigError

MODEL_SETTINGS_FILE = "config.yaml"
"""In the directory of a trained model: the settings under which it was trained, and is run unless others are given."""

LABELS_FILE_SUFFIXES = (".yaml", ".yml", ".json")

_SETTINGS_OF_A_MODEL = frozenset({"encoders", "segment", "decode", "speech", "training"})
"""What it may say: it may come from a stranger, and must not name programs, addresses or databases."""


def load(path: Path | None = None, settings: Iterable[str] = (), **overrides: Any) -> Config:
    """Reads a configuration file, applies ``a.b=c`` settings (values in YAML) and then keyword overrides.

    Raises:
        ConfigError: a file that cannot be read, a key that does not exist (with the nearest that does), a bad value.
    """
    values: dict[str, Any] = {}
    if path is not None:
        values = _read(path)
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator or not key:
            raise ConfigError(f"a setting has the form key=value, such as segment.length_seconds=4, got {setting!r}")
        _put(values, key.strip().split("."), _parse(text, setting), setting)
    values.update({key: value for key, value in overrides.items() if value is not None})
    if isinstance(labels := values.get("labels"), str) and labels.strip().endswith(LABELS_FILE_SUFFIXES):
        values |= _labels_file(Path(labels.strip()))
    if isinstance(model := values.get("model"), str):
        folder = Path(model).resolve()
        base = _with_encoders_of(folder, _read(folder / MODEL_SETTINGS_FILE))
        if foreign := sorted(set(base) - _SETTINGS_OF_A_MODEL):
            raise ConfigError(f"{folder / MODEL_SETTINGS_FILE}: a model must not set {foreign[0]}")
        values = _merged(base, values) | {"model": str(folder)}
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(in_words(error)) from error


def _labels_file(path: Path) -> dict[str, Any]:
    """The labels and distractors in a file, which is a configuration with no other keys; or labels alone, in a list."""
    found = _parsed(path, "labels")
    if isinstance(found, list):
        return {"labels": found}
    if not isinstance(found, dict) or found.get("labels") is None or isinstance(found["labels"], str):
        raise ConfigError(f"{path} must hold a list of labels, or labels: with a list or a mapping below it")
    if unknown := [key for key in found if key not in ("labels", "distractors")]:
        raise ConfigError(f"{path}: unknown key {unknown[0]}; there may be labels and distractors")
    return found


def _with_encoders_of(model: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a model, in which encoders that lie beside it are named by their whole path."""
    encoders = settings.get("encoders")
    if not isinstance(encoders, dict):
        return settings
    found = {}
    for modality, name in encoders.items():
        family, _, file = str(name).partition(":")
        is_beside = file == f"{modality}.safetensors" and (model / file).is_file()
        found[modality] = f"{family}:{model / file}" if is_beside else name
    return settings | {"encoders": found}


def _merged(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The base, but what the values say."""
    merged = dict(base)
    for key, value in values.items():
        below = merged.get(key)
        both = isinstance(below, dict) and isinstance(value, dict)
        merged[key] = _merged(below, value) if both and below is not None else value
    return merged


def _parsed(path: Path, what: str) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the {what} {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"the {what} {path} is not YAML: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    values = _parsed(path, "configuration")
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"the configuration {path} must be a mapping of keys, got {type(values).__name__}")
    return values


def _parse(text: str, setting: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"the value in {setting!r} is not YAML") from error


def _put(values: dict[str, Any], keys: list[str], value: Any, setting: str) -> None:
    for key in keys[:-1]:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise ConfigError(f"{setting!r}: {key} is a value, it has no keys of its own")
    values[keys[-1]] = value
