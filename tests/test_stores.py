"""The command line on files in a store: the rows are those of the files on disk."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.conftest import MakeClip
from tests.stores import Bucket
from tests.test_resume import LABELS, rows, running

Streammm = Callable[..., "CompletedProcess[str]"]


def scores(out: Path) -> dict[tuple[str, int], Any]:
    """What each row says, but for the place of its file and the time that it took."""
    found = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    for row in found:
        del row["id"], row["latency_seconds"]
    return {(Path(row.pop("source")).name, row["segment"]): row for row in found}


def put_all(bucket: Bucket, folder: Path) -> None:
    for path in sorted(folder.rglob("*.*")):
        bucket.put(str(path.relative_to(folder.parent)), path)


@pytest.fixture
def films(clip: MakeClip, tmp_path: Path, bucket: Bucket) -> Path:
    folder = tmp_path / "films"
    (folder / "deep").mkdir(parents=True)
    clip("films/a.mp4", 6.0, clicks=[1.0])
    clip("films/deep/b.mkv", 3.0, audio=None)
    (folder / "a.srt").write_text("1\n00:00:00,500 --> 00:00:01,500\na dog barks\n")
    (folder / "broken.mp4").write_bytes(b"nothing" * 99)
    put_all(bucket, folder)
    return folder


def test_a_prefix_has_the_rows_of_the_folder(streammm: Streammm, films: Path, bucket: Bucket, tmp_path: Path) -> None:
    local = streammm("run", "films", "--labels", "dog,music", "--out", "local")
    assert local.returncode == 1, local.stderr
    source = f"{bucket.url}/films/"
    done = streammm("run", source, "--labels", "dog,music", "--out", "out")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    expected = scores(tmp_path / "local")
    assert len(expected) == 5
    assert expected["a.mp4", 0]["modalities"]["text"]["status"] == "ok"
    assert scores(tmp_path / "out") == expected
    assert f"quarantined {source}broken.mp4: cannot be opened as media" in done.stderr

    bucket.server.requests.clear()
    again = streammm("run", "--out", "out")
    assert "3 sources were done before" in again.stdout
    assert not [r for r in bucket.server.requests if "list-type" not in r.query]


def test_a_run_that_is_killed_goes_on_where_it_was(
    streammm: Streammm, clip: MakeClip, bucket: Bucket, tmp_path: Path
) -> None:
    path = clip("big.mov", 200.0, rate=1, audio="pcm_s16le")  # five blocks
    source = bucket.put("big.mov", path)
    with running(tmp_path, source, *LABELS, "--out", "out", num_rows=60) as process:
        process.send_signal(signal.SIGKILL)
    num_rows = len(rows(tmp_path / "out"))
    assert 60 <= num_rows < 100
    bucket.server.requests.clear()
    done = streammm("run", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "out") == [(source, n) for n in range(100)]
    assert sum(r.num_bytes for r in bucket.asked("GET", "big.mov")) < path.stat().st_size


@pytest.mark.ray
def test_a_prefix_has_the_same_rows_on_ray(streammm: Streammm, films: Path, bucket: Bucket, tmp_path: Path) -> None:
    (films / "broken.mp4").unlink()
    local = streammm("run", "films", "--labels", "dog,music", "--out", "local")
    assert local.returncode == 0, local.stderr
    done = streammm(
        "run",
        f"{bucket.url}/films/a.mp4",
        f"{bucket.url}/films/*/*.mkv",
        "--labels",
        "dog,music",
        "--out",
        "out",
        "--ray",
    )
    assert done.returncode == 0, done.stderr
    assert scores(tmp_path / "out") == scores(tmp_path / "local")


def test_a_driver_that_is_missing_is_a_mistake_in_the_call(streammm: Streammm) -> None:
    done = streammm("run", "dropbox://films/a.mp4")
    assert done.returncode == 2
    assert "dropbox:// needs a driver that is not installed" in done.stderr
    assert "Traceback" not in done.stderr
