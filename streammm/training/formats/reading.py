"""What every format is read into: rows, under the names that the file gives to sources."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streammm.errors import ConfigError
from streammm.training.notes import Notes

_SPLITS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation"), "test"),
}

_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)")


class NotLabelsError(ConfigError):
    """A file that is in none of the formats."""


@dataclass(frozen=True, slots=True)
class FormatOptions:
    """What a user may have to say about a file: see `read_annotations`."""

    layers: tuple[str, ...] = ()
    frame_rate_hz: float | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A file as text, and as JSON where it is."""

    path: Path
    text: str
    data: Any = None


@dataclass(frozen=True, slots=True)
class Row:
    """A label of the first source that is there of ``names``, tried in order.

    Under one of ``piece_names`` there may be a file that holds just what is labelled, cut out.
    """

    names: tuple[str, ...]
    start_seconds: float | None
    end_seconds: float | None
    label: str
    split: str | None = None
    piece_names: tuple[str, ...] = ()


@dataclass(slots=True)
class Reading:
    """All rows of a file, what was odd about it, and its labels in order where it defines one."""

    rows: list[Row] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)
    labels: tuple[str, ...] = ()

    def add(self, row: Row, where: str) -> None:
        """Takes a row that can be meant; ``where`` names it for a user if it cannot."""
        start, end = row.start_seconds, row.end_seconds
        if not any(row.names):
            self.notes.count("rows name no source and are left out", where)
        elif (start is None) != (end is None):
            self.notes.count("rows have a start or an end only and are left out", where)
        elif start is not None and end is not None and not max(start, 0.0) < end < math.inf:
            self.notes.count("rows cover no time and are left out", where)
        elif start is not None and start < 0:
            self.notes.count("rows begin before their source and are cut off", where)
            self.rows.append(Row(row.names, 0.0, end, row.label, row.split, row.piece_names))
        else:
            self.rows.append(row)


def split_name(name: object) -> str | None:
    """``train``, ``validation`` or ``test`` for the usual names of these; others as they are; None for nothing."""
    text = str(name).strip() if name is not None else ""
    return _SPLITS.get(text.lower(), text) or None


def seconds(value: object) -> float | None:
    """A number of seconds, also as ``H:MM:SS.mmm``; None for nothing.

    Raises:
        ValueError: it is neither.
    """
    text = "" if value is None else str(value).strip()
    if text.lower() in ("", "nan", "na", "none", "null", "-"):
        return None
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, rest = clock.groups()
        return 3600 * int(hours or 0) + 60 * int(minutes) + float(rest.replace(",", "."))
    return float(text.replace(",", "."))


def chosen(layers: tuple[str, ...], there: list[str], what: str, path: Path) -> list[str]:
    """The layers that are asked for, else all.

    Raises:
        ConfigError: one of them is not there.
    """
    for layer in layers:
        if layer not in there:
            raise ConfigError(f"{path}: there is no {what} {layer!r}; there are {', '.join(there) or 'none'}")
    return list(layers) or there


def frame_rate(options: FormatOptions, path: Path) -> float:
    """The frames a second of times that are frames.

    Raises:
        ConfigError: nobody said.
    """
    if options.frame_rate_hz is None:
        raise ConfigError(f"{path}: its times are frames; say how many frames a second were counted")
    return options.frame_rate_hz
