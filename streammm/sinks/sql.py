"""Entries in tables of SQLite or PostgreSQL: what has the same id replaces what was there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Double,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError, SQLAlchemyError

from streammm.errors import ConfigError
from streammm.journal import Entry
from streammm.sinks.base import KINDS, UnreachableError, Written, data_of, entry_id

_OF_THE_ROW = (DataError, IntegrityError)
"""What is wrong with a row; all else is the database's, or its tables', and may be put right."""

_INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def _table(tables: MetaData, name: str, *columns: tuple[str, Any]) -> Table:
    return Table(
        f"streammm_{name}",
        tables,
        Column("id", String, primary_key=True),
        Column("source", String, nullable=False, index=True),
        *(Column(column, kind) for column, kind in columns),
        Column("data", JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
    )


_tables = MetaData()
_times = (("start_seconds", Double), ("end_seconds", Double))
_TABLES = {
    "row": _table(
        _tables,
        "rows",
        ("segment", Integer),
        *_times,
        ("label", String),
        ("score", Double),
        ("other", Double),
        ("model", String),
        ("outage", String),
    ),
    "event": _table(
        _tables,
        "events",
        ("label", String),
        ("state", String),
        *_times,
        ("peak_score", Double),
        ("mean_score", Double),
    ),
    "quarantine": _table(_tables, "quarantine", ("segment", Integer), ("reason", String), ("detail", String)),
}


class Sql:
    """Writes to the tables ``streammm_rows``, ``streammm_events`` and ``streammm_quarantine``, which it makes.

    Args:
        name: of its cursor.
        url: of the database, for SQLAlchemy.
        kinds: what it is told.
        timeout_seconds: how long connecting, and a statement, may take.

    Raises:
        ConfigError: there is no such database, or its driver is not installed.
    """

    batch_entries = 1000
    linger_seconds = 0.5

    def __init__(self, name: str, url: str, kinds: tuple[str, ...] = KINDS, timeout_seconds: float = 30.0) -> None:
        self.name = name
        self.kinds = kinds
        try:
            parsed = make_url(url)
            self._dialect = parsed.get_backend_name()
            if self._dialect not in _INSERT or not parsed.database:
                raise ConfigError(f"{name}: rows can be written to sqlite:///PATH and postgresql+psycopg://HOST/NAME")
            arguments: dict[str, Any] = {"timeout": timeout_seconds}
            if self._dialect == "postgresql":
                milliseconds = round(timeout_seconds * 1000)
                arguments = {"connect_timeout": max(1, round(timeout_seconds)), "tcp_user_timeout": milliseconds}
                arguments["options"] = f"-c statement_timeout={milliseconds}"
            self._engine: Engine = create_engine(parsed, connect_args=arguments)
        except (ArgumentError, ImportError, SQLAlchemyError) as error:
            hint = ': pip install "streammm[postgres]"' if isinstance(error, ImportError) else ""
            raise ConfigError(f"{name}: {_words(error)}{hint}") from error
        if self._dialect == "sqlite":
            event.listen(self._engine, "connect", lambda connection, _: connection.execute("PRAGMA journal_mode=WAL"))

    def start(self, position: int, mark: Any, run: str) -> int:
        try:
            _tables.create_all(self._engine, [_TABLES[kind] for kind in self.kinds])
        except SQLAlchemyError as error:
            raise UnreachableError(_words(error)) from error
        return position

    def write(self, entries: Sequence[Entry]) -> Written:
        refused: dict[int, str] = {}
        try:
            try:
                self._put(entries)
            except DBAPIError as error:
                if not isinstance(error, _OF_THE_ROW):
                    raise
                for entry in entries:  # one of them is not to its taste; the others must not wait for it
                    try:
                        self._put([entry])
                    except DBAPIError as one:
                        if not isinstance(one, _OF_THE_ROW):
                            raise
                        refused[entry.position] = _words(one)
        except SQLAlchemyError as error:
            raise UnreachableError(_words(error)) from error
        return Written(refused=refused)

    def close(self) -> None:
        self._engine.dispose()

    def _put(self, entries: Sequence[Entry]) -> None:
        """All or nothing."""
        by_kind: dict[str, dict[str, dict[str, Any]]] = {}
        for entry in entries:
            values = _values(entry, data_of(entry))
            by_kind.setdefault(entry.kind, {})[values["id"]] = values  # of one id the last
        with self._engine.begin() as connection:
            for kind, values in by_kind.items():
                self._upsert(connection, _TABLES[kind], list(values.values()))

    def _upsert(self, connection: Connection, table: Table, values: list[dict[str, Any]]) -> None:
        statement: Any = _INSERT[self._dialect](table)
        new = {column.name: statement.excluded[column.name] for column in table.columns if column.name != "id"}
        connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=new), values)


def _values(entry: Entry, data: Mapping[str, Any]) -> dict[str, Any]:
    best = (data.get("labels") or [{}])[0]
    known = {"label": best.get("label"), "score": best.get("score"), **data, "id": entry_id(entry, data), "data": data}
    return {column.name: known.get(column.name) for column in _TABLES[entry.kind].columns}


def _words(error: BaseException) -> str:
    text = str(getattr(error, "orig", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__
