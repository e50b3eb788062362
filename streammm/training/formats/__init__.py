"""Formats of labels, each a module that says whether a file is its own and reads it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

from streammm.errors import ConfigError
from streammm.training.formats import activitynet, audioset, ave, elan, label_studio, tables, via
from streammm.training.formats.reading import Document, FormatOptions, NotLabelsError, Reading

__all__ = ["FormatOptions", "NotLabelsError", "read_labels"]

_READERS: tuple[Callable[[Document, FormatOptions], Reading | None], ...] = (
    elan.read,
    activitynet.read,
    via.read_project,
    label_studio.read,
    via.read_table,
    audioset.read,
    ave.read,
    tables.read,
)
"""Each takes a document or leaves it (None); the first that takes it has it."""


def read_labels(path: Path, options: FormatOptions) -> Reading:
    """Reads one file of labels.

    Raises:
        ConfigError: it cannot be read.
        NotLabelsError: it is in none of the formats.
    """
    document = _open(path)
    for read in _READERS:
        try:
            reading = read(document, options)
        # What a program of others wrote, or a person changed by hand, can be wrong in any place.
        except (AttributeError, LookupError, TypeError, ValueError, csv.Error) as error:
            raise ConfigError(f"{path}: not as such a file is written: {type(error).__name__}: {error}") from error
        if reading is not None:
            return audioset.named(reading, path)
    raise NotLabelsError(
        f"{path}: not a file of labels; what is read is CSV or TSV with a column for the source and one for the label, "
        "JSON of ActivityNet, VIA and Label Studio, ELAN's .eaf, AudioSet's segments, AVE's Annotations.txt and "
        "sed_eval's or Audacity's lists of events"
    )


def _open(path: Path) -> Document:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise NotLabelsError(f"{path}: not text in UTF-8: {error.reason} at byte {error.start}") from error
    data = None
    if path.suffix.lower() == ".json" or text.lstrip()[:1] in ("{", "["):
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise NotLabelsError(f"{path}: not valid JSON: {error}") from error
    return Document(path, text, data)
