"""Published encoders trained further: on a task to which they are blind, saved, taken up again, and run."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from streammm.building.encoders import make_encoder
from streammm.building.training import training_inputs, tuned_encoders
from streammm.config import Config, load
from streammm.encoders.base import Picture
from streammm.encoders.content import Content, content_name, segment_of
from streammm.encoders.net import NetEncoder
from streammm.errors import ConfigError
from streammm.training.annotations import Annotation, Annotations
from streammm.training.features import Features
from streammm.training.state import Epoch
from streammm.training.train import Trained, train_model
from streammm.training.tuning import TunedTower
from streammm.types import MODALITIES, Cue, Modality, Segment, Status

SIDE = 160
CONTRAST = 50


@pytest.fixture(scope="module")
def colour_blind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a tiny net that adds up red, green and blue before it looks: red and blue are the same to it."""
    torch.manual_seed(0)
    net = timm.create_model("test_vit", num_classes=0)
    state = net.state_dict()
    first = state["patch_embed.proj.weight"]
    first[:] = first.mean(1, keepdim=True)
    path = tmp_path_factory.mktemp("timm") / "blind.safetensors"
    save_file(state, path)
    return path


def picture(kind: str, brightness: int) -> np.ndarray:
    """A picture in one colour, [H, W, 3]; red and blue ones of a brightness have the same sum over their channels."""
    sign = 1 if kind == "red" else -1
    return np.full((SIDE, SIDE, 3), (brightness + sign * CONTRAST, brightness, brightness - sign * CONTRAST), np.uint8)


def segment(frames: np.ndarray) -> Segment:
    status = dict.fromkeys(MODALITIES, Status.OK)
    return Segment("s", 0, 0.0, 2.0, frames, np.zeros(len(frames)), np.zeros(0, np.float32), (), status)


def configured(weights: Path, *settings: str) -> Config:
    shared = [f"encoders.video=timm:test_vit@{weights}", "runtime.device=cpu", "fusion.weights={audio: 0, text: 0}"]
    return load(settings=[*shared, "training.learning_rate=0.003", "training.width=16", *settings])


TUNED = ("training.fine_tune=[video]", "training.fine_tune_learning_rate=0.001")


def trained(config: Config, out: Path, on_epoch=lambda epoch: None) -> Trained:
    """Trains on red and blue pictures, in pairs of a brightness; of frames as they are where that is asked for."""
    encoder = make_encoder(training_inputs(config), "video")
    encoder.setup()
    items, made = [], {}
    for n, brightness in enumerate(range(60, 188, 8)):
        for kind in ("blue", "red"):
            source = f"{kind}{brightness}"
            items.append(Annotation(source, 0.0, 2.0, kind, ("train", "train", "validation", "test")[n % 4]))
            vectors = encoder.encode([segment(picture(kind, brightness)[None].repeat(2, 0))]).vectors
            there = np.array([[m == "video" for m in MODALITIES]])
            made[source] = Features(source, np.array([0.0]), np.array([2.0]), {"video": vectors}, there)
    annotations = Annotations(tuple(items), ("blue", "red"))
    digests = {source: source for source in made}
    return train_model(
        annotations, made.__getitem__, digests, config, {"video": ["w"]}, out, on_epoch, tuned_encoders(config)
    )


