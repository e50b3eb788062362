"""A run directory: stopped, taken up again, refused with other settings, started anew; each call a process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess

import psutil
import pytest

from tests.conftest import MakeClip

Streammm = Callable[..., "CompletedProcess[str]"]
LABELS = ("--labels", "beep,wall")


def rows(out: Path) -> list[tuple[str, int]]:
    found = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert len({row["id"] for row in found}) == len(found)
    return sorted((row["source"], row["segment"]) for row in found)


@contextmanager
def running(folder: Path, *arguments: object, num_rows: int = 3) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own, once it has made some rows."""
    command = [sys.executable, "-c", "from streammm.cli import main; main()", "run", *map(str, arguments)]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        results = folder / "out" / "results.jsonl"
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if results.exists() and results.read_bytes().count(b"\n") > num_rows:
                break
            time.sleep(0.05)
        yield process


def test_a_run_that_is_stopped_says_how_to_go_on_and_does(streammm: Streammm, clip: MakeClip, tmp_path: Path) -> None:
    for name in "ab":
        clip(f"{name}.mp4", 120.0, rate=4)
    with running(tmp_path, "a.mp4", "b.mp4", *LABELS, "--out", "out") as process:
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "go on with: streammm run --out out" in errors
    assert not [child for child in psutil.wait_procs(children, timeout=20)[1] if child.status() != "zombie"]
    before = rows(tmp_path / "out")
    assert 3 < len(before) < 120
    assert f"{len(before)} segments of 0 sources" in output

    found = json.loads(streammm("status", "out", "--json").stdout)
    assert (found["is_running"], found["segments"]) == (False, len(before))
    assert found["sources"] == {"todo": 2, "done": 0, "quarantined": 0, "skipped": 0}

    done = streammm("run", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert f"{120 - len(before)} segments of 2 sources" in done.stdout
    assert rows(tmp_path / "out") == [(f"{name}.mp4", n) for name in "ab" for n in range(60)]
    again = streammm("run", "--out", "out")
    assert "2 sources were done before" in again.stdout
    assert "not running  2 done, 0 to do" in streammm("status", "out").stdout


def test_a_second_ctrl_c_stops_at_once(long_clip: Path, tmp_path: Path) -> None:
    with running(tmp_path, long_clip, *LABELS, "--out", "out") as process:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors


def test_a_run_shows_itself_to_others_and_shuts_them_out(streammm: Streammm, long_clip: Path, tmp_path: Path) -> None:
    with running(tmp_path, long_clip, *LABELS, "--out", "out", "--metrics", "39464") as process:
        time.sleep(2.0)
        with urllib.request.urlopen("http://127.0.0.1:39464/metrics", timeout=10) as answer:
            metrics = answer.read().decode()
        shown = streammm("status", "out").stdout
        other = streammm("run", long_clip, *LABELS, "--out", "out")
        process.kill()
    assert "running" in shown
    assert "media seconds a second" in shown
    assert other.returncode == 2
    assert "another run works in out" in other.stderr
    values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
    assert float(values["streammm_segments_total"]) > 0
    assert float(values['streammm_stage_segments_total{stage="decode"}']) > 0
    assert float(values['streammm_batch_size_bucket{le="+Inf",stage="video"}']) > 0


def test_a_run_that_is_killed_goes_on_with_each_row_once(streammm: Streammm, clip: MakeClip, tmp_path: Path) -> None:
    clip("a.mp4", 240.0, rate=4)
    with running(tmp_path, "a.mp4", *LABELS, "--out", "out") as process:
        process.kill()
    with (tmp_path / "out" / "results.jsonl").open("a") as file:
        file.write('{"torn')
    done = streammm("run", "a.mp4", *LABELS, "--out", "out")
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "out") == [("a.mp4", n) for n in range(120)]


def test_commands_of_a_run_are_run_only_where_they_are_asked_for(
    streammm: Streammm, clip: MakeClip, tmp_path: Path
) -> None:
    clip("a.mp4", 4.0)
    alerts = ("--set", "events.open_score=0", "--set", "alerts=[{command: [tee, -a, told]}]")
    assert streammm("run", "a.mp4", *LABELS, *alerts, "--out", "out").returncode == 0
    assert (tmp_path / "told").read_text().count("\n") == 2  # one for each label
    clip("b.mp4", 2.0)
    for call, consent in {
        ("run", "b.mp4", "--out", "out", "--config", "out/config.yaml"): "",
        ("run", "--out", "out"): "--config out/config.yaml",
        ("deliver", "out"): "--commands",
    }.items():
        done = streammm(*call)
        assert done.returncode == (2 if consent else 0), done.stderr
        if consent:
            assert f"alerts.0.command would be run: tee -a told; {consent} allows that" in done.stderr
    assert (tmp_path / "told").read_text().count("\n") == 4
    assert streammm("deliver", "out", "--commands").returncode == 0
    assert (tmp_path / "told").read_text().count("\n") == 4
    told = [json.loads(line)["event"]["source"] for line in (tmp_path / "told").read_text().splitlines()]
    assert told == ["a.mp4", "a.mp4", "b.mp4", "b.mp4"]


