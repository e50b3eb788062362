"""How like a text or an example a segment is, by what was kept of it; used by ``find.py``.

Input: what was kept of some segments. Output: for each a score in [0, 1], and the score of each modality alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from streammm.building.modalities import used_modalities
from streammm.building.vocabulary import read_vocabulary
from streammm.config import Config, load
from streammm.errors import ConfigError
from streammm.fusion.model import ZeroShotFusion
from streammm.journal import EMBEDDINGS, Journal
from streammm.kept import Kept, kept_of
from streammm.replay import spread
from streammm.types import MODALITIES, Modality

Array = npt.NDArray[np.float32]
Scores = tuple[float, Mapping[Modality, float]]

_SAMPLES, _SAMPLE_ENTRIES = 32, 32
"""The mean of the vectors is worked out from so many places of a run, and so many segments at each."""

_WORDS = {"audio": "sound", "text": "what is said", "video": "pictures"}


class Judge(Protocol):
    """What scores segments; below ``least`` nothing is worth telling."""

    least: float

    def __call__(self, kept: Sequence[Kept]) -> list[Scores]:
        """For each segment its score in [0, 1], and that of each modality that it has alone."""


class TextJudge:
    """Scores segments as a run with the text as its only label does.

    Args:
        text: what to look for.
        config: of the run; its labels and its model do not matter.
        modalities: in which of them; () for all.

    Raises:
        ConfigError: the encoders cannot judge texts, or a modality was not used in the run.
    """

    least = 0.1
    """Of segments of ESC-10, 71 in 100 with the sound that is looked for score as much, and 1 in 100 with another."""

    def __init__(self, text: str, config: Config, modalities: Sequence[Modality]) -> None:
        weights = _weights(config, modalities)
        values = config.model_dump(exclude={"labels", "model", "fusion", "speech"})
        chosen = {**config.fusion.model_dump(), "weights": weights, "smoothing_seconds": 0.0}
        vocabulary = read_vocabulary(load(**values, fusion=chosen, labels=(text,)))
        assert vocabulary is not None
        reliability = dict(zip(MODALITIES, vocabulary.reliability[:, 0].tolist(), strict=True))
        self.notes = tuple(
            f"{_WORDS[m]} cannot say: no class of {getattr(config.encoders, m)} comes near to {text!r}"
            for m in MODALITIES
            if weights[m] and reliability[m] == 0
        )
        self._used = [m for m in MODALITIES if weights[m]]
        self._fusion = ZeroShotFusion(vocabulary, weights, smoothing_seconds=0.0)

    def __call__(self, kept: Sequence[Kept]) -> list[Scores]:
        present = np.zeros((len(kept), len(MODALITIES)), np.bool_)
        inputs = {}
        for modality in self._used:
            there = np.array([modality in one.tags for one in kept])
            if there.any():
                present[:, MODALITIES.index(modality)] = there
                arrays = [_judged(one, modality) for one in kept if modality in one.tags]
                inputs[modality] = spread(arrays, there)
        starts = np.zeros(len(kept))
        # Each as the first segment of a source of its own.
        state = self._fusion.init_state(len(kept))
        fused, _ = self._fusion.step(inputs, present, starts, starts + 1, state)
        alone = fused.by_modality[..., 0].tolist()
        return [
            (score, {m: alone[i][k] for k, m in enumerate(MODALITIES) if present[i, k]})
            for i, score in enumerate(fused.scores[:, 0].tolist())
        ]


class ExampleJudge:
    """Scores segments by the cosine of their vectors with an example's, both without what all segments have in common.

    Features that are never below zero have cosines over 0.5 whatever they show; without their mean, unlike segments
    are at about 0 in every modality, which lets modalities be added up. What the example has and a segment lacks
    counts as unlike.

    Args:
        example: one segment.
        means: float32 [D] by modality, the mean of the vectors.
        config: of the run that it is from.
        modalities: in which of them; () for all that it has.

    Raises:
        ConfigError: the example has nothing of these modalities.
    """

    least = 0.2
    """Half of the segments of ESC-10 with the same sound score over 0.49, 19 in 20 of those with another less than
    0.29; pictures of other films score less than 0.2."""

    def __init__(
        self, example: Kept, means: Mapping[Modality, Array], config: Config, modalities: Sequence[Modality]
    ) -> None:
        weights = _weights(config, modalities)
        self._means = means
        there = [m for m in MODALITIES if weights[m] and m in example.vectors]
        self._example = {m: _unit(example.vectors[m] - means[m]) for m in there}
        if not self._example:
            wanted = " and ".join(_WORDS[m] for m in MODALITIES if weights[m])
            raise ConfigError(f"{example.source} at {example.start_seconds:g} s has nothing to compare of {wanted}")
        total = sum(weights[m] for m in self._example)
        self._weights = {m: weights[m] / total for m in self._example}

    def __call__(self, kept: Sequence[Kept]) -> list[Scores]:
        found: list[dict[Modality, float]] = [{} for _ in kept]
        for modality, vector in self._example.items():
            there = [i for i, one in enumerate(kept) if modality in one.vectors]
            if not there:
                continue
            rows = np.stack([kept[i].vectors[modality] for i in there]) - self._means[modality]
            for i, cosine in zip(there, (_unit(rows) @ vector).tolist(), strict=True):
                found[i][modality] = min(1.0, max(0.0, cosine))
        return [(sum(self._weights[m] * score for m, score in one.items()), one) for one in found]


def example_of(journal: Journal, source: str, seconds: float) -> Kept | None:
    """What was kept of the segment of a source that a time lies in; None if there is none."""
    name = next((name for name in _names(journal) if name == source), None)
    if name is None:
        close = [name for name in _names(journal) if name.endswith("/" + source)]
        if len(close) > 1:
            raise ConfigError(f"{source} may be {close[0]} or {close[1]}: name more of it")
        if not close:
            return None
        name = close[0]
    position = 0
    while entries := journal.read(position, 256, source=name, kind=EMBEDDINGS):
        for entry in entries:
            try:
                kept = kept_of(entry)
            except (KeyError, TypeError, ValueError) as error:
                raise ConfigError(f"what was kept of {name} cannot be read: {error}") from error
            if kept.start_seconds <= seconds < kept.end_seconds and kept.vectors:
                return kept
        position = entries[-1].position
    return None


def mean_vectors(journals: Sequence[Journal]) -> dict[Modality, Array]:
    """The mean of the vectors by modality, of segments from all over the runs."""
    sums: dict[Modality, npt.NDArray[np.float64]] = {}
    counts = dict.fromkeys(MODALITIES, 0)
    for journal in journals:
        last = journal.last_position()
        places = sorted({last * n // _SAMPLES for n in range(_SAMPLES)})
        done = 0
        for place in places:
            for entry in journal.read(max(place, done), _SAMPLE_ENTRIES, kind=EMBEDDINGS):
                done = entry.position
                for modality, vector in kept_of(entry).vectors.items():
                    sums[modality] = sums.get(modality, 0.0) + vector.astype(np.float64)
                    counts[modality] += 1
    return {m: (total / counts[m]).astype(np.float32) for m, total in sums.items()}


def _names(journal: Journal) -> list[str]:
    return [source.name for source in journal.sources()]


def _weights(config: Config, modalities: Sequence[Modality]) -> dict[Modality, float]:
    used = used_modalities(config)
    if missing := [m for m in modalities if m not in used]:
        raise ConfigError(f"the run kept nothing of {' and '.join(missing)}")
    return {m: config.fusion.weights[m] if m in (modalities or used) else 0.0 for m in MODALITIES}


def _judged(kept: Kept, modality: Modality) -> Array:
    """What labels are judged by: class scores, or the vector where the encoder has no classes."""
    tags = kept.tags[modality]
    return tags if len(tags) else kept.vectors[modality]


def _unit(vectors: Array) -> Array:
    found: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
    return found
