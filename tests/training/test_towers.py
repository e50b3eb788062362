"""Nets that begin with nothing: trained on raw content, saved, and run as encoders with the same numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from streammm.encoders import find
from streammm.encoders.content import PIXELS, UNTRAINED, Content
from streammm.errors import ConfigError
from streammm.training.dataset import Example, collate
from streammm.training.features import Features
from streammm.training.towers import make_towers
from streammm.types import MODALITIES, Cue, Modality, Segment, Status
from tests.conftest import write_clip


def segment(num_frames: int, num_samples: int, text: str, seed: int = 0) -> Segment:
    draw = np.random.default_rng(seed)
    return Segment(
        "s",
        0,
        0.0,
        2.0,
        draw.integers(0, 256, (num_frames, PIXELS, PIXELS, 3)).astype(np.uint8),
        np.zeros(num_frames),
        (0.1 * draw.normal(size=num_samples)).astype(np.float32),
        (Cue(0.0, 1.0, text),),
        dict.fromkeys(MODALITIES, Status.OK),
    )


def example(segments: list[Segment], modality: Modality, name: str) -> Example:
    made = Content(name, modality).encode(segments)
    present = np.zeros((len(segments), len(MODALITIES)), bool)
    present[:, MODALITIES.index(modality)] = True
    times = 2.0 * np.arange(len(segments))
    features = Features("s", times, times + 2.0, {modality: made.vectors}, present)
    return Example(features, np.eye(2, dtype=np.float32)[[0] * len(segments)], np.ones(len(segments), bool))


@pytest.mark.parametrize(("name", "modality"), list(UNTRAINED))
def test_a_trained_net_gives_as_an_encoder_what_it_gave_in_training(
    name: str, modality: Modality, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    segments = [segment(4, 32_000, "nine lives"), segment(3, 20_000, "eight"), segment(4, 32_000, "one two three")]
    train = [example(segments, modality, name)]
    towers = make_towers({modality: name}, train)
    tower = towers[modality].eval()
    width = train[0].features.vectors[modality].shape[1]
    with torch.no_grad():
        wanted = tower(collate(train, {modality: width + 5}).inputs[modality][0])
    assert wanted.shape == (3, tower.dim)
    encoder = find(
        tower.save(tmp_path, modality).replace(":", f":{tmp_path}/"), modality, runtime="torch", device="cpu"
    )
    encoder.setup()
    np.testing.assert_allclose(encoder.encode(segments).vectors, wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_trained_from_nothing_is_said() -> None:
    with pytest.raises(ConfigError, match="small is no encoder of text"):
        find("small", "text")
    assert make_towers({"video": "efficientnet_lite0"}, []) == {}


def test_nets_are_trained_along_and_run_with_their_model(
    tmp_path: Path, streammm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMMM_CACHE", str(tmp_path / "cache"))
    for n in range(5):
        write_clip(tmp_path / f"dark{n}.mp4", 2.0, grey=20 + n)
        write_clip(tmp_path / f"bright{n}.mp4", 2.0, grey=220 + n)
    lines = [f"{kind}{n}.mp4,{kind}" for kind in ("dark", "bright") for n in range(5)]
    (tmp_path / "labels.csv").write_text("file,label\n" + "\n".join(lines) + "\n")
    settings = ["encoders.video=small", "encoders.audio=small", "training.epochs=12", "training.learning_rate=0.003"]
    arguments = [part for setting in settings for part in ("--set", setting)]
    done = streammm("train", "labels.csv", "--media", ".", "--out", "model", *arguments)
    assert done.returncode == 0, done.stderr
    assert "Trained along, from nothing: audio, video." in (tmp_path / "model" / "README.md").read_text()
    ran = streammm("run", "dark0.mp4", "bright0.mp4", "--model", "model", "--out", "rows.jsonl")
    assert ran.returncode == 0, ran.stderr
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert {row["source"]: row["labels"][0]["label"] for row in rows} == {"dark0.mp4": "dark", "bright0.mp4": "bright"}
