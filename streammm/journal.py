"""The commit point: rows, events, cursor and state of a source go in together, and sinks read from here.

SQLite in the run directory, in memory, or PostgreSQL: one schema, whatever is beneath. Three rules make rows exactly
once. A source belongs to whoever leased it last: each lease has a higher epoch, and a commit of an older one is
refused. A commit moves the cursor and adds the rows in one transaction, so that repeating it adds nothing. A sink's
cursor moves after the sink has written, together with a mark by which the sink takes back what it wrote in vain.
"""

from __future__ import annotations

import functools
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
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
    and_,
    create_engine,
    delete,
    event,
    func,
    insert,
    make_url,
    or_,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import StaticPool
from sqlalchemy.schema import CreateSchema

from streammm.errors import ConfigError, SourceError, StreammmError
from streammm.types import SCHEMA_VERSION, SourceReport

FORMAT = 2
"""Of the tables; a journal of another format is not touched."""

TODO, DONE, QUARANTINED, SKIPPED = _STATUSES = "todo", "done", "quarantined", "skipped"

EMBEDDINGS = "embeddings"
"""The kind of the entries that hold them: by far the largest, and read only by who asks for them."""

REMOVED = "removed"
"""Why a source is skipped that was taken out of a run by hand."""

_MAX_UNREAD_IN_MEMORY = 10_000
_STAYS = ("format", "forgotten")
"""What `Journal.clear` does not forget: of what is forgotten, that it is."""

_SPARE_SHARE = 0.2
"""So much of a file of SQLite may be empty before it is written anew."""

_MAX_TIMES = 200
_NAMES_A_QUERY = 500

_tables = MetaData()
_Key = BigInteger().with_variant(Integer, "sqlite")

