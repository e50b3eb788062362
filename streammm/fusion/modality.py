"""What one modality says of every label, and how the modalities are added up; used by ``model.py``.

Input: class scores of an encoder, or a sentence embedding. Output: probabilities [..., K] of the labels, then those of
the distractors and what rivals took; they sum to less than one: the rest is the share of "none of these".
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from streammm.fusion.vocabulary import Vocabulary
from streammm.types import MODALITIES, Modality

Array = npt.NDArray[np.float32]

_PICTURE_CLASSES = 10
_PICTURE_POWER = 1 / 2
"""A classifier is too sure: of its best classes, the square roots of the probabilities count. On ImageNet samples in 41
coarse classes and TuxPaint stamps in 31: 94.5 and 64.3 %, and 91.8 and 61.3 % with the probabilities themselves."""

_SOUND_POWER = 1 / 2
"""YAMNet scores what it hears anywhere from 0.1 to 1.0. On ESC-10 cube roots are as good, but rooms in which nothing
happens then sound like speech."""

_PICTURE_TEMPERATURE, _PICTURE_OTHER = 0.03, 0.32
_SOUND_TEMPERATURE, _SOUND_OTHER = 0.07, 0.29
_TEXT_TEMPERATURE, _TEXT_OTHER = 0.04, 0.42
"""Softness, and the similarity at which a label is as likely as "none of these". Pictures and sound: least
cross-entropy over the labelled sets with their own labels and with unrelated ones, sound made softer until it no longer
overruled clear pictures. Text: of 132 captions of films, one in twenty is that near to any general label."""

_SOUND_FLOOR, _BELOW_FLOOR = 0.1, 0.02
"""A class score of 0.01, whose root this is, is YAMNet's noise: what lies below counts a fiftieth, so that rooms in
which nothing happens do not overrule a faint picture. On the labelled sets it moved no top-1 by more than 0.6 points,
but for clips of drones (37.9 to 39.1 %)."""

_OTHER_OFFSET, _OTHER_SCALE = 10, 20
"""Among many labels some are near to anything, so "none of these" weighs (K + 10) / 20. Chosen on ESC-10, ImageNet
samples and clips with 1 to 50 labels that are not in them."""

_LEAST_WEIGHT = 0.05
"""What a modality that matches nothing still counts, so that it lowers the others a little. Anything from 0.02 to 0.1
moved no top-1 by more than two points."""


_MOST_LOGIT, _LEAST_SUM = 60.0, 1e-30
"""The exponential of the one is still a float32, and so is the other."""


class Judge:
    """A softmax over the labels, with their reliability as prior, and one more class at a fixed level: none of these.

    Of K labels with similarities s and reliabilities r, one has the probability r exp(s / T) / (n + sum of all
    r exp(s / T)), where n = (K + 10) / 20 exp(o / T) stands for the other class. With a floor f,
    exp(s / T) - exp(f / T) stands in place of exp(s / T), but never less than a small share of it, which keeps the
    order of the labels.

    Distractors are labels like any other here. Rivals are in no such sum: of a label and its rivals each has a share in
    the label's probability like exp(s / T), and only the label's own is left to it.
    """

    floor: float | None = None

    def __init__(
        self, vocabulary: Vocabulary, reliability: Array, bias: Array, temperature: float, other: float
    ) -> None:
        self.temperature = temperature
        self.other = other
        with np.errstate(divide="ignore"):  # the logarithm of no reliability is -inf, which leaves no probability
            self.prior = np.log(reliability)
        self.prior[: len(bias)] += bias
        self.rival_of = np.array(vocabulary.rival_of, np.int64)
        self.other_logit = math.log((len(vocabulary.labels) + _OTHER_OFFSET) / _OTHER_SCALE)

    def __call__(self, made: Array) -> Array:
        """What it says of what an encoder made, see the subclass; float32 [N, K + D], and one more with rivals."""
        return self.probabilities(self.similarity(made))

    def similarity(self, made: Array) -> Array:
        """How near each row is to what an encoder made: float32 [N, R]."""
        raise NotImplementedError

    def logits(self, similarity: Array) -> Array:
        """Of each row, relative to a similarity at which a label is as likely as "none of these"."""
        logits: Array = (similarity - self.other) / self.temperature + self.prior
        if self.floor is not None:
            above = 1.0 - np.exp((self.floor - similarity) / self.temperature)
            logits += np.log(np.maximum(above, _BELOW_FLOOR))
        return logits

    def probabilities(self, similarity: Array) -> Array:
        logits, rivals = np.split(self.logits(similarity), [similarity.shape[-1] - len(self.rival_of)], -1)
        most = np.maximum(logits.max(-1, keepdims=True), self.other_logit)
        found: Array = np.exp(logits - most)
        found /= found.sum(-1, keepdims=True) + np.exp(self.other_logit - most)
        if not len(self.rival_of):
            return found
        own, others = (np.exp(np.minimum(x, _MOST_LOGIT)) for x in (logits, rivals))
        against = np.zeros_like(own)
        np.add.at(against.T, self.rival_of, others.T)
        left = found * own / np.maximum(own + against, _LEAST_SUM)
        return np.concatenate([left, (found - left).sum(-1, keepdims=True)], -1)


class PictureJudge(Judge):
    """A label is as likely as the likeliest classes mean the same: ConSE (Norouzi et al., arXiv:1312.5650).

    Shape:
        - classes: float32 [N, C], probabilities
        - output: float32 [N, R] in `similarity`
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        reliability, bias = _trust(vocabulary, "video")
        super().__init__(vocabulary, reliability, bias, _PICTURE_TEMPERATURE, _PICTURE_OTHER)
        self.cosines = vocabulary.picture_cosines

    def similarity(self, classes: Array) -> Array:
        best = np.where(_greatest(classes, _PICTURE_CLASSES), np.maximum(classes, 0.0) ** _PICTURE_POWER, 0.0)
        best /= np.maximum(best.sum(-1, keepdims=True), 1e-9)
        found: Array = best @ self.cosines.T
        return found


