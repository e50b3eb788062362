"""Delivery: real servers go and come back, processes die in the middle, and every entry arrives."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pyarrow.dataset as ds
import pytest

from streammm.config import load
from streammm.journal import Cursor, Entry, Journal, backlog
from streammm.sinks.base import Outlet, UnreachableError, Written
from streammm.sinks.files import Files
from streammm.sinks.open import open_outlets, with_sinks
from streammm_workers import delivery, engine
from streammm_workers.bell import Bell
from streammm_workers.delivery import Delivery
from streammm_workers.engine import Place
from streammm_workers.handle import ThreadHandle
from tests.conftest import MakeClip
from tests.live.servers import free_port
from tests.sinks.servers import WebServer, eventually
from tests.sinks.test_sql import query
from tests.sinks.told import row, rows
from tests.workers.light import LABELS
from tests.workers.test_run import Recorder
from tests.workers.test_sinks import DIES, make_light

Streammm = Callable[..., "CompletedProcess[str]"]

ENTRIES_AT_ONCE = 7


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


# runs


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    make_light(monkeypatch.setattr)


def run(folder: Path, addresses: Sequence[str], sources: Sequence[str] = ("a:40", "b:40"), **output: Any) -> Recorder:
    rows_only = {"enabled": False}
    config = load(labels=LABELS, sinks=list(addresses), output={"deliver_seconds": 10.0, **output}, events=rows_only)
    config = with_sinks(config)
    outlets = open_outlets(config)
    for one in outlets:
        one.batch_entries = ENTRIES_AT_ONCE
        one.linger_seconds = 0.0
    files = Files(folder / "results.jsonl", folder / "quarantine.jsonl")
    recorder = Recorder()
    place = Place((f"sqlite:///{folder}/journal.sqlite",), [files], outlets=outlets)
    assert engine.run(config, sources, recorder, None, place)
    return recorder


def ids(folder: Path) -> set[str]:
    return {json.loads(line)["id"] for line in (folder / "results.jsonl").read_text().splitlines()}


def die(folder: str, address: str, is_written: bool) -> None:
    """A run whose process ends while, or just after, a sink writes its third part."""
    make_light(setattr)
    real, calls = Delivery._call, []

    async def call(self: Delivery, method: str, *args: Any) -> Any:
        calls.append(method)
        if calls.count("write") == 3 and not is_written:
            asyncio.get_running_loop().call_later(0.002, os._exit, DIES)
        result = await real(self, method, *args)
        if calls.count("write") == 3:
            os._exit(DIES)
        return result

    Delivery._call = call  # type: ignore[method-assign]
    run(Path(folder), [address])


def killed_and_resumed(folder: Path, address: str, is_written: bool) -> set[str]:
    """A run dies at its third part and is taken up; the ids of its rows."""
    words = f"from tests.workers.test_delivery import die; die({str(folder)!r}, {address!r}, {is_written})"
    died = subprocess.run([sys.executable, "-c", words], cwd=Path(__file__).parents[2], timeout=120, check=False)
    assert died.returncode == DIES
    run(folder, [address])
    found = ids(folder)
    assert len(found) == 80
    return found


def in_tracks(folder: Path) -> list[str]:
    return sorted(path.read_text() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("scheme", ["jsonl", "csv", "parquet", "sqlite"])
def test_a_run_that_is_killed_and_resumed_gives_files_every_row_once(
    scheme: str, is_written: bool, light: None, tmp_path: Path
) -> None:
    address = f"sqlite:///{tmp_path}/out" if scheme == "sqlite" else f"{scheme}:{tmp_path}/out"
    expected = killed_and_resumed(tmp_path, address, is_written)
    out = tmp_path / "out"
    if scheme == "jsonl":
        found = [json.loads(line)["id"] for line in out.read_text().splitlines()]
    elif scheme == "csv":
        with out.open(newline="") as file:
            found = [line["id"] for line in csv.DictReader(file)]
    elif scheme == "parquet":
        found = ds.dataset(str(out / "rows")).to_table()["id"].to_pylist()
    else:
        found = [i for (i,) in query(address, "SELECT id FROM streammm_rows")]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("scheme", ["webvtt", "srt", "edl"])
def test_tracks_of_a_run_that_is_killed_and_resumed_are_those_of_one_that_was_not(
    scheme: str, is_written: bool, light: None, tmp_path: Path
) -> None:
    (tmp_path / "killed").mkdir()
    (tmp_path / "undisturbed").mkdir()
    killed_and_resumed(tmp_path / "killed", f"{scheme}:{tmp_path}/killed/out", is_written)
    run(tmp_path / "undisturbed", [f"{scheme}:{tmp_path}/undisturbed/out"])
    found = in_tracks(tmp_path / "killed" / "out")
    assert len(found) == 2
    assert found == in_tracks(tmp_path / "undisturbed" / "out")


@pytest.mark.parametrize("server", ["broker", "mosquitto", "web_server"])
def test_a_run_that_is_killed_and_resumed_gives_servers_every_row_with_its_id(
    server: str, light: None, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    at = request.getfixturevalue(server)
    expected = killed_and_resumed(tmp_path, at.url, is_written=True)

    def found() -> list[str]:
        if server == "web_server":
            return [entry["id"] for entry in at.received()]
        if server == "broker":
            return [key for key, _, _ in at.received()]
        return [words["id"] for _, words, _ in at.received()]

    eventually(lambda: set(found()) == expected)
    assert 80 <= len(found()) <= 80 + ENTRIES_AT_ONCE


def test_a_sink_that_is_away_holds_nobody_else_up(light: None, tmp_path: Path) -> None:
    port = free_port()
    addresses = [f"http://127.0.0.1:{port}/", f"jsonl:{tmp_path}/rows.jsonl", f"sqlite:///{tmp_path}/rows.db"]
    recorder = run(tmp_path, addresses, deliver_seconds=1.0)
    assert recorder.snapshot["undelivered"] == {addresses[0]: 80}
    states = recorder.snapshot["outlets"]
    assert [states[name]["delivered"] for name in addresses] == [0, 80, 80]
    assert "refused" in states[addresses[0]]["error"]
    assert {json.loads(line)["id"] for line in (tmp_path / "rows.jsonl").read_text().splitlines()} == ids(tmp_path)


def test_rows_in_memory_wait_for_a_sink_that_is_away_and_none_is_lost(
    light: None, web_server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run without a run directory keeps so many entries for a sink, then it waits for it."""
    monkeypatch.setattr(backlog, "_MAX_UNREAD", 500)
    web_server.answer = lambda *_: (503, {})
    sink = {"to": web_server.url, "batch_entries": 100}
    config = with_sinks(load(labels=LABELS, events={"enabled": False}, sinks=[sink]))
    recorder = Recorder()
    numbers: list[int] = []

    def come_back() -> None:
        try:
            eventually(lambda: recorder.snapshot.get("num_rows", 0) >= 500, 120)
            before = -1
            while before != (before := recorder.snapshot["num_rows"]):
                time.sleep(3.0)
            numbers.append(before)
        finally:
            web_server.answer = lambda *_: (200, {})

    thread = threading.Thread(target=come_back)
    thread.start()
    assert engine.run(config, ["a:1200"], recorder, None, Place(outlets=open_outlets(config)))
    thread.join()
    assert 500 <= numbers[0] < 700
    taken = {entry["id"] for (_, body) in web_server.posts for entry in json.loads(body)["entries"]}
    assert len(taken) == 1200
    assert recorder.snapshot["undelivered"] == {}


