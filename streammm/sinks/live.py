"""Live sources on the terminal: a line a segment as it comes, and a line for everything that was done to keep up."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from streammm.sinks.lines import found_in
from streammm.types import Classification, LiveState

_MAX_LATENCIES = 10_000

_COUNTS = (
    ("num_reconnects", "connected again"),
    ("num_reopens", "opened again"),
    ("num_dropped_segments", "segments dropped"),
    ("num_jumps", "jumps in time mended"),
    ("num_shed_steps", "changes of what is decoded"),
)


@dataclass(slots=True)
class LiveLines:
    """Shows the rows of live sources; keeps no more of them than their latencies, the last ten thousand."""

    console: Console
    _states: dict[str, LiveState] = field(default_factory=dict)
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_MAX_LATENCIES))

    def show(self, row: Classification) -> None:
        """Takes the next row of a live source."""
        assert row.live is not None
        self._show_changes(row, row.live)
        self._states[row.source] = row.live
        at = datetime.fromtimestamp(row.live.start_unix_seconds).astimezone().strftime("%H:%M:%S")
        where = f"{at}  {row.source}" if len(self._states) > 1 else at
        if row.outage:
            length = row.end_seconds - row.start_seconds
            self._print("outage", f"{where}  nothing for {length:.1f} s: {row.outage}")
            return
        self._latencies.append(row.latency_seconds)
        self.console.print(f"{where}  {found_in(row)}", highlight=False, markup=False, soft_wrap=True)

    def show_event(self, told: Mapping[str, Any]) -> None:
        """Takes what became of an event of a live source; a line where it begins and where it ends."""
        start, end = (datetime.fromisoformat(told["live"][name]).astimezone() for name in ("start", "end"))
        where = f"{start:%H:%M:%S}  {told['source']}" if len(self._states) > 1 else f"{start:%H:%M:%S}"
        if told["state"] == "open":
            self._print("event", f"{where}  {told['label']} began, {told['score']:.2f}")
        elif told["state"] == "close":
            length = told["end_seconds"] - told["start_seconds"]
            best = f"{told['peak_score']:.2f} at most"
            self._print("event", f"{where}  {told['label']} ended at {end:%H:%M:%S}, after {length:.1f} s, {best}")

    def summary(self) -> str:
        """What is to be said of all live sources at the end, to follow the run's own line."""
        if not self._states:
            return ""
        text = ""
        if len(self._latencies) > 1:
            cuts = statistics.quantiles(self._latencies, n=20)
            text += f"; live: latency p50 {cuts[9]:.2f} s, p95 {cuts[18]:.2f} s"
        for name, words in _COUNTS:
            if total := sum(getattr(state, name) for state in self._states.values()):
                text += f", {total} {words}"
        if lost := sum(state.outage_seconds for state in self._states.values()):
            text += f", {lost:.0f} s of outages"
        return text

    def _show_changes(self, row: Classification, state: LiveState) -> None:
        before = self._states.get(row.source, LiveState(0.0, 0.0))
        for name, words in _COUNTS:
            if (more := getattr(state, name) - getattr(before, name)) > 0:
                detail = f" (now leaves out: {state.shed})" if name == "num_shed_steps" else ""
                self._print("live", f"{row.source}: {words}: {more}, {getattr(state, name)} in all{detail}")

    def _print(self, what: str, text: str) -> None:
        self.console.print(Text.assemble((what, "bold yellow"), " ", text), soft_wrap=True)
