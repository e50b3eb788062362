"""Dealing sources out: every one ends once, whatever the shards do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from streammm.config import Config, load
from streammm.errors import ConfigError, SourceError, StreammmError
from streammm.journal import DONE, SKIPPED, TODO, Cursor, Entry, Journal
from streammm.types import SourceReport
from streammm_workers import driver
from streammm_workers.by_hand import ByHand
from streammm_workers.handle import DirectHandle, WorkerDiedError
from streammm_workers.metrics import ShardLoad, StageLoad
from streammm_workers.standing import StandingError
from tests.workers.fakes import row


class FakeShard:
    """Commits five rows a source; before each it makes the trouble that it is told to make."""

    def __init__(self, journal: Journal, trouble: Callable[[str, int], object]) -> None:
        self.journal = journal
        self.trouble = trouble
        self.epochs: list[tuple[str, int]] = []
        self.is_draining = False
        self.leaving: set[str] = set()

    async def start(self) -> None:
        """Nothing to load."""

    async def drain(self) -> None:
        self.is_draining = True

    async def drain_source(self, name: str) -> None:
        self.leaving.add(name)

    def pictures(self) -> dict[str, bytes]:
        return {source: b"jpeg" for source, _ in self.epochs[-1:]}

    def load(self) -> ShardLoad:
        return ShardLoad({"decode": StageLoad(1, num_segments=5)}, 1)

    async def run(self, source: str) -> SourceReport | None:
        lease = self.journal.lease(source)
        assert lease is not None
        self.epochs.append((source, lease.epoch))
        cursor = lease.cursor
        for n in range(cursor.next_segment, 5):
            await asyncio.sleep(0)
            if self.is_draining or source in self.leaving:
                self.leaving.discard(source)
                return None
            self.trouble(source, n)
            text = json.dumps(row(source, n).to_json())
            cursor = Cursor(n + 1, media_seconds=2.0 * n + 2.0)
            self.journal.commit(source, lease.epoch, [Entry(source, n, "row", text)], cursor, n == 4)
        return cursor.report(source)


class Recorder:
    def __init__(self) -> None:
        self.told: list[tuple[str, int | str]] = []
        self.snapshots: list[dict[str, Any]] = []

    def entries(self, entries: Sequence[Entry]) -> None:
        self.told += [(e.source, e.segment) for e in entries if e.segment is not None]

    def finished(self, report: SourceReport) -> None:
        self.told.append((report.source, "finished"))

    def failed(self, error: SourceError) -> None:
        self.told.append((error.source, error.reason))

    def skipped(self, source: str, reason: str, detail: str) -> None:
        self.told.append((source, f"skipped: {reason}"))

    def progress(self, snapshot: dict[str, Any]) -> None:
        self.snapshots.append(snapshot)


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every wait short."""
    real_sleep = asyncio.sleep
    monkeypatch.setattr(driver.asyncio, "sleep", lambda seconds: real_sleep(min(seconds, 0.01)))


def conduct(
    shards: Sequence[Any],
    sources: Iterable[str],
    journal: Journal,
    recorder: Recorder,
    *,
    slots: int = 2,
    sinks: dict[str, Any] | None = None,
    stop: asyncio.Event | None = None,
    attend: Callable[[ByHand, asyncio.Event], Coroutine[Any, Any, None]] | None = None,
    stays_open: bool = False,
) -> driver.Driver:
    """A run of these shards over these sources."""
    made: list[driver.Driver] = []

    async def main() -> None:
        handles = {name: DirectHandle(sink) for name, sink in (sinks or {}).items()}
        end = stop or asyncio.Event()

        async def beside(run: ByHand) -> None:
            if attend is not None:
                await attend(run, end)

        plan = driver.Plan(iter(sources), lambda: None, handles, end, (), beside, stays_open)
        made.append(driver.Driver(Config(), plan, DirectHandle(journal), recorder))
        await made[0].run([(DirectHandle(shard), slots) for shard in shards])

    asyncio.run(main())
    return made[0]


