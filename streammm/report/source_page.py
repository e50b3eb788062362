"""What the page of one source shows: its timeline, events and previews, as ``assets/page.js`` takes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streammm.journal import Journal, JournalError, SourceState
from streammm.report.happenings import committed, listed
from streammm.report.preview import Preview, link
from streammm.report.timeline import Timeline, TimelineBuilder
from streammm.rows import row_from_json
from streammm.types import Classification


@dataclass(frozen=True, slots=True)
class SourcePage:
    """A source as the journal has it."""

    state: SourceState
    timeline: Timeline
    events: list[dict[str, Any]]
    num_more_events: int

    @property
    def name(self) -> str:
        """Its public name."""
        return self.state.name

    def entry(self, href: str) -> dict[str, Any]:
        """Its line in the list of sources."""
        return {
            "name": self.name,
            "href": href,
            "seconds": round(self.state.counted.media_seconds, 3),
            "labels": [[label, round(peak, 3)] for label, peak in self.timeline.peaks()],
            "events": len(self.events) + self.num_more_events,
            "trouble": [*self.timeline.trouble, *self._errors(), *filter(None, [self.state.reason])],
        }

    def _errors(self) -> list[str]:
        num = self.state.counted.num_errors
        return [f"{num:,} error{'s' if num > 1 else ''}"] if num else []

    def to_json(self, media: dict[str, Any], preview: Preview | None) -> dict[str, Any]:
        """Its page.

        Args:
            media: what is to be played: ``src``, or ``why`` there is nothing, and ``kind``, video or audio.
            preview: its sound and pictures, None where they are not shown.
        """
        counted = self.state.counted
        return {
            "name": self.name,
            "reason": self.state.reason,
            "trouble": self.timeline.trouble,
            "counted": {
                "mediaSeconds": counted.media_seconds,
                "errors": counted.num_errors,
                "lastError": counted.last_error,
                "restarts": counted.num_restarts,
            },
            "timeline": self.timeline.to_json(),
            "events": self.events,
            "eventsMore": self.num_more_events,
            "media": media,
            "preview": {} if preview is None else preview.to_json(),
        }


def read_source(journal: Journal, state: SourceState) -> SourcePage:
    """Reads the rows and events of a source.

    Raises:
        JournalError: what is there is none.
    """
    builder = TimelineBuilder(state.counted.num_segments)
    for row in _rows(journal, state.name):
        builder.push(row)
    events = committed(journal, state.name)
    shown = listed(events)
    return SourcePage(state, builder.finish(), shown, len(events) - len(shown))


def media_of(page: SourcePage, path: Path | None, file: Path) -> dict[str, Any]:
    """What a page, to be written to a file, plays: the source's file, if it was found."""
    kind = "audio" if page.timeline.tracks["seen"].is_empty else "video"
    if path is not None:
        return {"src": link(path, file), "kind": kind}
    if page.timeline.wall_seconds is not None:
        return {"why": "It was live: there is nothing to play. ", "kind": kind}
    return {"why": f"The file was not found as {page.name}; --media names the folder that it lies in. ", "kind": kind}


def _rows(journal: Journal, source: str) -> Iterator[Classification]:
    after = -1
    while entries := journal.read_source(source, "row", after):
        for entry in entries:
            try:
                yield row_from_json(json.loads(entry.text))
            except (KeyError, TypeError, ValueError) as error:
                raise JournalError(f"segment {entry.segment} of {source} is not a row: {error}") from error
            after = entry.segment if entry.segment is not None else after
