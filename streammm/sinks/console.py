"""A run on the terminal: how it goes while it goes, then a table of what was found when."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from streammm.errors import SourceError
from streammm.journal import Entry
from streammm.rows import row_from_json
from streammm.sinks.lines import Line, table_of
from streammm.sinks.live import LiveLines
from streammm.sinks.progress import as_line, as_text
from streammm.types import SourceReport

_MAX_SOURCES = 20
"""The table shows this many sources, the results hold all."""

_MAX_WARNINGS = 1000
"""So many lines about trouble are shown, the quarantine holds all."""

_LINE_SECONDS = 30.0
"""Where there is no terminal, a line says so often how it goes."""


class ConsoleReport:
    """Follows a run on the terminal.

    Args:
        console: where progress and lines about trouble go.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = self._line_shown = time.monotonic()
        self._live = LiveLines(console)
        self._lines: dict[str, list[Line]] = {}
        self._others: set[str] = set()
        self._num_warnings = 0
        self._media_seconds = 0.0
        self.num_rows = 0
        self.num_events = 0
        self.num_failed = 0
        self.num_done = 0
        self.num_skipped = 0
        self.num_before = 0
        self.undelivered: dict[str, int] = {}
        self._outlets: dict[str, dict[str, Any]] = {}
        self._display = Live(
            Text("loading models", style="dim"), console=console, transient=True, auto_refresh=False, screen=False
        )
        if console.is_terminal:
            self._display.start()

    def entries(self, entries: Sequence[Entry]) -> None:
        """Takes what is committed; rows and events of live sources are shown at once."""
        for entry in entries:
            if entry.kind == "quarantine" and entry.segment is not None:
                detail = json.loads(entry.text)["detail"]
                self._warn("quarantined", f"{entry.source}: segment {entry.segment}: {detail}")
            if entry.kind == "event":
                told = json.loads(entry.text)
                self.num_events += told["state"] == "open"
                if "live" in told:
                    self._live.show_event(told)
            if entry.kind != "row":
                continue
            self.num_rows += 1
            shown = entry.source in self._lines or len(self._lines) < _MAX_SOURCES
            if not shown and '"live": {' not in entry.text:
                self._others.add(entry.source)
                continue
            row = row_from_json(json.loads(entry.text))
            if row.live is not None:
                self._live.show(row)
            else:
                self._lines.setdefault(entry.source, []).append(Line.of(row))

    def finished(self, report: SourceReport) -> None:
        """Takes the end of a source."""
        self.num_done += 1
        self._media_seconds += report.media_seconds
        if report.num_errors:
            times = "error" if report.num_errors == 1 else "errors"
            self._warn("damaged", f"{report.source}: {report.num_errors} {times}, the last: {report.last_error}")
        if report.num_restarts:
            self._warn("restarted", f"{report.source}: {report.num_restarts} workers died on it and were replaced")

    def failed(self, error: SourceError) -> None:
        """Takes a source that was given up."""
        self.num_failed += 1
        self._warn("quarantined", str(error))

    def skipped(self, source: str, reason: str, detail: str) -> None:
        """Takes a source that was left out."""
        self.num_skipped += 1
        self._warn("skipped", f"{source}: {detail}")

    def progress(self, snapshot: dict[str, Any]) -> None:
        """Takes how the run stands."""
        self.num_before = snapshot["num_done_before"]
        self.undelivered = snapshot["undelivered"]
        self.outlets(snapshot["outlets"])
        if self._console.is_terminal:
            self._display.update(as_text(snapshot), refresh=True)
        elif time.monotonic() - self._line_shown > _LINE_SECONDS:
            self._line_shown = time.monotonic()
            self._console.print(as_line(snapshot), highlight=False, markup=False, soft_wrap=True)

    def outlets(self, states: dict[str, dict[str, Any]]) -> None:
        """Takes how the sinks stand to which rows are delivered; what changed is said."""
        for name, state in states.items():
            before = self._outlets.get(name, {"error": "", "refused": state["refused"]})
            if state["error"] and not before["error"]:
                self._warn("behind", f"{name} cannot be reached, it is tried again: {state['error']}")
            if before["error"] and not state["error"]:
                self._console.print(Text.assemble(("reached", "bold green"), f" {name} again"), soft_wrap=True)
            if (more := state["refused"] - before["refused"]) > 0:
                self._warn("refused", f"{name} will not take {more} entries, the last: {state['last_refusal']}")
        self._outlets = states

    def why_undelivered(self, name: str) -> str:
        """What a sink last said that did not take everything."""
        return str(self._outlets.get(name, {}).get("error", ""))

    def stopping(self) -> None:
        """Says that the run comes to a stop."""
        self._console.print("[bold yellow]stopping[/] what is under way is still committed; Ctrl-C again stops now")

    def close(self) -> None:
        """Ends the progress display."""
        self._display.stop()

    def table(self) -> Group:
        """What was found when, in all sources."""
        parts: list[RenderableType] = []
        several = len(self._lines) > 1 or self.num_done + self.num_failed > 1
        for source, lines in sorted(self._lines.items()):
            if several:
                parts.append(Text(f"\n{source}" if parts else source, style="bold", no_wrap=True, overflow="ellipsis"))
            parts.append(table_of(lines))
        if self._others:
            parts.append(Text(f"\n{len(self._others)} more sources are in the results", style="dim"))
        return Group(*parts)

    def summary(self) -> str:
        """The run in one line."""
        seconds = time.monotonic() - self._started
        sources = "1 source" if self.num_done == 1 else f"{self.num_done} sources"
        text = f"{self.num_rows} segments of {sources}, {self._media_seconds:.1f} s of media in {seconds:.1f} s"
        if self.num_events:
            text += ", 1 event" if self.num_events == 1 else f", {self.num_events} events"
        text += f", {self.num_failed} quarantined" if self.num_failed else ""
        text += f", {self.num_skipped} skipped" if self.num_skipped else ""
        text += f", {self.num_before} sources were done before" if self.num_before else ""
        return text + self._live.summary()

    def _warn(self, what: str, text: str) -> None:
        self._num_warnings += 1
        if self._num_warnings <= _MAX_WARNINGS:
            self._console.print(Text.assemble((what, "bold yellow"), " ", text), soft_wrap=True)
        if self._num_warnings == _MAX_WARNINGS:
            self._console.print("further lines of this kind are left out here", style="dim")
