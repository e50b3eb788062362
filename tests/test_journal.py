"""The commit point: fenced by epoch, nothing twice, nothing lost."""

from streammm.journal import Cursor, Journal
from tests.workers.fakes import row


def test_rows_are_read_once_in_order() -> None:
    journal = Journal()
    journal.lease("a", 0)
    assert journal.commit("a", 0, [row("a", 0), row("a", 1)], Cursor(2)) == 2
    assert [r.segment for r in journal.read()] == [0, 1]
    assert journal.read() == []


def test_a_stale_epoch_can_neither_lease_nor_commit() -> None:
    journal = Journal()
    journal.lease("a", 0)
    journal.lease("a", 1)
    assert journal.lease("a", 0) is None
    assert journal.commit("a", 0, [row("a", 0)], Cursor(1)) is None
    assert journal.read() == []


def test_a_new_holder_goes_on_where_the_last_commit_ended() -> None:
    journal = Journal()
    journal.lease("a", 0)
    journal.commit("a", 0, [row("a", 0)], Cursor(1, {"x": 1}))
    assert journal.lease("a", 1) == Cursor(1, {"x": 1})


def test_a_commit_that_is_repeated_adds_nothing() -> None:
    journal = Journal()
    journal.lease("a", 0)
    for _ in range(2):
        journal.commit("a", 0, [row("a", 0)], Cursor(1))
    assert [r.segment for r in journal.read()] == [0]
