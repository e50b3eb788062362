"""Rows of one source -> rows of events: what opens, goes on and closes with each segment, as it is committed with it.

Input: classifications in order; output: JSON of what became of events. Scores and times are taken with the digits that
a row holds, so that events follow from rows, and are the same wherever and in whatever pieces these were made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from streammm.events import Event, EventTracker
from streammm.types import Classification

State = dict[str, npt.NDArray[Any]]

_JUMP_SECONDS = 5.0
"""By so much a live source's clock may move against the wall's: with more somebody was away, or set a clock."""

_BEFORE, _NOW, _AT_END = range(3)
"""What can become of events of one label in one segment: one closes, one opens or goes on, and the source ends."""


@dataclass(frozen=True, slots=True)
class EventSettings:
    """What makes an event of each of K labels; see `EventTracker`. ``model`` is what rows say made them."""

    labels: tuple[str, ...]
    open_scores: tuple[float, ...]
    close_scores: tuple[float, ...]
    min_seconds: tuple[float, ...]
    merge_seconds: tuple[float, ...]
    gap_seconds: float
    model: str


@dataclass(frozen=True, slots=True)
class EventRow:
    """What became of an event with a segment. ``item`` tells it from all else that is told with that segment."""

    segment: int
    item: int
    fields: dict[str, Any]


class EventRows:
    """The events of one source, from its beginning or from where `state` was.

    An outage closes what cannot go on after it. Where a live source's clock has moved against the wall's, since the
    run was stopped for a while or a clock was set, all events close.

    Args:
        source: what the rows are of.
        settings: what makes an event.
        state: of another one with the same settings.

    ``num_opened`` counts the events that were told so far.
    """

    def __init__(
        self, source: str, settings: EventSettings, state: Mapping[str, npt.NDArray[Any]] | None = None
    ) -> None:
        self._settings = settings
        self._number = {label: k for k, label in enumerate(settings.labels)}
        state = dict(state or self._nothing())
        self.num_opened = int(state.pop("num_opened"))
        self._segment = int(state.pop("segment"))
        self._clock = float(state.pop("clock"))
        self._clocks = state.pop("clocks").copy()
        self._tracker = EventTracker(
            source,
            settings.labels,
            on=settings.open_scores,
            off=settings.close_scores,
            gap_seconds=settings.gap_seconds,
            merge_seconds=settings.merge_seconds,
            least_seconds=settings.min_seconds,
            state=state or None,
        )

    @property
    def state(self) -> State:
        """What is remembered, as a copy: arrays of float64 and int64, [K] or of one number."""
        return self._tracker.state | {
            "num_opened": np.array(self.num_opened),
            "segment": np.array(self._segment),
            "clock": np.array(self._clock),
            "clocks": self._clocks.copy(),
        }

    def push(self, row: Classification) -> list[EventRow]:
        """The next row of the source."""
        self._segment = row.segment
        start, end = round(row.start_seconds, 6), round(row.end_seconds, 6)
        if row.outage:
            return self._told(self._tracker.skip(end), _BEFORE)
        told: list[Event] = []
        if row.live is not None:
            clock = row.live.start_unix_seconds - row.start_seconds
            if abs(clock - self._clock) > _JUMP_SECONDS:
                told += self._tracker.flush()
            self._clock = clock
        told += self._tracker.push(start, end, [round(float(score), 6) for score in row.scores])
        return self._told(told, _BEFORE)

    def flush(self) -> list[EventRow]:
        """The end of the source: closes what is open, with the last segment that there was."""
        return self._told(self._tracker.flush(), _AT_END)

    def _told(self, events: Sequence[Event], closing: int) -> list[EventRow]:
        found = []
        for event in events:
            k = self._number[event.label]
            if event.state == "open":
                self._clocks[k] = self._clock
                self.num_opened += 1
            item = 3 * k + (closing if event.state == "close" else _NOW)
            fields = {**event.to_json(), "segment": self._segment, "model": self._settings.model}
            if not math.isnan(self._clocks[k]):
                at = {"start": event.start_seconds, "end": event.end_seconds}
                fields["live"] = {name: _utc(self._clocks[k] + seconds) for name, seconds in at.items()}
            found.append(EventRow(self._segment, item, fields))
        return found

    def _nothing(self) -> State:
        clocks = np.full(len(self._settings.labels), np.nan)
        return {"num_opened": np.array(0), "segment": np.array(0), "clock": np.array(np.nan), "clocks": clocks}


def _utc(unix_seconds: float) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds")
