"""A run on the terminal: a progress bar while it goes, then a table of what was found when."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from streammm.errors import SourceError
from streammm.sinks.lines import Line, table_of
from streammm.sinks.live import LiveLines
from streammm.types import Classification, SourceReport

_MAX_SOURCES = 20
"""The table shows this many sources, the results hold all."""


class ConsoleReport:
    """Follows a run on the terminal.

    Args:
        console: where progress and lines about trouble go.
        sources: what the run has to do, in the order in which the table shows it.
    """

    def __init__(self, console: Console, sources: Sequence[str]) -> None:
        self._console = console
        self._started = time.monotonic()
        self._live = LiveLines(console)
        self._lines: dict[str, list[Line]] = {source: [] for source in sources[:_MAX_SOURCES]}
        self._num_sources = len(sources)
        self._media_seconds = 0.0
        self.num_rows = 0
        self.num_failed = 0
        self.num_done = 0
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[progress.description]{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("loading models", total=len(sources))
        self._progress.start()

    def rows(self, rows: Sequence[Classification]) -> None:
        """Takes rows; those of live sources are shown at once."""
        self.num_rows += len(rows)
        for row in rows:
            if row.live is not None:
                self._live.show(row)
            elif row.source in self._lines:
                self._lines[row.source].append(Line.of(row))
        self._progress.update(self._task, description=f"{self.num_rows} segments")

    def finished(self, report: SourceReport) -> None:
        """Takes the end of a source."""
        self._progress.advance(self._task)
        self.num_done += 1
        self._media_seconds += report.media_seconds
        if report.num_errors:
            times = "error" if report.num_errors == 1 else "errors"
            self._warn("damaged", f"{report.source}: {report.num_errors} {times}, the last: {report.last_error}")
        if report.num_restarts:
            self._warn("restarted", f"{report.source}: {report.num_restarts} workers died on it and were replaced")

    def failed(self, error: SourceError) -> None:
        """Takes a source that was given up."""
        self._progress.advance(self._task)
        self.num_failed += 1
        self._warn("quarantined", str(error))

    def close(self) -> None:
        """Ends the progress display."""
        self._progress.stop()

    def table(self) -> Group:
        """What was found when, in all sources."""
        parts: list[RenderableType] = []
        for source, lines in self._lines.items():
            if not lines:
                continue
            if self._num_sources > 1:
                parts.append(Text(f"\n{source}" if parts else source, style="bold", no_wrap=True, overflow="ellipsis"))
            parts.append(table_of(lines))
        if self._num_sources > len(self._lines):
            parts.append(Text(f"\n{self._num_sources - len(self._lines)} more sources are in the results", style="dim"))
        return Group(*parts)

    def summary(self) -> str:
        """The run in one line."""
        seconds = time.monotonic() - self._started
        sources = "1 source" if self.num_done == 1 else f"{self.num_done} sources"
        text = f"{self.num_rows} segments of {sources}, {self._media_seconds:.1f} s of media in {seconds:.1f} s"
        text += f", {self.num_failed} quarantined" if self.num_failed else ""
        return text + self._live.summary()

    def _warn(self, what: str, text: str) -> None:
        self._console.print(Text.assemble((what, "bold yellow"), " ", text), soft_wrap=True)
