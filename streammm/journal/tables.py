"""The tables of a journal, and the questions to them that several ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    UniqueConstraint,
    insert,
    select,
    update,
)

from streammm.journal.records import TODO

FORMAT = 2
"""Of the tables; a journal of another format is not touched."""

_NAMES_A_QUERY = 500

TABLES = MetaData()
_Key = BigInteger().with_variant(Integer, "sqlite")

META = Table("meta", TABLES, Column("key", String, primary_key=True), Column("value", String, nullable=False))
SOURCES = Table(
    "sources",
    TABLES,
    Column("id", _Key, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("status", String, nullable=False, index=True, default=TODO),
    Column("reason", String, nullable=False, default=""),
    Column("epoch", Integer, nullable=False, default=0),
    Column("next_segment", Integer, nullable=False, default=0),
    Column("state", LargeBinary),
    Column("media_seconds", Float, nullable=False, default=0.0),
    Column("num_errors", Integer, nullable=False, default=0),
    Column("last_error", String, nullable=False, default=""),
    Column("num_restarts", Integer, nullable=False, default=0),
    Column("num_events", Integer, nullable=False, default=0),
)
ENTRIES = Table(
    "entries",
    TABLES,
    Column("position", _Key, primary_key=True),
    Column("source", _Key, ForeignKey("sources.id"), nullable=False),
    Column("segment", Integer),
    Column("kind", String, nullable=False),
    Column("item", Integer, nullable=False, default=0),
    Column("text", String, nullable=False),
    UniqueConstraint("source", "segment", "kind", "item"),
    sqlite_autoincrement=True,
)
SINKS = Table(
    "sinks",
    TABLES,
    Column("name", String, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("mark", String, nullable=False),
)
REFUSED = Table(
    "refused",
    TABLES,
    Column("sink", String, primary_key=True),
    Column("position", _Key, primary_key=True, autoincrement=False),
    Column("reason", String, nullable=False),
)


def by_name(connection: Connection, names: Sequence[str], column: Column[Any]) -> dict[str, Any]:
    """A column of the sources of these names, by name."""
    found: dict[str, Any] = {}
    for at in range(0, len(names), _NAMES_A_QUERY):
        some = names[at : at + _NAMES_A_QUERY]
        found |= pairs(connection, select(SOURCES.c.name, column).where(SOURCES.c.name.in_(some)))
    return found


def pairs(connection: Connection, query: Select[Any, Any]) -> dict[str, Any]:
    """What a query of two columns finds."""
    return {row[0]: row[1] for row in connection.execute(query)}


def meta_value(connection: Connection, key: str) -> str | None:
    """The text under a key."""
    return connection.scalar(select(META.c.value).where(META.c.key == key))


def put_meta(connection: Connection, key: str, value: str) -> None:
    """Puts a text under a key."""
    if not connection.execute(update(META).where(META.c.key == key).values(value=value)).rowcount:
        connection.execute(insert(META).values(key=key, value=value))
