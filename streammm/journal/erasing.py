"""What is taken out of a journal for good: sources that are to be forgotten, and what is too old or too much."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from streammm.journal.records import EMBEDDINGS
from streammm.journal.tables import ENTRIES, META, REFUSED, SINKS, SOURCES, by_name, meta_value, pairs, put_meta

_MAX_TIMES = 200


def count_of(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """How many entries there are of some sources, by kind; a source that is known counts as ``source``."""
    return _counts(connection, list(by_name(connection, names, SOURCES.c.id).values()))


def forget(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Removes sources with all that is known of them; `tidy` then leaves no byte of it. Counts as `count_of`.

    That they are forgotten is remembered by digests, see `forgotten`.
    """
    ids = list(by_name(connection, names, SOURCES.c.id).values())
    counts = _counts(connection, ids)
    of_these = ENTRIES.c.source.in_(ids)
    positions = select(ENTRIES.c.position).where(of_these)
    events = connection.scalars(select(ENTRIES.c.text).where(of_these, ENTRIES.c.kind == "event"))
    traces = {*names, *(json.loads(text)["id"] for text in events)}
    connection.execute(delete(REFUSED).where(REFUSED.c.position.in_(positions)))
    connection.execute(delete(ENTRIES).where(of_these))
    connection.execute(delete(SOURCES).where(SOURCES.c.id.in_(ids)))
    for sink, mark in pairs(connection, select(SINKS.c.name, SINKS.c.mark)).items():
        cleared = json.dumps(_without(json.loads(mark), traces))
        connection.execute(update(SINKS).where(SINKS.c.name == sink).values(mark=cleared))
    named = [name for name in json.loads(meta_value(connection, "sources") or "[]") if name not in names]
    put_meta(connection, "sources", json.dumps(named, ensure_ascii=False))
    connection.execute(delete(META).where(META.c.key == "progress"))
    salt, digests = _forgotten(connection)
    digests |= {_digest(salt, name) for name in names}
    put_meta(connection, "forgotten", json.dumps({"salt": salt, "digests": sorted(digests)}))
    return counts


def forgotten(connection: Connection) -> Callable[[str], bool]:
    """Says of a name whether it was forgotten by now."""
    salt, digests = _forgotten(connection)
    return lambda name: bool(digests) and _digest(salt, name) in digests


def take_again(connection: Connection, names: Iterable[str]) -> None:
    """Lets sources that were forgotten be taken up again."""
    salt, digests = _forgotten(connection)
    if digests:
        digests -= {_digest(salt, name) for name in names}
        put_meta(connection, "forgotten", json.dumps({"salt": salt, "digests": sorted(digests)}))


def removable(
    connection: Connection, sinks: Sequence[str], max_age_seconds: float | None, share: float
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
    last = connection.scalar(select(func.max(ENTRIES.c.position))) or 0
    times = [(at, then) for at, then in json.loads(meta_value(connection, "times") or "[]") if then <= now]
    step = 0.0 if max_age_seconds is None else max_age_seconds / _MAX_TIMES
    if max_age_seconds is not None and (not times or now - times[-1][1] >= step):
        old = [one for one in times if one[1] < now - max_age_seconds]
        times = [*old[-1:], *times[len(old) :], (last, now)]
        put_meta(connection, "times", json.dumps(times))
    due = max([0, *(at for at, then in times if max_age_seconds is not None and then < now - max_age_seconds)])
    if share > 0:
        count = connection.scalar(select(func.count()).select_from(ENTRIES)) or 0
        at = max(0, min(count, round(share * count)) - 1)
        oldest = select(ENTRIES.c.position).order_by(ENTRIES.c.position).offset(at).limit(1)
        due = max(due, connection.scalar(oldest) or 0)
    positions = pairs(connection, select(SINKS.c.name, SINKS.c.position))
    upto = _whole(connection, min([due, *(positions.get(name, 0) for name in sinks)]), last)
    by_kind = select(ENTRIES.c.kind, func.count()).where(ENTRIES.c.position <= upto)
    counts = pairs(connection, by_kind.group_by(ENTRIES.c.kind))
    waiting = select(func.count()).select_from(ENTRIES)
    waiting = waiting.where(ENTRIES.c.position > upto, ENTRIES.c.position <= due)
    return (upto if counts else 0), counts, connection.scalar(waiting) or 0


def _whole(connection: Connection, upto: int, last: int) -> int:
    """A position near to one at which no segment is cut: its row comes first, and what was kept of it belongs to it."""
    is_row = ENTRIES.c.kind == "row"
    following = connection.scalar(select(func.min(ENTRIES.c.position)).where(is_row, ENTRIES.c.position > upto))
    end = last if following is None else following - 1
    rest = select(func.count()).where(ENTRIES.c.position > upto, ENTRIES.c.position <= end)
    if not upto or not connection.scalar(rest.where(ENTRIES.c.kind != EMBEDDINGS)):
        return end if upto else 0
    before = connection.scalar(select(func.max(ENTRIES.c.position)).where(is_row, ENTRIES.c.position <= upto))
    return upto if before is None else before - 1


def _counts(connection: Connection, ids: Sequence[int]) -> dict[str, int]:
    by_kind = select(ENTRIES.c.kind, func.count()).where(ENTRIES.c.source.in_(ids)).group_by(ENTRIES.c.kind)
    return {**({"source": len(ids)} if ids else {}), **pairs(connection, by_kind)}


def _forgotten(connection: Connection) -> tuple[str, set[str]]:
    found = json.loads(meta_value(connection, "forgotten") or "{}")
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
