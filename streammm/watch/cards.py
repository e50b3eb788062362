"""What a run tells -> a card for each source, of bounded size: what is found now, and what was in the last minutes.

Reads a run as any observer does, and knows nothing of who looks. A change has a number; whoever looks asks for all that
is newer than the last number it had, so that a slow reader costs nothing and misses nothing that still counts.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streammm.errors import SourceError
from streammm.journal import Entry
from streammm.types import SourceReport

KEPT_SECONDS = 300.0
"""So much of each source is shown."""

MAX_CARDS = 200
_MAX_ROWS = 600
_MAX_EVENTS = 30
_MAX_LABELS = 8
_MAX_TEXT = 300

_OVER = ("done", "quarantined", "skipped", "removed")
"""Of these cards the oldest make room for others."""

_ALONE = {"seen": "video", "heard": "audio", "said": "text"}
_COUNTS = ("reconnects", "dropped_segments", "outage_seconds", "reopens", "jumps")


@dataclass(slots=True)
class Card:
    """One source. ``changed`` is the number of its last change, each row has that of its coming."""

    id: str
    name: str
    state: str = "waiting"
    detail: str = ""
    live: dict[str, Any] | None = None
    num_rows: int = 0
    changed: int = 0
    rows: deque[tuple[int, dict[str, Any]]] = field(default_factory=lambda: deque(maxlen=_MAX_ROWS))
    events: OrderedDict[str, dict[str, Any]] = field(default_factory=OrderedDict)
    jpeg: bytes = b""
    picture: int = 0

    def to_json(self) -> dict[str, Any]:
        """The card without its rows, as plain JSON types."""
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "detail": self.detail,
            "live": self.live,
            "segments": self.num_rows,
            "picture": self.picture,
            "events": list(reversed(self.events.values())),
        }

    def rows_after(self, number: int) -> list[dict[str, Any]]:
        """The rows that came after a change, in order."""
        return [row for came, row in self.rows if came > number]

    @property
    def latest(self) -> dict[str, Any] | None:
        """The last row; None if there is none."""
        return self.rows[-1][1] if self.rows else None


class Cards:
    """The cards of a run, in the order in which sources came.

    ``number`` counts changes. ``run`` is how the run stands, ``is_over`` whether it has ended.
    """

    def __init__(self) -> None:
        self.number = 0
        self.run: dict[str, Any] = {}
        self.run_changed = 0
        self.order_changed = 0
        self.is_over = False
        self._cards: dict[str, Card] = {}
        self._by_id: dict[str, Card] = {}

    def __iter__(self) -> Any:
        return iter(list(self._cards.values()))

    def __len__(self) -> int:
        return len(self._cards)

    def by_id(self, id_: str) -> Card | None:
        """The card with an id; None if there is none."""
        return self._by_id.get(id_)

    # what a run tells its observers

    def entries(self, entries: Sequence[Entry]) -> None:
        """Takes rows and events."""
        for entry in entries:
            if entry.kind == "row":
                self._take_row(self._card(entry.source), json.loads(entry.text))
            elif entry.kind == "event":
                self._take_event(self._card(entry.source), json.loads(entry.text))
            elif entry.kind == "quarantine" and entry.segment is not None:
                found = json.loads(entry.text)
                card = self._card(entry.source)
                card.detail = f"segment {entry.segment}: {found['detail']}"[:_MAX_TEXT]
                self._touch(card)

    def finished(self, report: SourceReport) -> None:
        """Takes the end of a source."""
        errors = f"{report.num_errors} errors, the last: {report.last_error}" if report.num_errors else ""
        self._end(report.source, "done", errors)

    def failed(self, error: SourceError) -> None:
        """Takes a source that was given up."""
        self._end(error.source, "quarantined", f"{error.reason}: {error.detail}")

    def skipped(self, source: str, reason: str, detail: str) -> None:
        """Takes a source that was left out."""
        self._end(source, "removed" if reason == "removed" else "skipped", detail)

    def progress(self, snapshot: Mapping[str, Any]) -> None:
        """Takes how the run stands."""
        self.run = {
            "sources": snapshot["num_listed"],
            "ended": snapshot["num_ended"],
            "under_way": snapshot["num_under_way"],
            "paused": snapshot["num_paused"],
            "quarantined": snapshot["num_quarantined"],
            "skipped": snapshot["num_skipped"],
            "segments": snapshot["num_rows"],
            "media_seconds_per_second": round(snapshot["media_seconds_per_second"], 2),
            "limited_by": snapshot["limited_by"],
            "unreachable": [name for name, state in snapshot["outlets"].items() if state["error"]],
        }
        self.number += 1
        self.run_changed = self.number

    # what is asked of the run from time to time

    def stand(self, standing: Mapping[str, str]) -> None:
        """Takes how the sources stand that are not over, by name."""
        for name, state in standing.items():
            card = self._card(name)
            if card.state != state:
                card.state = state
                if state == "working":
                    card.detail = ""
                self._touch(card)

    def show(self, pictures: Mapping[str, bytes]) -> None:
        """Takes the last pictures of sources, as JPEG."""
        for name, jpeg in pictures.items():
            if (card := self._cards.get(name)) is not None:
                card.jpeg = jpeg
                self._touch(card)
                card.picture = self.number

    def close(self) -> None:
        """The run is over."""
        self.is_over = True
        self.number += 1
        self.run_changed = self.number

    def _card(self, name: str) -> Card:
        if (card := self._cards.get(name)) is None:
            self._make_room()
            card = Card(hashlib.sha256(name.encode()).hexdigest()[:16], name)
            self._cards[name] = self._by_id[card.id] = card
            self._touch(card)
            self.order_changed = self.number
        return card

    def _make_room(self) -> None:
        while len(self._cards) >= MAX_CARDS:
            over = next((card for card in self._cards.values() if card.state in _OVER), None)
            gone = over or next(iter(self._cards.values()))
            del self._cards[gone.name], self._by_id[gone.id]

    def _touch(self, card: Card) -> None:
        self.number += 1
        card.changed = self.number

    def _end(self, name: str, state: str, detail: str) -> None:
        card = self._card(name)
        card.state, card.detail = state, detail[:_MAX_TEXT]
        self._touch(card)

    def _take_row(self, card: Card, row: Mapping[str, Any]) -> None:
        live = row.get("live")
        if live is not None:
            card.live = {"lag_seconds": live["lag_seconds"], **{name: live[name] for name in _COUNTS}}
        card.num_rows += 1
        self._touch(card)
        card.rows.append((self.number, _compact(row)))
        oldest = row["end_seconds"] - KEPT_SECONDS
        while card.rows[0][1]["end"] <= oldest:
            card.rows.popleft()

    def _take_event(self, card: Card, event: Mapping[str, Any]) -> None:
        live = event.get("live", {})
        card.events[event["id"]] = {
            "id": event["id"],
            "label": event["label"],
            "state": event["state"],
            "start": event["start_seconds"],
            "end": event["end_seconds"],
            "at": live.get("start"),
            "score": round(max(event.get("peak_score", 0.0), event.get("score", 0.0)), 3),
        }
        if len(card.events) > _MAX_EVENTS:
            card.events.popitem(last=False)
        self._touch(card)


def _compact(row: Mapping[str, Any]) -> dict[str, Any]:
    """Of a row what is shown."""
    modalities = row["modalities"]
    return {
        "start": round(row["start_seconds"], 3),
        "end": round(row["end_seconds"], 3),
        "at": row["live"]["start"] if "live" in row else None,
        "outage": row.get("outage", "")[:_MAX_TEXT],
        "found": _pairs(row["labels"], _MAX_LABELS),
        "other": round(row["other"], 3),
        "alone": {
            word: {
                "status": modalities[m]["status"],
                "weight": round(modalities[m]["weight"], 3),
                "labels": _pairs(modalities[m]["labels"], 3),
            }
            for word, m in _ALONE.items()
        },
    }


def _pairs(labels: Sequence[Mapping[str, Any]], most: int) -> list[list[Any]]:
    return [[one["label"], round(one["score"], 3)] for one in labels[:most]]
