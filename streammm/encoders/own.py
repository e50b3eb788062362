"""An encoder that the user wrote: `package.module:Class`, imported from where Python finds it.

It is made with those of the keywords ``modality``, ``runtime``, ``device``, ``precision``, ``threads`` and
``torch_compile`` that it takes, and must be what `base.Encoder` says. Importing runs its code.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from streammm.encoders.base import Encoder
from streammm.encoders.checkpoint import digest, first_line
from streammm.errors import ConfigError
from streammm.types import Modality


def make(name: str, modality: Modality, runtime: Mapping[str, Any]) -> Encoder:
    """The encoder of a class's name, with the digest of its module as its identity if it has none of its own.

    Raises:
        ConfigError: there is no such class, or it makes no encoder.
    """
    module_name, _, class_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(
            f"{name} cannot be imported ({first_line(error)}): install its package, or name its folder in PYTHONPATH"
        ) from error
    make_it = getattr(module, class_name, None)
    if not callable(make_it):
        raise ConfigError(f"the module {module_name} has no class {class_name}")
    offered = {"modality": modality, **runtime}
    takes = inspect.signature(make_it).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in takes.values()):
        wanted = offered
    else:
        wanted = {key: value for key, value in offered.items() if key in takes}
    try:
        made = make_it(**wanted)
    except TypeError as error:
        raise ConfigError(f"{name} cannot be made with {', '.join(wanted) or 'nothing'}: {error}") from error
    if not isinstance(made, Encoder):
        lacks = [part for part in ("name", "modality", "dim", "classes", "setup", "encode") if not hasattr(made, part)]
        raise ConfigError(f"{name} is no encoder: it has no {', '.join(lacks)}")
    if not hasattr(made, "identity") and module.__file__:
        made.identity = (digest(Path(module.__file__)),)  # type: ignore[attr-defined]
    return made
