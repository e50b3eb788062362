"""Made features: classes that pictures and sound tell apart, each in part of the segments only."""

from __future__ import annotations

import numpy as np

from streammm.training.dataset import Example
from streammm.training.features import Features
from streammm.types import MODALITIES

DIMS = {"audio": 6, "video": 5}
NUM_CLASSES = 3


def features(classes: list[int], source: str = "s", seed: int = 0, present: np.ndarray | None = None) -> Features:
    """A segment of two seconds for each class; vectors show it in one channel."""
    draw = np.random.default_rng([seed, len(classes), *map(ord, source)])
    length = len(classes)
    there = np.zeros((length, len(MODALITIES)), bool)
    vectors = {}
    for modality, dim in DIMS.items():
        there[:, MODALITIES.index(modality)] = True
        values = 0.3 * draw.normal(size=(length, dim)).astype(np.float32)
        values[np.arange(length), classes] += 2.0
        vectors[modality] = values
    starts = 2.0 * np.arange(length)
    return Features(source, starts, starts + 2.0, vectors, there if present is None else present)


def example(classes: list[int], source: str = "s", seed: int = 0, weak: bool = False) -> Example:
    targets = np.eye(NUM_CLASSES, dtype=np.float32)[classes]
    whole = targets.max(0) if weak else None
    return Example(features(classes, source, seed), targets, np.full(len(classes), not weak), whole)


def examples(number: int, seed: int, weak: bool = False, length: int = 6) -> list[Example]:
    draw = np.random.default_rng(seed)
    return [
        example(
            [int(draw.integers(NUM_CLASSES))] * length if weak else draw.integers(0, NUM_CLASSES, length).tolist(),
            f"s{n}",
            seed,
            weak,
        )
        for n in range(number)
    ]
