"""The commit point: fenced by epoch and owner, nothing twice, nothing lost, in whatever database."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streammm.errors import ConfigError, SourceError
from streammm.journal import DONE, QUARANTINED, SKIPPED, TODO, Cursor, Entry, Journal, JournalError
from streammm.types import SourceReport

MakeJournal = Callable[..., Journal]


def entry(segment: int, source: str = "a") -> Entry:
    return Entry(source, segment, "row", json.dumps({"source": source, "segment": segment}))


@pytest.fixture(params=["memory", "file", "postgres"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeJournal]:
    """Makes journals of one and the same run, of any kind; in memory there is only one."""
    opened: list[Journal] = []
    url = {"memory": "sqlite://", "file": f"sqlite:///{tmp_path}/journal.sqlite"}.get(request.param)
    url = url or request.getfixturevalue("postgres").url

    def make(owner: str = "") -> Journal:
        if not opened or request.param != "memory":
            opened.append(Journal(url, f"run_{abs(hash(tmp_path))}", owner))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def leased(journal: Journal, name: str = "a") -> int:
    journal.register([name])
    lease = journal.lease(name)
    assert lease is not None
    return lease.epoch


def test_entries_are_read_in_order_from_any_position(journal: MakeJournal) -> None:
    j = journal()
    epoch = leased(j)
    assert j.commit("a", epoch, [entry(0), entry(1)], Cursor(2)) is True
    assert j.commit("a", epoch, [entry(2)], Cursor(3)) is True
    found = j.read(0)
    assert [e.segment for e in found] == [0, 1, 2]
    assert [e.segment for e in j.read(found[0].position)] == [1, 2]
    assert [e.segment for e in j.read(0, limit=1)] == [0]
    assert j.read(found[-1].position) == []


def test_a_source_is_read_by_itself_in_the_order_of_segments(journal: MakeJournal) -> None:
    j = journal()
    for name in ("a", "b"):
        embeddings = Entry(name, 1, "embeddings", "{}")
        j.commit(name, leased(j, name), [entry(1, name), embeddings, entry(0, name), entry(2, name)], Cursor(3))
    assert [(e.source, e.segment) for e in j.read_source("b", "row")] == [("b", 0), ("b", 1), ("b", 2)]
    assert [e.segment for e in j.read_source("b", "row", after=0, limit=1)] == [1]
    assert [e.text for e in j.read_source("a", "embeddings")] == ["{}"]
    assert j.read_source("c", "row") == []


def test_sources_are_listed_with_what_was_counted(journal: MakeJournal) -> None:
    j = journal()
    for name in "abcde":
        epoch = leased(j, name)
        if name != "e":
            j.commit(name, epoch, [entry(0, name)], Cursor(1, None, 2.0, 3, "a packet is damaged", 1), name != "d")
    j.quarantine(SourceError("e", "missing", "no such file"))
    found = list(j.sources((DONE, QUARANTINED), page=2))
    assert [(s.name, s.status, s.reason) for s in found] == [
        ("a", DONE, ""),
        ("b", DONE, ""),
        ("c", DONE, ""),
        ("e", QUARANTINED, "missing"),
    ]
    assert found[0].counted == SourceReport("a", 1, 2.0, 3, "a packet is damaged", 1)
    assert [s.name for s in j.sources((TODO,))] == ["d"]


def test_only_the_last_lease_can_commit(journal: MakeJournal) -> None:
    j = journal()
    old, new = leased(j), leased(j)
    assert j.commit("a", old, [entry(0)], Cursor(1)) is None
    assert j.read(0) == []
    assert j.commit("a", new, [entry(0)], Cursor(1)) is True
    assert [e.segment for e in j.read(0)] == [0]


def test_a_new_holder_goes_on_where_the_last_commit_ended(journal: MakeJournal) -> None:
    j = journal()
    cursor = Cursor(1, b"\x00state", 2.0, 3, "torn", 1)
    j.commit("a", leased(j), [entry(0)], cursor)
    lease = journal().lease("a")
    assert lease is not None
    assert lease.cursor == cursor


def test_a_commit_that_is_repeated_adds_nothing(journal: MakeJournal) -> None:
    j = journal()
    epoch = leased(j)
    for _ in range(2):
        assert j.commit("a", epoch, [entry(0)], Cursor(1), is_done=True) is True
    assert [e.segment for e in j.read(0)] == [0]


def test_a_source_that_is_done_or_given_up_is_not_leased(journal: MakeJournal) -> None:
    j = journal()
    j.commit("a", leased(j, "a"), [], Cursor(0), is_done=True)
    epoch = leased(j, "b")
    j.quarantine(SourceError("b", "torn", "in two"))
    assert j.lease("a") is j.lease("b") is None
    assert j.commit("b", epoch, [entry(0, "b")], Cursor(1)) is None
    j.skip("c", "duplicate")
    assert j.register(["a", "b", "c", "d"]) == {"a": DONE, "b": QUARANTINED, "c": SKIPPED, "d": TODO}
    (told,) = j.read(0)
    assert (told.kind, told.segment) == ("quarantine", None)
    assert json.loads(told.text) == {"schema": 2, "source": "b", "reason": "torn", "detail": "in two"}
    summary = j.summary()
    assert summary["sources"] == {TODO: 1, DONE: 1, QUARANTINED: 1, SKIPPED: 1}
    assert (summary["quarantined"], summary["skipped"]) == ({"torn": 1}, {"duplicate": 1})


def test_what_goes_on_for_ever_is_opened_again(journal: MakeJournal) -> None:
    j = journal()
    j.commit("rtsp://a", leased(j, "rtsp://a"), [], Cursor(7), is_done=True)
    assert j.register(["rtsp://a"], reopen=["rtsp://a"]) == {"rtsp://a": TODO}
    lease = j.lease("rtsp://a")
    assert lease is not None
    assert lease.cursor.next_segment == 7


def test_what_was_given_up_is_tried_again_from_its_cursor(journal: MakeJournal) -> None:
    j = journal()
    j.sink("files")
    j.commit("a", leased(j), [entry(0)], Cursor(1))
    j.quarantine(SourceError("a", "torn", "in two"))
    j.advance("files", j.read(0)[-1].position, {"row": 9})
    assert j.retry_quarantined(["files"]) == 1
    lease = j.lease("a")
    assert lease is not None
    assert lease.cursor.next_segment == 1
    assert j.sink("files") == (0, None)  # what it wrote of it has to go
    if [e.kind for e in j.read(0)]:  # in memory, rows that every sink had are gone
        assert [e.kind for e in j.read(0)] == ["row"]


def test_a_sink_finds_its_cursor_and_its_mark(journal: MakeJournal) -> None:
    j = journal()
    j.commit("a", leased(j), [entry(0), entry(1)], Cursor(2))
    assert j.sink("files") == (0, None)
    first = j.read(0)[0].position
    j.advance("files", first, {"row": 17})
    assert journal().sink("files") == (first, {"row": 17})
    assert journal().sink("other") == (0, None)


def test_sinks_are_asked_for_together() -> None:
    j = Journal("sqlite://")
    j.register(["a"])
    for name in ("near", "far", "here"):
        j.sink(name)
    j.commit("a", leased(j), [entry(0), entry(1)], Cursor(2))
    first, second = (e.position for e in j.read(0))
    found = j.exchange({"near": (first, {"row": 17})}, {"near": first, "far": 0, "here": 0}, 1)
    assert {name: [e.position for e in entries] for name, entries in found.items()} == {
        "near": [second],
        "far": [first],
        "here": [first],
    }
    assert j.sink("near") == (first, {"row": 17})
    assert j.exchange({}, {}) == {}


def test_whoever_lost_the_journal_cannot_write_to_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.sqlite"
    old, new = Journal(url, owner="old"), Journal(url, owner="new")
    old.own()
    epoch = leased(old)
    assert old.commit("a", epoch, [entry(0)], Cursor(1)) is True
    new.own()
    with pytest.raises(JournalError, match="taken this journal over"):
        old.commit("a", epoch, [entry(1)], Cursor(2))
    assert [e.segment for e in new.read(0)] == [0]


def test_in_memory_writers_wait_for_the_slowest_sink_and_rows_go() -> None:
    j = Journal()
    j.sink("fast"), j.sink("slow")
    epoch = leased(j)
    assert j.commit("a", epoch, [entry(n) for n in range(9_999)], Cursor(9_999)) is True
    assert j.commit("a", epoch, [entry(9_999)], Cursor(10_000)) is False
    last = j.read(0, 20_000)[-1].position
    j.advance("fast", last, None)
    assert j.may_go_on() is False
    j.advance("slow", last, None)
    assert j.may_go_on() is True
    assert j.read(0) == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "no address of a database"),
        ("postgresql+psycopg://me:secret@host/db", "leave the password out"),
        ("sqlite:////nowhere/at/all.sqlite", "cannot be used: unable to open"),
    ],
)
def test_a_database_that_cannot_be_used_is_a_mistake(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        Journal(url).summary()
    assert "secret" not in str(error.value)


def test_a_file_that_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"precious" * 1000)
    with pytest.raises(ConfigError, match="cannot be used: file is not a database"):
        Journal(f"sqlite:///{path}").summary()
    assert path.read_bytes() == b"precious" * 1000


def test_those_who_only_hand_entries_on_import_no_database() -> None:
    code = "import sys, streammm.run_directory, streammm_workers.engine, streammm_workers.journal_actor\n"
    code += "print('sqlalchemy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"