def drive(trouble: Callable[[str, int], object], sources: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple:
    quick(monkeypatch)
    journal, recorder = Journal(), Recorder()
    shards = [FakeShard(journal, trouble) for _ in range(2)]
    conduct(shards, sources, journal, recorder)
    return recorder.told, shards


def of(told: list[tuple[str, int | str]], source: str) -> list[int | str]:
    return [what for name, what in told if name == source]


def test_every_source_is_done_once_with_its_rows_before_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [f"s{n}" for n in range(9)]
    told, shards = drive(lambda source, n: None, sources, monkeypatch)
    assert all(of(told, source) == [0, 1, 2, 3, 4, "finished"] for source in sources)
    assert sorted(source for shard in shards for source, _ in shard.epochs) == sources


def test_a_source_whose_workers_die_goes_on_as_long_as_it_gets_on(monkeypatch: pytest.MonkeyPatch) -> None:
    deaths = []

    def die_at_every_row_once(source: str, n: int) -> None:
        if source == "b" and n not in deaths:
            deaths.append(n)
            raise WorkerDiedError("gone")

    told, shards = drive(die_at_every_row_once, ["a", "b", "c"], monkeypatch)
    assert deaths == [0, 1, 2, 3, 4]
    assert of(told, "b") == [0, 1, 2, 3, 4, "finished"]
    epochs = [epoch for shard in shards for source, epoch in shard.epochs if source == "b"]
    assert len(set(epochs)) == 6


def test_a_source_that_kills_every_worker_is_given_up_and_the_others_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(source: str, n: int) -> None:
        if source == "b" and n == 2:
            raise WorkerDiedError("gone")

    told, shards = drive(die, ["a", "b", "c"], monkeypatch)
    assert of(told, "b") == [0, 1, "worker-died"]
    assert len([epoch for shard in shards for source, epoch in shard.epochs if source == "b"]) == 3
    assert of(told, "a") == of(told, "c") == [0, 1, 2, 3, 4, "finished"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(SourceError("b", "undecodable", "no"), "undecodable"), (KeyError("bug"), "internal")],
)
def test_an_error_in_one_source_costs_that_source(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    def fail(source: str, n: int) -> None:
        if source == "b" and n == 1:
            raise error

    told, _ = drive(fail, ["a", "b", "c"], monkeypatch)
    assert of(told, "b") == [0, reason]
    assert of(told, "a") == of(told, "c") == [0, 1, 2, 3, 4, "finished"]


def test_a_mistake_in_the_set_up_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: str, n: int) -> None:
        raise ConfigError("no such model")

    with pytest.raises(ConfigError, match="no such model"):
        drive(fail, ["a"], monkeypatch)


class DeadShard:
    """A shard that is gone for good."""

    runs = 0

    async def start(self) -> None:
        if self.runs:
            raise WorkerDiedError("gone")

    async def run(self, source: str) -> None:
        self.runs += 1
        raise WorkerDiedError("gone")

    def load(self) -> ShardLoad:
        raise WorkerDiedError("gone")


