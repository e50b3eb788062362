"""Fusion as a whole: one at a time equals all at once, and any modality may be missing."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file, save_file

from streammm.fusion.modality import PictureJudge
from streammm.fusion.model import ZeroShotFusion
from streammm.fusion.vocabulary import Vocabulary, build_vocabulary
from streammm.types import MODALITIES
from tests.fusion.conftest import LABELS, PICTURE_CLASSES, SOUND_CLASSES, Stream, embed

NUM_LABELS = len(LABELS)


def one_hot(classes: tuple[str, ...], name: str, value: float = 1.0) -> npt.NDArray[np.float32]:
    return value * np.eye(len(classes), dtype=np.float32)[classes.index(name)]


def times(start_seconds: float, end_seconds: float) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    return np.array([start_seconds]), np.array([end_seconds])


def close(found: npt.ArrayLike, expected: npt.ArrayLike, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(found, expected, atol=atol, rtol=0)


def judge(
    fusion: ZeroShotFusion, *, picture: str = "", sound: str = "", text: str = ""
) -> tuple[dict[str, float], dict[str, float], float]:
    """Scores by label, weights by modality and ``other`` of one segment of two seconds."""
    inputs = {
        "audio": one_hot(SOUND_CLASSES, sound) if sound else np.full(len(SOUND_CLASSES), np.nan, np.float32),
        "text": embed([text])[0],
        "video": one_hot(PICTURE_CLASSES, picture) if picture else np.full(len(PICTURE_CLASSES), np.nan, np.float32),
    }
    present = np.array([[bool(sound), bool(text), bool(picture)]])
    fused, _ = fusion.step({m: v[None] for m, v in inputs.items()}, present, *times(0.0, 2.0), fusion.init_state(1))
    scores = dict(zip(fusion.labels, fused.scores[0].tolist(), strict=True))
    return scores, dict(zip(MODALITIES, fused.weights[0].tolist(), strict=True)), fused.other.item()


@pytest.mark.parametrize("seed", range(5))
def test_steps_equal_any_split_and_the_whole(fusion: ZeroShotFusion, seed: int):
    stream = Stream(batch=3, length=12, seed=seed)
    whole, last = fusion(*stream[:], fusion.init_state(3))
    cuts = sorted(np.random.default_rng(seed).choice(np.arange(1, 12), 3, replace=False).tolist())
    state, parts = fusion.init_state(3), []
    for a, b in itertools.pairwise([0, *cuts, 12]):
        part, state = fusion(*stream[a:b], state)
        parts.append(part)
    steps, stepped = [], fusion.init_state(3)
    for t in range(12):
        step, stepped = fusion.step(*stream[t], stepped)
        steps.append(step)
    for name in ("scores", "other", "by_modality", "weights"):
        expected = getattr(whole, name)
        close(np.concatenate([getattr(p, name) for p in parts], 1), expected)
        close(np.stack([getattr(s, name) for s in steps], 1), expected)
        assert expected.dtype == np.float32
    for name in last:
        close(state[name], last[name])
        close(stepped[name], last[name])
        assert last[name].dtype == (np.float64 if name == "end_seconds" else np.float32)


def test_a_source_gives_what_it_gives_alone(fusion: ZeroShotFusion):
    stream = Stream(batch=3, length=12)
    together, last = fusion(*stream[:])
    for b in range(3):
        inputs, *rest = stream[:]
        alone, after = fusion({m: x[b : b + 1] for m, x in inputs.items()}, *(x[b : b + 1] for x in rest))
        for name in ("scores", "other", "by_modality", "weights"):
            close(getattr(together, name)[b], getattr(alone, name)[0])
        for name in last:
            close(last[name][b], after[name][0])


def test_inactive_rows_keep_their_state(fusion: ZeroShotFusion):
    stream = Stream(batch=3, length=3)
    _, before = fusion(*stream[:2], None)
    frozen = {name: value.copy() for name, value in before.items()}
    active = np.array([True, False, True])
    masked, after = fusion.step(*stream[2], before, active)
    full, moved = fusion.step(*stream[2], before)
    for name, value in after.items():
        assert np.array_equal(value[1], frozen[name][1])
        assert np.array_equal(value[active], moved[name][active])
        assert np.array_equal(before[name], frozen[name])
    assert np.array_equal(masked.scores[active], full.scores[active])
    assert not np.array_equal(moved["scores"][1], frozen["scores"][1])


def test_state_survives_safetensors(fusion: ZeroShotFusion, tmp_path: Path):
    stream = Stream(batch=2, length=6)
    _, state = fusion(*stream[:3], None)
    save_file(state, tmp_path / "state.safetensors")
    loaded = load_file(tmp_path / "state.safetensors")
    expected, _ = fusion(*stream[3:], state)
    resumed, _ = fusion(*stream[3:], loaded)
    assert np.array_equal(resumed.scores, expected.scores)


@pytest.mark.parametrize("there", list(itertools.product([False, True], repeat=3)))
def test_any_subset_of_modalities_is_safe(fusion: ZeroShotFusion, there: tuple[bool, bool, bool]):
    stream = Stream(batch=2, length=4)
    for m, modality in enumerate(MODALITIES):
        if there[m]:
            stream.inputs[modality] = np.nan_to_num(stream.inputs[modality], nan=0.1)
        else:
            stream.inputs[modality].fill(np.nan)
    stream.present = np.broadcast_to(np.array(there), (2, 4, 3))
    fused, state = fusion(*stream[:], None)
    assert all(np.isfinite(x).all() for x in (fused.scores, fused.other, fused.by_modality, fused.weights))
    assert all(np.isfinite(x).all() for x in state.values())
    close(fused.weights.sum(-1), np.full((2, 4), float(any(there))))
    assert (fused.weights[..., ~np.array(there)] == 0).all()
    assert (fused.by_modality[:, :, ~np.array(there)] == 0).all()
    close(fused.scores.sum(-1) + fused.other, np.ones((2, 4)))
    if not any(there):
        assert (fused.scores == 0).all()


def test_missing_input_is_an_absent_modality(fusion: ZeroShotFusion):
    stream = Stream(batch=1, length=4)
    inputs, present, start, end = stream[:]
    without, _ = fusion({m: v for m, v in inputs.items() if m != "audio"}, present, start, end, None)
    masked, _ = fusion(inputs, present & np.array([False, True, True]), start, end, None)
    assert np.array_equal(without.scores, masked.scores)
    assert np.array_equal(without.weights, masked.weights)


@pytest.mark.filterwarnings("error")
def test_nothing_is_worked_out_of_what_is_not_there(fusion: ZeroShotFusion):
    stream = Stream(batch=3, length=12)
    found, _ = fusion(*stream[:])
    assert not found.by_modality[~stream.present].any()
    stream.present[:] = False
    found, state = fusion(*stream[:])
    assert not found.weights.any()
    assert (found.other == 1).all()
    fusion(*stream[:], state)


def test_of_equally_good_pictures_the_first_count(vocabulary: Vocabulary):
    classes = np.zeros((4, 12), np.float32)
    classes[0, [0, 3]], classes[1, :11], classes[2, 1:], classes[3, 2:] = 0.5, 0.1, 0.1, 0.1
    one_a_row = replace(vocabulary, picture_cosines=np.eye(len(LABELS), 12, dtype=np.float32))
    found = PictureJudge(one_a_row).similarity(classes)
    shares = [[0.5, 0, 0, 0.5, 0, 0], [0.1] * 6, [0, *[0.1] * 5], [0, 0, *[0.1] * 4]]
    close(found, shares)


def test_each_modality_speaks_for_its_own_labels(fusion: ZeroShotFusion):
    seen, seen_weights, seen_other = judge(fusion, picture="rabbit")
    heard, _, _ = judge(fusion, sound="speech")
    said, _, _ = judge(fusion, text="music")
    assert (max(seen, key=seen.__getitem__), seen["rabbit"] > 0.9) == ("rabbit", True)
    assert (max(heard, key=heard.__getitem__), heard["speech"] > 0.9) == ("speech", True)
    assert (max(said, key=said.__getitem__), said["music"] > 0.9) == ("music", True)
    assert seen_weights == {"audio": 0.0, "text": 0.0, "video": 1.0}
    assert seen_other < 0.1


def test_two_sights_and_sounds_share_and_agreement_does_not(fusion: ZeroShotFusion):
    scores, weights, _ = judge(fusion, picture="rabbit", sound="speech")
    assert scores["rabbit"] == pytest.approx(0.5, abs=0.1)
    assert scores["speech"] == pytest.approx(0.5, abs=0.1)
    assert weights["audio"] == pytest.approx(weights["video"], abs=0.1)
    assert judge(fusion, picture="dog", sound="dog")[0]["dog"] > 0.9


def test_a_modality_that_matches_nothing_hardly_counts(fusion: ZeroShotFusion):
    scores, weights, _ = judge(fusion, picture="cloud", sound="music")
    assert scores["music"] > 0.85
    assert weights["video"] < 0.1 < 0.9 < weights["audio"]
    _, _, other = judge(fusion, picture="cloud", sound="noise")
    assert other > 0.9


def test_nothing_seen_or_heard_decays_to_other(fusion: ZeroShotFusion):
    state = fusion.init_state(1)
    inputs = {"audio": one_hot(SOUND_CLASSES, "rain")[None], "video": one_hot(PICTURE_CLASSES, "car")[None]}
    others = []
    for t in range(8):
        present = np.array([[t < 2, False, t < 2]])
        fused, state = fusion.step(inputs, present, *times(2.0 * t, 2.0 * t + 2), state)
        others.append(fused.other.item())
    assert others[1] < 0.1
    assert others[2:] == sorted(others[2:])
    assert others[-1] > 0.99


@pytest.mark.parametrize("labels", [("rabbit",), (*(f"label {i}" for i in range(199)), "rabbit")])
def test_one_label_and_two_hundred(labels: tuple[str, ...]):
    vocabulary = build_vocabulary(labels, embed, picture_classes=PICTURE_CLASSES, sound_classes=SOUND_CLASSES)
    fusion = ZeroShotFusion(vocabulary)
    assert judge(fusion, picture="rabbit")[0]["rabbit"] > 0.9
    assert judge(fusion, picture="car")[0]["rabbit"] < 0.05
    assert judge(fusion, picture="car")[2] > 0.9


def test_weight_zero_leaves_a_modality_out(vocabulary: Vocabulary):
    fusion = ZeroShotFusion(vocabulary, {"audio": 0.0, "video": 1.0})
    scores, weights, other = judge(fusion, sound="speech")
    assert weights == {"audio": 0.0, "text": 0.0, "video": 0.0}
    assert (sum(scores.values()), other) == (0.0, 1.0)
    assert judge(fusion, sound="speech", picture="car")[1]["video"] == 1.0


@pytest.mark.parametrize("weights", [{}, {"audio": 0.0}, {"audio": -1.0}, {"video": float("nan")}, {"smell": 1.0}])
def test_impossible_weights_are_refused(vocabulary: Vocabulary, weights: dict[str, float]):
    with pytest.raises(ValueError, match="weights must be"):
        ZeroShotFusion(vocabulary, weights)
