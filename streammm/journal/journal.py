"""The commit point: rows, events, cursor and state of a source go in together, and sinks read from here.

SQLite in the run directory, in memory, or PostgreSQL: one schema, whatever is beneath. Three rules make rows exactly
once. A source belongs to whoever leased it last: each lease has a higher epoch, and a commit of an older one is
refused. A commit moves the cursor and adds the rows in one transaction, so that repeating it adds nothing. A sink's
cursor moves after the sink has written, together with a mark by which the sink takes back what it wrote in vain.

What is asked of the tables is in the modules beside; here is what makes a transaction.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete

from streammm.errors import SourceError
from streammm.journal import entries, erasing, places, sources, standing
from streammm.journal.backlog import Backlog
from streammm.journal.database import IN_MEMORY, Database, Transaction
from streammm.journal.records import STATUSES, Commit, Cursor, Entry, JournalError, Lease, SourceState
from streammm.journal.tables import META, TABLES, meta_value, put_meta

_STAYS = ("format", "forgotten")
"""What `Journal.clear` does not forget: of what is forgotten, that it is."""


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
        self._owner = owner
        self._database = Database(url, run)
        self._backlog = Backlog() if url == IN_MEMORY else None
        self._nothing_after: int | None = None  # known until something is added

    def close(self) -> None:
        """Lets go of the database."""
        self._database.close()

    def clear(self) -> None:
        """Forgets everything."""
        with self._begin() as connection:
            for table in reversed(TABLES.sorted_tables):
                connection.execute(delete(table).where(table.c.key.not_in(_STAYS)) if table is META else delete(table))
        if self._backlog is not None:
            self._backlog = Backlog()
        self._nothing_after = None

    def own(self) -> None:
        """Takes the journal over: whoever wrote to it before is refused from now on."""
        with self._begin() as connection:
            put_meta(connection, "owner", self._owner)

    def tidy(self) -> None:
        """Writes the tables anew, so that no byte is left of what was removed, nor room for it.

        Raises:
            JournalError: somebody else is reading.
        """
        self._database.write_anew()

    def meta(self, key: str) -> Any:
        """A value that was put under a key; None if there is none."""
        with self._begin() as connection:
            text = meta_value(connection, key)
        return None if text is None else json.loads(text)

    def put_meta(self, key: str, value: Any) -> None:
        """Stores a value of plain JSON types under a key."""
        with self._begin() as connection:
            put_meta(connection, key, json.dumps(value, ensure_ascii=False))

    def run_id(self) -> str:
        """What tells this run from all others, for as long as its journal is not cleared."""
        if (found := self.meta("run")) is None:
            self.put_meta("run", found := secrets.token_hex(4))
        return str(found)

    # sources

    def register(self, names: Sequence[str], reopen: Iterable[str] = ()) -> dict[str, str]:
        """Makes sources known, each with the status that it has by now.

        Args:
            names: their public names.
            reopen: those of them that go on though they were done, as a live source does.
        """
        with self._begin() as connection:
            return sources.register(connection, names, reopen)

    def lease(self, name: str) -> Lease | None:
        """Gives a source to the caller from its cursor on; None if it is done or given up."""
        with self._begin() as connection:
            return sources.lease(connection, name)

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
            taken = [sources.take(connection, commit) for commit in commits]
            self._note_added(sum(filter(None, taken)))
        may_go_on = self.may_go_on()
        return [None if num_added is None else may_go_on for num_added in taken]

    def quarantine(self, error: SourceError) -> None:
        """Gives a source up; leases of it are out of date then. A second time changes nothing."""
        with self._begin() as connection:
            self._note_added(sources.quarantine(connection, error))

    def skip(self, name: str, reason: str) -> None:
        """Notes that a source is left out on purpose."""
        with self._begin() as connection:
            sources.skip(connection, name, reason)

    def remove(self, name: str) -> None:
        """Leaves a source out from here on, at whatever segment it is; what was made of it stays."""
        with self._begin() as connection:
            sources.remove(connection, name)

    def put_back(self, name: str) -> str:
        """Puts a source back that was removed or given up, from its cursor on; its status until now, "" if neither."""
        with self._begin() as connection:
            return sources.put_back(connection, name)

    def name_sources(self, more: Sequence[str] | None) -> None:
        """Adds to the sources that a run goes on with, where they are stored; None for some that may not be stored,
        and then none are."""
        if stored := self.meta("sources"):
            self.put_meta("sources", [] if more is None else list(dict.fromkeys([*stored, *more])))

    def retry_skipped(self, reason: str) -> None:
        """Puts sources that were left out for a reason back."""
        with self._begin() as connection:
            sources.retry_skipped(connection, reason)

    def retry_quarantined(self, rebuilt: Sequence[str] = ()) -> int:
        """Puts sources that were given up back, from their cursors on; how many.

        Args:
            rebuilt: sinks that must be built up anew then, since they show what is given up now.
        """
        with self._begin() as connection:
            num_retried = sources.retry_quarantined(connection)
            places.leave_out(connection, rebuilt)
        if self._backlog is not None:
            self._backlog.leave_out(rebuilt)
        return num_retried

    def sources(self, statuses: Sequence[str] = STATUSES, page: int = 1000) -> Iterator[SourceState]:
        """The sources of some statuses, or all, in the order in which they were registered; read so many at a time."""
        after: int | None = 0
        while after is not None:
            with self._begin() as connection:
                states, after = standing.page(connection, statuses, after, page)
            yield from states

    def summary(self) -> dict[str, Any]:
        """How the run stands: sources by status, why some were given up or left out, and what was counted in all."""
        with self._begin() as connection:
            return standing.summary(connection)

    def done(self, limit: int | None = 1000) -> dict[str, float]:
        """Sources that were done to their end, each with its seconds of media; the first so many."""
        with self._begin() as connection:
            return standing.done(connection, limit)

    # entries

    def read(self, after: int, limit: int = 1000, *, source: str | None = None, kind: str | None = None) -> list[Entry]:
        """Entries after a position, in the order in which they were committed, of one source or all.

        They are of one kind, or of all kinds but embeddings.
        """
        with self._begin() as connection:
            return entries.read(connection, after, limit, source, kind)

    def read_segments(self, source: str, first: int, limit: int) -> list[Entry]:
        """All entries of a source from a segment on, segment by segment, embeddings among them; at most so many.

        The last segment may be cut off where there are as many as were asked for.
        """
        with self._begin() as connection:
            return entries.read_segments(connection, source, first, limit)

    def read_source(self, name: str, kind: str, after: int = -1, limit: int = 1000) -> list[Entry]:
        """Entries of one kind of one source after a segment, in the order of segments."""
        with self._begin() as connection:
            return entries.read_source(connection, name, kind, after, limit)

    def read_kinds(self, after: int, limit: int, kinds: Sequence[str]) -> tuple[list[Entry], int]:
        """Entries of some kinds after a position; and up to where there are no others of these."""
        with self._begin() as connection:
            return entries.read_kinds(connection, after, limit, kinds)

    def count_after(self, position: int, kinds: Sequence[str]) -> int:
        """How many entries of some kinds there are after a position."""
        with self._begin() as connection:
            return entries.count_after(connection, position, kinds)

    def last_position(self) -> int:
        """The position of the last entry; 0 if there is none."""
        with self._begin() as connection:
            return entries.last_position(connection)

    # sinks

    def sink(self, name: str) -> tuple[int, Any]:
        """A sink's cursor: the position up to which it has everything, and the mark that it left there."""
        with self._begin() as connection:
            position, mark = places.find(connection, name)
        if self._backlog is not None:
            self._backlog.move(name, position)
        return position, mark

    def advance(self, sink: str, position: int, mark: Any, refused: Mapping[int, str] | None = None) -> None:
        """Moves a sink's cursor: it has written everything up to a position, and leaves a mark for its next start.

        Args:
            sink: its name.
            position: of the last entry.
            mark: of plain JSON types.
            refused: by position, what it will not take and why; it is set aside, where entries are kept.
        """
        with self._begin() as connection:
            if refused and self._backlog is None:
                places.set_aside(connection, sink, refused)
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

    def sinks(self) -> dict[str, dict[str, Any]]:
        """Every sink that has a cursor, by name: how many entries it is behind, and how many it would not take."""
        with self._begin() as connection:
            return places.standing(connection)

    def may_go_on(self) -> bool:
        """False where rows lie in memory and too many of them wait for the sinks; on disk any number may wait."""
        return self._backlog is None or self._backlog.has_room()

    def refused(self, sink: str) -> tuple[int, str]:
        """How many entries a sink would not take, and why not the last of them."""
        with self._begin() as connection:
            return places.refused(connection, sink)

    def read_refused(self, sink: str, after: int, limit: int) -> list[Entry]:
        """Entries that a sink would not take, in order."""
        with self._begin() as connection:
            return places.read_refused(connection, sink, after, limit)

    def forget_refused(self, sink: str, positions: Sequence[int]) -> None:
        """Notes that a sink has taken what it had refused."""
        with self._begin() as connection:
            places.forget_refused(connection, sink, positions)

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
            places.forget_refused_up_to(connection, upto)
            entries.remove_up_to(connection, upto)
            for sink, (position, mark) in written.items():
                self._move(connection, sink, position, mark)
        self._database.trim()

    def _begin(self) -> Transaction:
        return self._database.begin()

    def _check_owner(self, connection: Connection) -> None:
        if self._owner and meta_value(connection, "owner") != self._owner:
            raise JournalError("another run has taken this journal over")

    def _note_added(self, num_entries: int) -> None:
        if num_entries:
            self._nothing_after = None
        if self._backlog is not None:
            self._backlog.add(num_entries)

    def _move(self, connection: Connection, sink: str, position: int, mark: Any) -> None:
        """Notes where a sink is; what lies in memory and every sink has had goes."""
        places.move(connection, sink, position, mark)
        if self._backlog is not None:
            entries.remove_up_to(connection, self._backlog.move(sink, position))
