"""What is wrong with a configuration, in words: the key, the nearest that there is, and the value."""

from __future__ import annotations

import difflib

from pydantic import ValidationError

from streammm.config.config import Config
from streammm.config.writing import keys
from streammm.labels import Label


def in_words(error: ValidationError) -> str:
    """What the user is told: a line for every mistake."""
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"]) or "configuration"
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown key {where}{_nearest(where)}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: {message[:1].lower() + message[1:]}, got {problem['input']!r}")
    return "\n".join(lines)


def _nearest(key: str) -> str:
    if key.startswith("labels."):
        return f"; a label has {', '.join(info.alias or name for name, info in Label.model_fields.items())}"
    close = difflib.get_close_matches(key, list(keys(Config)), n=1, cutoff=0.4)
    return f"; did you mean {close[0]}?" if close else ""
