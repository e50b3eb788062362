"""What has been committed: entries, added to the end and read from there on by whoever wants them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select

from streammm.journal.records import EMBEDDINGS, Entry
from streammm.journal.tables import ENTRIES, SOURCES


def add(connection: Connection, source: int, entries: Sequence[Entry]) -> int:
    """Adds entries of a source, named by its key; how many."""
    if entries:
        columns = [
            {"source": source, "segment": e.segment, "kind": e.kind, "item": e.item, "text": e.text} for e in entries
        ]
        connection.execute(insert(ENTRIES), columns)
    return len(entries)


def reading() -> Select[Any, Any]:
    """Entries, as `Entry` takes them."""
    columns = (SOURCES.c.name, *(ENTRIES.c[name] for name in ("segment", "kind", "text", "position", "item")))
    return select(*columns).select_from(ENTRIES).join(SOURCES, SOURCES.c.id == ENTRIES.c.source)


def found(connection: Connection, query: Select[Any, Any]) -> list[Entry]:
    """The entries that such a query finds."""
    rows: Iterable[Any] = connection.execute(query)
    return [Entry(*row) for row in rows]


def read(connection: Connection, after: int, limit: int, source: str | None, kind: str | None) -> list[Entry]:
    """See `Journal.read`."""
    query = reading().where(ENTRIES.c.position > after).order_by(ENTRIES.c.position).limit(limit)
    if source is not None:
        query = query.where(SOURCES.c.name == source)
    query = query.where(ENTRIES.c.kind != EMBEDDINGS if kind is None else ENTRIES.c.kind == kind)
    return found(connection, query)


def read_segments(connection: Connection, source: str, first: int, limit: int) -> list[Entry]:
    """See `Journal.read_segments`."""
    query = reading().where(SOURCES.c.name == source, ENTRIES.c.segment >= first)
    return found(connection, query.order_by(ENTRIES.c.segment, ENTRIES.c.position).limit(limit))


def read_source(connection: Connection, name: str, kind: str, after: int, limit: int) -> list[Entry]:
    """See `Journal.read_source`."""
    of_source = select(SOURCES.c.id).where(SOURCES.c.name == name).scalar_subquery()
    query = (
        select(ENTRIES.c.segment, ENTRIES.c.kind, ENTRIES.c.text, ENTRIES.c.position)
        .where(ENTRIES.c.source == of_source, ENTRIES.c.segment > after, ENTRIES.c.kind == kind)
        .order_by(ENTRIES.c.segment)
        .limit(limit)
    )
    return [Entry(name, *row) for row in connection.execute(query)]


def read_kinds(connection: Connection, after: int, limit: int, kinds: Sequence[str]) -> tuple[list[Entry], int]:
    """See `Journal.read_kinds`."""
    last = last_position(connection)
    query = reading().where(ENTRIES.c.position > after, ENTRIES.c.kind.in_(kinds))
    batch = found(connection, query.order_by(ENTRIES.c.position).limit(limit))
    return batch, batch[-1].position if len(batch) == limit else max(last, after)


def count_after(connection: Connection, position: int, kinds: Sequence[str]) -> int:
    """How many entries of some kinds there are after a position."""
    waiting = (ENTRIES.c.position > position, ENTRIES.c.kind.in_(kinds))
    return connection.scalar(select(func.count()).select_from(ENTRIES).where(*waiting)) or 0


def last_position(connection: Connection) -> int:
    """The position of the last entry; 0 if there is none."""
    return connection.scalar(select(func.max(ENTRIES.c.position))) or 0


def remove_up_to(connection: Connection, upto: int) -> None:
    """Removes entries up to a position."""
    connection.execute(delete(ENTRIES).where(ENTRIES.c.position <= upto))
