"""Delivery in a run: processes die in the middle, sinks stay away, and every row arrives."""

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
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pyarrow.dataset as ds
import pytest

from streammm.config import load
from streammm.journal import backlog
from streammm.sinks.files import Files
from streammm.sinks.open import open_outlets, with_sinks
from streammm_workers import engine
from streammm_workers.delivery import Delivery
from streammm_workers.engine import Place
from tests.conftest import MakeClip
from tests.live.servers import free_port
from tests.sinks.servers import WebServer, eventually
from tests.sinks.test_sql import query
from tests.workers.light import LABELS
from tests.workers.test_run import Recorder
from tests.workers.test_sinks import DIES, make_light

Streammm = Callable[..., "CompletedProcess[str]"]

ENTRIES_AT_ONCE = 7


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
    words = f"from tests.workers.test_delivery_runs import die; die({str(folder)!r}, {address!r}, {is_written})"
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
