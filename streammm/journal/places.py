"""How far each sink has come, the mark that it left there, and what it would not take."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from streammm.journal import entries
from streammm.journal.records import Entry
from streammm.journal.tables import ENTRIES, REFUSED, SINKS, pairs


def find(connection: Connection, sink: str) -> tuple[int, Any]:
    """A sink's position and mark; a sink that is new begins at 0."""
    found = connection.execute(select(SINKS.c.position, SINKS.c.mark).where(SINKS.c.name == sink)).first()
    if found is None:
        connection.execute(insert(SINKS).values(name=sink, position=0, mark="null"))
        return 0, None
    return found[0], json.loads(found[1])


def move(connection: Connection, sink: str, position: int, mark: Any) -> None:
    """Notes where a sink is."""
    values = {"position": position, "mark": json.dumps(mark)}
    connection.execute(update(SINKS).where(SINKS.c.name == sink).values(values))


def leave_out(connection: Connection, sinks: Sequence[str]) -> None:
    """Forgets where sinks are: they begin anew."""
    connection.execute(delete(SINKS).where(SINKS.c.name.in_(sinks)))


def standing(connection: Connection) -> dict[str, dict[str, Any]]:
    """See `Journal.sinks`."""
    last = entries.last_position(connection)
    counts = pairs(connection, select(REFUSED.c.sink, func.count()).group_by(REFUSED.c.sink))
    positions = pairs(connection, select(SINKS.c.name, SINKS.c.position))
    return {
        name: {"behind": max(0, last - position), "refused": counts.get(name, 0)}
        for name, position in positions.items()
    }


def set_aside(connection: Connection, sink: str, refused: Mapping[int, str]) -> None:
    """Notes what a sink will not take and why, by position."""
    for at, reason in refused.items():
        connection.execute(delete(REFUSED).where(REFUSED.c.sink == sink, REFUSED.c.position == at))
        connection.execute(insert(REFUSED).values(sink=sink, position=at, reason=reason))


def refused(connection: Connection, sink: str) -> tuple[int, str]:
    """How many entries a sink would not take, and why not the last of them."""
    count = select(func.count()).where(REFUSED.c.sink == sink)
    last = select(REFUSED.c.reason).where(REFUSED.c.sink == sink).order_by(REFUSED.c.position.desc()).limit(1)
    return connection.scalar(count) or 0, connection.scalar(last) or ""


def read_refused(connection: Connection, sink: str, after: int, limit: int) -> list[Entry]:
    """Entries that a sink would not take, in order."""
    query = entries.reading().join(REFUSED, REFUSED.c.position == ENTRIES.c.position)
    query = query.where(REFUSED.c.sink == sink, ENTRIES.c.position > after)
    return entries.found(connection, query.order_by(ENTRIES.c.position).limit(limit))


def forget_refused(connection: Connection, sink: str, positions: Sequence[int]) -> None:
    """Notes that a sink has taken what it had refused."""
    for position in positions:
        connection.execute(delete(REFUSED).where(REFUSED.c.sink == sink, REFUSED.c.position == position))


def forget_refused_up_to(connection: Connection, upto: int) -> None:
    """Forgets what was refused of entries that are no longer there."""
    connection.execute(delete(REFUSED).where(REFUSED.c.position <= upto))
