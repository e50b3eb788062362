"""From labels to a model directory and back into a run: divided by source, calibrated on validation, described."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import torch as safetensors

from streammm.building.events import make_events
from streammm.config import load
from streammm.errors import ConfigError, SourceError
from streammm.fusion.card import ModelCard, StartCard
from streammm.fusion.trained import TrainedFusion, load_model, save_model
from streammm.fusion.vocabulary import Vocabulary
from streammm.kept import Kept
from streammm.training.annotations import Annotation, Annotations
from streammm.training.features import FeatureCache, Features
from streammm.training.ragged import Ragged
from streammm.training.split import split_sources
from streammm.training.train import task_of, train_model
from streammm.types import Embeddings
from tests.conftest import write_clip
from tests.training.made import features

QUICK = ["training.epochs=6", "training.width=16", "training.learning_rate=0.01"]


def annotated(splits: dict[str, str | None]) -> Annotations:
    items = [
        Annotation(source, 2.0 * n, 2.0 * n + 2.0, "abc"[k], split)
        for source, split in splits.items()
        for n, k in enumerate([0, 1, 2, 0])
    ]
    return Annotations(tuple(items), ("a", "b", "c"))


def made(source: str) -> Features:
    return features([0, 1, 2, 0], source)


def test_a_model_directory_holds_what_it_takes_to_use_and_to_judge_it(tmp_path: Path) -> None:
    splits = {f"s{n}": "test" if n < 3 else None for n in range(12)}
    seen = []
    config = load(settings=[*QUICK, "training.background=c"])
    digests = {source: source for source in splits}
    found = train_model(annotated(splits), made, digests, config, {"video": ["digest"]}, tmp_path / "m", seen.append)
    assert len(seen) == len(found.fitted.history)
    assert (len(found.split.test), found.report["judged_on"], found.report["num_segments"]) == (3, "test", 12)
    assert found.report["figures"]["accuracy"]["value"] == 1.0
    assert found.report["confusion"]["counts"] == [[6, 0, 0], [0, 3, 0], [0, 0, 3]]
    assert found.report["by_modality"].keys() == {
        f"{case} {m}" for case in ("only", "without") for m in ("audio", "video")
    }
    assert found.card.temperature != 1.0
    saved = load_model(tmp_path / "m")
    assert (saved.card, saved.labels) == (found.card, ("a", "b"))
    assert all(map(torch.equal, saved.network.state_dict().values(), found.fitted.net.network.state_dict().values()))
    tuned = saved.card.events
    settings = make_events(load(model=str(tmp_path / "m")), None)
    assert settings is not None
    assert (settings.labels, settings.open_scores) == (("a", "b"), (tuned["a"].open_score, tuned["b"].open_score))
    assert settings.merge_seconds == (tuned["a"].merge_seconds, tuned["b"].merge_seconds)
    others = make_events(load(model=str(tmp_path / "m"), events={"labels": {"b": {"open_score": 0.9}}}), None)
    assert others is not None
    assert others.open_scores == (tuned["a"].open_score, 0.9)
    assert found.report["figures"]["event F1, micro"]["value"] == 1.0
    text = (tmp_path / "m" / "README.md").read_text()
    for words in ("| accuracy | 1.000", "| accuracy without video | ", "drawn at random", "`c` means none"):
        assert words in text
    assert json.loads((tmp_path / "m" / "metrics.json").read_text())["best_epoch"] == found.fitted.best
    assert (tmp_path / "m" / "learning_curve.svg").read_text().count("<polyline") == 3
    assert "<td>without video</td>" in (tmp_path / "m" / "evaluation.html").read_text()
    assert "a, taken for a: 6 of 6" in (tmp_path / "m" / "confusion.svg").read_text()
    assert "(confusion.svg)" in text
    assert load(model=str(tmp_path / "m")).training.epochs == 6


def test_sources_are_divided_whole_and_equal_content_stays_together() -> None:
    by_source = annotated({f"s{n}": None for n in range(10)}).by_source()
    digests = {f"s{n}": f"same{n // 2}" for n in range(10)}
    split = split_sources(by_source, digests, validation_share=0.4, seed=1)
    assert sorted([*split.train, *split.validation]) == sorted(by_source)
    assert {digests[s] for s in split.train}.isdisjoint({digests[s] for s in split.validation})
    assert len(split.validation) == 4
    named = annotated({"a": "train", "b": "validation", "c": "test", "d": "train"}).by_source()
    parted = split_sources(named, {"a": "x", "b": "y", "c": "x", "d": "z"})
    assert (parted.train, parted.validation, parted.test) == (("a", "c", "d"), ("b",), ())
    assert "the same content was in several splits" in parted.notes[0]
    fold = split_sources(annotated({"a": "1", "b": "2"}).by_source(), {"a": "x", "b": "y"}, validation_split="2")
    assert (fold.train, fold.validation) == (("a",), ("b",))
    with pytest.raises(ConfigError, match="1 labelled sources leave"):
        split_sources(annotated({"a": None}).by_source(), {"a": "x"})


def test_the_task_is_told_by_the_labels() -> None:
    training = load().training
    assert task_of(annotated({"s": None}), training) == "multi_class"
    two = Annotations((Annotation("s", None, None, "a"), Annotation("s", None, None, "b")), ("a", "b"))
    assert task_of(two, training) == "multi_label"
    over = Annotations((Annotation("s", 0.0, 2.0, "a"), Annotation("s", 1.0, 3.0, "b")), ("a", "b"))
    assert task_of(over, training) == "multi_label"
    assert task_of(over, load(settings=["training.task=multi_class"]).training) == "multi_class"


def test_features_are_found_by_content(tmp_path: Path) -> None:
    cache = FeatureCache({"encoders.video": "x"}, tmp_path / "cache")
    first, second = tmp_path / "a.mp4", tmp_path / "b.mp4"
    first.write_bytes(b"film")
    second.write_bytes(b"film")
    assert cache.get(str(first)) is None
    cache.put(replace(features([0, 1], str(first)), tags={"video": np.ones((2, 3), np.float32)}))
    found = cache.get(str(second))
    assert found is not None
    assert (found.source, len(found), found.media_seconds) == (str(second), 2, 4.0)
    assert found.with_tags(["audio", "video"]).vectors["video"].shape == (2, 8)
    assert (found.vectors["video"] == features([0, 1], str(first)).vectors["video"]).all()
    (tmp_path / "b.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    assert cache.get(str(second)) is None  # with captions it is another source
    assert FeatureCache({"encoders.video": "y"}, tmp_path / "cache").get(str(first)) is None
    cache.path(str(first)).write_bytes(b"damaged")
    assert cache.get(str(first)) is None


def test_a_file_is_hashed_once_as_long_as_it_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, kind: (hashed.append(file.name), digest(file, kind))[1])
    cache, film = FeatureCache({}, tmp_path / "cache"), tmp_path / "a.mp4"
    film.write_bytes(b"film")
    assert str(film) not in cache
    cache.put(features([0, 1], str(film)))
    assert str(film) in cache
    was = cache.digest(str(film))
    assert cache.get(str(film)) is not None
    assert hashed == [str(film)] or hashed == [film]
    film.write_bytes(b"another film")
    assert cache.digest(str(film)) != was
    assert str(film) not in cache
    assert len(hashed) == 2
    cache.put(features([0, 1], str(film)))
    cache.path(str(film)).write_bytes(cache.path(str(film)).read_bytes()[:-1])
    assert str(film) not in cache  # it is cut off


def test_raw_content_stays_on_disk_and_is_read_by_the_stretch(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    pixels = [draw.integers(0, 256, 30_000).astype(np.float32), None, draw.integers(0, 256, 9_000).astype(np.float32)]
    waves = [None, draw.normal(size=32_000).astype(np.float32), draw.normal(size=5).astype(np.float32)]
    film = tmp_path / "a.mp4"
    film.write_bytes(b"film")
    kept = [
        Kept(str(film), n, 2.0 * n, 2.0 * n + 2.0, {m: x for m, x in (("video", p), ("audio", w)) if x is not None}, {})
        for n, (p, w) in enumerate(zip(pixels, waves, strict=True))
    ]
    cache = FeatureCache({}, tmp_path / "cache")
    cache.put(Features.of(str(film), iter(kept)))
    assert cache.path(str(film)).stat().st_size < 39_000 + 4 * 32_005 + 2_000  # a byte a pixel
    found = cache.get(str(film))
    assert found is not None
    assert found.present.tolist() == [[False, False, True], [True, False, False], [True, False, True]]
    for modality, rows in (("video", pixels), ("audio", waves)):
        values = found.vectors[modality]
        assert isinstance(values, Ragged)
        assert values.shape == (3, max(len(row) for row in rows if row is not None))
        for n, row in enumerate(rows):
            one = values[n : n + 1][0]
            if row is None:
                assert not one.any()
            else:
                np.testing.assert_array_equal(one[: len(row)], row)
                assert np.isnan(one[len(row) :]).all()
        np.testing.assert_array_equal(values[1:], values[:][1:])
    cache.path(str(film)).unlink()
    with pytest.raises(SourceError, match="what was kept of it is gone"):
        found.vectors["video"][:1]


@pytest.mark.parametrize("damage", ["weights", "card", "nothing"])
def test_a_model_that_is_damaged_is_said_to_be(tmp_path: Path, damage: str) -> None:
    splits = {f"s{n}": None for n in range(4)}
    train_model(annotated(splits), made, {s: s for s in splits}, load(settings=QUICK), {}, tmp_path / "m")
    if damage == "weights":
        (tmp_path / "m" / "model.safetensors").write_bytes(b"not tensors")
    elif damage == "card":
        (tmp_path / "m" / "model.json").write_text('{"task": "multi_class", "labels": ["a"], "evil": 1}')
    path = tmp_path / ("elsewhere" if damage == "nothing" else "m")
    with pytest.raises(ConfigError, match=r"cannot be read|holds no model"):
        load_model(path)


VOCABULARY = Vocabulary(
    ("a", "b", "c"),
    np.eye(3, 4, dtype=np.float32),
    np.eye(3, dtype=np.float32),
    np.zeros((3, 0), np.float32),
    np.array([[0, 0, 0], [1, 1, 1], [1, 1, 1]], np.float32),
    phrase_starts=np.arange(3),
    bias=np.zeros((3, 3), np.float32),
)
"""Pictures whose classes are the labels; of sound no classes are known."""


def seen(source: str) -> Features:
    """As `made`, with noise in place of vectors, and class scores that are right in three of four segments."""
    found = made(source)
    draw = np.random.default_rng([7, *map(ord, source)])
    noise = {m: draw.normal(size=x.shape).astype(np.float32) for m, x in found.vectors.items()}
    tags = np.eye(3, dtype=np.float32)[[0, 1, 2, 1]]
    return replace(found, vectors=noise, tags={"video": tags})


def test_a_training_begins_with_what_the_labels_mean_and_never_ends_below(tmp_path: Path) -> None:
    splits: dict[str, str | None] = {f"s{n}": ("train", "validation", "test")[n % 3] for n in range(9)}
    config, digests = load(settings=[*QUICK, "fusion.smoothing_seconds=0"]), {source: source for source in splits}
    epochs = []
    found = train_model(
        annotated(splits), seen, digests, config, {}, tmp_path / "m", epochs.append, vocabulary=VOCABULARY
    )
    assert [epoch.number for epoch in epochs] == list(range(7))
    assert epochs[0].score == 0.75  # three of four segments are seen for what they are, and nothing is learned yet
    assert max(epoch.score for epoch in epochs) == epochs[found.fitted.best].score
    assert found.report["figures"]["accuracy"]["value"] >= 0.75
    assert found.card.start is not None
    assert (found.card.dims, found.card.start.strength) == ({"audio": 6, "video": 5}, pytest.approx(0.5, abs=0.4))
    assert "It began with what the labels mean" in (tmp_path / "m" / "README.md").read_text()
    again = load_model(tmp_path / "m")
    features_ = seen("s2")
    inputs = {
        m: again.input_of(Embeddings(m, x, features_.tags.get(m, x[:, :0]), np.ones(4, np.bool_)))[None]
        for m, x in features_.vectors.items()
    }
    present, times = features_.present[None], (features_.start_seconds[None], features_.end_seconds[None])
    whole, _ = again(inputs, present, *times, again.init_state(1))
    first, state = again({m: x[:, :2] for m, x in inputs.items()}, present[:, :2], *(t[:, :2] for t in times))
    rest, _ = again({m: x[:, 2:] for m, x in inputs.items()}, present[:, 2:], *(t[:, 2:] for t in times), state)
    np.testing.assert_allclose(np.concatenate([first.scores, rest.scores], 1), whole.scores, atol=1e-5, rtol=0)
    tensors = {m: torch.from_numpy(x) for m, x in inputs.items()}
    with torch.inference_mode():
        kept, _ = found.fitted.net.network.eval()(tensors, *map(torch.from_numpy, (present, *times)))
    expected = (kept.fused / found.card.temperature).softmax(-1)
    np.testing.assert_allclose(whole.scores, expected, atol=1e-5, rtol=0)


def test_a_network_that_learned_nothing_says_what_the_labels_mean() -> None:
    start = StartCard(weights={"video": 1.0}, smoothing_seconds=1.5)
    for background, labels in ((None, ("a", "b", "c")), ("none", ("none", "a", "b", "c"))):
        card = ModelCard(
            task="multi_class", labels=labels, background=background, dims={"video": 5}, encoders={}, start=start
        )
        network = card.network(0.2, VOCABULARY).eval()
        found, video = TrainedFusion(card, network), np.tile(np.eye(5, dtype=np.float32)[[0, 1, 4, 0]], 2)[None, :, :8]
        present, ends = np.tile([[[False, False, True]]], (1, 4, 1)), 2.0 * np.arange(1, 5)[None]
        wanted, _ = network.zero_shot({"video": video[..., 5:]}, present, ends - 2, ends)
        told, _ = found({"video": video}, present, ends - 2, ends)
        assert found.labels == ("a", "b", "c")
        scores = wanted.scores.clip(1e-3)
        if background is None:
            scores = scores / scores.sum(-1, keepdims=True)
            np.testing.assert_allclose(told.scores, scores, atol=1e-5, rtol=0)
        else:
            np.testing.assert_allclose(told.scores, scores, atol=5e-3, rtol=0)
            np.testing.assert_allclose(told.other, wanted.other, atol=5e-3, rtol=0)


@pytest.mark.parametrize("what", ["phrase_starts", "bias", "label_vectors"])
def test_a_model_whose_vocabulary_does_not_fit_is_refused(tmp_path: Path, what: str) -> None:
    start = StartCard(weights={"video": 1.0}, smoothing_seconds=1.5)
    card = ModelCard(task="multi_class", labels=("a", "b", "c"), dims={"video": 5}, encoders={}, start=start)
    save_model(tmp_path, card, card.network(0.0, VOCABULARY))
    assert load_model(tmp_path).with_tags == ("video",)
    path = tmp_path / "model.safetensors"
    tensors = safetensors.load_file(path)
    changed = tensors[f"vocabulary.{what}"]
    tensors[f"vocabulary.{what}"] = changed[:0] if what == "label_vectors" else changed[1:]
    safetensors.save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    with pytest.raises(ConfigError, match="vocabulary"):
        load_model(tmp_path)
    del tensors[f"vocabulary.{what}"]
    safetensors.save_file(tensors, path)
    with pytest.raises(ConfigError, match=f"{what} of the vocabulary is missing"):
        load_model(tmp_path)


def test_own_labels_from_clips_to_a_run(tmp_path: Path, streammm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMMM_CACHE", str(tmp_path / "cache"))
    for n in range(4):
        write_clip(tmp_path / f"loud{n}.mp4", 2.0, loudness=0.5 + 0.1 * n, grey=30)
        write_clip(tmp_path / f"quiet{n}.mp4", 2.0, loudness=0.0, clicks=[0.3 + 0.1 * n], grey=220)
    lines = [f"{kind}{n}.mp4,{kind}" for kind in ("loud", "quiet") for n in range(4)]
    (tmp_path / "labels.csv").write_text("file,label\n" + "\n".join(lines) + "\ngone.mp4,loud\n")
    arguments = ["labels.csv", "--media", ".", "--out", "model", "--set", "training.epochs=8"]
    done = streammm("train", *arguments, "--set", "training.look_ahead=1", "--set", "training.validation_share=0.25")
    assert done.returncode == 0, done.stderr
    assert "gone.mp4" in done.stderr
    assert "accuracy" in done.stdout
    files = sorted((tmp_path / "cache" / "features").rglob("*.safetensors"))
    assert len(files) == 8
    when = [file.stat().st_mtime_ns for file in files]
    again = streammm("train", *arguments, "--set", "training.memory=ema")
    assert again.returncode == 0, again.stderr
    assert [file.stat().st_mtime_ns for file in files] == when  # nothing is decoded again
    write_clip(tmp_path / "new.mp4", 7.0, loudness=0.6, grey=30)
    ran = streammm("run", "new.mp4", "--model", "model", "--out", "rows.jsonl")
    assert ran.returncode == 0, ran.stderr
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["segment"] for row in rows] == [0, 1, 2, 3]
    assert {row["labels"][0]["label"] for row in rows} == {"loud"}
    judged = streammm("evaluate", "model", "labels.csv", "--media", ".", "--out", "judged", "--json")
    assert judged.returncode == 0, judged.stderr
    assert json.loads(judged.stdout) == json.loads((tmp_path / "judged" / "metrics.json").read_text())
    assert json.loads(judged.stdout)["num_segments"] == 8
    page = (tmp_path / "judged" / "evaluation.html").read_text()
    assert f'<a href="{(tmp_path / "loud0.mp4").as_uri()}#t=0,2">loud0.mp4 0.0-2.0 s</a>' in page
    told = streammm("evaluate", "model", "labels.csv", "--media", ".", "--out", "judged")
    assert "8 segments, of 8 sources:" in told.stdout
    assert "quiet3.mp4 0.0-2.0 s" in told.stdout
    assert (tmp_path / "judged" / "confusion.svg").exists()
    assert json.loads((tmp_path / "model" / "model.json").read_text())["start"]["num_distractors"] == 0
    (tmp_path / "words.yaml").write_text("labels: {loud: {phrases: [a siren, a beep]}}\ndistractors: [rain]\n")
    worded = streammm("train", *arguments[:-1], "training.epochs=1", "--labels", "words.yaml")
    assert worded.returncode == 0, worded.stderr
    assert json.loads((tmp_path / "model" / "model.json").read_text())["start"]["num_distractors"] == 1
    unknown = streammm("train", *arguments, "--labels", "cat")
    assert unknown.returncode == 2
    assert "labels: 'cat' is none of the labels loud, quiet" in unknown.stderr
    plain = streammm("train", *arguments[:-1], "training.epochs=1", "--set", "training.start=nothing")
    assert plain.returncode == 0, plain.stderr
    assert json.loads((tmp_path / "model" / "model.json").read_text())["start"] is None
    refused = streammm("run", "new.mp4", "--model", "model", "--labels", "cat")
    assert refused.returncode == 2
    assert "a trained model has its own labels" in refused.stderr