def test_other_settings_are_refused_with_the_difference(streammm: Streammm, clip: MakeClip, tmp_path: Path) -> None:
    clip("a.mp4", 4.0)
    assert streammm("run", "a.mp4", *LABELS, "--out", "out").returncode == 0
    before = rows(tmp_path / "out")
    others = {
        'labels: was ["beep", "wall"], is ["beep"]': ["--labels", "beep"],
        "segment.length_seconds: was 2.0, is 4.0": [*LABELS, "--set", "segment.length_seconds=4"],
        'decode.mode: was "exact", is "fast"': [*LABELS, "--set", "decode.mode=fast"],
    }
    for words, settings in others.items():
        refused = streammm("run", "a.mp4", *settings, "--out", "out")
        assert refused.returncode == 2
        assert words in refused.stderr
        assert "--fresh" in refused.stderr
        assert rows(tmp_path / "out") == before
    assert streammm("run", "a.mp4", *settings, "--out", "out", "--fresh").returncode == 0
    assert len(list((tmp_path / "out").glob("results.2*.jsonl"))) == 1
    free = streammm("run", "a.mp4", *settings, "--out", "out", "--set", "engine.chunk_segments=2")
    assert free.returncode == 0, free.stderr  # how the work is spread may change


def test_another_model_is_refused(streammm: Streammm, clip: MakeClip, tmp_path: Path) -> None:
    import sqlite3

    clip("a.mp4", 4.0)
    assert streammm("run", "a.mp4", *LABELS, "--out", "out").returncode == 0
    with sqlite3.connect(tmp_path / "out" / "journal.sqlite") as journal:
        ((text,),) = journal.execute("SELECT value FROM meta WHERE key = 'identity'").fetchall()
        changed = {**json.loads(text), "weights of yamnet": ["other"]}
        journal.execute("UPDATE meta SET value = ? WHERE key = 'identity'", (json.dumps(changed),))
    refused = streammm("run", "a.mp4", *LABELS, "--out", "out")
    assert refused.returncode == 2
    assert 'weights of yamnet: was ["other"]' in refused.stderr


def test_new_sources_are_added_and_failed_ones_tried_again(streammm: Streammm, clip: MakeClip, tmp_path: Path) -> None:
    clip("films/a.mp4", 4.0) if (tmp_path / "films").mkdir() is None else None
    (tmp_path / "films" / "b.mp4").write_bytes(b"not yet" * 99)
    assert streammm("run", "films", *LABELS, "--out", "out").returncode == 1
    quarantine = tmp_path / "out" / "quarantine.jsonl"
    assert json.loads(quarantine.read_text())["reason"] == "not-media"
    clip("films/b.mp4", 4.0)
    clip("films/c.mp4", 4.0)
    assert streammm("run", "films", *LABELS, "--out", "out").returncode == 0
    assert rows(tmp_path / "out") == [(f"films/{name}.mp4", n) for name in "ac" for n in range(2)]
    assert json.loads(quarantine.read_text())["source"] == "films/b.mp4"
    done = streammm("run", "--out", "out", "--retry-quarantined")
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "out") == [(f"films/{name}.mp4", n) for name in "abc" for n in range(2)]
    assert quarantine.read_text() == ""


def test_what_is_left_out_is_counted_and_shown(streammm: Streammm, clip: MakeClip, tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    clip("films/a.mp4", 2.0)
    (tmp_path / "films" / "b.mp4").write_bytes((tmp_path / "films" / "a.mp4").read_bytes())
    (tmp_path / "list.csv").write_text("name,path\none,films\n")
    content = ("--set", "sources.deduplicate=content")
    done = streammm("run", "@list.csv", *LABELS, *content, "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "skipped films/b.mp4: the same as films/a.mp4" in done.stderr
    assert "1 skipped" in done.stdout
    assert "skipped, duplicate: 1" in streammm("status", "out").stdout
    assert rows(tmp_path / "out") == [("films/a.mp4", 0)]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "@none.csv"], "none.csv cannot be read"),
        (["run", "--out", "none"], "holds no run"),
        (["run", "--out", "rows.jsonl"], "name a source"),
        (["run", "a.mp4", "--out", "-", "--fresh"], "are for run directories"),
        (["status", "none"], "holds no run"),
        (["run", "a.mp4", "--metrics", "nowhere:x"], "cannot be listened on"),
    ],
)
def test_a_mistake_in_the_call_is_named(streammm: Streammm, clip: MakeClip, arguments: list[str], words: str) -> None:
    clip("a.mp4", 1.0)
    done = streammm(*arguments)
    assert done.returncode == 2, done.stdout
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_filtered_is_skipped_and_looked_at_again_with_another_filter(
    streammm: Streammm, clip: MakeClip, tmp_path: Path
) -> None:
    (tmp_path / "films").mkdir()
    clip("films/long.mp4", 4.0)
    clip("films/short.mp4", 2.0)
    clip("films/mute.mp4", 4.0, audio=None)
    chosen = ("--set", "sources.min_seconds=3", "--set", "sources.require=[audio]")
    done = streammm("run", "films", *LABELS, *chosen, "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "skipped films/short.mp4: it has 2.0 s, less than sources.min_seconds, 3" in done.stderr
    assert "skipped films/mute.mp4: it has no audio, which sources.require asks for" in done.stderr
    assert "2 segments of 1 source, 4.0 s of media" in done.stdout
    assert "2 skipped" in done.stdout
    found = json.loads(streammm("status", "out", "--json").stdout)
    assert found["sources"] == {"todo": 0, "done": 1, "quarantined": 0, "skipped": 2}
    assert found["skipped"] == {"filtered": 2}
    assert (tmp_path / "out" / "quarantine.jsonl").read_text() == ""

    again = streammm("run", "films", *LABELS, *chosen, "--out", "out")  # none is opened a second time
    assert "0 segments of 0 sources" in again.stdout
    assert "skipped films" not in again.stderr

    other = streammm("run", "films", *LABELS, "--set", "sources.require=[audio]", "--out", "out")
    assert other.returncode == 0, other.stderr
    assert rows(tmp_path / "out") == [("films/long.mp4", 0), ("films/long.mp4", 1), ("films/short.mp4", 0)]
    assert json.loads(streammm("status", "out", "--json").stdout)["skipped"] == {"filtered": 1}
