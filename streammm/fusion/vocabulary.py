"""Labels in the user's words -> plain arrays that say which of the encoders' classes mean them.

Input: labels, the text encoder, and the names of the picture and sound classes. Output: a ``Vocabulary``, which is all
that ``ZeroShotFusion`` needs to know of the encoders. It is made once per run and sent to wherever fusion happens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import numpy.typing as npt

from streammm.fusion.general_labels import GENERAL_LABELS
from streammm.fusion.meaning import Array, Embed, embed_labels, picture_meaning, sound_meaning
from streammm.labels import Label, labels_of
from streammm.types import MODALITIES

__all__ = ["GENERAL_LABELS", "Vocabulary", "build_vocabulary"]


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """The labels to choose from, and what they are in terms of the encoders' outputs.

    There are R rows: first K labels, then ``num_distractors`` things that take part and are never reported, then the
    rivals of single labels, in ``rival_of`` the label of each.

    Shape:
        - label_vectors: float32 [P, D], embeddings of all phrases, length one
        - picture_cosines: float32 [R, C], cosine of each row and each picture class
        - sound_weights: float32 [R, C], each sums to the row's reliability in sound
        - reliability: float32 [M, R] in [0, 1], how well each modality can judge each row, as in ``MODALITIES``
        - phrase_starts: int64 [R], the first phrase of each row; empty: each has one
        - bias: float32 [M, K], what is added to the logits of each label; empty: nothing
    """

    labels: tuple[str, ...]
    label_vectors: Array
    picture_cosines: Array
    sound_weights: Array
    reliability: Array
    num_distractors: int = 0
    rival_of: tuple[int, ...] = ()
    phrase_starts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    bias: Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))


def build_vocabulary(
    labels: Mapping[str, Label] | Sequence[str],
    embed: Embed,
    *,
    picture_classes: Sequence[str] = (),
    sound_classes: Sequence[str] = (),
    distractors: Sequence[str] = (),
) -> Vocabulary:
    """Looks every label up among the classes of the encoders, by meaning.

    Args:
        labels: what to choose from, in the user's words.
        embed: the text encoder's ``embed``; it is asked to keep what it makes, which costs seconds.
        picture_classes: "lemma, lemma: definition" of each class of the picture encoder; none: pictures judge nothing.
        sound_classes: display name of each class of the sound encoder; none: sound judges nothing.
        distractors: what competes with the labels for the score and is never reported.

    Raises:
        ConfigError: if a label cannot be used.
    """
    labels = labels_of(labels)
    rivals = [(k, rival) for k, label in enumerate(labels.values()) for rival in label.rivals]
    rows = [
        *(label.phrases or (name,) for name, label in labels.items()),
        *((distractor,) for distractor in distractors),
        *((rival,) for _, rival in rivals),
    ]
    starts = np.cumsum([0, *map(len, rows[:-1])])
    phrases = list(chain.from_iterable(rows))
    vectors = embed_labels(phrases, embed)
    cosines, in_pictures = picture_meaning(vectors, starts, picture_classes, embed)
    weights, in_sound = sound_meaning(phrases, starts, sound_classes, embed)
    return Vocabulary(
        tuple(labels),
        vectors,
        cosines,
        weights,
        np.stack([in_sound, np.ones(len(rows), np.float32), in_pictures]),
        len(distractors),
        tuple(k for k, _ in rivals),
        starts,
        np.array([[label.bias.get(m, 0.0) for label in labels.values()] for m in MODALITIES], np.float32),
    )