# the command


def test_a_run_says_what_is_undelivered_and_deliver_sends_it(
    streammm: Streammm, clip: MakeClip, tmp_path: Path, web_server: WebServer
) -> None:
    clip("a.mp4", 6.0)
    web_server.stop()
    arguments = ["--labels", "beep", "--set", "output.deliver_seconds=1", "--to", web_server.url, "--to", "rows.csv"]
    done = streammm("run", "a.mp4", "--out", "out", *arguments)
    assert done.returncode == 1, done.stderr
    assert f"behind {web_server.url} cannot be reached, it is tried again" in done.stderr
    assert re.search(r"undelivered 3 entries for http\S+: .*refused; streammm deliver out sends them", done.stderr)
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 4
    shown = streammm("status", "out")
    assert f"  {web_server.url}: 3 behind, 0 refused" in shown.stdout
    again = streammm("deliver", "out", "--seconds", "0")
    assert again.returncode == 1
    web_server.start()
    sent = streammm("deliver", "out")
    assert sent.returncode == 0, sent.stderr
    assert f"{web_server.url}: 3 delivered" in sent.stderr
    assert [entry["data"]["segment"] for entry in web_server.received()] == [0, 1, 2]
    more = streammm("deliver", "out", "--to", "late.jsonl")
    assert more.returncode == 0, more.stderr
    assert (tmp_path / "late.jsonl").read_text() == (tmp_path / "out" / "results.jsonl").read_text()
    assert len(web_server.received()) == 3


