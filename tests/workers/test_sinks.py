"""A sink fails, or dies with the driver, between writing and noting it: the run goes on later with each row once."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from streammm.config import load
from streammm.journal import Entry
from streammm.sinks.files import Files
from streammm_workers import engine, reading, shard, sinks
from streammm_workers.engine import Place
from tests.workers.light import LABELS, LightEncodeWorker, MadeUpDecoder
from tests.workers.test_run import Recorder

SOURCES = ["a:40", "b:40"]
ENTRIES_AT_ONCE = 7
DIES = 9

Patch = Callable[[object, str, Any], None]


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    make_light(monkeypatch.setattr)


def make_light(patch: Patch) -> None:
    """Stages that load at once, and rows that go to the sinks in small parts."""
    patch(reading, "DecodeWorker", MadeUpDecoder)
    patch(shard, "EncodeWorker", LightEncodeWorker)
    patch(sinks, "_READ_ENTRIES", ENTRIES_AT_ONCE)
    patch(sinks, "_READ_SECONDS", (0.25, 0.25))  # full parts, as a rule


def run(folder: Path, sink: type[Files] = Files) -> None:
    files = sink(folder / "results.jsonl", folder / "quarantine.jsonl")
    place = Place((f"sqlite:///{folder}/journal.sqlite",), [files])
    assert engine.run(load(settings=["events.enabled=false"], labels=LABELS), SOURCES, Recorder(), None, place)


def rows(folder: Path) -> dict[tuple[str, int], Any]:
    """The rows of a run, none of which is there twice, without the time they took."""
    found = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert len({row["id"] for row in found}) == len(found)
    return {(row["source"], row["segment"]): {**row, "latency_seconds": 0.0} for row in found}


@pytest.fixture
def undisturbed(tmp_path: Path, light: None) -> dict[tuple[str, int], Any]:
    (tmp_path / "undisturbed").mkdir()
    run(tmp_path / "undisturbed")
    return rows(tmp_path / "undisturbed")


class FullDisk(Files):
    """The disk is full in the middle of a line of the third part."""

    num_writes = 0

    def write(self, entries: Sequence[Entry]) -> dict[str, int]:
        self.num_writes += 1
        if self.num_writes < 3:
            return super().write(entries)
        file = self._open("row")
        file.write(b"".join(entry.text.encode() + b"\n" for entry in entries)[:-20])
        file.flush()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def at_third_fsync(action: Callable[[], object], is_synced: bool) -> Callable[[int], None]:
    """In place of `os.fsync`: does something the third time, before or after what was written is on the disk."""
    real, calls = os.fsync, []

    def fsync(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 3 and not is_synced:
            action()
        real(handle)
        if len(calls) == 3:
            action()

    return fsync


def fail() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_disk_that_is_full_in_the_middle_of_a_line(undisturbed: dict[tuple[str, int], Any], tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left on device"):
        run(tmp_path, FullDisk)
    assert (tmp_path / "results.jsonl").read_bytes()[-1:] != b"\n"
    run(tmp_path)
    assert rows(tmp_path) == undisturbed


@pytest.mark.parametrize("is_synced", [False, True])
def test_a_sink_that_fails_after_it_has_written(
    is_synced: bool, undisturbed: dict[tuple[str, int], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", at_third_fsync(fail, is_synced))
        with pytest.raises(OSError, match="No space left on device"):
            run(tmp_path)
    assert 3 <= len((tmp_path / "results.jsonl").read_text().splitlines()) <= 3 * ENTRIES_AT_ONCE
    run(tmp_path)
    assert rows(tmp_path) == undisturbed


@pytest.mark.parametrize("is_synced", [False, True])
def test_a_driver_that_dies_after_a_sink_has_written(
    is_synced: bool, undisturbed: dict[tuple[str, int], Any], tmp_path: Path
) -> None:
    words = f"from tests.workers.test_sinks import die; die({str(tmp_path)!r}, {is_synced})"
    died = subprocess.run([sys.executable, "-c", words], cwd=Path(__file__).parents[2], timeout=120, check=False)
    assert died.returncode == DIES
    assert 3 <= len((tmp_path / "results.jsonl").read_text().splitlines()) <= 3 * ENTRIES_AT_ONCE
    run(tmp_path)
    assert rows(tmp_path) == undisturbed


def die(folder: str, is_synced: bool) -> None:
    """A run whose process ends between a sink's writing and its being noted in the journal."""
    make_light(setattr)
    os.fsync = at_third_fsync(lambda: os._exit(DIES), is_synced)
    run(Path(folder))
