"""Events of a run, one after the other -> when somebody is to be told: the rule of one alert, and what it remembers.

Input: rows of events; output: alerts, at most one an event. What is remembered is plain JSON, so that a rule goes on
where it was left, and says the same again of the same events.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from streammm.types import SCHEMA_VERSION

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_SAME_SECONDS = 1e-6
_MAX_REMEMBERED = 4096
"""So many events that are open, and sources that were alerted of, are remembered: the latest."""


@dataclass(frozen=True, slots=True)
class Hours:
    """When a rule holds: from one time of the day to another, on days on which that begins.

    Args:
        spans: minutes of the day from which and up to which; the second may lie on the next day. None: all day.
        weekdays: 0 is Monday; None: all.
        time_zone: None for this machine's.
    """

    spans: tuple[tuple[int, int], ...]
    weekdays: frozenset[int]
    time_zone: tzinfo | None = None

    def hold(self, at: datetime) -> bool:
        """Whether they hold at a time."""
        here = at.astimezone(self.time_zone)
        minute = here.hour * 60 + here.minute
        yesterday = (here - timedelta(days=1)).weekday()
        for start, end in self.spans:
            if start < end:
                if start <= minute < end and here.weekday() in self.weekdays:
                    return True
            elif (minute >= start and here.weekday() in self.weekdays) or (minute < end and yesterday in self.weekdays):
                return True
        return False


def minutes_of(span: str) -> tuple[int, int]:
    """``22:00-06:00`` in minutes of the day.

    Raises:
        ValueError: it is no such span.
    """
    found = re.fullmatch(r"(\d\d?):(\d\d)-(\d\d?):(\d\d)", span.replace(" ", ""))
    if found is None:
        raise ValueError(f"hours have the form 22:00-06:00, got {span!r}")
    from_hour, from_minute, to_hour, to_minute = map(int, found.groups())
    start, end = 60 * from_hour + from_minute, 60 * to_hour + to_minute
    if max(from_minute, to_minute) > 59 or start >= 1440 or end > 1440 or start == end:
        raise ValueError(f"hours have the form 22:00-06:00, got {span!r}")
    return start, end


@dataclass(frozen=True, slots=True)
class Rule:
    """Which events are told, and when.

    Args:
        name: tells its alerts from those of other rules.
        labels: of these; none: of all.
        score: that the label must have all the time.
        duration_seconds: for so long.
        cooldown_seconds: after an alert there is none of the same source for so long, by the source's own time.
        sources: pattern of their names, with * and ?.
        hours: when, by the wall's clock; what is in a file has none, and is left alone where this is set.
    """

    name: str
    labels: frozenset[str] = frozenset()
    score: float = 0.0
    duration_seconds: float = 0.0
    cooldown_seconds: float = 0.0
    sources: str = "*"
    hours: Hours | None = None

    def concerns(self, event: Mapping[str, Any]) -> bool:
        """Whether it is about the label and the source of an event."""
        is_label = not self.labels or event["label"] in self.labels
        return is_label and fnmatch.fnmatchcase(event["source"], self.sources)

    def alert(self, event: Mapping[str, Any], since_seconds: float) -> dict[str, Any]:
        """What is told of an event, as plain JSON types; the id is the same however often that happens."""
        key = f"{self.name}\0{event['id']}"
        return {
            "id": hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:32],
            "schema": SCHEMA_VERSION,
            "alert": self.name,
            "held_seconds": round(event["end_seconds"] - since_seconds, 6),
            "event": dict(event),
        }


class Watch:
    """Watches for one rule over the events of all sources, from the first or from where `state` was."""

    def __init__(self, rule: Rule, state: Mapping[str, Any] | None = None) -> None:
        self.rule = rule
        self._open: dict[str, list[Any]] = {k: list(v) for k, v in (state or {}).get("open", {}).items()}
        self._last: dict[str, float] = dict((state or {}).get("last", {}))

    @property
    def state(self) -> dict[str, Any]:
        """What is remembered, as a copy in plain JSON types."""
        return {"open": {k: list(v) for k, v in self._open.items()}, "last": dict(self._last)}

    def push(self, event: Mapping[str, Any]) -> dict[str, Any] | None:
        """The next row of an event; the alert that it calls for, if it does."""
        if not self.rule.concerns(event):
            return None
        if event["state"] == "close":  # it tells nothing that was not told before
            self._open.pop(event["id"], None)
            return None
        since, until, is_told = self._open.get(event["id"], (None, event["last_start_seconds"], False))
        since = self._since(event, since, until)
        alert = None
        if not is_told and since is not None and self._may_tell(event, since):
            alert, is_told = self.rule.alert(event, since), True
            if self.rule.cooldown_seconds:
                _remember(self._last, event["source"], _clock(event))
        _remember(self._open, event["id"], [since, event["end_seconds"], is_told])
        return alert

    def _since(self, event: Mapping[str, Any], since: float | None, until: float) -> float | None:
        """From when on the score has been high enough; None if it is not."""
        if event["score"] < self.rule.score:
            return None
        if event["state"] == "open":  # of the segments before it was told, only their mean is known
            is_high = event["mean_score"] >= self.rule.score
            return float(event["start_seconds"] if is_high else event["last_start_seconds"])
        goes_on = since is not None and event["last_start_seconds"] <= until + _SAME_SECONDS
        return since if goes_on else float(event["last_start_seconds"])

    def _may_tell(self, event: Mapping[str, Any], since: float) -> bool:
        rule = self.rule
        if event["end_seconds"] - since < rule.duration_seconds - _SAME_SECONDS:
            return False
        if rule.hours is not None and not ("live" in event and rule.hours.hold(_end(event))):
            return False
        last = self._last.get(event["source"])
        return last is None or not 0 <= _clock(event) - last < rule.cooldown_seconds


def age_seconds(event: Mapping[str, Any], now: datetime) -> float:
    """How long ago that was which an event tells; 0 in a file, where there is no such time."""
    return (now - _end(event)).total_seconds() if "live" in event else 0.0


def _clock(event: Mapping[str, Any]) -> float:
    return _end(event).timestamp() if "live" in event else float(event["end_seconds"])


def _end(event: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(event["live"]["end"])


def _remember(memory: dict[str, Any], key: str, value: Any) -> None:
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > _MAX_REMEMBERED:
        del memory[next(iter(memory))]
