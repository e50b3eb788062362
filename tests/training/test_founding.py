"""The founding model, by its configuration: trained on picture and text from nothing, and run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streammm.fusion.card import read_card
from tests.conftest import write_clip

CONFIG = Path(__file__).parents[2] / "configs" / "founding_cnn_rnn.yaml"
LEVELS = {"dark": 20, "bright": 220}
WORDS = ("inside", "outside")
CLIPS_A_LABEL = 5


def test_it_learns_what_only_picture_and_text_together_tell(
    tmp_path: Path, streammm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMMM_CACHE", str(tmp_path / "cache"))
    lines = ["file,label,split"]
    for light, level in LEVELS.items():
        for word in WORDS:
            for n in range(CLIPS_A_LABEL):
                clip = tmp_path / f"{light}-{word}-{n}.mp4"
                write_clip(clip, 1.0, grey=level + 3 * n, audio=None)
                clip.with_suffix(".srt").write_text(f"1\n00:00:00,100 --> 00:00:00,900\nWe are {word}.\n")
                lines.append(f"{clip.name},{light} {word},{'test' if n == 0 else 'validation' if n == 1 else 'train'}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    settings = [part for s in ("epochs=40", "learning_rate=0.003") for part in ("--set", f"training.{s}")]
    done = streammm("train", "labels.csv", "--media", ".", "--config", CONFIG, "--out", "model", *settings)
    assert done.returncode == 0, done.stderr

    card = read_card(tmp_path / "model")
    assert (card.dims, card.width, card.join, card.memory) == ({"video": 128, "text": 64}, 64, "concat", "none")
    report = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert (report["judged_on"], report["num_sources"]) == ("test", 4)
    assert report["figures"]["accuracy"]["value"] == 1.0
    assert max(report["by_modality"][f"only {m}"]["value"] for m in ("video", "text")) <= 0.5

    ran = streammm("run", "dark-inside-0.mp4", "bright-outside-0.mp4", "--model", "model", "--out", "rows.jsonl")
    assert ran.returncode == 0, ran.stderr
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    found = {row["source"]: row["labels"][0]["label"] for row in rows}  # which source is first is not said
    assert found == {"dark-inside-0.mp4": "dark inside", "bright-outside-0.mp4": "bright outside"}
    assert [row["modalities"]["audio"]["status"] for row in rows] == ["absent", "absent"]
