"""Alerts of a run: given to a program or a server, once, though either of them or the run goes away."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from streammm.alerts import Rule
from streammm.config import load
from streammm.errors import ConfigError
from streammm.journal import Entry
from streammm.sinks.alert import Alert
from streammm.sinks.base import UnreachableError, Written
from streammm.sinks.command import Command
from streammm.sinks.open import open_outlets
from streammm_workers import delivery, engine, reading, shard
from streammm_workers.engine import Place
from tests.workers.light import LABELS, LightEncodeWorker, MadeUpDecoder
from tests.workers.test_run import Recorder

SOURCES = ["a:150"]


def event(position: int, *, age_seconds: float | None = None, source: str = "a") -> Entry:
    """The first row of an event of its own."""
    fields: dict[str, Any] = {
        "id": f"{position:032x}", "source": source, "label": "dog", "state": "open", "start_seconds": 0.0,
        "end_seconds": 2.0, "last_start_seconds": 0.0, "score": 0.9, "mean_score": 0.9,
    }  # fmt: skip
    if age_seconds is not None:
        at = (datetime.now(UTC) - timedelta(seconds=age_seconds)).isoformat()
        fields["live"] = {"start": at, "end": at}
    return Entry(source, position, "event", json.dumps(fields), position)


class Target:
    """Takes alerts, unless it is told to be away or to refuse."""

    name, kinds, batch_entries, linger_seconds = "target", ("alert",), 1, 0.0

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.away_at: set[int] = set()
        self.refuses: set[int] = set()

    def start(self, position: int, mark: Any, run: str) -> int:
        return position

    def write(self, entries: Any) -> Written:
        for entry in entries:
            if entry.position in self.away_at:
                raise UnreachableError("away")
            if entry.position in self.refuses:
                return Written(refused={entry.position: "no"})
            self.taken.append(json.loads(entry.text))
        return Written()

    def close(self) -> None:
        """Nothing."""

    @property
    def events(self) -> list[int]:
        return [int(alert["event"]["id"], 16) for alert in self.taken]


def test_what_comes_again_after_a_failure_is_not_told_again() -> None:
    target = Target()
    alert = Alert(Rule("r"), target, 3600.0)
    batch = [event(1), event(2), event(3)]
    alert.start(0, None, "run")
    target.away_at = {2}
    with pytest.raises(UnreachableError):
        alert.write(batch)
    target.away_at = set()
    alert.start(0, None, "run")  # as after every failure
    written = alert.write(batch)
    assert target.events == [1, 2, 3]
    assert len({one["id"] for one in target.taken}) == 3
    again = Alert(Rule("r"), target, 3600.0)
    again.start(3, json.loads(json.dumps(written.mark)), "run")
    assert (again.write([event(4)]).num_told, target.events) == (1, [1, 2, 3, 4])


def test_what_is_too_old_is_refused_and_told_if_it_is_asked_for() -> None:
    target = Target()
    alert = Alert(Rule("r"), target, 60.0)
    alert.start(0, None, "run")
    batch = [event(1, age_seconds=3000.0), event(2, age_seconds=1.0), event(3)]
    written = alert.write(batch)
    assert target.events == [2, 3]
    assert (list(written.refused), written.num_told) == ([1], 2)
    assert "s old, more than max_age_seconds, 60" in written.refused[1]
    assert alert.write([batch[0]]).refused == {}  # streammm deliver --retry-refused
    assert target.events == [2, 3, 1]


def test_what_a_target_refuses_is_counted_and_offered_again() -> None:
    target = Target()
    target.refuses = {2}
    alert = Alert(Rule("r"), target, 60.0)
    alert.start(0, None, "run")
    written = alert.write([event(1), event(2)])
    assert (written.refused, written.num_told) == ({2: "no"}, 1)
    target.refuses = set()
    assert alert.write([event(2)]).num_told == 1


def program(folder: Path, text: str) -> list[str]:
    path = folder / "told.py"
    path.write_text(text)
    return [sys.executable, str(path)]


def entry(source: str = "a") -> Entry:
    found = Rule("door").alert(json.loads(event(7, source=source).text), 0.0)
    return Entry(source, 0, "alert", json.dumps(found), 7)


def test_a_program_is_given_the_alert_and_no_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "import json, os, sys; json.dump([json.load(sys.stdin), sys.argv[1:], "
        "{k: v for k, v in os.environ.items() if k.startswith('STREAMMM_')}], open('told.json', 'w'))"
    )
    source = "$(touch owned); `id`\udc80\0.mp4"
    monkeypatch.chdir(tmp_path)
    assert Command("door", [*program(tmp_path, text), "$HOME;ls"], 30.0).write([entry(source)]).refused == {}
    alert, arguments, variables = json.loads((tmp_path / "told.json").read_text())
    assert alert == json.loads(entry(source).text)
    assert arguments == ["$HOME;ls"]
    assert variables["STREAMMM_ALERT"] == "door"
    assert variables["STREAMMM_ID"] == alert["id"]
    assert (variables["STREAMMM_LABEL"], variables["STREAMMM_SCORE"]) == ("dog", "0.9")
    assert variables["STREAMMM_SOURCE"] == "$(touch owned); `id`??.mp4"
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import sys; sys.stdin.read(); sys.exit('no bell')", "it ended with 1: no bell"),
        ("import os; os.close(0); print('x' * 10**6, file=__import__('sys').stderr); os._exit(3)", "it ended with 3"),
        ("import time; time.sleep(60)", "it did not end in 2 s, and was ended"),
    ],
)
def test_a_program_that_fails_is_counted_with_what_it_says(tmp_path: Path, text: str, words: str) -> None:
    assert words in Command("door", program(tmp_path, text), 2.0).write([entry()]).refused[7]


def test_a_program_that_wants_to_be_called_later_is(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="it ended with 75"):
        Command("door", program(tmp_path, "raise SystemExit(75)"), 30.0).write([entry()])


@pytest.mark.parametrize(
    ("alerts", "words"),
    [
        ([{"command": ["no-such-program"]}], r"alerts\.0\.command: there is no program 'no-such-program'"),
        ([{"to": "parquet:there"}], r"alerts\.0\.to: alerts go to https://"),
        ([{"to": "https://me:secret@there/"}], r"alerts\.0: write \$\{NAME\} for a secret"),
        ([{"command": ["true"]}, {"command": ["false"]}], r"alerts\.1: there is another named alert any"),
    ],
)
def test_a_target_that_cannot_be_meant_is_named(alerts: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        open_outlets(load(alerts=alerts))
    assert "secret@" not in str(error.value)


def test_commands_of_a_configuration_that_nobody_named_are_not_run() -> None:
    config = load(alerts=[{"command": ["touch", "owned"]}])
    with pytest.raises(ConfigError, match=r"would be run: touch owned; --commands allows that"):
        open_outlets(config, "--commands")


class Server:
    """A web server that keeps what is posted, or is away."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        self.is_away = False
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if not server.is_away:
                    server.alerts += [one["data"] for one in body["entries"] if one["kind"] == "alert"]
                self.send_response(503 if server.is_away else 200)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Says nothing."""

        self._http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/alerts"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "DecodeWorker", MadeUpDecoder)
    monkeypatch.setattr(shard, "EncodeWorker", LightEncodeWorker)


def test_alerts_wait_for_a_server_and_are_told_once(light: None, server: Server, tmp_path: Path) -> None:
    rule = {"name": "bright", "labels": "bright", "duration_seconds": 20, "to": server.url}
    events = {"open_score": 0.55, "close_score": 0.5}
    config = load(labels=LABELS, alerts=[rule], events=events, settings=["output.deliver_seconds=0"])
    journal = (f"sqlite:///{tmp_path}/journal.sqlite",)
    server.is_away = True
    recorder = Recorder()
    assert engine.run(config, SOURCES, recorder, None, Place(journal, outlets=open_outlets(config)))
    assert server.alerts == []
    assert recorder.snapshot["undelivered"]["bright"] > 0
    server.is_away = False
    states: dict[str, Any] = {}
    for _ in range(2):
        assert delivery.deliver(journal, open_outlets(config), 20.0, states.update) == {}
    assert len(server.alerts) == 1
    (alert,) = server.alerts
    assert (alert["alert"], alert["event"]["label"], alert["held_seconds"]) == ("bright", "bright", 20.0)
    assert engine.run(config, SOURCES, Recorder(), None, Place(journal, outlets=open_outlets(config)))
    assert len(server.alerts) == 1
