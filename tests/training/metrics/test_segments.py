"""Figures over segments: hand-worked, and on random scores beside scikit-learn and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
from torchmetrics.functional import classification as tm

from streammm.training.metrics import segments


def draw_classes(seed: int, num_segments: int = 300, num_classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, num_classes, num_segments)
    logits = draw.normal(size=(num_segments, num_classes)) + 1.5 * segments.one_hot(truth, num_classes)
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return scores.astype(np.float32), truth


def draw_labels(seed: int, num_segments: int = 300, num_labels: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Scores in steps of a twentieth, so that many are equal."""
    draw = np.random.default_rng(seed)
    truth = draw.random((num_segments, num_labels)) < np.linspace(0.05, 0.6, num_labels)
    scores = np.clip(draw.normal(0.4, 0.25, truth.shape) + 0.2 * truth, 0, 1)
    return np.round(20 * scores).astype(np.float32) / 20, truth


def test_top1_and_confusion_by_hand() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    truth = np.array([0, 0, 1, 1])
    assert segments.top1(scores, truth) == 0.75
    assert segments.confusion_matrix(scores, truth).tolist() == [[2, 0], [1, 1]]
    assert segments.balanced_accuracy(scores, np.array([0, 0, 1, 0])) == pytest.approx((1 + 1) / 2)


def test_what_is_said_where_labels_hold_together_by_hand() -> None:
    predicted = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0], [0, 1, 0], [0, 0, 0]], bool)
    truth = np.array([[1, 0, 1], [0, 0, 1], [0, 1, 0], [0, 0, 0], [0, 0, 0]], bool)
    found = segments.label_confusion(predicted, truth)
    assert found.tolist() == [[1, 1, 0, 0], [0, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1]]


def test_average_precision_by_hand() -> None:
    # Recall comes in two steps: the first of two at precision 1, the second at 2 of 3.
    found = segments.average_precision(np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, False, True, False]))
    assert found == pytest.approx((1 + 2 / 3) / 2)
    tied = segments.average_precision(np.array([0.5, 0.5]), np.array([True, False]))
    assert tied == 0.5  # whichever is first in the file


def test_f1_by_hand() -> None:
    predicted = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]], bool)
    truth = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0]], bool)
    found = segments.segment_f1(predicted, truth)
    assert found.by_label[:2] == pytest.approx([2 / 3, 2 / 3])
    assert np.isnan(found.by_label[2])
    assert (found.micro, found.macro) == pytest.approx((2 / 3, 2 / 3))


def test_what_never_occurs_is_not_defined() -> None:
    assert np.isnan(segments.average_precision(np.array([0.5, 0.1]), np.array([False, False])))
    scores, truth = draw_labels(0)
    truth[:, 2] = False
    rest = [k for k in range(6) if k != 2]
    assert segments.mean_average_precision(scores, truth) == segments.mean_average_precision(
        scores[:, rest], truth[:, rest]
    )
    assert np.isnan(segments.top1(np.zeros((0, 3)), np.zeros(0, int)))
    assert np.isnan(segments.segment_f1(np.zeros((2, 3), bool), np.zeros((2, 3), bool)).micro)


@pytest.mark.parametrize("seed", range(3))
def test_classes_as_scikit_learn_and_torchmetrics(seed: int) -> None:
    scores, truth = draw_classes(seed)
    best = scores.argmax(1)
    assert segments.top1(scores, truth) == pytest.approx(sk.accuracy_score(truth, best))
    assert segments.balanced_accuracy(scores, truth) == pytest.approx(sk.balanced_accuracy_score(truth, best))
    assert (segments.confusion_matrix(scores, truth) == sk.confusion_matrix(truth, best)).all()
    of_labels = segments.label_confusion(segments.one_hot(best, 6), segments.one_hot(truth, 6))
    assert (of_labels[:6, :6] == sk.confusion_matrix(truth, best)).all()
    assert not of_labels[6].any()
    assert not of_labels[:, 6].any()
    ours = segments.mean_average_precision(scores, segments.one_hot(truth, 6))
    theirs = tm.multiclass_average_precision(torch.from_numpy(scores), torch.from_numpy(truth), 6)
    assert ours == pytest.approx(float(theirs), abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_labels_as_scikit_learn_and_torchmetrics(seed: int) -> None:
    scores, truth = draw_labels(seed)
    for k in range(6):
        ours = segments.average_precision(scores[:, k], truth[:, k])
        assert ours == pytest.approx(sk.average_precision_score(truth[:, k], scores[:, k]))
    theirs = tm.multilabel_average_precision(torch.from_numpy(scores), torch.from_numpy(truth).int(), 6)
    assert segments.mean_average_precision(scores, truth) == pytest.approx(float(theirs), abs=1e-5)
    ours = segments.segment_f1(scores >= 0.5, truth)
    assert ours.micro == pytest.approx(sk.f1_score(truth, scores >= 0.5, average="micro"))
    assert ours.macro == pytest.approx(sk.f1_score(truth, scores >= 0.5, average="macro"))
    assert ours.by_label == pytest.approx(sk.f1_score(truth, scores >= 0.5, average=None))