def test_a_dead_shard_takes_no_source_from_a_healthy_one(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    journal, recorder, dead = Journal(), Recorder(), DeadShard()
    sources = [f"s{n}" for n in range(16)]
    conduct([dead, FakeShard(journal, lambda source, n: None)], sources, journal, recorder)
    assert all(of(recorder.told, source)[-1] == "finished" for source in sources)
    assert dead.runs == 2  # one a slot


def test_without_a_shard_left_the_sources_are_still_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    journal, recorder = Journal(), Recorder()
    with pytest.raises(StreammmError, match="no shard is left; 3 sources are still to do"):
        conduct([DeadShard()], ["a", "b", "c"], journal, recorder, slots=1)
    assert recorder.told == []
    assert set(journal.register(["a", "b", "c"]).values()) == {TODO}


class FakeSink:
    """Keeps what it is given; fails or stalls as it is told."""

    def __init__(self, trouble: Callable[[], object] = lambda: None) -> None:
        self.got: list[tuple[str, int | None]] = []
        self.trouble = trouble
        self.is_closed = False

    def start(self, position: int, mark: Any) -> int:
        del self.got[mark or 0 :]
        return position

    def write(self, entries: Sequence[Entry]) -> int:
        self.got += [(e.source, e.segment) for e in entries]
        self.trouble()
        return len(self.got)

    def close(self) -> None:
        self.is_closed = True


def test_a_sink_that_cannot_write_ends_the_run_and_goes_on_in_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    quick(monkeypatch)
    journal = Journal(f"sqlite:///{tmp_path}/journal.sqlite")
    sources = ["a", "b"]

    def full() -> None:
        raise OSError(28, "No space left on device")

    sink = FakeSink(full)
    with pytest.raises(OSError, match="No space left"):
        conduct([FakeShard(journal, lambda source, n: None)], sources, journal, Recorder(), sinks={"s": sink})
    sink.trouble = lambda: None
    conduct([FakeShard(journal, lambda source, n: None)], sources, journal, Recorder(), sinks={"s": sink})
    assert sorted(sink.got) == [(source, n) for source in sources for n in range(5)]
    assert sink.is_closed


def test_listing_goes_only_so_far_ahead_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    journal, recorder = Journal(), Recorder()
    listed = 0
    most = 0

    def sources() -> Iterator[str]:
        nonlocal listed
        for n in range(10_000):
            listed += 1
            yield f"s{n}"

    class Shard(FakeShard):
        async def run(self, source: str) -> SourceReport | None:
            nonlocal most
            most = max(most, listed - len(self.epochs))
            self.epochs.append((source, 0))
            await asyncio.sleep(0)
            return Cursor().report(source)

    shard = Shard(journal, lambda source, n: None)
    made = conduct([shard], sources(), journal, recorder, slots=4)
    assert len(shard.epochs) == made.progress.num_done == listed == 10_000
    assert most < 4096 + 2 * 256
    assert shard.epochs[0] == ("s0", 0)


def test_a_run_that_is_stopped_goes_on_later_with_the_same_rows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    quick(monkeypatch)
    journal = Journal(f"sqlite:///{tmp_path}/journal.sqlite")
    recorder, sink = Recorder(), FakeSink()
    sources = [f"s{n}" for n in range(9)]
    stop = asyncio.Event()
    shard = FakeShard(journal, lambda source, n: stop.set() if (source, n) == ("s4", 2) else None)
    conduct([shard], sources, journal, recorder, sinks={"s": sink}, stop=stop)
    num_before = len(sink.got)
    assert 0 < num_before < 45
    again = Recorder()
    made = conduct([FakeShard(journal, lambda source, n: None)], sources, journal, again, sinks={"s": sink})
    assert sorted(sink.got) == [(source, n) for source in sources for n in range(5)]
    assert made.progress.num_done_before == sum(what == "finished" for _, what in recorder.told)
    assert len([1 for _, what in again.told if isinstance(what, int)]) == 45 - num_before


def test_a_run_says_how_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)
    journal, recorder = Journal(), Recorder()
    conduct([FakeShard(journal, lambda source, n: None)], ["a", "b"], journal, recorder)
    last = recorder.snapshots[-1]
    assert (last["num_listed"], last["is_listed"], last["num_done"], last["num_rows"]) == (2, True, 2, 10)
    assert last["media_seconds"] == 20.0
    assert journal.meta("progress") == json.loads(json.dumps(last))


async def until(holds: Callable[[], object]) -> None:
    """Waits until something holds."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.001)


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


@pytest.mark.parametrize(
    ("nodes", "num_sources", "settings", "layout"),
    [
        ([{"CPU": 2}], 100, [], (1, 2, 0.0)),
        ([{"CPU": 8}, {"CPU": 4}], 100, [], (2, 4, 0.0)),
        ([{"CPU": 64, "GPU": 8}], 1000, [], (8, 8, 1.0)),
        ([{"CPU": 64, "GPU": 8}], 4, [], (8, 1, 1.0)),
        ([{"CPU": 4}, {"CPU": 16, "GPU": 2}], 1000, [], (2, 8, 1.0)),
        ([{"CPU": 16}], 1000, ["ray.shards=2"], (2, 8, 0.0)),
        ([{"CPU": 16, "GPU": 1}], 1000, ["ray.gpus_per_shard=0.5"], (2, 8, 0.5)),
    ],
)
def test_the_layout_fits_the_cluster(
    nodes: list[dict[str, float]], num_sources: int, settings: list[str], layout: tuple[int, int, float]
) -> None:
    from streammm_workers.cluster import _lay_out

    found = _lay_out(load(settings=settings), nodes, num_sources)
    assert (found.num_shards, found.decoders, found.gpus) == layout
