"""How far probabilities can be taken at their word.

Shape of the arguments: probabilities float [N, K] in [0, 1]; truth int [N] where there is one class a segment, bool
[N, K] where any number of labels hold.
"""

from __future__ import annotations

import numpy as np

from streammm.training.metrics.segments import Floats, Truth, one_hot


def expected_calibration_error(probabilities: Floats, truth: Truth, num_bins: int = 15) -> float:
    """The mean distance of what is claimed from what comes true, over bins of equal width, weighted by their counts.

    Of classes, the claim is the probability of the best one: M. P. Naeini, G. F. Cooper and M. Hauskrecht, "Obtaining
    well calibrated probabilities using Bayesian binning", AAAI 2015; C. Guo et al., "On calibration of modern neural
    networks", ICML 2017. Of labels, every segment and label is a claim of its own, and comes true where the label
    holds. NaN where there are no segments.
    """
    truth = np.asarray(truth)
    if truth.ndim == 2:
        claims, comes_true = probabilities.ravel(), truth.ravel()
    else:
        claims, comes_true = probabilities.max(1), np.argmax(probabilities, 1) == truth
    if not len(claims):
        return float("nan")
    edges = np.linspace(0, 1, num_bins + 1)
    bins = np.clip(np.searchsorted(edges, claims, side="right") - 1, 0, num_bins - 1)
    excess = np.bincount(bins, claims.astype(np.float64) - comes_true, minlength=num_bins)
    return float(np.abs(excess).sum() / len(claims))


def brier_score(probabilities: Floats, truth: Truth) -> float:
    """The mean square of probability less truth: summed over classes, averaged over labels, as is usual for each.

    G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 1950. NaN where
    there are no segments.
    """
    truth = np.asarray(truth)
    if not len(truth):
        return float("nan")
    if truth.ndim == 2:
        return float(np.square(probabilities - truth).mean())
    return float(np.square(probabilities - one_hot(truth, probabilities.shape[1])).sum(1).mean())
