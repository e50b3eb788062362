"""One file that grows: JSON Lines, each line as it is in the journal, or CSV, a line a segment. Every entry once."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from streammm.journal import Entry
from streammm.rows import row_from_json
from streammm.sinks.base import Written, data_of
from streammm.sinks.files import set_aside
from streammm.sinks.lines import Line

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would run: a label or the name of a file may come from anybody."""


class JsonLines:
    """Writes entries to a file. What another run left under its name is renamed, not written over.

    Args:
        name: of its cursor.
        path: the file.
        kinds: what it is told.
    """

    batch_entries = 1000
    linger_seconds = 0.0

    def __init__(self, name: str, path: Path, kinds: tuple[str, ...] = ("row",)) -> None:
        self.name = name
        self.kinds = kinds
        self._path = path
        self._file: BinaryIO | None = None
        self._is_ours = False

    def start(self, position: int, mark: Any, run: str) -> int:
        size = self._path.stat().st_size if self._path.exists() else 0
        goes_on = mark is not None and size >= mark
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not (goes_on or self._is_ours):  # what this process began and could not go on with is no one's to keep
            set_aside(self._path)
        self._is_ours = True
        file = self._file = self._path.open("ab")
        file.truncate(mark if goes_on else 0)  # what was written and not noted comes again
        file.seek(0, os.SEEK_END)
        if not goes_on:
            file.write(self._head())
        return position if goes_on else 0

    def write(self, entries: Sequence[Entry]) -> Written:
        assert self._file is not None
        self._file.write(b"".join(map(self._line, entries)))
        self._file.flush()
        os.fsync(self._file.fileno())
        return Written(self._file.tell())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _head(self) -> bytes:
        return b""

    def _line(self, entry: Entry) -> bytes:
        return entry.text.encode() + b"\n"


class Csv(JsonLines):
    """Writes a line a segment for spreadsheets: what was found, seen, heard and said, with scores."""

    _COLUMNS = (
        "source",
        "segment",
        "start_seconds",
        "end_seconds",
        "label",
        "score",
        "found",
        "seen",
        "heard",
        "said",
        "outage",
        "id",
    )

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(name, path)

    def _head(self) -> bytes:
        return _csv(self._COLUMNS)

    def _line(self, entry: Entry) -> bytes:
        row = row_from_json(data_of(entry))
        line = Line.of(row)
        label, score = row.labels[0] if row.labels else ("", None)
        texts = [_plain(text) for text in (line.found_scores, line.seen, line.heard, line.said, row.outage)]
        return _csv(
            (_plain(row.source), row.segment, row.start_seconds, row.end_seconds, _plain(label), score, *texts, row.id)
        )


def _csv(values: Sequence[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue().encode()


def _plain(text: str) -> str:
    """A text that a spreadsheet shows and does not run."""
    return f"'{text}" if text.startswith(_FORMULA) and len(text) > 1 else text
