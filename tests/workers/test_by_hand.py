"""Sources are added, paused, resumed and removed while a run goes on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from streammm.errors import SourceError
from streammm.journal import DONE, SKIPPED, TODO, Cursor, Entry, Journal
from streammm.types import SourceReport
from streammm_workers.by_hand import ByHand
from streammm_workers.standing import StandingError
from tests.workers.driven import FakeShard, Recorder, conduct, of, until
from tests.workers.fakes import row


class Held(FakeShard):
    """Works as far as the third row of what it is told to hold, and waits there until that is drained or let go."""

    def __init__(self, journal: Journal, *held: str) -> None:
        super().__init__(journal, lambda source, n: None)
        self.held = set(held)

    async def run(self, source: str) -> SourceReport | None:
        lease = self.journal.lease(source)
        assert lease is not None
        self.epochs.append((source, lease.epoch))
        cursor = lease.cursor
        for n in range(cursor.next_segment, 5):
            await until(lambda n=n: n < 3 or source not in self.held or source in self.leaving or self.is_draining)
            if source in self.leaving or self.is_draining:
                self.leaving.discard(source)
                return None
            text = json.dumps(row(source, n).to_json())
            cursor = Cursor(n + 1, media_seconds=2.0 * n + 2.0)
            self.journal.commit(source, lease.epoch, [Entry(source, n, "row", text)], cursor, n == 4)
            await asyncio.sleep(0)
        return cursor.report(source)


def rows_of(recorder: Recorder, source: str) -> list[int | str]:
    return of(recorder.told, source)


def test_a_source_that_is_paused_keeps_its_place_and_goes_on_when_it_is_resumed() -> None:
    journal, recorder = Journal(), Recorder()
    shard = Held(journal, "a")
    standings: list[dict[str, str]] = []

    async def attend(run: ByHand, stop: asyncio.Event) -> None:
        await until(lambda: rows_of(recorder, "a") == [0, 1, 2])
        await run.pause("a")
        standings.append(run.standing())
        await until(lambda: run.standing().get("a") == "paused")
        await until(lambda: rows_of(recorder, "b")[-1:] == ["finished"])
        await until(lambda: any(snapshot["num_paused"] == 1 for snapshot in recorder.snapshots))
        await run.pause("a")  # once more changes nothing
        standings.append(run.standing())
        shard.held.clear()
        await run.resume("a")

    made = conduct([shard], ["a", "b"], journal, recorder, attend=attend)
    assert standings[0]["a"] == "pausing"
    assert standings[1] == {"a": "paused"}
    assert rows_of(recorder, "a") == [0, 1, 2, 3, 4, "finished"]
    assert len([source for source, _ in shard.epochs if source == "a"]) == 2
    assert (made.progress.num_done, made.progress.num_paused, made.progress.num_skipped) == (2, 0, 0)


def test_a_source_that_waits_can_be_paused_and_removed() -> None:
    journal, recorder = Journal(), Recorder()
    shard = Held(journal, "a")

    async def attend(run: ByHand, stop: asyncio.Event) -> None:
        await until(lambda: rows_of(recorder, "a") == [0, 1, 2])
        assert run.standing() == {"a": "working", "b": "waiting", "c": "waiting"}
        await run.pause("b")
        await run.remove("c")
        assert run.standing() == {"a": "working", "b": "paused"}
        shard.held.clear()
        await until(lambda: "finished" in rows_of(recorder, "a"))
        await run.remove("b")

    made = conduct([shard], ["a", "b", "c"], journal, recorder, slots=1, attend=attend)
    assert rows_of(recorder, "b") == rows_of(recorder, "c") == ["skipped: removed"]
    assert (made.progress.num_done, made.progress.num_skipped, made.progress.num_ended) == (1, 2, 3)
    assert journal.register(["a", "b", "c"]) == {"a": DONE, "b": SKIPPED, "c": SKIPPED}


def test_a_source_that_is_removed_keeps_its_rows_and_begins_again_there_when_it_is_added() -> None:
    journal, recorder = Journal(), Recorder()
    shard = Held(journal, "rtsp://host/a")

    async def attend(run: ByHand, stop: asyncio.Event) -> None:
        await until(lambda: rows_of(recorder, "rtsp://host/a") == [0, 1, 2])
        await run.remove("rtsp://host/a")
        await until(lambda: "skipped: removed" in rows_of(recorder, "rtsp://host/a"))
        assert run.standing() == {}
        assert of(recorder.told, "rtsp://host/a")[-1] == "skipped: removed"
        shard.held.clear()
        assert await run.add(["rtsp://host/a", "b"]) == {"rtsp://host/a": TODO, "b": TODO}
        await until(lambda: "finished" in rows_of(recorder, "rtsp://host/a") and "finished" in rows_of(recorder, "b"))
        assert await run.add(["b"]) == {}  # is known
        stop.set()

    made = conduct([shard], ["rtsp://host/a"], journal, recorder, attend=attend, stays_open=True)
    assert rows_of(recorder, "rtsp://host/a") == [0, 1, 2, "skipped: removed", 3, 4, "finished"]
    assert rows_of(recorder, "b") == [0, 1, 2, 3, 4, "finished"]
    assert (made.progress.num_listed, made.progress.num_done, made.progress.num_skipped) == (2, 2, 0)


def test_a_source_that_was_given_up_can_be_tried_again() -> None:
    journal, recorder = Journal(), Recorder()
    failures = 1

    def fail_once(source: str, n: int) -> None:
        nonlocal failures
        if n == 2 and failures:
            failures -= 1
            raise SourceError(source, "unreachable", "no route")

    async def attend(run: ByHand, stop: asyncio.Event) -> None:
        await until(lambda: "unreachable" in rows_of(recorder, "a"))
        await run.resume("a")
        await until(lambda: "finished" in rows_of(recorder, "a"))
        stop.set()

    made = conduct([FakeShard(journal, fail_once)], ["a"], journal, recorder, attend=attend, stays_open=True)
    assert rows_of(recorder, "a") == [0, 1, "unreachable", 2, 3, 4, "finished"]
    assert (made.progress.num_listed, made.progress.num_done, made.progress.num_quarantined) == (1, 1, 0)


def test_live_sources_that_come_and_go_leave_no_more_room_for_files_than_there_was() -> None:
    journal, recorder = Journal(), Recorder()
    names = [f"rtsp://host/{n}" for n in range(6)]
    shard = Held(journal, *names, "a", "b", "c")
    most = 0

    async def attend(run: ByHand, stop: asyncio.Event) -> None:
        nonlocal most
        for name in names:
            await run.add([name])
            await until(lambda name=name: rows_of(recorder, name) == [0, 1, 2])
            await run.pause(name)
            await until(lambda name=name: run.standing().get(name) == "paused")
        await run.add(["a", "b", "c"])
        await until(lambda: rows_of(recorder, "a") == [0, 1, 2])
        most = [run.standing()[name] for name in "abc"].count("working")
        stop.set()

    conduct([shard], [], journal, recorder, slots=1, attend=attend, stays_open=True)
    assert most == 1


def test_what_does_not_fit_how_a_source_stands_is_refused_and_changes_nothing() -> None:
    journal, recorder = Journal(), Recorder()
    refused: list[str] = []

    async def attend(run: ByHand, stop: asyncio.Event) -> None:
        await until(lambda: "finished" in rows_of(recorder, "a"))
        for ask in (run.pause, run.resume, run.remove):
            with pytest.raises(StandingError) as error:
                await ask("a")
            refused.append(str(error.value))
        stop.set()
        with pytest.raises(StandingError, match="takes no more sources"):
            await run.add(["b"])

    conduct([FakeShard(journal, lambda source, n: None)], ["a"], journal, recorder, attend=attend, stays_open=True)
    assert refused == ["a is neither under way nor waiting", "a is not paused", "a is neither under way nor waiting"]
    assert rows_of(recorder, "b") == []


def test_what_was_added_is_among_the_sources_that_a_run_goes_on_with(tmp_path: Path) -> None:
    journal = Journal(f"sqlite:///{tmp_path}/journal.sqlite")
    journal.put_meta("sources", ["a"])

    async def attend(run: ByHand, stop: asyncio.Event) -> None:
        await run.add(["b"])
        assert journal.meta("sources") == ["a", "b"]
        await run.add(["rtsp://me:secret@host/x"])  # cannot be stored, so that none are
        stop.set()

    conduct([FakeShard(journal, lambda source, n: None)], ["a"], journal, Recorder(), attend=attend, stays_open=True)
    assert journal.meta("sources") == []


def test_pictures_come_from_the_shards() -> None:
    journal, recorder = Journal(), Recorder()
    found: dict[str, bytes] = {}

    async def attend(run: ByHand, stop: asyncio.Event) -> None:
        await until(lambda: "finished" in rows_of(recorder, "a"))
        found.update(await run.pictures())
        stop.set()

    conduct([FakeShard(journal, lambda source, n: None)], ["a"], journal, recorder, attend=attend, stays_open=True)
    assert found == {"a": b"jpeg"}
