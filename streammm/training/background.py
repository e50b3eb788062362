"""Unlabelled footage -> a threshold for each label, and what evens labels out that are near to everything.

Input: features with class scores of sources like those that are to be run, which are gone through once or twice, and
the fusion that works without training. Output: per label a threshold and a bias per modality, for a file of labels.
Nobody says what is in the footage: what is taken for granted is that each label is absent from more than half of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from streammm.errors import ConfigError
from streammm.fusion.model import ZeroShotFusion
from streammm.fusion.vocabulary import Vocabulary
from streammm.labels import DEFAULT_THRESHOLD
from streammm.training.features import FeatureCache, Features
from streammm.types import MODALITIES, Modality

Scores = npt.NDArray[np.float32]

_LEAST_SEGMENTS = 50
_LEAST, _GREATEST = 0.01, 0.95
"""Scores that mean nothing and everything whatever the footage says."""

_QUANTILE = 0.25
_STRENGTH = 0.5
"""A label is evened out by half of how far its lower quartile is from those of the others. On ESC-10 among 45 labels
top-1 rises from 68.8 to 70.0 %, the mean of six halves. Among few labels that are often there it takes what is meant:
of four in drone_av from 35.1 to 31.7 %."""


@dataclass(frozen=True, slots=True)
class Footage:
    """The features of those sources that could be read, read from the cache whenever they are gone through."""

    cache: FeatureCache
    names: Sequence[str]

    def __iter__(self) -> Iterator[Features]:
        for name in self.names:
            if (features := self.cache.get(name)) is not None and len(features):
                yield features


def scores_of(fusion: ZeroShotFusion, sources: Iterable[Features]) -> Scores:
    """Fused scores of all segments in which anything is there: float32 [N, K]."""
    found = [np.zeros((0, len(fusion.labels)), np.float32)]
    for source in sources:
        inputs = {m: x[None] for m, x in _inputs(source).items()}
        fused, _ = fusion(inputs, source.present[None], source.start_seconds[None], source.end_seconds[None])
        found.append(fused.scores[0][source.present.any(1)])
    return np.concatenate(found)


def thresholds(scores: Scores, false_alarms: float) -> npt.NDArray[np.float64]:
    """For each label the score that it reaches where it is absent in about such a share of segments: float64 [K].

    What is above the median may be the label itself, what is below is not. In logits the scores of what is absent are
    taken to lie about the median alike on both sides: the threshold is as far above it as their quantile is below. On
    ESC-10 with a share of 0.1, F1 on the other half of the clips rises from 0.79 to 0.85 (with distractors from 0.74),
    with false alarms in 0.6 % of the segments; on drones, which are hardly seen and each there in every fourth segment,
    it does not, with false alarms in 11 %; see ``benchmarks/zero_shot.py``.

    Args:
        scores: float32 [N, K], N at least 50.
        false_alarms: the share, below a half.

    Raises:
        ConfigError: there is too little footage.
    """
    if len(scores) < _LEAST_SEGMENTS:
        raise ConfigError(f"there must be at least {_LEAST_SEGMENTS} segments to calibrate with, got {len(scores)}")
    p = scores.astype(np.float64).clip(1e-9, 1 - 1e-9)
    logits = np.log(p) - np.log1p(-p)
    middle, below = np.quantile(logits, [0.5, false_alarms], axis=0)
    found = 1.0 / (1.0 + np.exp(below - 2 * middle))
    is_judged = middle - below > 1e-3  # one that nothing can judge has the same score all the time
    result: npt.NDArray[np.float64] = np.where(is_judged, found.clip(_LEAST, _GREATEST), DEFAULT_THRESHOLD)
    return result


def evened_out(vocabulary: Vocabulary, sources: Iterable[Features]) -> Vocabulary:
    """The vocabulary with a bias for each label that makes up for its being near to everything in the footage."""
    num_labels = len(vocabulary.labels)
    judges = ZeroShotFusion(replace(vocabulary, bias=np.zeros((0, 0), np.float32))).judges
    found: dict[Modality, list[Scores]] = {m: [] for m in MODALITIES}
    for source in sources:
        for modality, made in _inputs(source).items():
            there, judge = source.present[:, MODALITIES.index(modality)], judges[modality]
            found[modality].append(judge.logits(judge.similarity(made[there]))[:, :num_labels])
    bias = np.zeros((len(MODALITIES), num_labels), np.float32)
    for m, modality in enumerate(MODALITIES):
        logits = np.concatenate([np.zeros((0, num_labels), np.float32), *found[modality]])
        can_judge = np.isfinite(logits).all(0)
        if len(logits) and can_judge.any():
            level = np.quantile(logits[:, can_judge], _QUANTILE, axis=0)
            bias[m, can_judge] = _STRENGTH * (level.mean() - level)
    return replace(vocabulary, bias=bias)


def _inputs(source: Features) -> dict[Modality, Scores]:
    """What the fusion takes of each modality: class scores, or vectors where there are none."""
    return {m: source.tags[m] if m in source.tags else vectors[:] for m, vectors in source.vectors.items()}
