"""Encoders: segments in, embeddings and tags out; a name in the configuration -> the class or family that runs it.

A name is a built-in one, `family:REST`, or `package.module:Class` of the user's own. What runs it is imported when it
is looked up: this package itself does without torch.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from typing import Any

from streammm.encoders.base import Encoder
from streammm.encoders.content import Content, is_content
from streammm.encoders.families import FAMILIES
from streammm.errors import ConfigError
from streammm.types import Modality

__all__ = ["BUILT_IN", "Encoder", "find"]

BUILT_IN = {
    "efficientnet_lite0": ("streammm.encoders.image", "EfficientNetLite0"),
    "yamnet": ("streammm.encoders.audio", "YamNet"),
    "minilm": ("streammm.encoders.text", "MiniLM"),
}


def find(name: str, modality: Modality, **runtime: Any) -> Encoder:
    """The encoder of a name for a modality, not yet set up.

    Args:
        runtime: ``runtime``, ``device``, ``precision``, ``threads`` and ``torch_compile``.

    Raises:
        ConfigError: there is none of that name for that modality, or a package or file that it needs is missing.
    """
    encoder = _make(name, modality, runtime)
    if encoder.modality != modality:
        raise ConfigError(f"{name} is an encoder of {encoder.modality}, not of {modality}")
    return encoder


def _make(name: str, modality: Modality, runtime: dict[str, Any]) -> Encoder:
    prefix, _, rest = name.partition(":")
    if name in BUILT_IN:
        module, class_name = BUILT_IN[name]
        built_in: Encoder = getattr(importlib.import_module(module), class_name)(**runtime)
        return built_in
    if is_content(name):
        return Content(name, modality)
    if prefix in FAMILIES and rest:
        family = FAMILIES[prefix]
        if modality not in family.modalities:
            raise ConfigError(f"{name} is an encoder of {' or '.join(family.modalities)}, not of {modality}")
        if missing := family.missing:
            raise ConfigError(f"{name} needs what is not installed: {', '.join(missing)}; run: {family.install}")
        from streammm.encoders.placement import Placement

        made: Encoder = importlib.import_module(family.module).make(rest, modality, Placement(**runtime))
        return made
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
        from streammm.encoders.own import make

        return make(name, modality, runtime)
    families = ", ".join(f"{prefix}:..." for prefix in FAMILIES)
    raise ConfigError(
        f"there is no encoder {name!r}; there are {', '.join(sorted(BUILT_IN))}, {families} and "
        "package.module:Class, see `streammm models`"
    )
