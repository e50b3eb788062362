"""Reads compose.yaml as Compose would: variables filled in, anchors merged, commands as lists of words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?:(?P<operator>:-|:\?)(?P<operand>[^}]*))?\}|(?P<bad>))")


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory of the host or, without a source, an empty one in memory, at a path of the container."""

    source: str | None
    target: str
    is_read_only: bool


def load(path: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """The file with its variables filled in from ``variables`` and their defaults.

    Raises:
        ValueError: a variable without a value and a default, or no mapping with services.
    """
    found = _fill_in(yaml.safe_load(path.read_text(encoding="utf-8")), variables)
    if not isinstance(found, dict) or not isinstance(found.get("services"), dict):
        raise ValueError(f"{path} names no services")
    return found


def _fill_in(node: Any, variables: Mapping[str, str]) -> Any:
    """As Compose does it: in values that were read from YAML already, so that a value cannot change the structure."""
    if isinstance(node, dict):
        return {key: _fill_in(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_fill_in(value, variables) for value in node]
    return _VARIABLE.sub(lambda match: _value(match, variables), node) if isinstance(node, str) else node


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if match["escaped"]:
        return "$"
    if match["bad"] is not None:
        raise ValueError(f"a lone $ in {match.string!r}; write $$ or ${{NAME}}")
    if value := variables.get(match["name"]):
        return value
    if match["operator"] != ":-":
        raise ValueError(f"the variable {match['name']} has no value and no default")
    return match["operand"]


def command(service: Mapping[str, Any]) -> list[str]:
    """The words that a service's container runs."""
    return [*_words(service, "entrypoint"), *_words(service, "command")]


def _words(service: Mapping[str, Any], key: str) -> list[str]:
    words = service.get(key, [])
    if not isinstance(words, list):
        raise ValueError(f"{key} must be a list of words, got {words!r}")
    return [str(word) for word in words]


def health_command(service: Mapping[str, Any]) -> list[str]:
    """The words of a service's health check, which is a command."""
    kind, *words = service["healthcheck"]["test"]
    if kind != "CMD":
        raise ValueError(f"a health check must be a CMD, got {kind!r}")
    return [str(word) for word in words]


def mounts(service: Mapping[str, Any]) -> list[Mount]:
    """What a service's container has besides its image."""
    found = [Mount(None, str(entry).partition(":")[0], False) for entry in service.get("tmpfs", [])]
    for volume in service.get("volumes", []):
        if isinstance(volume, dict):
            found.append(Mount(volume["source"], volume["target"], bool(volume.get("read_only", False))))
        else:
            source, target, *options = volume.split(":")
            found.append(Mount(source, target, options == ["ro"]))
    return found


def size_bytes(text: str | int) -> int:
    """A size as Compose writes it: 640m, 2g, 1048576."""
    match = re.fullmatch(r"(\d+)([bkmg]?)b?", str(text).lower())
    if match is None:
        raise ValueError(f"not a size: {text!r}")
    return int(match[1]) * 1024 ** "bkmg".index(match[2] or "b")
