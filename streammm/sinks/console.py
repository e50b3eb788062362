"""A run on the terminal: a progress bar while it goes, then a table of what was found when."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from streammm.errors import SourceError
from streammm.types import Classification, Modality, ModalityResult, SourceReport

_MAX_LINES = 24
"""A source with more segments than this is shown by spans of equal label; so many spans at most."""

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
        self._lines: dict[str, list[_Line]] = {source: [] for source in sources[:_MAX_SOURCES]}
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
        """Takes rows."""
        self.num_rows += len(rows)
        for row in rows:
            if row.source in self._lines:
                self._lines[row.source].append(_Line.of(row))
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
            parts.append(_table(lines))
        if self._num_sources > len(self._lines):
            parts.append(Text(f"\n{self._num_sources - len(self._lines)} more sources are in the results", style="dim"))
        return Group(*parts)

    def summary(self) -> str:
        """The run in one line."""
        seconds = time.monotonic() - self._started
        sources = "1 source" if self.num_done == 1 else f"{self.num_done} sources"
        text = f"{self.num_rows} segments of {sources}, {self._media_seconds:.1f} s of media in {seconds:.1f} s"
        return text + (f", {self.num_failed} quarantined" if self.num_failed else "")

    def _warn(self, what: str, text: str) -> None:
        self._console.print(Text.assemble((what, "bold yellow"), " ", text), soft_wrap=True)


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of the table."""

    start_seconds: float
    end_seconds: float
    found: str
    found_scores: str
    seen: str
    heard: str
    said: str

    @classmethod
    def of(cls, row: Classification) -> _Line:
        best = [(label, score) for label, score in row.labels[:3] if score >= 0.1 and score >= row.labels[0][1] / 4]
        nothing = not best or row.other > row.labels[0][1]
        return cls(
            row.start_seconds,
            row.end_seconds,
            "-" if nothing else best[0][0],
            "-" if nothing else ", ".join(f"{label} {score:.2f}" for label, score in best),
            _cell(row.modalities["video"], "video"),
            _cell(row.modalities["audio"], "audio"),
            _cell(row.modalities["text"], "text"),
        )

    def cells(self) -> tuple[str, ...]:
        return (
            f"{_clock(self.start_seconds)}-{_clock(self.end_seconds)}",
            self.found_scores,
            self.seen,
            self.heard,
            self.said,
        )


def _table(lines: Sequence[_Line]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("time", "found", "seen", "heard", "said"):
        table.add_column(heading, min_width=10 if heading == "time" else None, no_wrap=heading in ("time", "found"))
    shown = lines if len(lines) <= _MAX_LINES else _merge(lines)
    for line in shown[:_MAX_LINES]:
        table.add_row(*map(Text, line.cells()))
    if len(shown) > _MAX_LINES:
        table.add_row("...", f"{len(shown) - _MAX_LINES} more")
    return table


def _merge(lines: Sequence[_Line]) -> list[_Line]:
    """Joins neighbours that found the same."""
    spans: list[list[_Line]] = []
    for line in lines:
        if spans and spans[-1][-1].found == line.found:
            spans[-1].append(line)
        else:
            spans.append([line])
    return [
        _Line(
            span[0].start_seconds,
            span[-1].end_seconds,
            span[0].found,
            span[0].found,
            seen=_commonest([line.seen for line in span]),
            heard=_commonest([line.heard for line in span]),
            said=_commonest([line.said for line in span]),
        )
        for span in spans
    ]


def _commonest(cells: Sequence[str]) -> str:
    """What most of the cells name, without its scores."""
    return Counter(re.sub(r" [0-9.]+$", "", cell) for cell in cells).most_common(1)[0][0]


def _cell(result: ModalityResult, modality: Modality) -> str:
    if result.labels and result.labels[0][1] >= 0.1:
        label, score = result.labels[0]
        return f"{label} {score:.2f}"
    if result.status.usable:
        return "-"
    return "" if modality == "text" else f"({result.status})"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    tenths = f"{rest:04.1f}".removesuffix(".0")
    return f"{hours}:{minutes:02d}:{tenths}" if hours else f"{minutes}:{tenths}"
