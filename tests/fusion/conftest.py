"""A vocabulary with known answers: text embeddings are counts of words, classes are called by plain words."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from streammm.fusion.model import ZeroShotFusion
from streammm.fusion.vocabulary import Vocabulary, build_vocabulary

WORDS = ("rabbit", "car", "speech", "music", "rain", "dog", "suit", "person", "noise", "cloud")
PICTURE_CLASSES = ("rabbit", "car", "dog", "suit", "cloud")
SOUND_CLASSES = ("speech", "music", "rain", "dog", "Animal", "noise")
LABELS = ("rabbit", "car", "speech", "music", "rain", "dog")


def embed(texts: Sequence[str], *, keep: bool = False) -> npt.NDArray[np.float32]:
    """Counts of known words, length one; a text without any is a direction of its own."""
    vectors = np.zeros((len(texts), len(WORDS) + 1), np.float32)
    for row, text in zip(vectors, texts, strict=True):
        for word in re.findall(r"\w+", text.lower()):
            if word in WORDS:
                row[WORDS.index(word)] += 1
        if not row.any():
            row[-1] = 1
    normed: npt.NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normed


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return build_vocabulary(LABELS, embed, picture_classes=PICTURE_CLASSES, sound_classes=SOUND_CLASSES)


@pytest.fixture
def fusion(vocabulary: Vocabulary) -> ZeroShotFusion:
    return ZeroShotFusion(vocabulary, {"audio": 1.0, "text": 0.5, "video": 1.0}, smoothing_seconds=1.5)


class Stream:
    """Segments of sources, made at random: irregular, with gaps, on a clock as large as Unix time."""

    def __init__(self, batch: int, length: int, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        pictures = random.dirichlet(np.full(len(PICTURE_CLASSES), 0.3), (batch, length))
        sounds = random.random((batch, length, len(SOUND_CLASSES))) ** 3
        texts = embed(random.choice(np.array(WORDS), batch * length).tolist()).reshape(batch, length, -1)
        self.inputs = {
            "audio": sounds.astype(np.float32),
            "text": texts,
            "video": pictures.astype(np.float32),
        }
        self.present = random.random((batch, length, 3)) < 0.7
        for m, modality in enumerate(("audio", "text", "video")):
            self.inputs[modality][~self.present[:, :, m]] = np.nan
        gaps = random.choice([0.0, 0.0, 0.7, 30.0], (batch, length))
        lengths = random.uniform(0.1, 4.0, (batch, length))
        self.end = 1.7e9 + np.cumsum(gaps + lengths, 1)
        self.start = self.end - lengths

    def __getitem__(self, part: slice | int) -> tuple[object, ...]:
        """The arguments of a call for a stretch of time, or of ``step`` for one segment."""
        inputs = {modality: values[:, part] for modality, values in self.inputs.items()}
        return inputs, self.present[:, part], self.start[:, part], self.end[:, part]
