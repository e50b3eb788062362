"""Delivery: outlets and real servers fail, go and come back, and every entry arrives."""

from __future__ import annotations

import asyncio
import csv
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from streammm.config import load
from streammm.journal import Cursor, Entry, Journal
from streammm.sinks.base import Outlet, UnreachableError, Written
from streammm.sinks.open import open_outlets, with_sinks
from streammm_workers import delivery
from streammm_workers.bell import Bell
from streammm_workers.delivery import Delivery
from streammm_workers.handle import ThreadHandle
from tests.sinks.servers import WebServer, eventually
from tests.sinks.test_sql import query
from tests.sinks.told import row, rows


class Fake:
    """An outlet that keeps what it is told, and fails as it is told."""

    kinds: tuple[str, ...] = ("row",)
    batch_entries = 5
    linger_seconds = 0.0

    def __init__(self, name: str = "fake") -> None:
        self.name = name
        self.is_away = False
        self.refuses: set[int] = set()
        self.starts: list[tuple[int, Any]] = []
        self.batches: list[list[int]] = []

    def start(self, position: int, mark: Any, run: str) -> int:
        self.starts.append((position, mark))
        return position

    def write(self, entries: Sequence[Entry]) -> Written:
        if self.is_away:
            raise UnreachableError("gone fishing")
        self.batches.append([entry.position for entry in entries])
        found = {entry.position: "not mine" for entry in entries if entry.segment in self.refuses}
        return Written({"up to": entries[-1].position}, found)

    def close(self) -> None:
        """Nothing to close."""

    @property
    def taken(self) -> list[int]:
        return [position for batch in self.batches for position in batch]


class Delivering:
    """A delivery at work on a journal, step by step."""

    def __init__(self, outlet: Outlet, url: str = "sqlite://") -> None:
        self.journal = ThreadHandle("journal", Journal, url)
        self.delivery = Delivery(outlet, self.journal)
        self._is_over = asyncio.Event()

    async def __aenter__(self) -> Delivering:
        await self.delivery.find_place()
        self._task = asyncio.create_task(self.delivery.keep_delivering(self._is_over, Bell()))
        return self

    async def commit(self, first: int, last: int) -> None:
        await self.journal.call("register", ["a.mp4"])
        lease = await self.journal.call("lease", "a.mp4")
        await self.journal.call("commit", "a.mp4", lease.epoch, rows(first, last), Cursor(last))

    async def until(self, is_so: Callable[[], bool]) -> None:
        await asyncio.to_thread(eventually, is_so)

    async def end(self, patience_seconds: float = 20.0) -> int:
        self._is_over.set()
        await self._task
        return await self.delivery.finish(patience_seconds)

    async def __aexit__(self, *_: object) -> None:
        self._is_over.set()
        await self._task
        self.journal.close()


def outlet(address: str, **options: Any) -> Any:
    (made,) = open_outlets(with_sinks(load(sinks=[{"to": address, **options}])))
    return made


def through_an_outage(server: Any, sink: Outlet, folder: Path) -> None:
    """Twenty entries arrive, the server goes, twenty more wait, it comes back, and twenty more follow."""

    async def main() -> None:
        async with Delivering(sink, f"sqlite:///{folder}/journal.sqlite") as at:
            await at.commit(0, 20)
            await at.until(lambda: at.delivery.num_delivered == 20)
            await asyncio.to_thread(server.stop)
            await at.commit(20, 40)
            await at.until(lambda: at.delivery.num_failures >= 2)
            state = at.delivery.state(40)
            assert state["behind"] == 20
            assert state["error"]
            await asyncio.to_thread(server.start)
            await at.until(lambda: at.delivery.num_delivered == 40)
            await at.commit(40, 60)
            assert await at.end() == 0
            assert at.delivery.state(60) | {"failures": 0} == {
                "behind": 0,
                "delivered": 60,
                "refused": 0,
                "last_refusal": "",
                "failures": 0,
                "error": "",
            }

    asyncio.run(main())


IDS = [row(segment=n).id for n in range(60)]


def test_postgresql_goes_and_comes_back(postgres: Any, tmp_path: Path) -> None:
    query(postgres.url, "DROP TABLE IF EXISTS streammm_rows", has_answer=False)
    sink = outlet(postgres.url.replace("+psycopg", ""), timeout_seconds=5.0)
    through_an_outage(postgres, sink, tmp_path)
    assert query(postgres.url, "SELECT id FROM streammm_rows ORDER BY segment") == [(i,) for i in IDS]


def test_kafka_goes_and_comes_back(broker: Any, tmp_path: Path) -> None:
    through_an_outage(broker, outlet(broker.url, timeout_seconds=3.0), tmp_path)
    keys = Counter(key for key, _, _ in broker.received())
    assert set(keys) == set(IDS)


def test_mqtt_goes_and_comes_back(mosquitto: Any, tmp_path: Path) -> None:
    through_an_outage(mosquitto, outlet(mosquitto.url, timeout_seconds=5.0), tmp_path)
    eventually(lambda: {words["id"] for _, words, _ in mosquitto.received()} == set(IDS))


def test_a_web_server_goes_and_comes_back(web_server: Any, tmp_path: Path) -> None:
    through_an_outage(web_server, outlet(web_server.url, timeout_seconds=5.0, linger_seconds=0), tmp_path)
    assert [entry["id"] for entry in web_server.received()] == IDS


