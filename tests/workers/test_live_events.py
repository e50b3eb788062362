"""Events and alerts of a live source, which is sent from here: told at once, and gone on with after a pause."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streammm.config import load
from streammm.journal import Entry
from streammm.sinks.files import Files
from streammm.sinks.open import open_outlets
from streammm_workers import engine, shard
from streammm_workers.engine import Place
from tests.workers.light import LABELS, LightEncodeWorker
from tests.workers.test_run import Recorder

RATE = 10
PERIOD_SECONDS = 12.0
"""Bright for the first half of it, dark for the second."""


def send(port: int, stop: threading.Event) -> None:
    """Sends pictures as a camera would, in MPEG-TS over UDP."""
    with av.open(f"udp://127.0.0.1:{port}?pkt_size=1316", "w", format="mpegts") as out:
        stream = out.add_stream("mpeg2video", rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 64, 48, "yuv420p", RATE
        started = time.monotonic()
        for n in range(10**9):
            if stop.wait(max(0.0, started + n / RATE - time.monotonic())):
                return
            level = 235 if n / RATE % PERIOD_SECONDS < PERIOD_SECONDS / 2 else 20
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), "rgb24")
            frame.pts, frame.time_base = n, Fraction(1, RATE)
            out.mux(stream.encode(frame))


@pytest.fixture
def camera() -> Iterator[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stop = threading.Event()
    sender = threading.Thread(target=send, args=(port, stop), daemon=True)
    sender.start()
    yield f"udp://127.0.0.1:{port}"
    stop.set()
    sender.join(timeout=10)


class Stopper(Recorder):
    """Stops the run, as Ctrl-C does, once an event has opened; a second Ctrl-C would end it at once."""

    has_stopped = False

    def entries(self, entries: Sequence[Entry]) -> None:
        super().entries(entries)
        has_opened = any(e.kind == "event" and json.loads(e.text)["state"] == "open" for e in entries)
        if has_opened and not self.has_stopped:
            self.has_stopped = True
            os.kill(os.getpid(), signal.SIGINT)


def test_a_live_source_is_told_of_at_once_and_closes_what_was_open_when_it_went_away(
    camera: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard, "EncodeWorker", LightEncodeWorker)
    note = "import os, sys, time; open(sys.argv[1], 'a').write(os.environ['STREAMMM_ID'] + f' {time.time()}\\n')"
    rule = {"labels": "bright", "command": [sys.executable, "-c", note, str(tmp_path / "told")]}
    events = {"open_score": 0.55, "close_score": 0.5, "merge_seconds": 0}
    journal = (f"sqlite:///{tmp_path}/journal.sqlite",)

    def run(recorder: Recorder, max_seconds: float) -> bool:
        settings = [f"live.max_seconds={max_seconds}", "segment.length_seconds=1", "fusion.smoothing_seconds=0"]
        config = load(settings=settings, labels=LABELS, events=events, alerts=[rule])
        files = Files(*(tmp_path / f"{name}.jsonl" for name in ("results", "quarantine", "events")))
        return engine.run(config, [camera], recorder, None, Place(journal, [files], outlets=open_outlets(config)))

    assert run(Stopper(), 120.0) is False
    opened = [e for e in lines(tmp_path / "events.jsonl") if e["state"] == "open"]
    num_rows = len(lines(tmp_path / "results.jsonl"))
    time.sleep(6.0)
    recorder = Recorder()
    started = time.monotonic()
    assert run(recorder, 20.0) is True
    assert time.monotonic() - started < 60.0
    rows, told = lines(tmp_path / "results.jsonl"), lines(tmp_path / "events.jsonl")
    assert [row["segment"] for row in rows[:num_rows]] == list(range(num_rows))
    assert rows[num_rows]["segment"] == num_rows  # goes on with the next, at once
    assert len(rows) > num_rows + 8
    going = [e for e in told if e["segment"] >= num_rows]
    still_open = opened[-1]
    assert (going[0]["state"], going[0]["id"], going[0]["segment"]) == ("close", still_open["id"], num_rows)
    assert {e["state"] for e in told} == {"open", "update", "close"}
    ends = {e["id"]: unix(e["live"]["end"]) for e in told if e["state"] == "open" and e["label"] == "bright"}
    alerts = [line.split() for line in (tmp_path / "told").read_text().splitlines()]
    assert len(alerts) == len({id_ for id_, _ in alerts}) == len(ends) >= 2
    delays = sorted(float(at) - end for (_, at), end in zip(alerts, ends.values(), strict=True))
    print("delays", delays)  # noqa: T201
    assert delays[-1] < 10.0


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def unix(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()
