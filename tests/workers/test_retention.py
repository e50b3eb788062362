"""What is too old or too much goes, the oldest first, and never before all sinks have it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from streammm.config import load
from streammm.journal import EMBEDDINGS, Cursor, Entry, Journal, erasing
from streammm.retention import Retention
from streammm.run_directory import files_of, status_of
from tests.test_forget import config_of, light, lines, run

__all__ = ["light"]
DAY = 86_400.0


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000.0
        monkeypatch.setattr(erasing.time, "time", lambda: self.now)


def journal_of(tmp_path: Path) -> Journal:
    journal = Journal(f"sqlite:///{tmp_path / 'journal.sqlite'}")
    journal.register(["a"])
    for sink in ("files", "slow"):
        journal.sink(sink)
    return journal


def add(journal: Journal, first: int, last: int) -> None:
    lease = journal.lease("a")
    assert lease is not None
    rows = [
        Entry("a", n, "row", json.dumps({"source": "a", "segment": n, "pad": "x" * 500})) for n in range(first, last)
    ]
    journal.commit("a", lease.epoch, rows, Cursor(last))


def test_age_counts_from_when_an_entry_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, journal = Clock(monkeypatch), journal_of(tmp_path)
    add(journal, 0, 10)
    assert journal.removable(["files"], DAY, 0.0) == (0, {}, 0)
    clock.now += 0.6 * DAY
    add(journal, 10, 30)
    assert journal.removable(["files"], DAY, 0.0) == (0, {}, 0)
    journal.advance("files", 30, None)
    clock.now += 0.6 * DAY  # the first ten are 1.2 days old, the others 0.6
    assert journal.removable(["files"], DAY, 0.0) == (10, {"row": 10}, 0)
    journal.remove_up_to(10, {})
    assert [entry.segment for entry in journal.read(0)] == list(range(10, 30))
    assert journal.removable(["files"], DAY, 0.0) == (0, {}, 0)


def test_what_a_sink_has_not_had_stays_and_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, journal = Clock(monkeypatch), journal_of(tmp_path)
    add(journal, 0, 10)
    journal.advance("files", 10, None)
    journal.advance("slow", 4, None)
    journal.removable(["files", "slow"], DAY, 0.0)
    clock.now += 2 * DAY
    assert journal.removable(["files", "slow"], DAY, 0.0) == (4, {"row": 4}, 6)
    assert journal.removable(["files", "slow", "never started"], DAY, 0.0) == (0, {}, 10)


def test_a_row_goes_with_what_was_kept_of_it(tmp_path: Path) -> None:
    journal = journal_of(tmp_path)
    lease = journal.lease("a")
    assert lease is not None
    kinds = ("row", "event", EMBEDDINGS)
    entries = [Entry("a", n, kind, "{}") for n in range(4) for kind in kinds]
    journal.commit("a", lease.epoch, entries, Cursor(4))
    journal.advance("files", 11, None)  # which is not told of embeddings
    assert journal.removable(["files"], None, 5 / 12) == (6, {"row": 2, "event": 2, EMBEDDINGS: 2}, 0)
    assert journal.removable(["files"], None, 4 / 12)[0] == 3  # its event cannot stay behind
    assert journal.removable(["files"], None, 1.0)[0] == 12


def test_of_a_share_the_oldest_go_and_their_room_is_given_back(tmp_path: Path) -> None:
    journal = journal_of(tmp_path)
    add(journal, 0, 1000)
    journal.advance("files", 1000, None)
    assert journal.removable(["files"], None, 0.75) == (750, {"row": 750}, 0)
    journal.tidy()
    before = (tmp_path / "journal.sqlite").stat().st_size
    journal.remove_up_to(750, {"files": (1000, {"row": 9})})
    assert (tmp_path / "journal.sqlite").stat().st_size < before / 2
    assert journal.sink("files") == (1000, {"row": 9})
    add(journal, 1000, 1001)
    assert journal.last_position() == 1001


def test_files_of_earlier_runs_go_by_age_and_by_size(tmp_path: Path) -> None:
    for number in range(1, 5):
        path = tmp_path / f"results.2026010{number}-000000.jsonl"
        path.write_bytes(b"x" * 2**20)
        os.utime(path, (time.time() - (10 - number) * DAY,) * 2)
    (tmp_path / "mine.jsonl").write_bytes(b"x" * 2**20)

    def left() -> list[str]:
        return sorted(path.name[14:16] for path in tmp_path.glob("results*"))

    settings = load(settings=["retention.max_age_days=8.5"]).retention
    retention = Retention.of(tmp_path, settings)
    assert retention is not None
    assert (retention.remove_files(), left()) == (1, ["02", "03", "04"])
    retention = Retention(tmp_path, None, 2.5 * 2**20)
    assert (retention.remove_files(), left()) == (2, ["04"])
    assert Retention(tmp_path, None, 0.5 * 2**20).remove_files() == 1
    assert Retention(tmp_path, None, 0.5 * 2**20).share_too_much() == pytest.approx(1 - 0.9 * 0.5)
    assert (tmp_path / "mine.jsonl").exists()
    assert Retention.of(tmp_path, load().retention) is None


def test_a_run_directory_stays_below_its_size_and_loses_the_oldest_rows(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    config = config_of("retention.max_size_mb=1", to=["rows.jsonl"])
    for name in ("a:600", "b:600"):
        run(folder, config, [name])
    rows = lines(tmp_path / "rows.jsonl")
    assert [row["segment"] for row in rows] == [*range(600)] * 2  # what was delivered is not touched
    kept = lines(folder / "results.jsonl")
    assert 100 < len(kept) < 1200
    assert kept == rows[-len(kept) :]
    journal = Journal(f"sqlite:///{folder / 'journal.sqlite'}")
    assert [json.loads(entry.text) for entry in journal.read(0, 5000, kind="row")] == kept
    journal.close()
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 2**20
    removed: dict[str, Any] = status_of(folder)["progress"]["removed"]
    assert removed["row"] > 0

    run(folder, config, ["a:600", "b:600", "c:3"])
    assert [row["source"] for row in lines(folder / "results.jsonl")][-3:] == ["c:3"] * 3
    assert lines(tmp_path / "rows.jsonl")[:1200] == rows


def test_who_is_killed_between_file_and_journal_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder, config_of(), ["a:50"])
    before = lines(folder / "results.jsonl")
    journal = Journal(f"sqlite:///{folder / 'journal.sqlite'}")
    files = files_of(folder)
    files.start(*journal.sink("files"))
    files.trim({"row": 20})
    files.close()
    journal.close()
    assert lines(folder / "results.jsonl") == before[20:]
    run(folder, config_of(), ["a:50"])
    assert lines(folder / "results.jsonl") == before


def test_age_is_looked_at_while_a_run_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder, config_of(), ["a:20"])
    config = config_of("retention.max_age_days=1e-7")  # some milliseconds
    run(folder, config, ["b:400"])
    run(folder, config, ["c:1"])
    assert {row["source"] for row in lines(folder / "results.jsonl")} <= {"c:1"}
