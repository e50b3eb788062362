"""What one modality says of every label, and how the modalities are added up; used by ``model.py``.

Input: class scores of an encoder, or a sentence embedding. Output: probabilities [..., K] of the labels, then those of
the distractors and what rivals took; they sum to less than one: the rest is the share of "none of these".
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from streammm.fusion.vocabulary import Vocabulary
from streammm.types import MODALITIES, Modality

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


_MOST_LOGIT = 60.0
"""Its exponential is still a float32."""


class Judge(nn.Module):
    """A softmax over the labels, with their reliability as prior, and one more class at a fixed level: none of these.

    Of K labels with similarities s and reliabilities r, one has the probability r exp(s / T) / (n + sum of all
    r exp(s / T)), where n = (K + 10) / 20 exp(o / T) stands for the other class. With a floor f,
    exp(s / T) - exp(f / T) stands in place of exp(s / T), but never less than a small share of it, which keeps the
    order of the labels.

    Distractors are labels like any other here. Rivals are in no such sum: of a label and its rivals each has a share in
    the label's probability like exp(s / T), and only the label's own is left to it.
    """

    prior: Tensor
    rival_of: Tensor

    def __init__(
        self, vocabulary: Vocabulary, reliability: Tensor, bias: Tensor, temperature: float, other: float
    ) -> None:
        super().__init__()
        self.floor: float | None = None
        self.temperature = temperature
        self.other = other
        prior = reliability.log()
        prior[: len(bias)] += bias
        self.register_buffer("prior", prior, persistent=False)
        self.register_buffer("rival_of", torch.tensor(vocabulary.rival_of, dtype=torch.int64), persistent=False)
        self.num_rivals = len(vocabulary.rival_of)
        self.other_logit = math.log((len(vocabulary.labels) + _OTHER_OFFSET) / _OTHER_SCALE)

    def forward(self, made: Tensor) -> Tensor:
        """What it says of what an encoder made, see the subclass; float32 [..., K + D], and one more with rivals."""
        return self.probabilities(self.similarity(made))

    def similarity(self, made: Tensor) -> Tensor:
        """How near each row is to what an encoder made: float32 [..., R]."""
        raise NotImplementedError

    def logits(self, similarity: Tensor) -> Tensor:
        """Of each row, relative to a similarity at which a label is as likely as "none of these"."""
        logits = (similarity - self.other) / self.temperature + self.prior
        if self.floor is not None:
            above = 1.0 - torch.exp((self.floor - similarity) / self.temperature)
            logits = logits + above.clamp_min(_BELOW_FLOOR).log()
        return logits

    def probabilities(self, similarity: Tensor) -> Tensor:
        logits = self.logits(similarity)
        logits, rivals = logits.tensor_split([logits.shape[-1] - self.num_rivals], -1)
        other = torch.full_like(logits[..., :1], self.other_logit)
        found = torch.cat([other, logits], -1).softmax(-1)[..., 1:]
        if not self.num_rivals:
            return found
        own = logits.clamp_max(_MOST_LOGIT).exp()
        against = torch.zeros_like(own).index_add(-1, self.rival_of, rivals.clamp_max(_MOST_LOGIT).exp())
        left = found * own / (own + against).clamp_min(1e-30)
        return torch.cat([left, (found - left).sum(-1, keepdim=True)], -1)


class PictureJudge(Judge):
    """A label is as likely as the likeliest classes mean the same: ConSE (Norouzi et al., arXiv:1312.5650).

    Shape:
        - classes: float32 [..., C], probabilities
        - output: float32 [..., R] in `similarity`
    """

    cosines: Tensor

    def __init__(self, vocabulary: Vocabulary) -> None:
        reliability, bias = _trust(vocabulary, "video")
        super().__init__(vocabulary, reliability, bias, _PICTURE_TEMPERATURE, _PICTURE_OTHER)
        self.register_buffer("cosines", torch.from_numpy(vocabulary.picture_cosines), persistent=False)

    def similarity(self, classes: Tensor) -> Tensor:
        best, which = classes.topk(min(_PICTURE_CLASSES, classes.shape[-1]), -1)
        best = best.clamp_min(0.0) ** _PICTURE_POWER
        best = best / best.sum(-1, keepdim=True).clamp_min(1e-9)
        return torch.zeros_like(classes).scatter(-1, which, best) @ self.cosines.T


class SoundJudge(Judge):
    """A label is as likely as the sounds whose names are nearest to it; their weights hold its reliability already.

    Shape:
        - classes: float32 [..., C], independent scores in [0, 1]
        - output: float32 [..., R] in `similarity`
    """

    neighbours: Tensor

    def __init__(self, vocabulary: Vocabulary) -> None:
        reliability, bias = _trust(vocabulary, "audio")
        super().__init__(vocabulary, (reliability > 0).float(), bias, _SOUND_TEMPERATURE, _SOUND_OTHER)
        self.floor = _SOUND_FLOOR
        self.register_buffer("neighbours", torch.from_numpy(vocabulary.sound_weights), persistent=False)

    def similarity(self, classes: Tensor) -> Tensor:
        return classes.clamp_min(0.0) ** _SOUND_POWER @ self.neighbours.T


class TextJudge(Judge):
    """A label is as likely as the text means the same.

    Shape:
        - vectors: float32 [..., D], length one
        - output: float32 [..., R] in `similarity`
    """

    label_vectors: Tensor

    def __init__(self, vocabulary: Vocabulary) -> None:
        reliability, bias = _trust(vocabulary, "text")
        super().__init__(vocabulary, reliability, bias, _TEXT_TEMPERATURE, _TEXT_OTHER)
        self.register_buffer("label_vectors", torch.from_numpy(vocabulary.label_vectors), persistent=False)
        ends = [*vocabulary.phrase_starts.tolist()[1:], len(vocabulary.label_vectors)]
        starts = vocabulary.phrase_starts.tolist() or range(len(ends))
        self._phrases = [slice(a, b) for a, b in zip(starts, ends, strict=True)] if len(ends) < ends[-1] else None

    def similarity(self, vectors: Tensor) -> Tensor:
        found = vectors @ self.label_vectors.T
        if self._phrases is None:
            return found
        return torch.stack([found[..., of_row].amax(-1) for of_row in self._phrases], -1)


def weighted_sum(by_modality: Tensor, present: Tensor, base_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Adds the modalities up, each weighed by how sure it is of its best label.

    Args:
        by_modality: float32 [..., M, K], of labels and what competes with them.
        present: bool [..., M].
        base_weights: float32 [M].

    Returns:
        fused scores float32 [..., K], which sum to at most one, and each modality's share float32 [..., M], which sum
        to one where any modality that counts is present.
    """
    weights = base_weights * present * (by_modality.amax(-1) + _LEAST_WEIGHT)
    weights = weights / weights.sum(-1, keepdim=True).clamp_min(1e-12)
    return (weights[..., None] * by_modality).sum(-2), weights


def _trust(vocabulary: Vocabulary, modality: Modality) -> tuple[Tensor, Tensor]:
    """The reliability of each row [R], and what is added to each label's logits [K], or nothing [0]."""
    m = MODALITIES.index(modality)
    bias = vocabulary.bias[m] if len(vocabulary.bias) else vocabulary.bias.reshape(-1)
    return torch.from_numpy(vocabulary.reliability[m]), torch.from_numpy(bias)
