"""A configuration -> YAML that explains itself; a class of sections -> its keys and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import BaseModel


def explained(section: BaseModel, indent: str = "") -> str:
    """A configuration as YAML with a comment above every key that says what it means."""
    lines = []
    values = plain_values(section)
    for name, info in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            lines.append(f"\n{indent}# {type(value).__doc__}\n{indent}{name}:\n{explained(value, indent + '  ')}")
        else:
            plain = yaml.safe_dump(values[name], default_flow_style=True, width=1000).removesuffix("...\n").strip()
            lines.append(f"{indent}# {info.description}\n{indent}{name}: {plain}\n")
    return "".join(lines)


def keys(section: type[BaseModel], prefix: str = "") -> Mapping[str, str]:
    """Every key with its description, in order; sections are gone into."""
    found: dict[str, str] = {}
    for name, info in section.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= keys(kind, f"{prefix}{name}.")
        else:
            found[prefix + name] = info.description or ""
    return found


def plain_values(section: BaseModel) -> dict[str, Any]:
    """Plain types; of what may be there many times, only what is set."""
    plain = section.model_dump(mode="json")
    for name, value in plain.items():
        if isinstance(value, list):
            plain[name] = [
                {k: v for k, v in one.items() if v not in (None, [])} if isinstance(one, dict) else one for one in value
            ]
    return plain
