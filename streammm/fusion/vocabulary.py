"""Labels in the user's words -> plain arrays that say which of the encoders' classes mean them.

Input: labels, the text encoder, and the names of the picture and sound classes. Output: a ``Vocabulary``, which is all
that ``ZeroShotFusion`` needs to know of the encoders. It is made once per run and sent to wherever fusion happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streammm.errors import ConfigError
from streammm.fusion.general_labels import GENERAL_LABELS
from streammm.fusion.meaning import Array, Embed, embed_labels, picture_meaning, sound_meaning

__all__ = ["GENERAL_LABELS", "Vocabulary", "build_vocabulary", "check_labels"]

_MAX_LABEL_CHARACTERS = 200
"""A label is a few words; text of this length is a file read by mistake."""


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """The labels to choose from, and what they are in terms of the encoders' outputs.

    Shape:
        - label_vectors: float32 [K, D], embeddings of the labels, length one
        - picture_cosines: float32 [K, C], cosine of each label and each picture class
        - sound_weights: float32 [K, C], rows sum to the label's reliability in sound
        - reliability: float32 [M, K] in [0, 1], how well each modality can judge each label, as in ``MODALITIES``
    """

    labels: tuple[str, ...]
    label_vectors: Array
    picture_cosines: Array
    sound_weights: Array
    reliability: Array


def check_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels without outer blanks and repetitions (whatever their case), in their order.

    Raises:
        ConfigError: if there is none, or one that is empty or absurdly long.
    """
    if isinstance(labels, str):
        raise ConfigError(f"labels must be a list, got the text {labels[:60]!r}")
    unique: dict[str, str] = {}
    for label in labels:
        clean = " ".join(label.split())
        if not clean:
            raise ConfigError(f"a label must not be empty, got {label!r} in {list(labels)[:20]}")
        if len(clean) > _MAX_LABEL_CHARACTERS:
            raise ConfigError(
                f"a label has at most {_MAX_LABEL_CHARACTERS} characters, got {len(clean)}: {clean[:60]!r}..."
            )
        unique.setdefault(clean.casefold(), clean)
    if not unique:
        raise ConfigError(f"at least one label is needed, got {list(labels)}")
    return tuple(unique.values())


def build_vocabulary(
    labels: Sequence[str], embed: Embed, *, picture_classes: Sequence[str] = (), sound_classes: Sequence[str] = ()
) -> Vocabulary:
    """Looks every label up among the classes of the encoders, by meaning.

    Args:
        labels: what to choose from, in the user's words.
        embed: the text encoder's ``embed``; it is asked to keep the classes, which cost seconds.
        picture_classes: "lemma, lemma: definition" of each class of the picture encoder; none: pictures judge nothing.
        sound_classes: display name of each class of the sound encoder; none: sound judges nothing.

    Raises:
        ConfigError: if a label cannot be used.
    """
    labels = check_labels(labels)
    vectors = embed_labels(labels, embed)
    cosines, in_pictures = picture_meaning(vectors, picture_classes, embed)
    weights, in_sound = sound_meaning(labels, sound_classes, embed)
    reliability = np.stack([in_sound, np.ones(len(labels), np.float32), in_pictures])
    return Vocabulary(labels, vectors, cosines, weights, reliability)
