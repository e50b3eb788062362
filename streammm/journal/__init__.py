"""The journal of a run: what is committed to it, and how sinks read it."""

from streammm.journal.journal import Journal
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