def test_tuning_learns_what_a_frozen_encoder_cannot_tell(colour_blind: Path, tmp_path: Path) -> None:
    frozen = trained(configured(colour_blind, "training.epochs=10"), tmp_path / "frozen")
    assert frozen.report["figures"]["accuracy"]["value"] == 0.5
    tuned = trained(configured(colour_blind, "training.epochs=25", *TUNED), tmp_path / "tuned")
    assert tuned.report["figures"]["accuracy"]["value"] == 1.0
    assert tuned.card.encoders == {"video": "tuned:video.safetensors"}
    assert json.loads((tmp_path / "tuned" / "video.json").read_text()) == {"encoder": f"timm:test_vit@{colour_blind}"}
    was, now = load_file(colour_blind), load_file(tmp_path / "tuned" / "video.safetensors")
    name = "patch_embed.proj.weight"
    red, _, blue = now[f"net.net.{name}"].unbind(1)
    assert torch.equal(was[name][:, 0], was[name][:, 2])
    assert (red - blue).abs().max() > 1e-3

    # What runs with the model says what training said.
    encoder = make_encoder(load(model=str(tmp_path / "tuned")), "video")
    assert isinstance(encoder, NetEncoder)
    encoder.setup()
    frames = picture("red", 100)[None]
    tower = tuned.fitted.net.towers["video"]
    assert isinstance(tower, TunedTower)
    content = Content(content_name("video", encoder.picture), "video").encode([segment(frames)]).vectors
    wanted = tower.eval()(torch.from_numpy(content)).detach()
    np.testing.assert_allclose(encoder.encode([segment(frames)]).vectors, wanted, atol=1e-5)
    base = make_encoder(configured(colour_blind), "video")
    assert isinstance(base, NetEncoder)
    assert encoder.identity[:-1] == base.identity
    (tmp_path / "tuned" / "video.json").write_text('{"encoder": "os:system"}')
    with pytest.raises(ConfigError, match="names 'os:system', which is no encoder that can be tuned"):
        make_encoder(load(model=str(tmp_path / "tuned")), "video")


def test_tuning_that_is_stopped_goes_on_as_if_it_had_not_been(colour_blind: Path, tmp_path: Path) -> None:
    config = configured(colour_blind, "training.epochs=5", *TUNED)
    whole = trained(config, tmp_path / "whole")

    def stop(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(config, tmp_path / "parts", stop)
    seen: list[Epoch] = []
    trained(config, tmp_path / "parts", seen.append)
    assert [epoch.number for epoch in seen] == [3, 4, 5]
    assert seen == whole.fitted.history[2:]
    one, other = (load_file(tmp_path / name / "video.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_vectors_of_a_batch_are_those_of_its_segments(colour_blind: Path) -> None:
    encoder = tuned_encoders(configured(colour_blind, *TUNED))["video"]
    tower = TunedTower(encoder).eval()
    draw = np.random.default_rng(0)
    frames = [draw.integers(1, 256, (n, SIDE, SIDE, 3)).astype(np.uint8) for n in (4, 1, 11, 4)]
    content = Content(content_name("video", encoder.picture), "video").encode([*map(segment, frames)]).vectors
    found = tower(torch.from_numpy(content)).detach().numpy()
    encoder.setup()
    np.testing.assert_allclose(found, encoder.encode([*map(segment, frames)]).vectors, atol=1e-5)
    # Trained, the memory of a long batch is that of a few pictures, and gradients are the same.
    gradients = []
    for rows in (content, content[::-1].copy()):
        tower.zero_grad()
        tower(torch.from_numpy(rows)).square().mean().backward()
        gradients.append(tower.net.get_parameter("net.net.patch_embed.proj.weight").grad.clone())
    torch.testing.assert_close(*gradients)


def test_content_is_what_an_encoder_looks_at() -> None:
    draw = np.random.default_rng(0)
    there = Segment(
        "s",
        0,
        0.0,
        2.0,
        draw.integers(0, 256, (3, 8, 8, 3)).astype(np.uint8),
        np.zeros(3),
        draw.normal(size=99).astype(np.float32),
        (Cue(0.0, 1.0, "zwölf 🐟"),),
        dict.fromkeys(MODALITIES, Status.OK),
    )
    size = Picture(9, 8)
    for modality in MODALITIES:
        content = Content(content_name(modality, size), modality)
        assert content.picture == (size if modality == "video" else Picture(64, 64))
        row = np.append(content.encode([there]).vectors[0], np.float32(np.nan))
        found = segment_of(row, modality, size)
        if modality == "text":
            assert found.text == there.text
        elif modality == "audio":
            np.testing.assert_array_equal(found.waveform, there.waveform)
        else:
            np.testing.assert_array_equal(found.frames, there.frames)


@pytest.mark.parametrize("modality", MODALITIES)
def test_built_in_encoders_can_be_tuned(modality: Modality, tmp_path: Path) -> None:
    config = load(settings=[f"training.fine_tune=[{modality}]", "runtime.backend=torch", "runtime.device=cpu"])
    draw = np.random.default_rng(0)
    there = Segment(
        "s",
        0,
        0.0,
        2.0,
        draw.integers(1, 256, (3, 224, 224, 3)).astype(np.uint8),
        np.zeros(3),
        (0.1 * draw.normal(size=32_000)).astype(np.float32),
        (Cue(0.0, 1.0, "a bird sings"),),
        dict.fromkeys(MODALITIES, Status.OK),
    )
    encoder = make_encoder(config, modality)
    encoder.setup()
    wanted = encoder.encode([there]).vectors
    tower = TunedTower(tuned_encoders(config)[modality]).eval()
    extracted = make_encoder(training_inputs(config), modality).encode([there]).vectors
    found = tower(torch.from_numpy(extracted))
    np.testing.assert_allclose(found.detach(), wanted, atol=1e-5 * np.abs(wanted).max())
    found.square().mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in tower.parameters())
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter *= 1.01
    name = tower.save(tmp_path, modality).replace(":", f":{tmp_path}/")
    tuned = make_encoder(load(settings=[f"encoders.{modality}={name}", "runtime.device=cpu"]), modality)
    tuned.setup()
    again = tuned.encode([there]).vectors
    np.testing.assert_allclose(again, tower(torch.from_numpy(extracted)).detach(), atol=1e-5 * again.max())
    assert np.abs(again - wanted).max() > 1e-3 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("encoders.video=small",), r"small \(encoders.video\) is no published net to train further"),
        (("fusion.weights={video: 0, text: 1}",), "video has no weight in fusion.weights"),
    ],
)
def test_what_cannot_be_tuned_is_said(colour_blind: Path, settings: tuple[str, ...], said: str) -> None:
    with pytest.raises(ConfigError, match=rf"training.fine_tune: {said}"):
        training_inputs(configured(colour_blind, *TUNED, *settings))


