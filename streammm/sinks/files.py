"""Where a run's files lie: a run directory, or a single JSON Lines file."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from streammm.errors import ConfigError, SourceError
from streammm.sinks.jsonl import JsonLines
from streammm.types import Classification


class RunFiles:
    """Writes a run to files: rows, quarantined sources, and in a directory the resolved configuration.

    What an earlier run left under the same names is set aside first, renamed by the time it was last written.

    Args:
        out: a directory, or a file name that ends in ``.jsonl``.
        configuration: the resolved configuration, in YAML.

    Raises:
        ConfigError: the place cannot be written.
    """

    def __init__(self, out: Path, configuration: str) -> None:
        self._is_directory = out.suffix != ".jsonl"
        self.results = out / "results.jsonl" if self._is_directory else out
        self.quarantine = out / "quarantine.jsonl" if self._is_directory else out.with_suffix(".quarantine.jsonl")
        self._configuration = configuration
        self._stack = ExitStack()
        self._rows: JsonLines | None = None
        self._failures: JsonLines | None = None
        try:
            self.results.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.results.parent):
                pass  # what cannot be written is said now, not after hours
        except OSError as error:
            raise ConfigError(f"cannot write to {out}: {error.strerror or error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    def write(self, rows: Sequence[Classification]) -> None:
        """Takes rows."""
        self.begin()
        assert self._rows is not None
        self._rows.write(rows)

    def write_failure(self, error: SourceError) -> None:
        """Takes a source that was given up."""
        self.begin()
        if self._failures is None:
            self._failures = self._open(self.quarantine)
        self._failures.write_failure(error)

    def begin(self) -> None:
        """Sets aside what was there and opens the files, once; a run that never gets so far changes nothing."""
        if self._rows is None:
            self._rows = self._open(self.results)
            _set_aside(self.quarantine)
            if self._is_directory:
                self._failures = self._open(self.quarantine)
                configuration = self.results.with_name("config.yaml")
                _set_aside(configuration)
                configuration.write_text(self._configuration, encoding="utf-8")

    def _open(self, path: Path) -> JsonLines:
        _set_aside(path)
        stream = path.open("w", encoding="utf-8", errors="surrogateescape")
        return JsonLines(self._stack.enter_context(stream))


def _set_aside(path: Path) -> None:
    if path.exists():
        written = time.strftime("%Y%m%d-%H%M%S", time.gmtime(path.stat().st_mtime))
        target = path.with_name(f"{path.stem}.{written}{path.suffix}")
        number = 1
        while target.exists():
            number += 1
            target = path.with_name(f"{path.stem}.{written}-{number}{path.suffix}")
        path.rename(target)
