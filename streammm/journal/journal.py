"""The commit point: rows, events, cursor and state of a source go in together, and sinks read from here.

SQLite in the run directory, in memory, or PostgreSQL: one schema, whatever is beneath. Three rules make rows exactly
once. A source belongs to whoever leased it last: each lease has a higher epoch, and a commit of an older one is
refused. A commit moves the cursor and adds the rows in one transaction, so that repeating it adds nothing. A sink's
cursor moves after the sink has written, together with a mark by which the sink takes back what it wrote in vain.
"""

from __future__ import annotations

import functools
import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from streammm.errors import ConfigError, SourceError
from streammm.journal import erasing
from streammm.journal.records import (
    DONE,
    EMBEDDINGS,
    QUARANTINED,
    REMOVED,
    SKIPPED,
    STATUSES,
    TODO,
    Commit,
    Cursor,
    Entry,
    JournalError,
    Lease,
    SourceState,
    quarantine_entry,
)
from streammm.journal.tables import (
    ENTRIES,
    FORMAT,
    META,
    REFUSED,
    SINKS,
    SOURCES,
    TABLES,
    Transaction,
    by_name,
    connect,
    meta_value,
    pairs,
    put_meta,
    reading,
    shown,
    words,
)
from streammm.types import SourceReport

_MAX_UNREAD_IN_MEMORY = 10_000
_SPARE_SHARE = 0.2
"""So much of a file of SQLite may be empty before it is written anew."""

_STAYS = ("format", "forgotten")
"""What `Journal.clear` does not forget: of what is forgotten, that it is."""