def write_colour(path: Path, kind: str, brightness: int, seconds: int = 4) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=5, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv444p"
        for n in range(5 * seconds):
            frame = av.VideoFrame.from_ndarray(picture(kind, brightness), "rgb24")
            frame.pts, frame.time_base = n, Fraction(1, 5)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def test_from_clips_to_a_run_with_a_tuned_encoder(
    colour_blind: Path, tmp_path: Path, streammm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMMM_CACHE", str(tmp_path / "cache"))
    sources = [(kind, brightness) for brightness in range(60, 180, 20) for kind in ("blue", "red")]
    for kind, brightness in sources:
        write_colour(tmp_path / f"{kind}{brightness}.mp4", kind, brightness)
    lines = [f"{kind}{brightness}.mp4,{kind}" for kind, brightness in sources]
    (tmp_path / "labels.csv").write_text("file,label\n" + "\n".join(lines) + "\n")
    settings = [f"encoders.video=timm:test_vit@{colour_blind}", "training.epochs=15", "training.learning_rate=0.003"]
    arguments = ["labels.csv", "--media", ".", *(part for s in (*settings, *TUNED) for part in ("--set", s))]
    done = streammm("train", *arguments, "--out", "model")
    assert done.returncode == 0, done.stderr
    assert "Trained further: video." in (tmp_path / "model" / "README.md").read_text()
    files = sorted((tmp_path / "cache" / "features").rglob("*.safetensors"))
    assert len(files) == len(sources)
    when = [file.stat().st_mtime_ns for file in files]
    again = streammm("train", *arguments, "--out", "other", "--set", "training.memory=none")
    assert again.returncode == 0, again.stderr
    assert [file.stat().st_mtime_ns for file in files] == when  # what it looks at is kept: nothing is extracted again
    clips = [f"{kind}{brightness}.mp4" for kind, brightness in sources]
    ran = streammm("run", *clips, "--model", "model", "--out", "rows.jsonl")
    assert ran.returncode == 0, ran.stderr
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * len(clips)
    right = [row["labels"][0]["label"] in row["source"] for row in rows]
    judged = streammm("evaluate", "model", "labels.csv", "--media", ".", "--json")
    assert judged.returncode == 0, judged.stderr
    report = json.loads(judged.stdout)
    assert report["figures"]["accuracy"]["value"] == np.mean(right) == 1.0
    of_row = {(row["source"], row["start_seconds"]): row["labels"] for row in rows}
    for worst in report["worst"]:
        scores = {found["label"]: found["score"] for found in of_row[worst["source"], worst["start_seconds"]]}
        assert scores[worst["truth"][0]] == pytest.approx(worst["probability_of_truth"], abs=1e-4)
