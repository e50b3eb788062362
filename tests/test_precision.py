"""What a run computes in is decided once: it stands in its directory, and whoever goes on with it keeps to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from streammm import classify
from streammm.building.precision import with_precision
from streammm.config import load
from streammm.run_directory import RunDirectory, precision_of
from streammm_workers import engine
from tests.conftest import MakeClip
from tests.workers.test_run import Recorder

SOUND_ONLY = ("--set", "fusion.weights={video: 0, text: 0}", "--set", "runtime.device=cpu", "--labels", "music,speech")


def precision_in(run: Path) -> str:
    return str(yaml.safe_load((run / "config.yaml").read_text())["runtime"]["precision"])


def test_auto_is_decided_and_written_and_rows_are_those_of_python(
    clip: MakeClip, streammm: Callable, tmp_path: Path
) -> None:
    path = clip("a.mp4", 6, rate=4)
    made = streammm("run", path, "--out", "run", *SOUND_ONLY)
    assert made.returncode == 0, made.stderr
    rows = [json.loads(line) for line in (tmp_path / "run/results.jsonl").read_text().splitlines()]
    config = load(settings=["fusion.weights={video: 0, text: 0}", "runtime.device=cpu"])
    assert precision_in(tmp_path / "run") == with_precision(config).runtime.precision != "auto"
    expected = list(classify(path, ["music", "speech"], config))
    assert len(rows) == len(expected) == 3
    for row, other in zip(rows, expected, strict=True):
        assert row["model"] == other.model
        theirs = other.to_json()["labels"]
        assert {one["label"]: one["score"] for one in row["labels"]} == pytest.approx(
            {one["label"]: one["score"] for one in theirs}, abs=1e-5
        )


def test_a_run_goes_on_in_what_it_was_begun_in(clip: MakeClip, streammm: Callable, tmp_path: Path) -> None:
    path, other = clip("a.mp4", 4, rate=4), clip("b.mp4", 4, rate=4)
    chosen = (*SOUND_ONLY, "--set", "runtime.backend=torch")
    made = streammm("run", path, "--out", "run", *chosen, "--set", "runtime.precision=bf16")
    assert made.returncode == 0, made.stderr
    made = streammm("run", path, other, "--out", "run", *chosen)  # auto, which alone may be another
    assert made.returncode == 0, made.stderr
    assert precision_in(tmp_path / "run") == "bf16"
    rows = [json.loads(line) for line in (tmp_path / "run/results.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    assert len({row["model"] for row in rows}) == 1
    made = streammm("run", path, "--out", "run", *chosen, "--set", "runtime.precision=fp32")
    assert made.returncode == 2
    assert 'runtime.precision: was "bf16", is "fp32"' in made.stderr


def test_a_run_from_before_it_was_decided_goes_on(clip: MakeClip, streammm: Callable, tmp_path: Path) -> None:
    path, other = clip("a.mp4", 4, rate=4), clip("b.mp4", 4, rate=4)
    run = tmp_path / "run"
    config = load(settings=["fusion.weights={video: 0, text: 0}", "runtime.device=cpu"], labels=["music", "speech"])
    directory = RunDirectory(run, config)
    place = engine.Place((directory.url, directory.schema, directory.owner), [directory.files()], directory.begin)
    assert engine.run(config, [str(path)], Recorder(), None, place)
    directory.close()
    assert precision_of(run) == "auto"  # which was fp32 then, and still is where nobody decides
    made = streammm("run", path, other, "--out", "run", *SOUND_ONLY)
    assert made.returncode == 0, made.stderr
    assert precision_in(run) == "auto"
    rows = [json.loads(line) for line in (run / "results.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    assert len({row["model"] for row in rows}) == 1
    assert precision_of(tmp_path / "nothing") is None
