"""Small nets of our own on disk: weights as NAME.safetensors, and in NAME.json which net it is and how it is made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from safetensors.torch import save_file
from torch import nn

from streammm.encoders.checkpoint import digest, first_line, load_state, read_state
from streammm.errors import ConfigError


class Trained(Protocol):
    """A net that can be saved: ``settings`` are the keyword arguments that make another like it."""

    settings: dict[str, Any]


def save_net(net: nn.Module, path: Path, **more: Any) -> None:
    """Saves a net with ``settings``, and in its JSON file ``more`` of what goes with it.

    Raises:
        ValueError: the file is no .safetensors.
    """
    if path.suffix != ".safetensors":
        raise ValueError(f"nets are saved as .safetensors, got {path}")
    described = {"net": type(net).__name__, "settings": net.settings, **more}
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, path)
    path.with_suffix(".json").write_text(json.dumps(described, ensure_ascii=False, indent=1), encoding="utf-8")


def describe(path: Path, nets: Mapping[str, type[nn.Module]]) -> dict[str, Any]:
    """What the JSON file beside the weights says: ``net``, one of those that may be, ``settings`` and more.

    Raises:
        ConfigError: there is none, or it is of another net.
    """
    beside = path.with_suffix(".json")
    try:
        found: Any = json.loads(beside.read_text(encoding="utf-8"))
        known = found["net"] in nets and isinstance(found["settings"], dict)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} needs {beside.name} beside it, as it was saved: {first_line(error)}") from error
    if not known:
        raise ConfigError(f"{path} holds a {found['net']}, not one of {', '.join(nets)}")
    described: dict[str, Any] = found
    return described


def read_net(path: Path, nets: Mapping[str, type[nn.Module]]) -> nn.Module:
    """The net that was saved.

    Raises:
        ConfigError: a file is missing or damaged, or they do not belong together.
    """
    described = describe(path, nets)
    try:
        net = nets[described["net"]](**described["settings"])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path} says how to make a {described['net']}, but {first_line(error)}") from error
    load_state(net, read_state(path), str(path))
    return net


def identity(path: Path) -> tuple[str, ...]:
    """Digests of both files."""
    return digest(path), digest(path.with_suffix(".json"))
