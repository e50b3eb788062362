"""The journal of a run: what is committed to it, and how sinks read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streammm.journal.records import (
    DONE,
    EMBEDDINGS,
    QUARANTINED,
    REMOVED,
    SKIPPED,
    TODO,
    Commit,
    Cursor,
    Entry,
    JournalError,
    Lease,
    SourceState,
    quarantine_entry,
)

if TYPE_CHECKING:
    from streammm.journal.journal import Journal as Journal

__all__ = [
    "DONE",
    "EMBEDDINGS",
    "QUARANTINED",
    "REMOVED",
    "SKIPPED",
    "TODO",
    "Commit",
    "Cursor",
    "Entry",
    "Journal",
    "JournalError",
    "Lease",
    "SourceState",
    "quarantine_entry",
]


def __getattr__(name: str) -> Any:
    """Loads `Journal` on first use: who only makes or reads entries needs no SQLAlchemy, which takes a while."""
    if name != "Journal":
        raise AttributeError(f"module 'streammm.journal' has no attribute {name!r}")
    from streammm.journal.journal import Journal

    globals()[name] = Journal
    return Journal
