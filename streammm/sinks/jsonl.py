"""Rows as JSON Lines: one object a line, written out as soon as it is there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TextIO

from streammm.errors import SourceError
from streammm.types import Classification


class JsonLines:
    """Writes rows to a text stream that the caller opens and closes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, rows: Sequence[Classification]) -> None:
        """Writes rows and hands them to the operating system, so that a reader at the other end sees them now."""
        self._stream.writelines(json.dumps(row.to_json(), ensure_ascii=False) + "\n" for row in rows)
        self._stream.flush()

    def write_failure(self, error: SourceError) -> None:
        """Writes a source that was given up: ``source``, ``reason`` (a short code) and ``detail`` (in words)."""
        row = {"source": error.source, "reason": error.reason, "detail": error.detail}
        self._stream.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._stream.flush()
