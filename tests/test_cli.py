"""The command line, each call in a process of its own: what it prints, what it writes, how it ends."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from streammm.cli.app import _join_watch
from tests.conftest import MakeClip

Streammm = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def folder(clip: MakeClip, tmp_path: Path) -> Path:
    """Two clips that can be read, one that cannot, and a text file."""
    folder = tmp_path / "films"
    (folder / "deep").mkdir(parents=True)
    clip("films/a.mp4", 4.0)
    clip("films/deep/b.mkv", 3.0, audio=None)
    (folder / "broken.mp4").write_bytes(b"nothing" * 99)
    (folder / "notes.txt").write_text("not media")
    return folder


@pytest.mark.parametrize(
    ("given", "joined"),
    [
        (["run", "a.mp4", "--watch"], ["run", "a.mp4", "--watch=127.0.0.1:8420"]),
        (["run", "--watch", "a.mp4"], ["run", "--watch=127.0.0.1:8420", "a.mp4"]),
        (["run", "--watch", "8500", "a.mp4"], ["run", "--watch=8500", "a.mp4"]),
        (["run", "--watch", "0.0.0.0:8500", "a.mp4"], ["run", "--watch=0.0.0.0:8500", "a.mp4"]),
        (["watch", "a.mp4"], ["watch", "a.mp4"]),
    ],
)
def test_watch_stands_alone_or_before_an_address(given: list[str], joined: list[str]) -> None:
    assert _join_watch(given) == joined


def test_a_run_is_shown_while_it_goes_on_and_ends_as_ever(streammm: Streammm, clip: MakeClip) -> None:
    rows = clip("a.mp4", 4.0).with_name("rows.jsonl")
    done = streammm("run", "a.mp4", "--out", rows, "--watch=0")
    assert done.returncode == 0, done.stderr
    assert "watch at http://127.0.0.1:" in done.stderr
    assert len(rows.read_text().splitlines()) == 2


def test_the_terminal_is_wanted_for_cards_on_it(streammm: Streammm) -> None:
    done = streammm("watch", "a.mp4", "--terminal")
    assert (done.returncode, "this is no terminal" in done.stderr) == (2, True)


def test_a_folder_becomes_a_run_directory(streammm: Streammm, folder: Path) -> None:
    done = streammm("run", "films", "--labels", "beep, wall", "--out", "out")
    assert done.returncode == 1, done.stderr
    out = folder.parent / "out"
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert sorted((r["source"], r["segment"]) for r in rows) == [
        ("films/a.mp4", 0),
        ("films/a.mp4", 1),
        ("films/deep/b.mkv", 0),
        ("films/deep/b.mkv", 1),
    ]
    assert [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()] == [
        {
            "schema": 2,
            "source": "films/broken.mp4",
            "reason": "not-media",
            "detail": "cannot be opened as media: invalid data found when processing input",
        }
    ]
    assert "quarantined films/broken.mp4: cannot be opened as media" in done.stderr
    assert "Traceback" not in done.stderr
    assert "labels:\n- beep\n- wall\n" in (out / "config.yaml").read_text()
    for words in ("films/a.mp4", "0:00-0:02", "4 segments of 2 sources", "1 quarantined", "out/results.jsonl"):
        assert words in done.stdout


def test_a_row_has_the_published_form(streammm: Streammm, clip: MakeClip) -> None:
    clip("a.mp4", 2.0)
    done = streammm("run", "a.mp4", "none.mp4", "x" * 300, "--labels", "beep,wall", "--out", "-")
    assert done.returncode == 1, done.stderr
    assert "quarantined none.mp4: no such file" in done.stderr
    (row,) = map(json.loads, done.stdout.splitlines())
    assert list(row) == [
        "id",
        "schema",
        "source",
        "segment",
        "start_seconds",
        "end_seconds",
        "labels",
        "other",
        "found",
        "modalities",
        "model",
        "latency_seconds",
        "offset_seconds",
    ]
    assert (row["source"], row["segment"], row["start_seconds"], row["end_seconds"]) == ("a.mp4", 0, 0.0, 2.0)
    assert {entry["label"] for entry in row["labels"]} == {"beep", "wall"}
    scores = [entry["score"] for entry in row["labels"]]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) + row["other"] == pytest.approx(1.0, abs=1e-4)
    assert list(row["modalities"]) == ["video", "text", "audio"]
    video, text, audio = row["modalities"].values()
    assert (video["status"], video["frames"], audio["status"], audio["samples"]) == ("ok", 4, "ok", 32_000)
    assert text == {
        "status": "absent",
        "weight": 0.0,
        "labels": [],
        "cues": 0,
        "coverage": 0.0,
        "errors": 0,
        "dropped": 0,
    }
    assert video["weight"] + audio["weight"] == pytest.approx(1.0, abs=1e-5)
    assert {entry["label"] for entry in audio["labels"]} == {"beep", "wall"}


def test_labels_come_from_a_file_with_their_thresholds(streammm: Streammm, clip: MakeClip, tmp_path: Path) -> None:
    clip("a.mp4", 2.0)
    (tmp_path / "labels.yaml").write_text(
        "labels: {Ton: {phrases: [beep, dog], not: [music], threshold: 0.0001}, wall: {threshold: 1}}\n"
        "distractors: [rain]\n"
    )
    done = streammm("run", "a.mp4", "--labels", "labels.yaml", "--out", "-")
    assert done.returncode == 0, done.stderr
    (row,) = map(json.loads, done.stdout.splitlines())
    scores = {entry["label"]: entry["score"] for entry in row["labels"]}
    assert scores.keys() == {"Ton", "wall"}
    assert 0.0001 < scores["Ton"] <= 1 - row["other"]
    assert row["found"] == ["Ton"]
    refused = streammm("run", "a.mp4", "--set", "labels={Ton: {phrase: beep}}", "--out", "-")
    assert refused.returncode == 2
    assert "unknown key labels.Ton.phrase; a label has phrases, not, threshold, bias" in refused.stderr


def test_rows_go_to_a_file_and_what_was_there_is_kept(streammm: Streammm, clip: MakeClip, tmp_path: Path) -> None:
    clip("a.mp4", 2.0)
    (tmp_path / "rows.jsonl").write_text("precious\n")
    done = streammm("run", "a.mp4", "missing.mp4", "--out", "rows.jsonl", "--set", "labels=beep")
    assert done.returncode == 1
    assert json.loads((tmp_path / "rows.jsonl").read_text())["source"] == "a.mp4"
    assert json.loads((tmp_path / "rows.quarantine.jsonl").read_text())["reason"] == "missing"
    (old,) = tmp_path.glob("rows.2*.jsonl")
    assert old.read_text() == "precious\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "name a source"),
        (["rum", "a.mp4"], "Did you mean 'run'"),
        (["run", "a.mp4", "--lables", "x"], "--labels"),
        (["run", "a.mp4", "--set", "segment.lenght=1"], "did you mean segment.length_seconds?"),
        (["run", "a.mp4", "--config", "none.yaml"], "cannot read the configuration none.yaml"),
        (["run", "a.mp4", "--labels", ",,"], "a label must not be empty"),
        (["run", "a.mp4", "--set", "encoders.audio=yamnett"], "there is no encoder 'yamnett'"),
        (["run", "empty"], "no media files in empty"),
        (["run", "a.mp4", "--out", "a.mp4/x"], "cannot write to a.mp4/x"),
    ],
)
def test_a_mistake_in_the_call_is_named(
    streammm: Streammm, clip: MakeClip, tmp_path: Path, arguments: list[str], words: str
) -> None:
    clip("a.mp4", 1.0)
    (tmp_path / "empty").mkdir()
    done = streammm(*arguments)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_a_mistake_in_the_call_leaves_earlier_results_alone(streammm: Streammm, clip: MakeClip, tmp_path: Path) -> None:
    clip("a.mp4", 1.0)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.jsonl").write_text("precious\n")
    assert streammm("run", "a.mp4", "--out", "out", "--set", "encoders.audio=yamnett").returncode == 2
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["results.jsonl"]
    assert (tmp_path / "out" / "results.jsonl").read_text() == "precious\n"


def test_a_reader_that_goes_away_ends_the_run_quietly(streammm: Streammm, clip: MakeClip, tmp_path: Path) -> None:
    clip("a.mp4", 60.0)
    program = f"{sys.executable} -c 'from streammm.cli import main; main()' run a.mp4 --out - | head -n 1"
    done = subprocess.run(
        ["bash", "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert json.loads(done.stdout)["segment"] == 0
    assert "Traceback" not in done.stderr


def test_a_run_may_have_nowhere_to_say_anything(streammm: Streammm, clip: MakeClip, tmp_path: Path) -> None:
    clip("a.mp4", 3.0)
    program = f"{sys.executable} -c 'from streammm.cli import main; main()' run a.mp4 --out rows.jsonl >&-"
    done = subprocess.run(
        ["bash", "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 2


def test_probe_says_what_is_in_a_file(streammm: Streammm, clip: MakeClip, tmp_path: Path) -> None:
    clip("a.mkv", 2.0, cues=[(0.0, 1.0, "hello")])
    done = streammm("probe", "a.mkv", "none.mkv")
    assert done.returncode == 1
    words = done.stdout.split()
    assert words[:4] == ["a.mkv", "matroska,webm,", "2.02", "s,"]
    assert {"h264", "64x48", "aac", "44100", "Hz", "subtitle"} <= set(words)
    assert "unreadable none.mkv: no such file" in done.stderr


def test_standard_input_is_no_source_for_a_cluster(streammm: Streammm) -> None:
    done = streammm("run", "--ray", "local", "-")
    assert done.returncode == 2
    assert "leave --ray out" in done.stderr


def test_models_and_version(streammm: Streammm) -> None:
    listed = streammm("models")
    assert listed.returncode == 0
    for name in ("efficientnet_lite0", "yamnet", "minilm", "Apache-2.0", "none stated", "MIT"):
        assert name in listed.stdout
    for name in (
        "torchvision:convnext_tiny",
        "hf:openai/clip-vit-base-patch32",
        "onnx:net.onnx",
        "package.module:Class",
    ):
        assert name in listed.stdout
    assert (
        "torchvision:r3d_18  clips, 33.4 million parameters, 127.4 MB, KINETICS400_V1"
        in streammm("models", "torchvision").stdout.splitlines()
    )
    assert "there are lists of torchvision, timm, torchaudio" in streammm("models", "hf").stderr
    assert streammm("--version").stdout.startswith("streammm 0.")


def test_the_resolved_configuration_is_shown(streammm: Streammm) -> None:
    done = streammm("config", "--set", "segment.length_seconds=4")
    assert "  length_seconds: 4.0\n" in done.stdout
    assert "# Length of a segment." in streammm("config", "--explain").stdout


def test_the_library_works_without_ray(streammm: Streammm, clip: MakeClip, tmp_path: Path) -> None:
    clip("a.mp4", 1.0)
    blocked = tmp_path / "blocked"
    (blocked / "ray").mkdir(parents=True)
    (blocked / "ray" / "__init__.py").write_text("raise ImportError('ray was imported')")
    done = streammm("run", "a.mp4", "--out", "-", env={**os.environ, "PYTHONPATH": str(blocked)})
    assert done.returncode == 0, done.stderr


def test_a_run_whose_nets_were_converted_before_does_without_torch(clip: MakeClip) -> None:
    code = (
        "import sys, streammm\n"
        f"rows = list(streammm.classify({str(clip('a.mp4', 3.0))!r}, labels=['music', 'car']))\n"
        "print(len(rows), 'torch' in sys.modules)"
    )
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    for _ in range(2):  # the first may have to convert them
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False, env=environment
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == "False"