_CURSOR = tuple(each.name for each in fields(Cursor))


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
        self._nothing_after: int | None = None  # known until something is added

    @functools.cached_property
    def _engine(self) -> Engine:
        try:
            engine = connect(self._url, self._run)
            with engine.begin() as connection:
                TABLES.create_all(connection)
                found = meta_value(connection, "format")
                if found is None:
                    put_meta(connection, "format", str(FORMAT))
                elif found != str(FORMAT):
                    raise ConfigError(
                        f"the journal has format {found}, this version of streammm reads {FORMAT}: use another"
                    )
                self._last = connection.scalar(select(func.max(ENTRIES.c.position))) or 0
                self._read_up_to = pairs(connection, select(SINKS.c.name, SINKS.c.position))
        except SQLAlchemyError as error:
            raise ConfigError(f"the journal {shown(self._url)} cannot be used: {words(error)}") from error
        return engine

    def close(self) -> None:
        """Lets go of the database."""
        self._engine.dispose()

    def clear(self) -> None:
        """Forgets everything."""
        with self._begin() as connection:
            for table in reversed(TABLES.sorted_tables):
                connection.execute(delete(table).where(table.c.key.not_in(_STAYS)) if table is META else delete(table))
        self._last = 0
        self._read_up_to = {}
        self._nothing_after = None

    def own(self) -> None:
        """Takes the journal over: whoever wrote to it before is refused from now on."""
        with self._begin() as connection:
            put_meta(connection, "owner", self._owner)

    def meta(self, key: str) -> Any:
        """A value that was put under a key; None if there is none."""
        with self._begin() as connection:
            text = meta_value(connection, key)
        return None if text is None else json.loads(text)

    def put_meta(self, key: str, value: Any) -> None:
        """Stores a value of plain JSON types under a key."""
        with self._begin() as connection:
            put_meta(connection, key, json.dumps(value, ensure_ascii=False))

    def register(self, names: Sequence[str], reopen: Iterable[str] = ()) -> dict[str, str]:
        """Makes sources known, each with the status that it has by now.

        Args:
            names: their public names.
            reopen: those of them that go on though they were done, as a live source does.
        """
        with self._begin() as connection:
            known = by_name(connection, names, SOURCES.c.status)
            for name in reopen:
                if known.get(name) == DONE:
                    connection.execute(update(SOURCES).where(SOURCES.c.name == name).values(status=TODO))
                    known[name] = TODO
            if new := [{"name": name} for name in dict.fromkeys(names) if name not in known]:
                connection.execute(insert(SOURCES), new)
        return {name: known.get(name, TODO) for name in names}

    def lease(self, name: str) -> Lease | None:
        """Gives a source to the caller from its cursor on; None if it is done or given up."""
        with self._begin() as connection:
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
            select(SOURCES.c.id, SOURCES.c.epoch, SOURCES.c.next_segment, SOURCES.c.status).where(
                SOURCES.c.name == commit.name
            )
        ).one_or_none()
        if found is None or found.epoch != commit.epoch or cursor.next_segment < found.next_segment:
            return False
        if found.status == TODO:
            values: dict[str, Any] = {key: getattr(cursor, key) for key in _CURSOR}
            if commit.is_done:
                values |= {"status": DONE, "state": None}
            connection.execute(update(SOURCES).where(SOURCES.c.id == found.id).values(values))
            first = 0 if commit.is_done else found.next_segment  # the end closes events with a segment that was there
            new = [e for e in commit.entries if e.segment is not None and e.segment >= first]
            self._add(connection, found.id, new)
        return True

    def quarantine(self, error: SourceError) -> None:
        """Gives a source up; leases of it are out of date then. A second time changes nothing."""
        with self._begin() as connection:
            found = connection.scalar(
                update(SOURCES)
                .where(SOURCES.c.name == error.source, SOURCES.c.status == TODO)
                .values(status=QUARANTINED, reason=error.reason, epoch=SOURCES.c.epoch + 1)
                .returning(SOURCES.c.id)
            )
            if found is not None:
                self._add(connection, found, [quarantine_entry(error)])

    def skip(self, name: str, reason: str) -> None:
        """Notes that a source is left out on purpose."""
        values = {"status": SKIPPED, "reason": reason}
        with self._begin() as connection:
            waits = (SOURCES.c.name == name, SOURCES.c.status == TODO, SOURCES.c.next_segment == 0)
            connection.execute(update(SOURCES).where(*waits).values(values))
            if not by_name(connection, [name], SOURCES.c.status):
                connection.execute(insert(SOURCES).values(name=name, **values))

    def remove(self, name: str) -> None:
        """Leaves a source out from here on, at whatever segment it is; what was made of it stays."""
        with self._begin() as connection:
            connection.execute(
                update(SOURCES)
                .where(SOURCES.c.name == name, SOURCES.c.status == TODO)
                .values(status=SKIPPED, reason=REMOVED, epoch=SOURCES.c.epoch + 1)
            )

    def put_back(self, name: str) -> str:
        """Puts a source back that was removed or given up, from its cursor on; its status until now, "" if neither."""
        left = or_(SOURCES.c.status == QUARANTINED, and_(SOURCES.c.status == SKIPPED, SOURCES.c.reason == REMOVED))
        with self._begin() as connection:
            status = connection.scalar(select(SOURCES.c.status).where(SOURCES.c.name == name, left))
            if status is not None:
                connection.execute(update(SOURCES).where(SOURCES.c.name == name).values(status=TODO, reason=""))
        return str(status or "")

    def name_sources(self, more: Sequence[str] | None) -> None:
        """Adds to the sources that a run goes on with, where they are stored; None for some that may not be stored,
        and then none are."""
        if stored := self.meta("sources"):
            self.put_meta("sources", [] if more is None else list(dict.fromkeys([*stored, *more])))

    def retry_skipped(self, reason: str) -> None:
        """Puts sources that were left out for a reason back."""
        left_out = (SOURCES.c.status == SKIPPED, SOURCES.c.reason == reason)
        with self._begin() as connection:
            connection.execute(update(SOURCES).where(*left_out).values(status=TODO, reason=""))

    def retry_quarantined(self, rebuilt: Sequence[str] = ()) -> int:
        """Puts sources that were given up back, from their cursors on; how many.

        Args:
            rebuilt: sinks that must be built up anew then, since they show what is given up now.
        """
        with self._begin() as connection:
            given_up = select(SOURCES.c.id).where(SOURCES.c.status == QUARANTINED)
            connection.execute(delete(ENTRIES).where(ENTRIES.c.source.in_(given_up), ENTRIES.c.segment.is_(None)))
            done = connection.execute(
                update(SOURCES).where(SOURCES.c.status == QUARANTINED).values(status=TODO, reason="")
            )
            connection.execute(delete(SINKS).where(SINKS.c.name.in_(rebuilt)))
        self._read_up_to = {name: at for name, at in self._read_up_to.items() if name not in rebuilt}
        return int(done.rowcount)

    def sink(self, name: str) -> tuple[int, Any]:
        """A sink's cursor: the position up to which it has everything, and the mark that it left there."""
        with self._begin() as connection:
            found = connection.execute(select(SINKS.c.position, SINKS.c.mark).where(SINKS.c.name == name)).first()
            if found is None:
                connection.execute(insert(SINKS).values(name=name, position=0, mark="null"))
                found = (0, "null")
        self._read_up_to[name] = found[0]
        return found[0], json.loads(found[1])

    def read(self, after: int, limit: int = 1000, *, source: str | None = None, kind: str | None = None) -> list[Entry]:
        """Entries after a position, in the order in which they were committed, of one source or all.

        They are of one kind, or of all kinds but embeddings.
        """
        query = reading().where(ENTRIES.c.position > after).order_by(ENTRIES.c.position).limit(limit)
        if source is not None:
            query = query.where(SOURCES.c.name == source)
        query = query.where(ENTRIES.c.kind != EMBEDDINGS if kind is None else ENTRIES.c.kind == kind)
        with self._begin() as connection:
            return [Entry(*row) for row in connection.execute(query)]

    def read_segments(self, source: str, first: int, limit: int) -> list[Entry]:
        """All entries of a source from a segment on, segment by segment, embeddings among them; at most so many.

        The last segment may be cut off where there are as many as were asked for.
        """
        query = reading().where(SOURCES.c.name == source, ENTRIES.c.segment >= first)
        with self._begin() as connection:
            rows = connection.execute(query.order_by(ENTRIES.c.segment, ENTRIES.c.position).limit(limit))
            return [Entry(*row) for row in rows]

    def run_id(self) -> str:
        """What tells this run from all others, for as long as its journal is not cleared."""
        if (found := self.meta("run")) is None:
            self.put_meta("run", found := secrets.token_hex(4))
        return str(found)

    def last_position(self) -> int:
        """The position of the last entry; 0 if there is none."""
        with self._begin() as connection:
            return connection.scalar(select(func.max(ENTRIES.c.position))) or 0

    def read_kinds(self, after: int, limit: int, kinds: Sequence[str]) -> tuple[list[Entry], int]:
        """Entries of some kinds after a position; and up to where there are no others of these."""
        with self._begin() as connection:
            last = connection.scalar(select(func.max(ENTRIES.c.position))) or 0
            query = reading().where(ENTRIES.c.position > after, ENTRIES.c.kind.in_(kinds))
            found = [Entry(*row) for row in connection.execute(query.order_by(ENTRIES.c.position).limit(limit))]
        return found, found[-1].position if len(found) == limit else max(last, after)

    def count_after(self, position: int, kinds: Sequence[str]) -> int:
        """How many entries of some kinds there are after a position."""
        waiting = (ENTRIES.c.position > position, ENTRIES.c.kind.in_(kinds))
        with self._begin() as connection:
            return connection.scalar(select(func.count()).select_from(ENTRIES).where(*waiting)) or 0

    def refused(self, sink: str) -> tuple[int, str]:
        """How many entries a sink would not take, and why not the last of them."""
        count = select(func.count()).where(REFUSED.c.sink == sink)
        last = select(REFUSED.c.reason).where(REFUSED.c.sink == sink).order_by(REFUSED.c.position.desc()).limit(1)
        with self._begin() as connection:
            return connection.scalar(count) or 0, connection.scalar(last) or ""

    def read_refused(self, sink: str, after: int, limit: int) -> list[Entry]:
        """Entries that a sink would not take, in order."""
        query = reading().join(REFUSED, REFUSED.c.position == ENTRIES.c.position)
        query = query.where(REFUSED.c.sink == sink, ENTRIES.c.position > after)
        with self._begin() as connection:
            return [Entry(*row) for row in connection.execute(query.order_by(ENTRIES.c.position).limit(limit))]

    def forget_refused(self, sink: str, positions: Sequence[int]) -> None:
        """Notes that a sink has taken what it had refused."""
        with self._begin() as connection:
            for position in positions:
                connection.execute(delete(REFUSED).where(REFUSED.c.sink == sink, REFUSED.c.position == position))

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
                connection.execute(delete(REFUSED).where(REFUSED.c.sink == sink, REFUSED.c.position == at))
                connection.execute(insert(REFUSED).values(sink=sink, position=at, reason=reason))
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
        asked = set(after.values())
        lists = {position: self.read(position, limit) for position in asked - {self._nothing_after}}
        self._nothing_after = next((position for position in asked if not lists.setdefault(position, [])), None)
        return {sink: lists[position] for sink, position in after.items()}

    def _move(self, connection: Connection, sink: str, position: int, mark: Any) -> None:
        """Notes where a sink is; what lies in memory and every sink has had goes."""
        values = {"position": position, "mark": json.dumps(mark)}
        connection.execute(update(SINKS).where(SINKS.c.name == sink).values(values))
        self._read_up_to[sink] = position
        if self._is_in_memory:
            connection.execute(delete(ENTRIES).where(ENTRIES.c.position <= min(self._read_up_to.values())))

    def sinks(self) -> dict[str, dict[str, Any]]:
        """Every sink that has a cursor, by name: how many entries it is behind, and how many it would not take."""
        refused = select(REFUSED.c.sink, func.count()).group_by(REFUSED.c.sink)
        with self._begin() as connection:
            last = connection.scalar(select(func.max(ENTRIES.c.position))) or 0
            counts = pairs(connection, refused)
            positions = pairs(connection, select(SINKS.c.name, SINKS.c.position))
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
            return erasing.count_of(connection, names)

    def forget(self, names: Sequence[str]) -> dict[str, int]:
        """Removes sources with all that is known of them; `tidy` then leaves no byte of it. Counts as `count_of`.

        That they are forgotten is remembered by digests, see `forgotten`.
        """
        with self._begin() as connection:
            return erasing.forget(connection, names)

    def forgotten(self) -> Callable[[str], bool]:
        """Says of a name whether it was forgotten by now."""
        with self._begin() as connection:
            return erasing.forgotten(connection)

    def take_again(self, names: Iterable[str]) -> None:
        """Lets sources that were forgotten be taken up again."""
        with self._begin() as connection:
            erasing.take_again(connection, names)

    def removable(
        self, sinks: Sequence[str], max_age_seconds: float | None, share: float
    ) -> tuple[int, dict[str, int], int]:
        """What retention may remove: all up to a position, that the sinks have had; see `erasing.removable`."""
        with self._begin() as connection:
            return erasing.removable(connection, sinks, max_age_seconds, share)

    def remove_up_to(self, upto: int, written: Mapping[str, tuple[int, Any]]) -> None:
        """Removes entries up to a position, and moves the cursors of sinks that have taken them back."""
        with self._begin() as connection:
            connection.execute(delete(REFUSED).where(REFUSED.c.position <= upto))
            connection.execute(delete(ENTRIES).where(ENTRIES.c.position <= upto))
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
                    for table in TABLES.sorted_tables:
                        quoted = self._engine.dialect.identifier_preparer.quote
                        schema = f"{quoted(self._run)}." if self._run else ""
                        connection.exec_driver_sql(f"VACUUM FULL {schema}{quoted(table.name)}")
        except SQLAlchemyError as error:
            raise JournalError(f"the journal cannot be written anew: {words(error)}") from error

    def summary(self) -> dict[str, Any]:
        """How the run stands: sources by status, why some were given up or left out, and what was counted in all."""
        with self._begin() as connection:
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

    def done(self, limit: int | None = 1000) -> dict[str, float]:
        """Sources that were done to their end, each with its seconds of media; the first so many."""
        query = select(SOURCES.c.name, SOURCES.c.media_seconds).where(SOURCES.c.status == DONE).limit(limit)
        with self._begin() as connection:
            return pairs(connection, query)

    def read_source(self, name: str, kind: str, after: int = -1, limit: int = 1000) -> list[Entry]:
        """Entries of one kind of one source after a segment, in the order of segments."""
        of_source = select(SOURCES.c.id).where(SOURCES.c.name == name).scalar_subquery()
        query = (
            select(ENTRIES.c.segment, ENTRIES.c.kind, ENTRIES.c.text, ENTRIES.c.position)
            .where(ENTRIES.c.source == of_source, ENTRIES.c.segment > after, ENTRIES.c.kind == kind)
            .order_by(ENTRIES.c.segment)
            .limit(limit)
        )
        with self._begin() as connection:
            return [Entry(name, *row) for row in connection.execute(query)]

    def sources(self, statuses: Sequence[str] = STATUSES, page: int = 1000) -> Iterator[SourceState]:
        """The sources of some statuses, or all, in the order in which they were registered; read so many at a time."""
        columns = ("name", "status", "reason", "next_segment", "media_seconds", "num_errors", "last_error")
        query = (
            select(SOURCES.c.id, *(SOURCES.c[name] for name in columns), SOURCES.c.num_restarts)
            .where(SOURCES.c.status.in_(statuses))
            .order_by(SOURCES.c.id)
            .limit(page)
        )
        last = 0
        while True:
            with self._begin() as connection:
                found = connection.execute(query.where(SOURCES.c.id > last)).all()
            for _, name, status, reason, *counted in found:
                yield SourceState(name, status, reason, SourceReport(name, *counted))
            if len(found) < page:
                return
            last = found[-1][0]

    def _begin(self) -> Any:
        return Transaction(self._engine)

    def _check_owner(self, connection: Connection) -> None:
        if self._owner and meta_value(connection, "owner") != self._owner:
            raise JournalError("another run has taken this journal over")

    def _add(self, connection: Connection, source: int, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        columns = [
            {"source": source, "segment": e.segment, "kind": e.kind, "item": e.item, "text": e.text} for e in entries
        ]
        connection.execute(insert(ENTRIES), columns)
        self._last += len(entries)
        self._nothing_after = None
