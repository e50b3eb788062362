"""The tables of a journal, and how a database is opened and asked: SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    UniqueConstraint,
    create_engine,
    event,
    insert,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateSchema

from streammm.errors import ConfigError
from streammm.journal.records import TODO, JournalError

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


class Transaction:
    """A transaction whose failures are told in our words."""

    def __init__(self, engine: Engine) -> None:
        self._inner = engine.begin()

    def __enter__(self) -> Connection:
        try:
            return self._inner.__enter__()
        except SQLAlchemyError as error:
            raise JournalError(f"the journal cannot be used: {words(error)}") from error

    def __exit__(self, *error: Any) -> None:
        try:
            self._inner.__exit__(*error)
        except SQLAlchemyError as failure:
            raise JournalError(f"the journal cannot be written: {words(failure)}") from failure
        if isinstance(error[1], SQLAlchemyError):
            raise JournalError(f"the journal cannot be used: {words(error[1])}") from error[1]


def connect(url: str, run: str) -> Engine:
    """Opens a database, in the schema ``run`` where it has schemas.

    Raises:
        ConfigError: the address is none, holds a password, or needs a driver.
        SQLAlchemyError: it cannot be reached.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError(f"the journal {shown(url)!r} is no address of a database") from error
    if parsed.password:
        raise ConfigError("leave the password out of the journal's address: PGPASSWORD or a .pgpass file may hold it")
    if parsed.get_backend_name() == "sqlite":
        pool = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}} if url == "sqlite://" else {}
        engine = create_engine(parsed, **pool)
        event.listen(engine, "connect", _set_up_sqlite)
        return engine
    try:
        engine = create_engine(parsed, pool_pre_ping=True)
    except (ImportError, SQLAlchemyError) as error:
        raise ConfigError(
            f'the journal {shown(url)} needs a driver: pip install "streammm[postgres]" ({words(error)})'
        ) from error
    if run:
        with engine.begin() as connection:
            connection.execute(CreateSchema(run, if_not_exists=True))
    return engine.execution_options(schema_translate_map={None: run or None})


def _set_up_sqlite(connection: Any, record: Any) -> None:
    """WAL lets others read meanwhile. NORMAL: a process that is killed loses nothing; a power cut may lose the last
    seconds, which are then done again, and the sinks take back what they had of them."""
    pragmas = ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=10000", "secure_delete=ON")
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")


def reading() -> Select[Any, Any]:
    """Entries, as `Entry` takes them."""
    columns = (SOURCES.c.name, *(ENTRIES.c[name] for name in ("segment", "kind", "text", "position", "item")))
    return select(*columns).select_from(ENTRIES).join(SOURCES, SOURCES.c.id == ENTRIES.c.source)


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


def shown(url: str) -> str:
    """An address without its password."""
    with suppress(ArgumentError):
        return make_url(url).render_as_string(hide_password=True)
    return url


def words(error: BaseException) -> str:
    """What a database says, in one line."""
    text = str(getattr(error, "orig", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__
