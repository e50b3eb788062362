"""Temperatures and thresholds: known ones are found again, and they are the best of all that were tried."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
from torch.nn import functional as F

from streammm.training.calibrate import fit_temperature, fit_thresholds, sigmoid, softmax
from streammm.training.metrics.reliability import expected_calibration_error


def drawn(temperature: float, multi_label: bool, seed: int = 0, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are too great by ``temperature``, with a truth drawn from what they mean."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 1.5, (count, 5))
    if multi_label:
        truth = draw.random(logits.shape) < sigmoid(logits)
    else:
        truth = (softmax(logits).cumsum(1) < draw.random((count, 1))).sum(1)
    return (logits * temperature).astype(np.float32), truth


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_is_found_again(temperature: float, multi_label: bool) -> None:
    logits, truth = drawn(temperature, multi_label)
    found = fit_temperature(logits, truth)
    assert found == pytest.approx(temperature, rel=0.04)
    squash = sigmoid if multi_label else softmax
    assert expected_calibration_error(squash(logits, found), truth) < 0.01
    if temperature == 3.0:
        assert expected_calibration_error(squash(logits), truth) > 0.1


@pytest.mark.parametrize("multi_label", [False, True])
def test_no_other_temperature_has_a_lower_likelihood(multi_label: bool) -> None:
    logits, truth = (torch.from_numpy(a) for a in drawn(2.0, multi_label, count=500))

    def loss(temperature: float) -> float:
        scaled = logits.double() / temperature
        if multi_label:
            return float(F.binary_cross_entropy_with_logits(scaled, truth.double()))
        return float(F.cross_entropy(scaled, truth))

    found = fit_temperature(logits.numpy(), truth.numpy())
    assert loss(found) <= min(loss(t) for t in np.linspace(found - 0.5, found + 0.5, 201)) + 1e-12


def test_a_temperature_stays_within_bounds() -> None:
    right = np.eye(3, dtype=np.float32)
    assert fit_temperature(right, np.arange(3)) == pytest.approx(0.05)
    assert fit_temperature(right, np.array([1, 2, 0])) == pytest.approx(20.0)
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, int)) == 1.0


def test_great_logits_do_not_overflow() -> None:
    with np.errstate(over="raise", invalid="raise"):
        assert softmax(np.array([[1e4, 0.0]])).tolist() == [[1.0, 0.0]]
        assert sigmoid(np.array([1e4, -1e4])).tolist() == [1.0, 0.0]


def test_thresholds_by_hand() -> None:
    probabilities = np.array([[0.9], [0.8], [0.6], [0.3], [0.1]])
    truth = np.array([[1], [1], [0], [1], [0]], bool)
    # With three of four right and none missed F1 is 6/7; two of two is 4/5.
    assert fit_thresholds(probabilities, truth, least_positives=3).tolist() == [pytest.approx(0.2)]
    assert fit_thresholds(probabilities, truth, least_positives=4).tolist() == [0.5]


@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_has_a_better_f1(seed: int) -> None:
    draw = np.random.default_rng(seed)
    truth = draw.random((400, 3)) < [0.3, 0.1, 0.01]
    probabilities = np.round(np.clip(draw.normal(0.3, 0.2, truth.shape) + 0.25 * truth, 0, 1), 2)
    found = fit_thresholds(probabilities, truth)
    assert found[2] == 0.5
    for k in range(2):
        precision, recall, _ = sk.precision_recall_curve(truth[:, k], probabilities[:, k])
        best = (2 * precision * recall / np.maximum(precision + recall, 1e-9)).max()
        assert sk.f1_score(truth[:, k], probabilities[:, k] >= found[k]) == pytest.approx(best)
