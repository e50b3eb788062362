"""A run directory -> its rows, events, sources and what was given up, for Python, Arrow and pandas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from streammm.config import Config
from streammm.errors import ConfigError
from streammm.journal import JournalError, SourceState
from streammm.rows import row_from_json
from streammm.run_directory import journal_of, status_of
from streammm.types import Classification

if TYPE_CHECKING:
    import pandas
    import pyarrow

_READ_ENTRIES = 1000


def open_run(path: str | PathLike[str]) -> Run:
    """Opens the run in a directory that `streammm run` or `streammm relabel` made, to read from.

    Args:
        path: the directory; its journal may be in PostgreSQL, and the run may still be going on.

    Raises:
        ConfigError: it holds no run, or its journal cannot be opened.
    """
    return Run(Path(path))


class Run:
    """A run as it is now: each call reads what is committed by then, and changes nothing.

    Rows and events come in the order in which they were committed: in order within a source, sources mixed.

    Args:
        path: its directory.

    Raises:
        ConfigError: it holds no run, or its journal cannot be opened.
        JournalError: by any method, if the journal cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config: Config
        """The configuration that it was made with."""
        self.config, self._journal = journal_of(path)
        self._journal.last_position()  # a journal that cannot be read is said now

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the journal."""
        self._journal.close()

    def status(self) -> dict[str, Any]:
        """How it stands, as `streammm status --json` tells it: ``sources`` by status, ``segments``,
        ``media_seconds``, ``errors``, ``is_running`` and more."""
        return status_of(self.path)

    def sources(self) -> Iterator[SourceState]:
        """Every source, in the order in which they became known."""
        return self._journal.sources()

    def rows(self, source: str | None = None) -> Iterator[Classification]:
        """Every row, or those of one source; scores have the six digits that are stored."""
        for found in self._stored("row", source):
            try:
                yield row_from_json(found)
            except (KeyError, TypeError, ValueError) as error:
                raise JournalError(f"a row of {found.get('source')} in {self.path} is damaged: {error!r}") from error

    def events(self, source: str | None = None) -> Iterator[dict[str, Any]]:
        """Every event, or those of one source, as ``events.jsonl`` has them."""
        return self._stored("event", source)

    def quarantine(self) -> Iterator[dict[str, Any]]:
        """What was given up: ``source``, ``reason``, ``detail``, and ``segment`` where it is one segment only."""
        return self._stored("quarantine")

    def to_batches(self, rows: int = 10_000) -> Iterator[pyarrow.RecordBatch]:
        """The rows as Arrow record batches of at most so many, for runs that are larger than memory.

        The columns are those of ``streammm.columns.SCHEMA``.

        Args:
            rows: of a batch, at least 1; 10,000 are about 20 MB.

        Raises:
            ConfigError: pyarrow is not installed.
            ValueError: ``rows`` is less than 1.
        """
        if rows < 1:
            raise ValueError(f"rows must be at least 1, got {rows}")
        try:
            from streammm.columns import batch_of
        except ImportError as error:
            raise ConfigError('rows in Arrow need pyarrow: pip install "streammm[parquet]"') from error
        stored = self._stored("row")
        return map(batch_of, iter(lambda: list(islice(stored, rows)), []))

    def to_arrow(self) -> pyarrow.Table:
        """All rows as an Arrow table; the columns are those of ``streammm.columns.SCHEMA``.

        Raises:
            ConfigError: pyarrow is not installed.
        """
        batches = list(self.to_batches())
        import pyarrow

        from streammm.columns import SCHEMA

        return pyarrow.Table.from_batches(batches, SCHEMA)

    def to_pandas(self) -> pandas.DataFrame:
        """All rows as a data frame, with the columns of ``streammm.columns.SCHEMA``.

        Lists of labels are NumPy arrays of ``{"label": ..., "score": ...}``; ``live_start`` is a time in UTC. What is
        missing is None, NaN or NaT.

        Raises:
            ConfigError: pandas or pyarrow is not installed.
        """
        try:
            import pandas  # noqa: F401 - pyarrow makes the data frame
        except ImportError as error:
            raise ConfigError('rows in pandas need it: pip install "streammm[pandas]"') from error
        frame: pandas.DataFrame = self.to_arrow().to_pandas()
        return frame

    def _stored(self, kind: str, source: str | None = None) -> Iterator[dict[str, Any]]:
        position = 0
        while entries := self._journal.read(position, _READ_ENTRIES, source=source, kind=kind):
            for entry in entries:
                try:
                    found: dict[str, Any] = json.loads(entry.text)
                except ValueError as error:
                    raise JournalError(f"entry {entry.position} of {self.path} is damaged: {error}") from error
                yield found
            position = entries[-1].position