_meta = Table("meta", _tables, Column("key", String, primary_key=True), Column("value", String, nullable=False))
_sources = Table(
    "sources",
    _tables,
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
_entries = Table(
    "entries",
    _tables,
    Column("position", _Key, primary_key=True),
    Column("source", _Key, ForeignKey("sources.id"), nullable=False),
    Column("segment", Integer),
    Column("kind", String, nullable=False),
    Column("item", Integer, nullable=False, default=0),
    Column("text", String, nullable=False),
    UniqueConstraint("source", "segment", "kind", "item"),
    sqlite_autoincrement=True,
)
_sinks = Table(
    "sinks",
    _tables,
    Column("name", String, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("mark", String, nullable=False),
)
_refused = Table(
    "refused",
    _tables,
    Column("sink", String, primary_key=True),
    Column("position", _Key, primary_key=True, autoincrement=False),
    Column("reason", String, nullable=False),
)


class JournalError(StreammmError):
    """The journal cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a source has come: the next segment to do, the state before it, and what was counted so far.

    ``state``, of fusion and events, is what safetensors makes of the tensors, None at the beginning.
    """

    next_segment: int = 0
    state: bytes | None = None
    media_seconds: float = 0.0
    num_errors: int = 0
    last_error: str = ""
    num_restarts: int = 0
    num_events: int = 0

    def report(self, source: str) -> SourceReport:
        """The same as what is told of a source."""
        return SourceReport(
            source, self.next_segment, self.media_seconds, self.num_errors, self.last_error, self.num_restarts
        )


_CURSOR = tuple(each.name for each in fields(Cursor))


@dataclass(frozen=True, slots=True)
class SourceState:
    """How a source stands: its status, why it was given up or left out, and what was counted of it so far.

    ``status`` is todo, done, quarantined or skipped.
    """

    name: str
    status: str
    reason: str
    counted: SourceReport


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to commit to a source, until somebody else leases it."""

    epoch: int
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Entry:
    """What is committed of a segment: a ``row``, an ``event``, or the ``quarantine`` of it or (None) of a whole source.

    ``text`` is a line of JSON. ``position`` grows from entry to entry of a journal; 0 before it is committed. ``item``
    tells several of a kind in one segment apart.
    """

    source: str
    segment: int | None
    kind: str
    text: str
    position: int = 0
    item: int = 0


@dataclass(frozen=True, slots=True)
class Commit:
    """What one source has made: entries of segments, and the cursor after them. ``is_done`` if there is no more."""

    name: str
    epoch: int
    entries: Sequence[Entry]
    cursor: Cursor
    is_done: bool = False


def quarantine_entry(error: SourceError, segment: int | None = None) -> Entry:
    """The entry for a source, or one segment of it, that was given up."""
    found: dict[str, str | int] = {
        "schema": SCHEMA_VERSION,
        "source": error.source,
        "reason": error.reason,
        "detail": error.detail,
    }
    if segment is not None:
        found |= {"segment": segment}
    return Entry(error.source, segment, "quarantine", json.dumps(found, ensure_ascii=False))


class Journal:
    """One run's journal; used by one thread at a time, and written by one process at a time.

    Args:
        url: for SQLAlchemy: ``sqlite:///PATH``, ``sqlite://`` (in memory) or ``postgresql+psycopg://...``.
        run: schema to use where the database has schemas, so that one database serves many runs.
        owner: a word for the process that writes; what another one writes from then on is refused.

    The database is opened when it is first needed, and its tables are made if they are not there.

    Raises:
        ConfigError: by any method, if the database cannot be opened or holds something else.
        JournalError: by any method, if it cannot be read or written, or another process has taken it over.
    """

    def __init__(self, url: str = "sqlite://", run: str = "", owner: str = "") -> None:
        self._url = url
        self._run = run
        self._owner = owner
        self._is_in_memory = url == "sqlite://"
        self._last = 0
        self._read_up_to: dict[str, int] = {}

    @functools.cached_property
    def _engine(self) -> Engine:
        try:
            engine = _connect(self._url, self._run)
            with engine.begin() as connection:
                _tables.create_all(connection)
                found = _meta_value(connection, "format")
                if found is None:
                    _put_meta(connection, "format", str(FORMAT))
                elif found != str(FORMAT):
                    raise ConfigError(
                        f"the journal has format {found}, this version of streammm reads {FORMAT}: use another"
                    )
                self._last = connection.scalar(select(func.max(_entries.c.position))) or 0
                self._read_up_to = _pairs(connection, select(_sinks.c.name, _sinks.c.position))
        except SQLAlchemyError as error:
            raise ConfigError(f"the journal {_shown(self._url)} cannot be used: {_words(error)}") from error
        return engine

    def close(self) -> None:
        """Lets go of the database."""
        self._engine.dispose()

    def clear(self) -> None:
        """Forgets everything."""
        with self._begin() as connection:
            for table in reversed(_tables.sorted_tables):
                connection.execute(delete(table).where(table.c.key.not_in(_STAYS)) if table is _meta else delete(table))
        self._last = 0
        self._read_up_to = {}

    def own(self) -> None:
        """Takes the journal over: whoever wrote to it before is refused from now on."""
        with self._begin() as connection:
            _put_meta(connection, "owner", self._owner)

    def meta(self, key: str) -> Any:
        """A value that was put under a key; None if there is none."""
        with self._begin() as connection:
            text = _meta_value(connection, key)
        return None if text is None else json.loads(text)

    def put_meta(self, key: str, value: Any) -> None:
        """Stores a value of plain JSON types under a key."""
        with self._begin() as connection:
            _put_meta(connection, key, json.dumps(value, ensure_ascii=False))

    def register(self, names: Sequence[str], reopen: Iterable[str] = ()) -> dict[str, str]:
        """Makes sources known, each with the status that it has by now.

        Args:
            names: their public names.
            reopen: those of them that go on though they were done, as a live source does.
        """
        with self._begin() as connection:
            known = _by_name(connection, names, _sources.c.status)
            for name in reopen:
                if known.get(name) == DONE:
                    connection.execute(update(_sources).where(_sources.c.name == name).values(status=TODO))
                    known[name] = TODO
            if new := [{"name": name} for name in dict.fromkeys(names) if name not in known]:
                connection.execute(insert(_sources), new)
        return {name: known.get(name, TODO) for name in names}

    def lease(self, name: str) -> Lease | None:
        """Gives a source to the caller from its cursor on; None if it is done or given up."""
        with self._begin() as connection:
            epoch = connection.scalar(
                update(_sources)
                .where(_sources.c.name == name, _sources.c.status == TODO)
                .values(epoch=_sources.c.epoch + 1)
                .returning(_sources.c.epoch)
            )
            if epoch is None:
                return None
            row = connection.execute(select(_sources).where(_sources.c.name == name)).one()
        return Lease(epoch, Cursor(**{name: getattr(row, name) for name in _CURSOR}))

    def commit(
        self, name: str, epoch: int, entries: Sequence[Entry], cursor: Cursor, is_done: bool = False
    ) -> bool | None:
        """Takes one commit; see `commit_all`."""
        return self.commit_all([Commit(name, epoch, entries, cursor, is_done)])[0]

    def commit_all(self, commits: Sequence[Commit]) -> list[bool | None]:
        """Takes commits in one transaction, all or nothing; a repetition adds nothing.

        Returns:
            For each: None if its lease is out of date, and then nothing of it was taken; else whether the writer may go
            on at once, or must wait for the sinks (see `may_go_on`).
        """
        with self._begin() as connection:
            self._check_owner(connection)
            taken = [self._take(connection, commit) for commit in commits]
        may_go_on = self.may_go_on()
        return [may_go_on if is_taken else None for is_taken in taken]

    def _take(self, connection: Connection, commit: Commit) -> bool:
        """Takes a commit; False if its lease is out of date."""
        cursor = commit.cursor
        found = connection.execute(
            select(_sources.c.id, _sources.c.epoch, _sources.c.next_segment, _sources.c.status).where(
                _sources.c.name == commit.name
            )
        ).one_or_none()
        if found is None or found.epoch != commit.epoch or cursor.next_segment < found.next_segment:
            return False
        if found.status == TODO:
            values: dict[str, Any] = {key: getattr(cursor, key) for key in _CURSOR}
            if commit.is_done:
                values |= {"status": DONE, "state": None}
            connection.execute(update(_sources).where(_sources.c.id == found.id).values(values))
            first = 0 if commit.is_done else found.next_segment  # the end closes events with a segment that was there
            new = [e for e in commit.entries if e.segment is not None and e.segment >= first]
            self._add(connection, found.id, new)
        return True

    def quarantine(self, error: SourceError) -> None:
        """Gives a source up; leases of it are out of date then. A second time changes nothing."""
        with self._begin() as connection:
            found = connection.scalar(
                update(_sources)
                .where(_sources.c.name == error.source, _sources.c.status == TODO)
                .values(status=QUARANTINED, reason=error.reason, epoch=_sources.c.epoch + 1)
                .returning(_sources.c.id)
            )
            if found is not None:
                self._add(connection, found, [quarantine_entry(error)])

    def skip(self, name: str, reason: str) -> None:
        """Notes that a source is left out on purpose."""
        values = {"status": SKIPPED, "reason": reason}
        with self._begin() as connection:
            waits = (_sources.c.name == name, _sources.c.status == TODO, _sources.c.next_segment == 0)
            connection.execute(update(_sources).where(*waits).values(values))
            if not _by_name(connection, [name], _sources.c.status):
                connection.execute(insert(_sources).values(name=name, **values))

    def remove(self, name: str) -> None:
        """Leaves a source out from here on, at whatever segment it is; what was made of it stays."""
        with self._begin() as connection:
            connection.execute(
                update(_sources)
                .where(_sources.c.name == name, _sources.c.status == TODO)
                .values(status=SKIPPED, reason=REMOVED, epoch=_sources.c.epoch + 1)
            )

    def put_back(self, name: str) -> str:
        """Puts a source back that was removed or given up, from its cursor on; its status until now, "" if neither."""
        left = or_(_sources.c.status == QUARANTINED, and_(_sources.c.status == SKIPPED, _sources.c.reason == REMOVED))
        with self._begin() as connection:
            status = connection.scalar(select(_sources.c.status).where(_sources.c.name == name, left))
            if status is not None:
                connection.execute(update(_sources).where(_sources.c.name == name).values(status=TODO, reason=""))
        return str(status or "")

    def name_sources(self, more: Sequence[str] | None) -> None:
        """Adds to the sources that a run goes on with, where they are stored; None for some that may not be stored,
        and then none are."""
        if stored := self.meta("sources"):
            self.put_meta("sources", [] if more is None else list(dict.fromkeys([*stored, *more])))

    def retry_skipped(self, reason: str) -> None:
        """Puts sources that were left out for a reason back."""
        left_out = (_sources.c.status == SKIPPED, _sources.c.reason == reason)
        with self._begin() as connection:
            connection.execute(update(_sources).where(*left_out).values(status=TODO, reason=""))

    def retry_quarantined(self, rebuilt: Sequence[str] = ()) -> int:
        """Puts sources that were given up back, from their cursors on; how many.

        Args:
            rebuilt: sinks that must be built up anew then, since they show what is given up now.
        """
        with self._begin() as connection:
            given_up = select(_sources.c.id).where(_sources.c.status == QUARANTINED)
            connection.execute(delete(_entries).where(_entries.c.source.in_(given_up), _entries.c.segment.is_(None)))
            done = connection.execute(
                update(_sources).where(_sources.c.status == QUARANTINED).values(status=TODO, reason="")
            )
            connection.execute(delete(_sinks).where(_sinks.c.name.in_(rebuilt)))
        self._read_up_to = {name: at for name, at in self._read_up_to.items() if name not in rebuilt}
        return int(done.rowcount)

    def sink(self, name: str) -> tuple[int, Any]:
        """A sink's cursor: the position up to which it has everything, and the mark that it left there."""
        with self._begin() as connection:
            found = connection.execute(select(_sinks.c.position, _sinks.c.mark).where(_sinks.c.name == name)).first()
            if found is None:
                connection.execute(insert(_sinks).values(name=name, position=0, mark="null"))
                found = (0, "null")
        self._read_up_to[name] = found[0]
        return found[0], json.loads(found[1])

    def read(self, after: int, limit: int = 1000, *, source: str | None = None, kind: str | None = None) -> list[Entry]:
        """Entries after a position, in the order in which they were committed, of one source or all.

        They are of one kind, or of all kinds but embeddings.
        """
        query = _reading().where(_entries.c.position > after).order_by(_entries.c.position).limit(limit)
        if source is not None:
            query = query.where(_sources.c.name == source)
        query = query.where(_entries.c.kind != EMBEDDINGS if kind is None else _entries.c.kind == kind)
        with self._begin() as connection:
            return [Entry(*row) for row in connection.execute(query)]

    def read_segments(self, source: str, first: int, limit: int) -> list[Entry]:
        """All entries of a source from a segment on, segment by segment, embeddings among them; at most so many.

        The last segment may be cut off where there are as many as were asked for.
        """
        query = _reading().where(_sources.c.name == source, _entries.c.segment >= first)
        with self._begin() as connection:
            rows = connection.execute(query.order_by(_entries.c.segment, _entries.c.position).limit(limit))
            return [Entry(*row) for row in rows]

    def run_id(self) -> str:
        """What tells this run from all others, for as long as its journal is not cleared."""
        if (found := self.meta("run")) is None:
            self.put_meta("run", found := secrets.token_hex(4))
        return str(found)

    def last_position(self) -> int:
        """The position of the last entry; 0 if there is none."""
        with self._begin() as connection:
            return connection.scalar(select(func.max(_entries.c.position))) or 0

    def read_kinds(self, after: int, limit: int, kinds: Sequence[str]) -> tuple[list[Entry], int]:
        """Entries of some kinds after a position; and up to where there are no others of these."""
        with self._begin() as connection:
            last = connection.scalar(select(func.max(_entries.c.position))) or 0
            query = _reading().where(_entries.c.position > after, _entries.c.kind.in_(kinds))
            found = [Entry(*row) for row in connection.execute(query.order_by(_entries.c.position).limit(limit))]
        return found, found[-1].position if len(found) == limit else max(last, after)

    def count_after(self, position: int, kinds: Sequence[str]) -> int:
        """How many entries of some kinds there are after a position."""
        waiting = (_entries.c.position > position, _entries.c.kind.in_(kinds))
        with self._begin() as connection:
            return connection.scalar(select(func.count()).select_from(_entries).where(*waiting)) or 0

    def refused(self, sink: str) -> tuple[int, str]:
        """How many entries a sink would not take, and why not the last of them."""
        count = select(func.count()).where(_refused.c.sink == sink)
        last = select(_refused.c.reason).where(_refused.c.sink == sink).order_by(_refused.c.position.desc()).limit(1)
        with self._begin() as connection:
            return connection.scalar(count) or 0, connection.scalar(last) or ""

    def read_refused(self, sink: str, after: int, limit: int) -> list[Entry]:
        """Entries that a sink would not take, in order."""
        query = _reading().join(_refused, _refused.c.position == _entries.c.position)
        query = query.where(_refused.c.sink == sink, _entries.c.position > after)
        with self._begin() as connection:
            return [Entry(*row) for row in connection.execute(query.order_by(_entries.c.position).limit(limit))]

    def forget_refused(self, sink: str, positions: Sequence[int]) -> None:
        """Notes that a sink has taken what it had refused."""
        with self._begin() as connection:
            for position in positions:
                connection.execute(delete(_refused).where(_refused.c.sink == sink, _refused.c.position == position))

    def advance(self, sink: str, position: int, mark: Any, refused: Mapping[int, str] | None = None) -> None:
        """Moves a sink's cursor: it has written everything up to a position, and leaves a mark for its next start.

        Args:
            sink: its name.
            position: of the last entry.
            mark: of plain JSON types.
            refused: by position, what it will not take and why; it is set aside, where entries are kept.
        """
        with self._begin() as connection:
            for at, reason in ({} if self._is_in_memory else refused or {}).items():
                connection.execute(delete(_refused).where(_refused.c.sink == sink, _refused.c.position == at))
                connection.execute(insert(_refused).values(sink=sink, position=at, reason=reason))
            self._move(connection, sink, position, mark)

    def exchange(
        self, written: Mapping[str, tuple[int, Any]], after: Mapping[str, int], limit: int = 1000
    ) -> dict[str, list[Entry]]:
        """Moves the cursors of sinks, and reads for sinks: all that has to be asked from time to time, at once.

        Args:
            written: by sink, the position up to which it has written everything, and the mark that it leaves there.
            after: by sink, the position after which it wants entries.
            limit: how many of them at most.

        Returns:
            The entries by sink; sinks that are equally far share a list.
        """
        if written:
            with self._begin() as connection:
                for sink, (position, mark) in written.items():
                    self._move(connection, sink, position, mark)
        lists = {position: self.read(position, limit) for position in set(after.values())}
        return {sink: lists[position] for sink, position in after.items()}

    def _move(self, connection: Connection, sink: str, position: int, mark: Any) -> None:
        """Notes where a sink is; what lies in memory and every sink has had goes."""
        values = {"position": position, "mark": json.dumps(mark)}
        connection.execute(update(_sinks).where(_sinks.c.name == sink).values(values))
        self._read_up_to[sink] = position
        if self._is_in_memory:
            connection.execute(delete(_entries).where(_entries.c.position <= min(self._read_up_to.values())))

    def sinks(self) -> dict[str, dict[str, Any]]:
        """Every sink that has a cursor, by name: how many entries it is behind, and how many it would not take."""
        refused = select(_refused.c.sink, func.count()).group_by(_refused.c.sink)
        with self._begin() as connection:
            last = connection.scalar(select(func.max(_entries.c.position))) or 0
            counts = _pairs(connection, refused)
            positions = _pairs(connection, select(_sinks.c.name, _sinks.c.position))
        return {
            name: {"behind": max(0, last - position), "refused": counts.get(name, 0)}
            for name, position in positions.items()
        }

    def may_go_on(self) -> bool:
        """False where rows lie in memory and too many of them wait for the sinks; on disk any number may wait."""
        if not self._is_in_memory or not self._read_up_to:
            return True
        return bool(self._last - min(self._read_up_to.values()) < _MAX_UNREAD_IN_MEMORY)

    # what is removed

    def count_of(self, names: Sequence[str]) -> dict[str, int]:
        """How many entries there are of some sources, by kind; a source that is known counts as ``source``."""
        with self._begin() as connection:
            return _counts(connection, list(_by_name(connection, names, _sources.c.id).values()))

    def forget(self, names: Sequence[str]) -> dict[str, int]:
        """Removes sources with all that is known of them; `tidy` then leaves no byte of it. Counts as `count_of`.

        That they are forgotten is remembered by digests, see `forgotten`.
        """
        with self._begin() as connection:
            ids = list(_by_name(connection, names, _sources.c.id).values())
            counts = _counts(connection, ids)
            of_these = _entries.c.source.in_(ids)
            positions = select(_entries.c.position).where(of_these)
            events = connection.scalars(select(_entries.c.text).where(of_these, _entries.c.kind == "event"))
            traces = {*names, *(json.loads(text)["id"] for text in events)}
            connection.execute(delete(_refused).where(_refused.c.position.in_(positions)))
            connection.execute(delete(_entries).where(of_these))
            connection.execute(delete(_sources).where(_sources.c.id.in_(ids)))
            for sink, mark in _pairs(connection, select(_sinks.c.name, _sinks.c.mark)).items():
                cleared = json.dumps(_without(json.loads(mark), traces))
                connection.execute(update(_sinks).where(_sinks.c.name == sink).values(mark=cleared))
            named = [name for name in json.loads(_meta_value(connection, "sources") or "[]") if name not in names]
            _put_meta(connection, "sources", json.dumps(named, ensure_ascii=False))
            connection.execute(delete(_meta).where(_meta.c.key == "progress"))
            salt, digests = _forgotten(connection)
            digests |= {_digest(salt, name) for name in names}
            _put_meta(connection, "forgotten", json.dumps({"salt": salt, "digests": sorted(digests)}))
        return counts

    def forgotten(self) -> Callable[[str], bool]:
        """Says of a name whether it was forgotten by now."""
        with self._begin() as connection:
            salt, digests = _forgotten(connection)
        return lambda name: bool(digests) and _digest(salt, name) in digests

    def take_again(self, names: Iterable[str]) -> None:
        """Lets sources that were forgotten be taken up again."""
        with self._begin() as connection:
            salt, digests = _forgotten(connection)
            if digests:
                digests -= {_digest(salt, name) for name in names}
                _put_meta(connection, "forgotten", json.dumps({"salt": salt, "digests": sorted(digests)}))

    def removable(
        self, sinks: Sequence[str], max_age_seconds: float | None, share: float
    ) -> tuple[int, dict[str, int], int]:
        """What retention may remove: all up to a position, that the sinks have had.

        An entry's age is counted from a time at which it was there, so that it is never taken for older than it is.

        Args:
            sinks: those that must have it.
            max_age_seconds: what is older goes; None for any age.
            share: of all entries, oldest first, which goes whatever its age.

        Returns:
            The position, 0 if there is nothing; what that is by kind; and how many entries more are due, and wait.
        """
        now = time.time()
        with self._begin() as connection:
            last = connection.scalar(select(func.max(_entries.c.position))) or 0
            times = [(at, then) for at, then in json.loads(_meta_value(connection, "times") or "[]") if then <= now]
            step = 0.0 if max_age_seconds is None else max_age_seconds / _MAX_TIMES
            if max_age_seconds is not None and (not times or now - times[-1][1] >= step):
                old = [one for one in times if one[1] < now - max_age_seconds]
                times = [*old[-1:], *times[len(old) :], (last, now)]
                _put_meta(connection, "times", json.dumps(times))
            due = max([0, *(at for at, then in times if max_age_seconds is not None and then < now - max_age_seconds)])
            if share > 0:
                count = connection.scalar(select(func.count()).select_from(_entries)) or 0
                at = max(0, min(count, round(share * count)) - 1)
                oldest = select(_entries.c.position).order_by(_entries.c.position).offset(at).limit(1)
                due = max(due, connection.scalar(oldest) or 0)
            positions = _pairs(connection, select(_sinks.c.name, _sinks.c.position))
            upto = _whole(connection, min([due, *(positions.get(name, 0) for name in sinks)]), last)
            by_kind = select(_entries.c.kind, func.count()).where(_entries.c.position <= upto)
            counts = _pairs(connection, by_kind.group_by(_entries.c.kind))
            waiting = select(func.count()).select_from(_entries)
            waiting = waiting.where(_entries.c.position > upto, _entries.c.position <= due)
            return (upto if counts else 0), counts, connection.scalar(waiting) or 0

    def remove_up_to(self, upto: int, written: Mapping[str, tuple[int, Any]]) -> None:
        """Removes entries up to a position, and moves the cursors of sinks that have taken them back."""
        with self._begin() as connection:
            connection.execute(delete(_refused).where(_refused.c.position <= upto))
            connection.execute(delete(_entries).where(_entries.c.position <= upto))
            for sink, (position, mark) in written.items():
                self._move(connection, sink, position, mark)
        if self._engine.dialect.name == "sqlite":
            with self._engine.connect() as connection:
                sizes = [connection.exec_driver_sql(f"PRAGMA {key}_count").scalar_one() for key in ("freelist", "page")]
            if sizes[0] > _SPARE_SHARE * sizes[1]:
                with suppress(JournalError):  # somebody reads it: there is a next time
                    self.tidy()

    def tidy(self) -> None:
        """Writes the tables anew, so that no byte is left of what was removed, nor room for it.

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
                    for table in _tables.sorted_tables:
                        quoted = self._engine.dialect.identifier_preparer.quote
                        schema = f"{quoted(self._run)}." if self._run else ""
                        connection.exec_driver_sql(f"VACUUM FULL {schema}{quoted(table.name)}")
        except SQLAlchemyError as error:
            raise JournalError(f"the journal cannot be written anew: {_words(error)}") from error

    def summary(self) -> dict[str, Any]:
        """How the run stands: sources by status, why some were given up or left out, and what was counted in all."""
        with self._begin() as connection:
            statuses = _pairs(connection, select(_sources.c.status, func.count()).group_by(_sources.c.status))
            reasons = connection.execute(
                select(_sources.c.status, _sources.c.reason, func.count())
                .where(_sources.c.status.in_((QUARANTINED, SKIPPED)))
                .group_by(_sources.c.status, _sources.c.reason)
            ).all()
            names = ("next_segment", "media_seconds", "num_errors", "num_restarts", "num_events")
            sums = connection.execute(select(*(func.coalesce(func.sum(_sources.c[name]), 0) for name in names))).one()
            segments = connection.scalar(
                select(func.count()).where(_entries.c.kind == "quarantine", _entries.c.segment.is_not(None))
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

    def done(self, limit: int | None = 1000) -> dict[str, float]:
        """Sources that were done to their end, each with its seconds of media; the first so many."""
        query = select(_sources.c.name, _sources.c.media_seconds).where(_sources.c.status == DONE).limit(limit)
        with self._begin() as connection:
            return _pairs(connection, query)

    def read_source(self, name: str, kind: str, after: int = -1, limit: int = 1000) -> list[Entry]:
        """Entries of one kind of one source after a segment, in the order of segments."""
        of_source = select(_sources.c.id).where(_sources.c.name == name).scalar_subquery()
        query = (
            select(_entries.c.segment, _entries.c.kind, _entries.c.text, _entries.c.position)
            .where(_entries.c.source == of_source, _entries.c.segment > after, _entries.c.kind == kind)
            .order_by(_entries.c.segment)
            .limit(limit)
        )
        with self._begin() as connection:
            return [Entry(name, *row) for row in connection.execute(query)]

    def sources(self, statuses: Sequence[str] = _STATUSES, page: int = 1000) -> Iterator[SourceState]:
        """The sources of some statuses, or all, in the order in which they were registered; read so many at a time."""
        columns = ("name", "status", "reason", "next_segment", "media_seconds", "num_errors", "last_error")
        query = (
            select(_sources.c.id, *(_sources.c[name] for name in columns), _sources.c.num_restarts)
            .where(_sources.c.status.in_(statuses))
            .order_by(_sources.c.id)
            .limit(page)
        )
        last = 0
        while True:
            with self._begin() as connection:
                found = connection.execute(query.where(_sources.c.id > last)).all()
            for _, name, status, reason, *counted in found:
                yield SourceState(name, status, reason, SourceReport(name, *counted))
            if len(found) < page:
                return
            last = found[-1][0]

    def _begin(self) -> Any:
        return _Transaction(self._engine)

    def _check_owner(self, connection: Connection) -> None:
        if self._owner and _meta_value(connection, "owner") != self._owner:
            raise JournalError("another run has taken this journal over")

    def _add(self, connection: Connection, source: int, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        columns = [
            {"source": source, "segment": e.segment, "kind": e.kind, "item": e.item, "text": e.text} for e in entries
        ]
        connection.execute(insert(_entries), columns)
        self._last += len(entries)


class _Transaction:
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
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError(f"the journal {_shown(url)!r} is no address of a database") from error
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


def _reading() -> Select[Any, Any]:
    columns = (_sources.c.name, *(_entries.c[name] for name in ("segment", "kind", "text", "position", "item")))
    return select(*columns).select_from(_entries).join(_sources, _sources.c.id == _entries.c.source)


def _by_name(connection: Connection, names: Sequence[str], column: Column[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for at in range(0, len(names), _NAMES_A_QUERY):
        some = names[at : at + _NAMES_A_QUERY]
        found |= _pairs(connection, select(_sources.c.name, column).where(_sources.c.name.in_(some)))
    return found


def _pairs(connection: Connection, query: Select[Any, Any]) -> dict[str, Any]:
    return {row[0]: row[1] for row in connection.execute(query)}


def _whole(connection: Connection, upto: int, last: int) -> int:
    """A position near to one at which no segment is cut: its row comes first, and what was kept of it belongs to it."""
    is_row = _entries.c.kind == "row"
    following = connection.scalar(select(func.min(_entries.c.position)).where(is_row, _entries.c.position > upto))
    end = last if following is None else following - 1
    rest = select(func.count()).where(_entries.c.position > upto, _entries.c.position <= end)
    if not upto or not connection.scalar(rest.where(_entries.c.kind != EMBEDDINGS)):
        return end if upto else 0
    before = connection.scalar(select(func.max(_entries.c.position)).where(is_row, _entries.c.position <= upto))
    return upto if before is None else before - 1


def _counts(connection: Connection, ids: Sequence[int]) -> dict[str, int]:
    by_kind = select(_entries.c.kind, func.count()).where(_entries.c.source.in_(ids)).group_by(_entries.c.kind)
    return {**({"source": len(ids)} if ids else {}), **_pairs(connection, by_kind)}


def _forgotten(connection: Connection) -> tuple[str, set[str]]:
    found = json.loads(_meta_value(connection, "forgotten") or "{}")
    return found.get("salt") or secrets.token_hex(16), set(found.get("digests", ()))


def _digest(salt: str, name: str) -> str:
    return hashlib.sha256(f"{salt}\0{name}".encode(errors="surrogateescape")).hexdigest()


def _without(mark: Any, traces: Collection[str]) -> Any:
    """A sink's mark without what it remembers of sources or events by their names: those of alerts do."""
    if not isinstance(mark, dict):
        return mark
    return {
        key: {name: one for name, one in value.items() if name not in traces} if isinstance(value, dict) else value
        for key, value in mark.items()
    }


def _meta_value(connection: Connection, key: str) -> str | None:
    return connection.scalar(select(_meta.c.value).where(_meta.c.key == key))


def _put_meta(connection: Connection, key: str, value: str) -> None:
    if not connection.execute(update(_meta).where(_meta.c.key == key).values(value=value)).rowcount:
        connection.execute(insert(_meta).values(key=key, value=value))


def _shown(url: str) -> str:
    with suppress(ArgumentError):
        return make_url(url).render_as_string(hide_password=True)
    return url


def _words(error: BaseException) -> str:
    text = str(getattr(error, "orig", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__