def test_a_web_server_fails_and_recovers(web_server: WebServer, tmp_path: Path) -> None:
    """It takes some requests and answers with an error all the same: what comes again has the same key."""
    answers = iter([(200, {}), (500, {}), (503, {"retry-after": "1"}), (429, {}), (200, {})])
    web_server.answer = lambda *_: next(answers, (200, {}))

    async def main() -> None:
        async with Delivering(outlet(web_server.url, batch_entries=20, linger_seconds=0)) as at:
            for n in range(3):
                await at.commit(20 * n, 20 * n + 20)
            await at.until(lambda: at.delivery.num_delivered == 60)
            assert at.delivery.num_failures == 3

    asyncio.run(main())
    keys = [headers["idempotency-key"] for headers, _ in web_server.posts]
    assert keys == [keys[0], keys[1], keys[1], keys[1], keys[1], keys[-1]]
    assert len(set(keys)) == 3
    assert set(Counter(entry["id"] for entry in web_server.received())) == set(IDS)


def test_a_failure_starts_the_outlet_again_from_its_cursor() -> None:
    sink = Fake()

    async def main() -> None:
        async with Delivering(sink) as at:
            await at.commit(0, 7)
            await at.until(lambda: at.delivery.num_delivered == 7)
            sink.is_away = True
            await at.commit(7, 14)
            await at.until(lambda: at.delivery.num_failures == 1)
            sink.is_away = False
            await at.until(lambda: at.delivery.num_delivered == 14)

    asyncio.run(main())
    assert sink.taken == list(range(1, 15))
    assert sink.starts == [(0, None), (7, {"up to": 7})]


def test_what_is_refused_is_set_aside_and_can_be_offered_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.sqlite"
    sink = Fake()
    sink.refuses = {3, 8}

    async def main() -> None:
        async with Delivering(sink, url) as at:
            await at.commit(0, 10)
            assert await at.end() == 0
            assert at.delivery.state(10)["refused"] == 2
            assert at.delivery.state(10)["last_refusal"] == "not mine"

    asyncio.run(main())
    journal = Journal(url)
    assert journal.sinks() == {"fake": {"behind": 0, "refused": 2}}
    sink.refuses = {8}
    states: list[dict[str, Any]] = []
    assert delivery.deliver((url,), [sink], 5.0, lambda found: states.append(found["fake"]), is_refused_too=True) == {}
    assert (states[-1]["refused"], states[-1]["delivered"]) == (1, 1)
    assert sink.batches[-1] == [4, 9]
    assert journal.sinks() == {"fake": {"behind": 0, "refused": 1}}
    journal.close()


def test_an_entry_of_which_it_makes_no_sense_is_set_aside_alone(tmp_path: Path) -> None:
    """Also one that a file of rows cannot hold: the others are in it, each once."""
    sink = outlet(f"csv:{tmp_path}/rows.csv")

    async def main() -> None:
        async with Delivering(sink) as at:
            await at.journal.call("register", ["a.mp4"])
            lease = await at.journal.call("lease", "a.mp4")
            entries = [*rows(0, 4), Entry("a.mp4", 4, "row", '{"surprise": 1}'), *rows(5, 9)]
            await at.journal.call("commit", "a.mp4", lease.epoch, entries, Cursor(9))
            assert await at.end() == 0
            state = at.delivery.state(9)
            assert state["refused"] == 1
            assert state["last_refusal"].startswith("it makes no sense of it: KeyError")

    asyncio.run(main())
    with (tmp_path / "rows.csv").open(newline="") as file:
        assert [int(line["segment"]) for line in csv.DictReader(file)] == [0, 1, 2, 3, 5, 6, 7, 8]


def test_nothing_is_waited_for_when_all_is_delivered() -> None:
    sink = Fake()

    async def main() -> None:
        async with Delivering(sink) as at:
            await at.commit(0, 5)
            await at.until(lambda: at.delivery.position == 5)
            sink.is_away = True
            at.delivery._is_started = False
            sink.start = lambda *_: (_ for _ in ()).throw(UnreachableError("gone"))  # type: ignore[method-assign]
            started = time.monotonic()
            assert await at.end(patience_seconds=1000.0) == 0
            assert time.monotonic() - started < 60

    asyncio.run(main())


def test_fewer_than_a_batch_wait_for_more_but_not_at_the_end() -> None:
    sink = Fake()
    sink.linger_seconds = 1000.0

    async def main() -> None:
        async with Delivering(sink) as at:
            await at.commit(0, 12)
            await at.until(lambda: at.delivery.num_delivered == 10)
            await asyncio.sleep(0.6)
            assert at.delivery.num_delivered == 10
            assert await at.end() == 0

    asyncio.run(main())
    assert [len(batch) for batch in sink.batches] == [5, 5, 2]


def test_an_outlet_is_told_the_kinds_that_it_asks_for() -> None:
    sink = Fake()
    sink.kinds = ("quarantine",)

    async def main() -> None:
        async with Delivering(sink) as at:
            await at.commit(0, 12)
            await at.until(lambda: at.delivery.position == 12)
            assert await at.end() == 0

    asyncio.run(main())
    assert sink.taken == []


def test_the_end_waits_for_an_outlet_that_is_away_only_so_long() -> None:
    sink = Fake()
    sink.is_away = True

    async def main() -> None:
        async with Delivering(sink) as at:
            await at.commit(0, 12)
            started = time.monotonic()
            assert await at.end(patience_seconds=2.0) == 12
            assert time.monotonic() - started >= 2.0
            assert at.delivery.error == "gone fishing"

    asyncio.run(main())
