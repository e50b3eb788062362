"""Rows, events and quarantine as files of JSON Lines, each line as it is in the journal."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from streammm.journal import Entry


class Files:
    """Writes rows, events and what was given up to a file each; goes on where an earlier run stopped.

    Args:
        results: file of rows.
        quarantine: file of what was given up.
        events: file of events; None: they are not written.
        keeps_empty: makes the other files even if there is nothing for them.
    """

    name = "files"

    def __init__(
        self, results: Path, quarantine: Path, events: Path | None = None, *, keeps_empty: bool = True
    ) -> None:
        self._paths = {"row": results, "quarantine": quarantine} | ({} if events is None else {"event": events})
        self._keeps_empty = keeps_empty
        self._files: dict[str, BinaryIO] = {}

    def start(self, position: int, mark: Any) -> int:
        sizes = {kind: path.stat().st_size if path.exists() else 0 for kind, path in self._paths.items()}
        goes_on = bool(mark) and all(sizes[kind] >= mark[kind] for kind in sizes)
        for kind, path in self._paths.items():
            if not goes_on:
                set_aside(path)
            if kind == "row" or self._keeps_empty:
                file = self._open(kind)
                file.truncate(mark[kind] if goes_on else 0)
                file.seek(0, os.SEEK_END)
        return position if goes_on else 0

    def write(self, entries: Sequence[Entry]) -> dict[str, int]:
        for kind in self._paths:
            lines = [entry.text.encode() + b"\n" for entry in entries if entry.kind == kind]
            if lines:
                file = self._open(kind)
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
        return {kind: self._files[kind].tell() if kind in self._files else 0 for kind in self._paths}

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _open(self, kind: str) -> BinaryIO:
        if kind not in self._files:
            self._files[kind] = self._paths[kind].open("ab")
        return self._files[kind]


class Lines:
    """Writes rows to a text stream that the caller opens and closes."""

    name = "lines"

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def start(self, position: int, mark: Any) -> int:
        return position

    def write(self, entries: Sequence[Entry]) -> None:
        self._stream.writelines(entry.text + "\n" for entry in entries if entry.kind == "row")
        self._stream.flush()

    def close(self) -> None:
        """The caller's."""


def set_aside(path: Path) -> None:
    """Renames what an earlier run left under a name, by the time it was last written."""
    if not path.exists():
        return
    written = time.strftime("%Y%m%d-%H%M%S", time.gmtime(path.stat().st_mtime))
    target = path.with_name(f"{path.stem}.{written}{path.suffix}")
    number = 1
    while target.exists():
        number += 1
        target = path.with_name(f"{path.stem}.{written}-{number}{path.suffix}")
    path.rename(target)
