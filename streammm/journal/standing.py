"""How a run stands: its sources by status, and what was counted of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from streammm.journal.records import DONE, QUARANTINED, SKIPPED, TODO, SourceState
from streammm.journal.tables import ENTRIES, SOURCES, pairs
from streammm.types import SourceReport


def summary(connection: Connection) -> dict[str, Any]:
    """See `Journal.summary`."""
    statuses = pairs(connection, select(SOURCES.c.status, func.count()).group_by(SOURCES.c.status))
    reasons = connection.execute(
        select(SOURCES.c.status, SOURCES.c.reason, func.count())
        .where(SOURCES.c.status.in_((QUARANTINED, SKIPPED)))
        .group_by(SOURCES.c.status, SOURCES.c.reason)
    ).all()
    names = ("next_segment", "media_seconds", "num_errors", "num_restarts", "num_events")
    sums = connection.execute(select(*(func.coalesce(func.sum(SOURCES.c[name]), 0) for name in names))).one()
    segments = connection.scalar(
        select(func.count()).where(ENTRIES.c.kind == "quarantine", ENTRIES.c.segment.is_not(None))
    )
    return {
        "sources": {status: statuses.get(status, 0) for status in (TODO, DONE, QUARANTINED, SKIPPED)},
        "quarantined": {reason: count for status, reason, count in reasons if status == QUARANTINED},
        "skipped": {reason: count for status, reason, count in reasons if status == SKIPPED},
        "segments": int(sums[0]),
        "media_seconds": float(sums[1]),
        "errors": int(sums[2]),
        "restarts": int(sums[3]),
        "events": int(sums[4]),
        "quarantined_segments": segments or 0,
    }


def done(connection: Connection, limit: int | None) -> dict[str, float]:
    """Sources that were done to their end, each with its seconds of media; the first so many."""
    query = select(SOURCES.c.name, SOURCES.c.media_seconds).where(SOURCES.c.status == DONE).limit(limit)
    return pairs(connection, query)


def page(
    connection: Connection, statuses: Sequence[str], after: int, limit: int
) -> tuple[list[SourceState], int | None]:
    """Sources of some statuses after a key, in the order in which they were registered.

    Returns:
        So many of them, and the key after which there are more; None if these were the last.
    """
    columns = ("name", "status", "reason", "next_segment", "media_seconds", "num_errors", "last_error")
    query = select(SOURCES.c.id, *(SOURCES.c[name] for name in columns), SOURCES.c.num_restarts)
    query = query.where(SOURCES.c.status.in_(statuses), SOURCES.c.id > after).order_by(SOURCES.c.id).limit(limit)
    found = connection.execute(query).all()
    states = [
        SourceState(name, status, reason, SourceReport(name, *counted)) for _, name, status, reason, *counted in found
    ]
    return states, found[-1][0] if len(found) == limit else None
