"""Logits of a validation set -> a temperature that makes probabilities honest, and a threshold for each label.

Shape of the arguments: logits float [N, K]; truth int [N] where there is one class a segment, bool [N, K] where any
number of labels hold, as it is told apart everywhere in ``metrics``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streammm.training.metrics.segments import Bools, Floats, Truth, one_hot

_LEAST_TEMPERATURE, _GREATEST_TEMPERATURE = 0.05, 20.0
"""Where everything is right the best temperature is zero, and where nothing is it is infinite: neither is meant."""

_NUM_HALVINGS = 60


def softmax(logits: Floats, temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Probabilities of classes, float64 [N, K], which sum to one."""
    scaled = np.asarray(logits, np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(-1, keepdims=True))
    probabilities: npt.NDArray[np.float64] = exponentials / exponentials.sum(-1, keepdims=True)
    return probabilities


def sigmoid(logits: Floats, temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Probabilities of labels, float64 [N, K], each for itself."""
    return np.exp(-np.logaddexp(0.0, -np.asarray(logits, np.float64) / temperature))


def fit_temperature(logits: Floats, truth: Truth) -> float:
    """The temperature by which logits are divided for the least negative log likelihood of the truth.

    C. Guo et al., "On calibration of modern neural networks", ICML 2017. The likelihood is that of the softmax where
    truth is int [N] and of independent labels where it is bool [N, K]. In 1 / temperature it is convex, so that halving
    the interval in which its slope changes sign finds the only minimum; between 0.05 and 20, and 1 without segments.
    """
    logits, truth = np.asarray(logits, np.float64), np.asarray(truth)
    if not len(logits):
        return 1.0
    squash, target = (sigmoid, truth) if truth.ndim == 2 else (softmax, one_hot(truth, logits.shape[1]))
    low, high = 1 / _GREATEST_TEMPERATURE, 1 / _LEAST_TEMPERATURE
    for _ in range(_NUM_HALVINGS):
        middle = (low + high) / 2
        slope = ((squash(logits, 1 / middle) - target) * logits).sum()
        low, high = (middle, high) if slope < 0 else (low, middle)
    return 2 / (low + high)


def fit_thresholds(
    probabilities: Floats, truth: Bools, *, least_positives: int = 10, default: float = 0.5
) -> npt.NDArray[np.float64]:
    """For each label the threshold float64 [K] from which on it holds with the greatest F1, both arguments [N, K].

    A label with fewer than ``least_positives`` segments keeps the default: F1 of a handful says nothing. A threshold
    lies half way to the next lower probability, and of equally good ones the highest is taken. Z. C. Lipton,
    C. Elkan and B. Naryanaswamy, "Optimal thresholding of classifiers to maximize F1 measure", ECML 2014.
    """
    thresholds = np.full(probabilities.shape[1], default)
    for k in range(probabilities.shape[1]):
        values, holds = np.asarray(probabilities[:, k], np.float64), np.asarray(truth[:, k], bool)
        if holds.sum() < least_positives:
            continue
        order = np.argsort(-values, kind="stable")
        ordered = values[order]
        last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
        f1 = 2 * np.cumsum(holds[order])[last] / (last + 1 + holds.sum())
        best = last[np.argmax(f1)]
        below = ordered[best + 1] if best + 1 < len(ordered) else 0.0
        thresholds[k] = (ordered[best] + below) / 2
    return thresholds
