"""What goes into a journal and comes out of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from streammm.errors import SourceError, StreammmError
from streammm.types import SCHEMA_VERSION, SourceReport

TODO, DONE, QUARANTINED, SKIPPED = STATUSES = "todo", "done", "quarantined", "skipped"

EMBEDDINGS = "embeddings"
"""The kind of the entries that hold them: by far the largest, and read only by who asks for them."""


REMOVED = "removed"
"""Why a source is skipped that was taken out of a run by hand."""


class JournalError(StreammmError):
    """The journal cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a source has come: the next segment to do, the state before it, and what was counted so far.

    ``state``, of fusion and events, is what safetensors makes of the tensors, None at the beginning.
    """

    next_segment: int = 0
    state: bytes | None = None
    media_seconds: float = 0.0
    num_errors: int = 0
    last_error: str = ""
    num_restarts: int = 0
    num_events: int = 0

    def report(self, source: str) -> SourceReport:
        """The same as what is told of a source."""
        return SourceReport(
            source, self.next_segment, self.media_seconds, self.num_errors, self.last_error, self.num_restarts
        )


@dataclass(frozen=True, slots=True)
class SourceState:
    """How a source stands: its status, why it was given up or left out, and what was counted of it so far.

    ``status`` is todo, done, quarantined or skipped.
    """

    name: str
    status: str
    reason: str
    counted: SourceReport


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to commit to a source, until somebody else leases it."""

    epoch: int
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Entry:
    """What is committed of a segment: a ``row``, an ``event``, or the ``quarantine`` of it or (None) of a whole source.

    ``text`` is a line of JSON. ``position`` grows from entry to entry of a journal; 0 before it is committed. ``item``
    tells several of a kind in one segment apart.
    """

    source: str
    segment: int | None
    kind: str
    text: str
    position: int = 0
    item: int = 0


@dataclass(frozen=True, slots=True)
class Commit:
    """What one source has made: entries of segments, and the cursor after them. ``is_done`` if there is no more."""

    name: str
    epoch: int
    entries: Sequence[Entry]
    cursor: Cursor
    is_done: bool = False


def quarantine_entry(error: SourceError, segment: int | None = None) -> Entry:
    """The entry for a source, or one segment of it, that was given up."""
    found: dict[str, str | int] = {
        "schema": SCHEMA_VERSION,
        "source": error.source,
        "reason": error.reason,
        "detail": error.detail,
    }
    if segment is not None:
        found |= {"segment": segment}
    return Entry(error.source, segment, "quarantine", json.dumps(found, ensure_ascii=False))
