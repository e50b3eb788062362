"""The database of a journal: opened, asked in transactions and written anew. SQLite or PostgreSQL."""

from __future__ import annotations

import functools
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateSchema

from streammm.errors import ConfigError
from streammm.journal.records import JournalError
from streammm.journal.tables import FORMAT, TABLES, meta_value, put_meta

IN_MEMORY = "sqlite://"

_SPARE_SHARE = 0.2
"""So much of a file of SQLite may be empty before it is written anew."""


class Database:
    """Opened when it is first needed, and its tables are made if they are not there.

    Args:
        url, run: see `Journal`.

    Raises:
        ConfigError: by any method, if it cannot be opened or holds something else.
        JournalError: by any method, if it cannot be read or written.
    """

    def __init__(self, url: str, run: str) -> None:
        self._url = url
        self._run = run

    @functools.cached_property
    def _engine(self) -> Engine:
        try:
            engine = _connect(self._url, self._run)
            with engine.begin() as connection:
                TABLES.create_all(connection)
                found = meta_value(connection, "format")
                if found is None:
                    put_meta(connection, "format", str(FORMAT))
                elif found != str(FORMAT):
                    raise ConfigError(
                        f"the journal has format {found}, this version of streammm reads {FORMAT}: use another"
                    )
        except SQLAlchemyError as error:
            raise ConfigError(f"the journal {_shown(self._url)} cannot be used: {_words(error)}") from error
        return engine

    def begin(self) -> Transaction:
        """A transaction."""
        return Transaction(self._engine)

    def close(self) -> None:
        """Lets go of it, if it was opened."""
        if "_engine" in self.__dict__:
            self._engine.dispose()

    def trim(self) -> None:
        """Gives room back where much of it is empty and nobody reads; a server does so by itself."""
        if self._engine.dialect.name != "sqlite":
            return
        with self._engine.connect() as connection:
            sizes = [connection.exec_driver_sql(f"PRAGMA {key}_count").scalar_one() for key in ("freelist", "page")]
        if sizes[0] > _SPARE_SHARE * sizes[1]:
            with suppress(JournalError):  # somebody reads it: there is a next time
                self.write_anew()

    def write_anew(self) -> None:
        """Leaves no byte of what was removed, nor room for it.

        Raises:
            JournalError: somebody else is reading.
        """
        try:
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                if self._engine.dialect.name == "sqlite":
                    connection.exec_driver_sql("VACUUM")
                    if connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]:
                        raise JournalError("the journal is being read by another process; try again when it has ended")
                else:
                    for table in TABLES.sorted_tables:
                        quoted = self._engine.dialect.identifier_preparer.quote
                        schema = f"{quoted(self._run)}." if self._run else ""
                        connection.exec_driver_sql(f"VACUUM FULL {schema}{quoted(table.name)}")
        except SQLAlchemyError as error:
            raise JournalError(f"the journal cannot be written anew: {_words(error)}") from error


class Transaction:
    """A transaction whose failures are told in our words."""

    def __init__(self, engine: Engine) -> None:
        self._inner = engine.begin()

    def __enter__(self) -> Connection:
        try:
            return self._inner.__enter__()
        except SQLAlchemyError as error:
            raise JournalError(f"the journal cannot be used: {_words(error)}") from error

    def __exit__(self, *error: Any) -> None:
        try:
            self._inner.__exit__(*error)
        except SQLAlchemyError as failure:
            raise JournalError(f"the journal cannot be written: {_words(failure)}") from failure
        if isinstance(error[1], SQLAlchemyError):
            raise JournalError(f"the journal cannot be used: {_words(error[1])}") from error[1]


def _connect(url: str, run: str) -> Engine:
    """Opens a database, in the schema ``run`` where it has schemas."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError(f"the journal {_shown(url)!r} is no address of a database") from error
    if parsed.password:
        raise ConfigError("leave the password out of the journal's address: PGPASSWORD or a .pgpass file may hold it")
    if parsed.get_backend_name() == "sqlite":
        pool = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}} if url == IN_MEMORY else {}
        engine = create_engine(parsed, **pool)
        event.listen(engine, "connect", _set_up_sqlite)
        return engine
    try:
        engine = create_engine(parsed, pool_pre_ping=True)
    except (ImportError, SQLAlchemyError) as error:
        raise ConfigError(
            f'the journal {_shown(url)} needs a driver: pip install "streammm[postgres]" ({_words(error)})'
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


def _shown(url: str) -> str:
    """An address without its password."""
    with suppress(ArgumentError):
        return make_url(url).render_as_string(hide_password=True)
    return url


def _words(error: BaseException) -> str:
    """What a database says, in one line."""
    text = str(getattr(error, "orig", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__
