"""Calibration error and Brier score: hand-worked, and beside torchmetrics and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
from torchmetrics.functional import classification as tm

from streammm.training.metrics.reliability import brier_score, expected_calibration_error
from tests.training.metrics.test_segments import draw_classes, draw_labels


def test_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.0, 1.0]])
    truth = np.array([0, 0, 1, 0])
    # In ten bins 0.9 and 1.0 are in one, of which two of three come true; 0.6 is alone and does.
    assert expected_calibration_error(probabilities, truth, 10) == pytest.approx((abs(2.8 - 2) + 0.4) / 4)
    assert brier_score(probabilities, truth) == pytest.approx((0.02 + 0.02 + 0.32 + 2) / 4)
    labels = np.array([[0.8, 0.3]]), np.array([[True, False]])
    assert brier_score(*labels) == pytest.approx((0.04 + 0.09) / 2)
    assert expected_calibration_error(*labels) == pytest.approx((0.2 + 0.3) / 2)


def test_nothing_is_not_defined() -> None:
    assert np.isnan(expected_calibration_error(np.zeros((0, 3)), np.zeros(0, int)))
    assert np.isnan(brier_score(np.zeros((0, 3)), np.zeros((0, 3), bool)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("num_bins", [10, 15])
def test_as_torchmetrics_and_scikit_learn(seed: int, num_bins: int) -> None:
    scores, truth = draw_classes(seed)
    theirs = tm.multiclass_calibration_error(torch.from_numpy(scores), torch.from_numpy(truth), 6, n_bins=num_bins)
    assert expected_calibration_error(scores, truth, num_bins) == pytest.approx(float(theirs), abs=1e-5)
    assert brier_score(scores, truth) == pytest.approx(
        sk.brier_score_loss(truth, scores, scale_by_half=False), abs=1e-5
    )
    scores, truth = draw_labels(seed)
    scores = np.clip(scores + 0.013, 0, 0.999)  # off the edges of bins, on which float32 decides
    theirs = tm.binary_calibration_error(torch.from_numpy(scores.ravel()), torch.from_numpy(truth.ravel()), num_bins)
    assert expected_calibration_error(scores, truth, num_bins) == pytest.approx(float(theirs), abs=1e-5)
    expected = np.mean([sk.brier_score_loss(truth[:, k], scores[:, k]) for k in range(6)])
    assert brier_score(scores, truth) == pytest.approx(expected, abs=1e-5)