class SoundJudge(Judge):
    """A label is as likely as the sounds whose names are nearest to it; their weights hold its reliability already.

    Shape:
        - classes: float32 [N, C], independent scores in [0, 1]
        - output: float32 [N, R] in `similarity`
    """

    floor = _SOUND_FLOOR

    def __init__(self, vocabulary: Vocabulary) -> None:
        reliability, bias = _trust(vocabulary, "audio")
        can_judge = (reliability > 0).astype(np.float32)
        super().__init__(vocabulary, can_judge, bias, _SOUND_TEMPERATURE, _SOUND_OTHER)
        self.neighbours = vocabulary.sound_weights

    def similarity(self, classes: Array) -> Array:
        roots = np.maximum(classes, 0.0)
        roots **= _SOUND_POWER
        found: Array = roots @ self.neighbours.T
        return found


class TextJudge(Judge):
    """A label is as likely as the text means the same.

    Shape:
        - vectors: float32 [N, D], length one
        - output: float32 [N, R] in `similarity`
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        reliability, bias = _trust(vocabulary, "text")
        super().__init__(vocabulary, reliability, bias, _TEXT_TEMPERATURE, _TEXT_OTHER)
        self.label_vectors = vocabulary.label_vectors
        self.phrase_starts = vocabulary.phrase_starts

    def similarity(self, vectors: Array) -> Array:
        found: Array = vectors @ self.label_vectors.T
        return np.maximum.reduceat(found, self.phrase_starts, -1) if len(self.phrase_starts) else found


def weighted_sum(by_modality: Array, present: npt.NDArray[np.bool_], base_weights: Array) -> tuple[Array, Array]:
    """Adds the modalities up, each weighed by how sure it is of its best label.

    Args:
        by_modality: float32 [..., M, K], of labels and what competes with them.
        present: bool [..., M].
        base_weights: float32 [M].

    Returns:
        fused scores float32 [..., K], which sum to at most one, and each modality's share float32 [..., M], which sum
        to one where any modality that counts is present.
    """
    weights: Array = base_weights * present * (by_modality.max(-1) + _LEAST_WEIGHT)
    weights /= np.maximum(weights.sum(-1, keepdims=True), 1e-12)
    return (weights[..., None] * by_modality).sum(-2), weights


def _greatest(values: Array, count: int) -> npt.NDArray[np.bool_]:
    """Which are the ``count`` greatest of each row [N, C], of equal ones the first: bool [N, C]."""
    if values.shape[-1] <= count:
        return np.ones(values.shape, np.bool_)
    least = np.partition(values, -count, -1)[:, -count, None]
    above, equal = values > least, values == least
    found: npt.NDArray[np.bool_] = above | equal & (equal.cumsum(-1) <= count - above.sum(-1, keepdims=True))
    return found


def _trust(vocabulary: Vocabulary, modality: Modality) -> tuple[Array, Array]:
    """The reliability of each row [R], and what is added to each label's logits [K], or nothing [0]."""
    m = MODALITIES.index(modality)
    bias = vocabulary.bias[m] if len(vocabulary.bias) else vocabulary.bias.reshape(-1)
    return vocabulary.reliability[m], bias
