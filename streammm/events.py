"""Scores of one source, segment by segment -> events: when a label began, went on and ended.

Input: the times and the scores of one segment after the other; output: what became of events with it. Each label has a
score at which an event opens and a lower one under which it ends, so that a score about one threshold does not make an
event of every segment. What is remembered is a few numbers a label, however long a source lasts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from streammm.types import SCHEMA_VERSION

_SAME_SECONDS = 1e-6
"""Times that differ by less are the same: rows hold six digits, and an end and the next start are worked out apart."""

State = dict[str, npt.NDArray[Any]]
"""What is remembered of one source: arrays of float64 and int64, [K] or of one number."""

_IDLE, _ON, _RESTING = range(3)  # resting: the score fell, and what follows may still be the same event


@dataclass(frozen=True, slots=True)
class Event:
    """A label that holds for a time, [start_seconds, end_seconds), as far as it is known when this is made.

    ``peak_score`` and ``mean_score`` are over the ``num_segments`` in which the label was on; ``score`` is that of the
    last of them, which added the time from ``last_start_seconds`` on. ``opened_seconds`` is the end of the segment with
    which the event was first told, before which nobody could know of it.
    """

    source: str
    label: str
    start_seconds: float
    end_seconds: float
    last_start_seconds: float
    score: float
    peak_score: float
    mean_score: float
    num_segments: int
    opened_seconds: float
    state: Literal["open", "update", "close"]

    @property
    def id(self) -> str:
        """The same for the same source, label and start: what is open, goes on and closes is one event."""
        key = f"{self.source}\0{self.label}\0{self.start_seconds:.6f}"
        return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:32]

    def to_json(self) -> dict[str, Any]:
        """The event as plain JSON types."""
        return {
            "id": self.id,
            "schema": SCHEMA_VERSION,
            "source": self.source,
            "label": self.label,
            "state": self.state,
            "start_seconds": round(self.start_seconds, 6),
            "end_seconds": round(self.end_seconds, 6),
            "opened_seconds": round(self.opened_seconds, 6),
            "last_start_seconds": round(self.last_start_seconds, 6),
            "score": round(self.score, 6),
            "peak_score": round(self.peak_score, 6),
            "mean_score": round(self.mean_score, 6),
            "segments": self.num_segments,
        }


class EventTracker:
    """Follows every label of one source on its own.

    A label is on from the first score of at least ``on`` for as long as scores are at least ``off`` and no more than
    ``gap_seconds`` are missing between segments. Times on with at most ``merge_seconds`` between them are one event,
    and events shorter than ``least_seconds`` are none. So an event is opened once it is long enough, is updated with
    every segment in which it is on, also after a rest, and is closed only when so much time has passed that nothing
    can be merged with it any more; its end is that of the last segment in which it was on.

    A segment that overlaps the one before counts for the time that it adds. Where a clock was set back, all events
    close, and it starts anew.

    Args:
        source: what the events are of.
        labels: K names.
        on: the score that opens, one or one a label.
        off: the score under which it ends, one or one a label.
        gap_seconds: a longer stretch without segments ends an event.
        merge_seconds: a longer pause parts two events, one or one a label.
        least_seconds: the length from its start to its end below which an event is dropped, one or one a label.
        state: of another tracker of the same source and settings, which this one goes on from.

    Raises:
        ValueError: a score or time that cannot be meant.
    """

    def __init__(
        self,
        source: str,
        labels: Sequence[str],
        *,
        on: float | npt.ArrayLike = 0.5,
        off: float | npt.ArrayLike = 0.4,
        gap_seconds: float = 1.0,
        merge_seconds: float | npt.ArrayLike = 0.0,
        least_seconds: float | npt.ArrayLike = 0.0,
        state: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> None:
        self.source = source
        self.labels = tuple(labels)
        self.on, self.off, self.merge_seconds, self.least_seconds = (
            np.broadcast_to(np.asarray(value, np.float64), (len(self.labels),))
            for value in (on, off, merge_seconds, least_seconds)
        )
        self.gap_seconds = gap_seconds
        if not (self.off <= self.on).all():
            raise ValueError(f"off must not be above on, got {self.off} and {self.on}")
        for name, value in (("gap", gap_seconds), ("merge", self.merge_seconds), ("least", self.least_seconds)):
            if not np.all(np.asarray(value) >= 0):
                raise ValueError(f"{name}_seconds must be zero or more, got {value}")
        self._state = self._nothing() if state is None else {k: np.array(v) for k, v in state.items()}

    @property
    def state(self) -> State:
        """A copy of what is remembered; a tracker made with it goes on as this one does."""
        return {name: value.copy() for name, value in self._state.items()}

    @property
    def num_dropped(self) -> int:
        """How many events were shorter than ``least_seconds``."""
        return int(self._state["num_dropped"])

    def push(self, start_seconds: float, end_seconds: float, scores: npt.ArrayLike) -> list[Event]:
        """The next segment: what closes with it, then what opens and goes on, each in the order of the labels.

        Args:
            scores: float [K].

        Raises:
            ValueError: the segment covers no time, or there is not one score a label.
        """
        values = np.asarray(scores, np.float64)
        if values.shape != (len(self.labels),) or np.isnan(values).any():
            raise ValueError(f"there must be a score for each of {len(self.labels)} labels, got {values}")
        if not end_seconds > start_seconds:
            raise ValueError(f"a segment must cover time, got [{start_seconds}, {end_seconds})")
        closed = self.flush() if start_seconds < self._state["start_seconds"] else []
        now = self._state
        begins = min(float(np.fmax(start_seconds, now["end_seconds"])), end_seconds)
        ends = float(np.fmax(end_seconds, now["end_seconds"]))
        closed += self.skip(begins)
        is_on = values >= np.where(now["phase"] == _ON, self.off, self.on)
        fresh = is_on & (now["phase"] == _IDLE)
        for name, first in (("from", begins), ("peak", -np.inf), ("sum", 0.0), ("count", 0), ("opened", np.nan)):
            now[name][fresh] = first
        now["phase"][~is_on & (now["phase"] == _ON)] = _RESTING
        now["phase"][is_on] = _ON
        now["to"][is_on] = ends
        now["last"][is_on] = begins
        now["score"][is_on] = values[is_on]
        now["peak"][is_on] = np.maximum(now["peak"], values)[is_on]
        now["sum"][is_on] += values[is_on]
        now["count"][is_on] += 1
        now["start_seconds"], now["end_seconds"] = np.array(start_seconds, np.float64), np.array(ends)
        closed += self._close(ends)  # what follows begins no earlier
        told: list[Event] = []
        for k in np.flatnonzero(is_on):
            if not np.isnan(now["opened"][k]):
                told.append(self._event(k, "update"))
            elif now["to"][k] - now["from"][k] >= self.least_seconds[k] - _SAME_SECONDS:
                now["opened"][k] = ends
                told.append(self._event(k, "open"))
        return closed + told

    def skip(self, until_seconds: float) -> list[Event]:
        """Nothing is known of the time up to here: what cannot go on after it closes now, and not with what follows."""
        now = self._state
        if until_seconds - now["end_seconds"] > self.gap_seconds + _SAME_SECONDS:
            now["phase"][now["phase"] == _ON] = _RESTING
        return self._close(until_seconds)

    def flush(self) -> list[Event]:
        """The end of the source: closes what is open, and forgets all."""
        closed = self._close(np.inf)
        self._state = self._nothing() | {"num_dropped": self._state["num_dropped"]}
        return closed

    def _close(self, next_seconds: float) -> list[Event]:
        """Ends the events with which nothing that begins at ``next_seconds`` or later can be merged."""
        now = self._state
        ended = now["phase"] == _RESTING if next_seconds < np.inf else now["phase"] != _IDLE
        ended = np.flatnonzero(ended & (next_seconds - now["to"] > self.merge_seconds + _SAME_SECONDS))
        now["phase"][ended] = _IDLE
        told = [k for k in ended if not np.isnan(now["opened"][k])]
        now["num_dropped"] = np.array(now["num_dropped"] + len(ended) - len(told))
        return [self._event(k, "close") for k in told]

    def _event(self, k: np.intp, state: Literal["open", "update", "close"]) -> Event:
        now = self._state
        return Event(
            source=self.source,
            label=self.labels[k],
            start_seconds=float(now["from"][k]),
            end_seconds=float(now["to"][k]),
            last_start_seconds=float(now["last"][k]),
            score=float(now["score"][k]),
            peak_score=float(now["peak"][k]),
            mean_score=float(now["sum"][k] / now["count"][k]),
            num_segments=int(now["count"][k]),
            opened_seconds=float(now["opened"][k]),
            state=state,
        )

    def _nothing(self) -> State:
        count = len(self.labels)
        return {
            "phase": np.full(count, _IDLE, np.int64),
            "from": np.zeros(count),
            "to": np.zeros(count),
            "last": np.zeros(count),
            "score": np.zeros(count),
            "peak": np.zeros(count),
            "sum": np.zeros(count),
            "count": np.zeros(count, np.int64),
            "opened": np.full(count, np.nan),
            "start_seconds": np.array(np.nan),
            "end_seconds": np.array(np.nan),
            "num_dropped": np.array(0, np.int64),
        }