def test_the_same_command_sends_the_rest(
    streammm: Streammm, clip: MakeClip, tmp_path: Path, web_server: WebServer
) -> None:
    clip("a.mp4", 4.0)
    web_server.stop()
    arguments = ["--labels", "beep", "--set", "output.deliver_seconds=0", "--to", web_server.url]
    assert streammm("run", "a.mp4", "--out", "out", *arguments).returncode == 1
    web_server.start()
    assert streammm("run", "--out", "out").returncode == 0
    assert [entry["data"]["segment"] for entry in web_server.received()] == [0, 1]


def test_no_secret_is_written_anywhere(
    streammm: Streammm, clip: MakeClip, tmp_path: Path, web_server: WebServer
) -> None:
    clip("a.mp4", 2.0)
    secrets = {"HOOK_TOKEN": "tok3n-of-the-hook", "STREAMMM_WEBHOOK_SECRET": "s3cret-that-signs"}
    address = f"{web_server.url}?token=${{HOOK_TOKEN}}"
    done = streammm("run", "a.mp4", "--labels", "beep", "--out", "out", "--to", address, env={**os.environ, **secrets})
    assert done.returncode == 0, done.stderr
    assert web_server.posts
    assert "webhook-signature" in web_server.posts[0][0]
    web_server.stop()
    away = streammm("deliver", "out", "--to", f"{address}&again=1", "--seconds", "0", env={**os.environ, **secrets})
    assert away.returncode == 1
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    for secret in secrets.values():
        assert secret not in done.stdout + done.stderr + away.stderr + away.stdout
        assert secret.encode() not in written


def test_rows_to_standard_output_are_all_that_is_on_it(streammm: Streammm, clip: MakeClip, tmp_path: Path) -> None:
    clip("a.mp4", 4.0)
    done = streammm("run", "a.mp4", "--labels", "beep", "--out", "out", "--to", "-")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (tmp_path / "out" / "results.jsonl").read_text()
    twice = streammm("run", "a.mp4", "--labels", "beep", "--out", "-", "--to", "-")
    assert twice.returncode == 2


def test_deliver_keeps_out_of_a_run_that_goes_on(streammm: Streammm, long_clip: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from streammm.cli import main; main()"]
    arguments = ["run", str(long_clip), "--labels", "beep", "--out", "out", "--to", "rows.jsonl"]
    process = subprocess.Popen([*command, *arguments], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: (tmp_path / "rows.jsonl").exists() and bool((tmp_path / "rows.jsonl").read_text()), 120)
        refused = streammm("deliver", "out")
        assert refused.returncode == 2
        assert "a run works in out, and delivers" in refused.stderr
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
    assert process.returncode == 130
    assert (tmp_path / "rows.jsonl").read_text() == (tmp_path / "out" / "results.jsonl").read_text()


def test_a_directory_without_sinks_has_nothing_to_deliver_to(streammm: Streammm, clip: MakeClip) -> None:
    clip("a.mp4", 2.0)
    streammm("run", "a.mp4", "--labels", "beep", "--out", "out")
    done = streammm("deliver", "out")
    assert done.returncode == 2
    assert "has no sinks or alerts; name a sink with --to" in done.stderr
    assert streammm("deliver", "nothing").returncode == 2
