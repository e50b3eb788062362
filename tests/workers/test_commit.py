"""Commits that come within a moment go together; each source gets an answer of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from streammm.journal import Commit, Cursor, Entry, Journal, JournalError
from streammm_workers.commit import Committer
from streammm_workers.handle import DirectHandle


class Counting(Journal):
    """Notes how many commits each transaction had; the disk may be full."""

    is_full = False

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[int] = []

    def commit_all(self, commits: Sequence[Commit]) -> list[bool | None]:
        self.groups.append(len(commits))
        if self.is_full:
            raise JournalError("the disk is full")
        return super().commit_all(commits)


def commit_of(journal: Journal, name: str, epoch: int | None = None) -> Commit:
    lease = journal.lease(name)
    assert lease is not None
    return Commit(name, lease.epoch if epoch is None else epoch, [Entry(name, 0, "row", "{}")], Cursor(1))


def test_sources_that_commit_at_once_share_a_transaction_and_answer_for_themselves() -> None:
    journal = Counting()
    journal.register(["a", "b", "late"])

    async def main() -> list[bool | None]:
        committer = Committer(DirectHandle(journal))
        commits = [commit_of(journal, "a"), commit_of(journal, "b"), commit_of(journal, "late", epoch=0)]
        return await asyncio.gather(*map(committer.commit, commits))

    assert asyncio.run(main()) == [True, True, None]
    assert journal.groups == [3]
    assert [entry.source for entry in journal.read(0)] == ["a", "b"]


def test_a_commit_after_another_is_taken_too() -> None:
    journal = Counting()
    journal.register(["a", "b"])

    async def main() -> None:
        committer = Committer(DirectHandle(journal))
        for name in ("a", "b"):
            assert await committer.commit(commit_of(journal, name))

    asyncio.run(main())
    assert journal.groups == [1, 1]


def test_what_the_journal_raises_is_told_to_every_source() -> None:
    journal = Counting()
    journal.register(["a", "b"])
    commits = [commit_of(journal, name) for name in ("a", "b")]
    journal.is_full = True

    async def main() -> None:
        committer = Committer(DirectHandle(journal))
        waiting = [asyncio.create_task(committer.commit(commit)) for commit in commits]
        for task in waiting:
            with pytest.raises(JournalError, match="full"):
                await task

    asyncio.run(main())
    assert journal.groups == [2]


def test_a_source_that_is_given_up_meanwhile_leaves_the_others_alone() -> None:
    journal = Counting()
    journal.register(["a", "b"])

    async def main() -> bool | None:
        committer = Committer(DirectHandle(journal))
        gone, other = (asyncio.create_task(committer.commit(commit_of(journal, name))) for name in ("a", "b"))
        await asyncio.sleep(0)
        gone.cancel()
        return await other

    assert asyncio.run(main()) is True
