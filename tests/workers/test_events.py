"""Events in a run: made of its rows, the same in whatever pieces, after any failure, and on Ray."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from streammm.config import load
from streammm.events import EventTracker
from streammm.journal import Cursor, Entry, Journal, JournalError
from streammm.sinks.files import Files
from streammm_workers import engine, reading, shard
from streammm_workers.engine import Place
from tests.workers.light import LABELS, LightEncodeWorker, MadeUpDecoder
from tests.workers.test_run import Recorder, assert_same_events

SOURCES = ["a:90", "b:300"]
EVENTS = ("events.open_score=0.55", "events.close_score=0.5", "events.merge_seconds=4")


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "DecodeWorker", MadeUpDecoder)
    monkeypatch.setattr(shard, "EncodeWorker", LightEncodeWorker)


def run(folder: Path, *settings: str) -> Recorder:
    folder.mkdir(exist_ok=True)
    files = Files(*(folder / f"{name}.jsonl" for name in ("results", "quarantine", "events")))
    recorder = Recorder()
    place = Place((f"sqlite:///{folder}/journal.sqlite",), [files])
    config = load(settings=[*EVENTS, *settings], labels=LABELS)
    assert engine.run(config, SOURCES, recorder, None, place)
    return recorder


def lines(folder: Path, name: str = "events") -> dict[str, list[dict[str, Any]]]:
    """What was written, by source, in order."""
    found = defaultdict(list)
    for line in (folder / f"{name}.jsonl").read_text().splitlines():
        fields = json.loads(line)
        found[fields["source"]].append(fields)
    return dict(found)


def test_events_follow_from_the_rows_and_are_counted(light: None, tmp_path: Path) -> None:
    snapshot = run(tmp_path).snapshot
    rows, events = lines(tmp_path, "results"), lines(tmp_path)
    num_opened = 0
    for source in SOURCES:
        tracker = EventTracker(source, LABELS, on=0.55, off=0.5, merge_seconds=4.0)
        told = []
        for row in rows[source]:
            scores = {one["label"]: one["score"] for one in row["labels"]}
            told += tracker.push(row["start_seconds"], row["end_seconds"], [scores[label] for label in LABELS])
        told += tracker.flush()
        assert [e.to_json() for e in told] == [
            {k: v for k, v in e.items() if k not in ("segment", "model")} for e in events[source]
        ]
        num_opened += sum(e.state == "open" for e in told)
        assert sum(e.state == "close" for e in told) == sum(e.state == "open" for e in told)
    assert num_opened >= 4
    assert sum(snapshot["events"].values()) == num_opened
    assert Journal(f"sqlite:///{tmp_path}/journal.sqlite").summary()["events"] == num_opened


def test_events_do_not_depend_on_how_the_work_is_cut(light: None, tmp_path: Path) -> None:
    run(tmp_path / "wide")
    run(tmp_path / "narrow", "engine.chunk_segments=1", "engine.batch_segments=1", "engine.decoders=1")
    assert lines(tmp_path / "narrow") == lines(tmp_path / "wide")


@pytest.mark.parametrize("is_written", [False, True])
@pytest.mark.parametrize("number", [1, 2, 9, 16])
def test_a_run_that_fails_at_a_commit_goes_on_with_the_same_events(
    number: int, is_written: bool, light: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "whole")
    real, calls = Journal.commit_all, []

    def commit(self: Journal, *args: Any) -> Any:
        calls.append(args)
        if len(calls) == number and not is_written:
            raise JournalError("gone")
        answer = real(self, *args)
        if len(calls) == number:
            raise JournalError("gone")
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "commit_all", commit)
        with pytest.raises(JournalError, match="gone"):
            run(tmp_path / "cut")
    run(tmp_path / "cut")
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole")


def test_no_events_are_made_where_none_are_wanted(light: None, tmp_path: Path) -> None:
    run(tmp_path, "events.enabled=false")
    assert lines(tmp_path) == {}
    assert len(lines(tmp_path, "results")["a:90"]) == 90


def test_the_end_closes_events_though_no_row_comes_with_it(tmp_path: Path) -> None:
    journal = Journal(f"sqlite:///{tmp_path}/journal.sqlite")
    journal.register(["a"])
    lease = journal.lease("a")
    assert lease is not None
    journal.commit("a", lease.epoch, [Entry("a", 0, "row", "{}"), Entry("a", 0, "event", "open", item=1)], Cursor(1))
    for _ in range(2):  # an answer that was lost is asked for again
        end = [Entry("a", 0, "event", "close", item=2)]
        assert journal.commit("a", lease.epoch, end, Cursor(1, num_events=1), True) is True
    assert [(e.kind, e.text, e.item) for e in journal.read(0)] == [
        ("row", "{}", 0), ("event", "open", 1), ("event", "close", 2)]  # fmt: skip


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", "from streammm.cli import main; main()", "run", *map(str, arguments)]


@pytest.mark.shared_media
def test_a_run_over_real_clips_that_is_killed_goes_on_with_the_same_events(shared_media: Path, tmp_path: Path) -> None:
    names = ("tears_of_steel_70s.webm", "bbb_0_30.webm", "toy_frog.mp4")
    clips = [shared_media / "media" / "real" / name for name in names]
    pieces = ("--set", "engine.chunk_segments=2", "--set", "output.top_labels=1000")
    results = tmp_path / "cut" / "results.jsonl"
    with subprocess.Popen(command(*clips, *pieces, "--out", tmp_path / "cut"), stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 300
        while not (results.exists() and results.read_bytes().count(b"\n") > 8) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    half = results.read_bytes().count(b"\n")
    for out in ("cut", "whole"):
        subprocess.run(command(*clips, *pieces, "--out", tmp_path / out), check=True, timeout=300)
    assert 8 < half < len(results.read_bytes().splitlines())
    cut, whole = lines(tmp_path / "cut"), lines(tmp_path / "whole")
    assert cut.keys() == whole.keys()
    for source, events in whole.items():
        assert_same_events(cut[source], events)
    opened = {(e["label"], e["start_seconds"]) for e in whole[str(clips[0])] if e["state"] == "open"}
    assert ("music", 2.0) in opened
    assert len(opened) > 3
