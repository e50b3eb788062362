"""Whose each source is, how far it has come and whether it is done, given up or left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, or_, select, update

from streammm.errors import SourceError
from streammm.journal import entries
from streammm.journal.records import (
    DONE,
    QUARANTINED,
    REMOVED,
    SKIPPED,
    TODO,
    Commit,
    Cursor,
    Lease,
    quarantine_entry,
)
from streammm.journal.tables import ENTRIES, SOURCES, by_name

_CURSOR = tuple(each.name for each in fields(Cursor))


def register(connection: Connection, names: Sequence[str], reopen: Iterable[str]) -> dict[str, str]:
    """See `Journal.register`."""
    known = by_name(connection, names, SOURCES.c.status)
    for name in reopen:
        if known.get(name) == DONE:
            connection.execute(update(SOURCES).where(SOURCES.c.name == name).values(status=TODO))
            known[name] = TODO
    if new := [{"name": name} for name in dict.fromkeys(names) if name not in known]:
        connection.execute(insert(SOURCES), new)
    return {name: known.get(name, TODO) for name in names}


def lease(connection: Connection, name: str) -> Lease | None:
    """Gives a source to the caller from its cursor on; None if it is done or given up."""
    epoch = connection.scalar(
        update(SOURCES)
        .where(SOURCES.c.name == name, SOURCES.c.status == TODO)
        .values(epoch=SOURCES.c.epoch + 1)
        .returning(SOURCES.c.epoch)
    )
    if epoch is None:
        return None
    row = connection.execute(select(SOURCES).where(SOURCES.c.name == name)).one()
    return Lease(epoch, Cursor(**{name: getattr(row, name) for name in _CURSOR}))


def take(connection: Connection, commit: Commit) -> int | None:
    """Takes a commit: how many entries it adds; None if its lease is out of date."""
    cursor = commit.cursor
    found = connection.execute(
        select(SOURCES.c.id, SOURCES.c.epoch, SOURCES.c.next_segment, SOURCES.c.status).where(
            SOURCES.c.name == commit.name
        )
    ).one_or_none()
    if found is None or found.epoch != commit.epoch or cursor.next_segment < found.next_segment:
        return None
    if found.status != TODO:
        return 0
    values: dict[str, Any] = {key: getattr(cursor, key) for key in _CURSOR}
    if commit.is_done:
        values |= {"status": DONE, "state": None}
    connection.execute(update(SOURCES).where(SOURCES.c.id == found.id).values(values))
    first = 0 if commit.is_done else found.next_segment  # the end closes events with a segment that was there
    new = [e for e in commit.entries if e.segment is not None and e.segment >= first]
    return entries.add(connection, found.id, new)


def quarantine(connection: Connection, error: SourceError) -> int:
    """Gives a source up; how many entries that adds."""
    found = connection.scalar(
        update(SOURCES)
        .where(SOURCES.c.name == error.source, SOURCES.c.status == TODO)
        .values(status=QUARANTINED, reason=error.reason, epoch=SOURCES.c.epoch + 1)
        .returning(SOURCES.c.id)
    )
    return 0 if found is None else entries.add(connection, found, [quarantine_entry(error)])


def skip(connection: Connection, name: str, reason: str) -> None:
    """Notes that a source is left out on purpose."""
    values = {"status": SKIPPED, "reason": reason}
    waits = (SOURCES.c.name == name, SOURCES.c.status == TODO, SOURCES.c.next_segment == 0)
    connection.execute(update(SOURCES).where(*waits).values(values))
    if not by_name(connection, [name], SOURCES.c.status):
        connection.execute(insert(SOURCES).values(name=name, **values))


def remove(connection: Connection, name: str) -> None:
    """Leaves a source out from here on."""
    connection.execute(
        update(SOURCES)
        .where(SOURCES.c.name == name, SOURCES.c.status == TODO)
        .values(status=SKIPPED, reason=REMOVED, epoch=SOURCES.c.epoch + 1)
    )


def put_back(connection: Connection, name: str) -> str:
    """Puts a source back that was removed or given up; its status until now, "" if neither."""
    left = or_(SOURCES.c.status == QUARANTINED, and_(SOURCES.c.status == SKIPPED, SOURCES.c.reason == REMOVED))
    status = connection.scalar(select(SOURCES.c.status).where(SOURCES.c.name == name, left))
    if status is not None:
        connection.execute(update(SOURCES).where(SOURCES.c.name == name).values(status=TODO, reason=""))
    return str(status or "")


def retry_skipped(connection: Connection, reason: str) -> None:
    """Puts sources that were left out for a reason back."""
    left_out = (SOURCES.c.status == SKIPPED, SOURCES.c.reason == reason)
    connection.execute(update(SOURCES).where(*left_out).values(status=TODO, reason=""))


def retry_quarantined(connection: Connection) -> int:
    """Puts sources that were given up back, from their cursors on; how many."""
    given_up = select(SOURCES.c.id).where(SOURCES.c.status == QUARANTINED)
    connection.execute(delete(ENTRIES).where(ENTRIES.c.source.in_(given_up), ENTRIES.c.segment.is_(None)))
    done = connection.execute(update(SOURCES).where(SOURCES.c.status == QUARANTINED).values(status=TODO, reason=""))
    return int(done.rowcount)
