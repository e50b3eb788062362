"""An alert as a reader of the journal with a cursor of its own: events in, and what its rule says out to its target.

So an alert waits while its target is down, and goes on after a restart. It is told at least once, in all tellings with
the same id: again only where streammm dies between telling and noting it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from streammm.alerts import Rule, Watch, age_seconds
from streammm.journal import Entry
from streammm.sinks.base import Outlet, Written, data_of

_BATCH_ENTRIES = 20
"""So many events are gone through between two notes of what was told."""


class Alert:
    """Tells a target of the events that a rule is about.

    Args:
        rule: says of which, and when.
        target: takes entries of the kind ``alert``.
        max_age_seconds: what a live source showed longer ago is not told any more; it is counted as refused.
    """

    kinds: tuple[str, ...] = ("event",)
    batch_entries = _BATCH_ENTRIES
    linger_seconds = 0.0

    def __init__(self, rule: Rule, target: Outlet, max_age_seconds: float) -> None:
        self.name = rule.name
        self._rule = rule
        self._target = target
        self._max_age_seconds = max_age_seconds
        self._watch = Watch(rule)
        self._position = 0
        self._told: set[str] = set()

    def start(self, position: int, mark: Any, run: str) -> int:
        self._watch = Watch(self._rule, mark)
        self._position = position
        self._target.start(position, None, run)
        return position

    def write(self, entries: Sequence[Entry]) -> Written:
        watch = Watch(self._rule, self._watch.state)
        refused: dict[int, str] = {}
        told_here: set[str] = set()
        for entry in entries:
            event = data_of(entry)
            is_second_time = entry.position <= self._position  # it was refused, and is asked for all the same
            alert = self._rule.alert(event, event["start_seconds"]) if is_second_time else watch.push(event)
            if alert is None:
                continue
            if alert["id"] in self._told:
                told_here.add(alert["id"])
                continue
            if not is_second_time and (age := age_seconds(event, datetime.now(UTC))) > self._max_age_seconds:
                refused[entry.position] = f"{age:.0f} s old, more than max_age_seconds, {self._max_age_seconds:g}"
                continue
            told = Entry(entry.source, entry.segment, "alert", json.dumps(alert), entry.position)
            if failure := self._target.write([told]).refused:
                refused |= failure
            else:
                self._told.add(alert["id"])  # should a later one of these fail, all come again
                told_here.add(alert["id"])
        self._watch = watch
        self._told -= told_here
        self._position = max([self._position, *(entry.position for entry in entries)])
        return Written(watch.state, refused, len(told_here))

    def close(self) -> None:
        self._target.close()
