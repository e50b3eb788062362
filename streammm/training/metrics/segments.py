"""How often the scores of segments are right, each segment for itself.

Shape of the arguments: scores float [N, K]; truth int [N] where there is one class a segment, bool [N, K] where any
number of labels hold. What is not defined, such as the precision of a label that never occurs, is NaN and is left out
of means over labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]
Truth = npt.NDArray[Any]
"""int [N] or bool [N, K], where a function takes either."""


def one_hot(truth: Truth, num_classes: int) -> Bools:
    """Classes int [N] as labels bool [N, K], for what is worked out one label against the rest."""
    labels: Bools = np.asarray(truth)[:, None] == np.arange(num_classes)
    return labels


def top1(scores: Floats, truth: Ints) -> float:
    """The share of segments whose best score is that of their class."""
    return _mean(np.argmax(scores, 1) == truth)


def confusion_matrix(scores: Floats, truth: Ints) -> npt.NDArray[np.int64]:
    """How many segments of each class (row) have their best score at each class (column): int64 [K, K]."""
    num_classes = scores.shape[1]
    cells = np.asarray(truth) * num_classes + np.argmax(scores, 1)
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes).astype(np.int64)


def label_confusion(predicted: Bools, truth: Bools) -> npt.NDArray[np.int64]:
    """What is said where each label (row) holds, of labels that hold together: int64 [K + 1, K + 1].

    On the diagonal is what is said rightly, beside it what is said and does not hold. The last row is where no label
    holds, the last column where none is said. Where one label holds and one is said, it is `confusion_matrix`.
    """
    predicted, truth = (np.column_stack([x, ~x.any(1)]) for x in (np.asarray(predicted, bool), np.asarray(truth, bool)))
    wrongly = truth.astype(np.int64).T @ (predicted & ~truth)
    matrix: npt.NDArray[np.int64] = wrongly + np.diag((predicted & truth).sum(0))
    return matrix


def balanced_accuracy(scores: Floats, truth: Ints) -> float:
    """The mean over the classes that occur of the share of their segments that are right.

    K. H. Brodersen et al., "The balanced accuracy and its posterior distribution", ICPR 2010.
    """
    matrix = confusion_matrix(scores, truth)
    return _mean(_ratio(matrix.diagonal(), matrix.sum(1)))


def average_precision(scores: Floats, truth: Bools) -> float:
    """Of one label, float [N] and bool [N]: the precision at each threshold times what it adds to recall.

    AP = sum over n of (R_n - R_(n-1)) P_n, without interpolation; equal scores are one threshold. M. Zhu, "Recall,
    precision and average precision", 2004. NaN where the label never occurs.
    """
    truth = np.asarray(truth, bool)
    num_positive = int(truth.sum())
    if not num_positive:
        return float("nan")
    order = np.argsort(-np.asarray(scores), kind="stable")
    ordered = np.asarray(scores)[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))  # the last of each run of equal scores
    hits = np.cumsum(truth[order])[last]
    recall_gain = np.diff(hits, prepend=0) / num_positive
    return float((recall_gain * hits / (last + 1)).sum())


def mean_average_precision(scores: Floats, truth: Bools) -> float:
    """The mean of `average_precision` over the labels that occur; of classes, with `one_hot`, one against the rest."""
    return _mean(np.array([average_precision(scores[:, k], truth[:, k]) for k in range(scores.shape[1])]))


@dataclass(frozen=True, slots=True)
class F1:
    """F1 = 2 TP / (2 TP + FP + FN), C. J. van Rijsbergen, "Information Retrieval", 1979.

    ``micro`` is that of all labels' counts together, ``macro`` the mean of ``by_label`` float64 [K], which is NaN for a
    label that neither occurs nor is predicted.
    """

    micro: float
    macro: float
    by_label: npt.NDArray[np.float64]

    @classmethod
    def of_counts(cls, counts: npt.ArrayLike) -> F1:
        """From [K, 3]: what was found, what was found wrongly, and what was missed."""
        found, wrong, missed = np.asarray(counts, np.float64).T
        by_label = _ratio(2 * found, 2 * found + wrong + missed)
        total = 2 * found.sum()
        micro = _ratio(np.array([total]), np.array([total + wrong.sum() + missed.sum()]))
        return cls(float(micro[0]), _mean(by_label), by_label)


def segment_f1(predicted: Bools, truth: Bools) -> F1:
    """F1 over segments: each segment and label is one decision, both arguments bool [N, K].

    A. Mesaros, T. Heittola and T. Virtanen, "Metrics for polyphonic sound event detection", Applied Sciences 2016.
    """
    predicted, truth = np.asarray(predicted, bool), np.asarray(truth, bool)
    parts = (predicted & truth, predicted & ~truth, ~predicted & truth)
    return F1.of_counts(np.stack([part.sum(0) for part in parts], 1))


def _ratio(part: npt.NDArray[np.number], whole: npt.NDArray[np.number]) -> npt.NDArray[np.float64]:
    ratio = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole != 0)
    return ratio


def _mean(values: npt.NDArray[np.number] | Bools) -> float:
    """The mean of what is defined; NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
