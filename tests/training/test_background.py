"""Thresholds from footage that nobody labelled: of scores with known answers, and from clips to a file of labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from streammm.config import load
from streammm.errors import ConfigError
from streammm.fusion.model import ZeroShotFusion
from streammm.fusion.vocabulary import build_vocabulary
from streammm.labels import DEFAULT_THRESHOLD
from streammm.training.background import evened_out, scores_of, thresholds
from streammm.training.features import Features
from tests.conftest import write_clip
from tests.fusion.conftest import LABELS, PICTURE_CLASSES, SOUND_CLASSES, embed

VOCABULARY = build_vocabulary(LABELS, embed, picture_classes=PICTURE_CLASSES, sound_classes=SOUND_CLASSES)


def scores(logits: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def test_a_threshold_is_as_far_above_the_median_as_the_quantile_is_below() -> None:
    draw = np.random.default_rng(0)
    absent = draw.normal([-3.0, -1.0], [0.5, 1.0], (4000, 2))
    found = thresholds(scores(absent), 0.1)
    assert found == pytest.approx(1 / (1 + np.exp(-np.array([-3.0 + 0.5 * 1.2816, -1.0 + 1.2816]))), abs=0.03)
    assert (scores(absent) >= found).mean(0) == pytest.approx([0.1, 0.1], abs=0.03)
    # A tenth of the footage has the label in it, which nobody said, and the threshold stays where it was.
    there = absent.copy()
    there[:400, 0] = 4.0
    assert thresholds(scores(there), 0.1)[0] == pytest.approx(found[0], abs=0.02)
    assert (scores(there)[:400, 0] >= thresholds(scores(there), 0.1)[0]).all()


def test_what_nothing_can_judge_keeps_the_default_and_little_footage_is_refused() -> None:
    constant = np.full((60, 1), 0.001, np.float32)
    assert thresholds(constant, 0.1).tolist() == [DEFAULT_THRESHOLD]
    sure = np.random.default_rng(0).uniform(0.97, 0.99, (60, 1)).astype(np.float32)
    assert thresholds(sure, 0.1).tolist() == [0.95]
    with pytest.raises(ConfigError, match="at least 50 segments to calibrate with, got 49"):
        thresholds(constant[:49], 0.1)


def source(pictures: np.ndarray) -> Features:
    """Segments of which only pictures are there, given by their class scores."""
    length = len(pictures)
    present = np.tile([False, False, True], (length, 1))
    times = 2.0 * np.arange(length)
    return Features("s", times, times + 2, {"video": np.zeros((length, 4), np.float32)}, present, {"video": pictures})


def test_a_label_that_is_near_to_everything_is_held_back() -> None:
    draw = np.random.default_rng(1)
    pictures = draw.dirichlet([1.0] * len(PICTURE_CLASSES), 200).astype(np.float32)
    pictures[:, PICTURE_CLASSES.index("car")] += 0.5
    footage = [source(pictures[:100]), source(pictures[100:])]
    found = evened_out(VOCABULARY, footage)
    bias = dict(zip(VOCABULARY.labels, found.bias[2], strict=True))
    assert min(bias, key=bias.get) == "car"
    assert bias["car"] < -1
    assert bias["music"] == 0  # no picture can judge it
    assert (found.bias[:2] == 0).all()
    before, after = (scores_of(ZeroShotFusion(v), footage) for v in (VOCABULARY, found))
    assert before.shape == (200, len(VOCABULARY.labels))
    k = VOCABULARY.labels.index("car")
    assert after[:, k].mean() < before[:, k].mean() - 0.1
    assert np.array_equal(evened_out(found, footage).bias, found.bias)  # what was found before is not counted twice


def test_segments_without_anything_are_no_footage() -> None:
    nothing = source(np.zeros((5, len(PICTURE_CLASSES)), np.float32))
    nothing.present[2:] = False
    assert len(scores_of(ZeroShotFusion(VOCABULARY), [nothing])) == 2


def test_labels_come_back_with_thresholds(tmp_path: Path, streammm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMMM_CACHE", str(tmp_path / "cache"))
    write_clip(tmp_path / "a.mp4", 26.0, grey=120)
    write_clip(tmp_path / "b.mp4", 3.0, grey=200)
    (tmp_path / "labels.yaml").write_text(
        "labels: {beep: {phrases: [beep, tone], not: [music]}, dog: null}\ndistractors: [rain]\n"
    )
    arguments = ["--labels", "labels.yaml", "--set", "segment.length_seconds=0.5"]
    done = streammm("calibrate", "a.mp4", "b.mp4", *arguments, "--out", "new.yaml", "--even-out")
    assert done.returncode == 0, done.stderr
    assert "from 58 segments" in done.stdout
    found = yaml.safe_load((tmp_path / "new.yaml").read_text())
    assert found["distractors"] == ["rain"]
    assert {k: v for k, v in found["labels"]["beep"].items() if k in ("phrases", "not")} == {
        "phrases": ["beep", "tone"],
        "not": ["music"],
    }
    config = load(labels=str(tmp_path / "new.yaml"))
    assert config.labels is not None
    assert all(0.01 <= label.threshold <= 0.95 for label in config.labels.values() if label.threshold)
    again = streammm("calibrate", "a.mp4", "b.mp4", *arguments, "--out", "same.yaml", "--even-out")
    assert "media seconds" not in again.stderr  # nothing is decoded again
    assert (tmp_path / "same.yaml").read_text() == (tmp_path / "new.yaml").read_text()
    little = streammm("calibrate", "b.mp4", *arguments, "--out", "new.yaml")
    assert little.returncode == 2
    assert "at least 50 segments to calibrate with, got 6" in little.stderr
    assert yaml.safe_load((tmp_path / "new.yaml").read_text()) == found
    assert "--out must end with one of" in streammm("calibrate", "b.mp4", *arguments, "--out", "x.txt").stderr
