"""Labels and the names of an encoder's classes -> which classes mean a label; used once per run by ``vocabulary.py``.

Input: embeddings of the labels and texts of the classes. Output: arrays [K, C] and how well they can be trusted [K].
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

_PHRASES = ("{}", "a {}", "a photo of a {}")
"""A label is the mean of these, as in CLIP (Radford et al., arXiv:2103.00020, section 3.1.4): a bare word can be far
from what it means, "man" has a cosine of 0.21 to "a person". On ImageNet samples in 41 coarse classes 91 -> 94 %."""

_PICTURE_RAMP = (0.35, 0.50)
_SOUND_RAMP = (0.40, 0.70)
"""Best cosine of label and class from which a modality is believed, and from which fully. Pictures: "speech" reaches
0.32, "aircraft" 0.61. Sounds: "computer screen" reaches 0.48, "pizza" 0.53, labels of ESC-10 mostly over 0.7."""

_SOUND_NEIGHBOURS = 8
_SOUND_SOFTNESS = 0.05
"""How many sound classes a label looks at, and how fast they count less as they are farther; chosen on ESC-10."""

_GENERAL_SOUNDS = frozenset(
    (
        *("Animal", "Domestic animals, pets", "Livestock, farm animals, working animals", "Wild animals"),
        *("Vehicle", "Motor vehicle (road)", "Heavy engine (low frequency)", "Mechanisms", "Musical instrument"),
        *("Inside, small room", "Inside, large room or hall", "Inside, public space", "Outside, urban or manmade"),
        *("Outside, rural or natural", "Silence", "Noise", "Environmental noise", "Sound effect"),
        *("Television", "Radio"),
    )
)
_GENERAL_LEAST = 0.9
"""YAMNet scores a class together with its parents, so parents say nothing of which child it is: a duck was "Animal"
and by that "elephant". They stand for labels that mean just them. On 2 s of ESC-10 with 35 distractors 68 -> 71 %."""

_ALSO_CALLED = {
    "Speech": (
        *("talking", "a person speaking", "a man talking", "a woman talking", "a voice"),
        *("conversation", "dialogue", "narration", "an interview", "a lecture"),
    ),
    "Music": ("song", "background music"),
}
"""YAMNet scores these two and leaves their children ("Conversation", "Soundtrack music") at nearly nothing, while
"talking" is nearer to the children's names: on GRID's talkers it scored 0.03 and "speech" 1.0."""

_WORN = frozenset(
    (
        "abaya, academic gown, apron, ballplayer, barber chair, barbershop, bathing cap, bearskin, bikini, bolo tie, "
        "bow tie, brassiere, bulletproof vest, cardigan, cloak, cowboy hat, crash helmet, crutch, feather boa, "
        "football helmet, fur coat, gasmask, gown, groom, hoopskirt, jean, jersey, kimono, lab coat, maillot, "
        "military uniform, miniskirt, mortarboard, neck brace, overskirt, oxygen mask, pajama, pickelhaube, poncho, "
        "sarong, scuba diver, seat belt, ski mask, sombrero, stole, stretcher, suit, sunglass, sunglasses, sweatshirt, "
        "swimming trunks, trench coat, vestment, wig, Windsor tie"
    ).split(", ")
)
"""ImageNet has next to no class for people, but hardly a picture of these without one. Looking at talking heads (GRID),
a silent film and a feature film showed which classes they come out as."""

_PEOPLE = ("a person", "a man", "a woman", "a human face", "people")
_PEOPLE_CREDIT = 0.8
_PEOPLE_LEAST = 0.5
"""A label that means people (cosine at least 0.5) may claim those classes for 0.8 of its similarity to people."""


class Embed(Protocol):
    """Texts -> float32 [N, D], rows of length one; ``keep`` says that the same texts may come at the next start."""

    def __call__(self, texts: Sequence[str], *, keep: bool = False) -> Array: ...


def embed_labels(labels: Sequence[str], embed: Embed) -> Array:
    """The meaning of each label: float32 [K, D], rows of length one."""
    vectors = embed([phrase.format(label) for phrase in _PHRASES for label in labels], keep=True)
    mean = vectors.reshape(len(_PHRASES), len(labels), -1).mean(0)
    normed: Array = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return normed


def picture_meaning(phrases: Array, starts: Rows, classes: Sequence[str], embed: Embed) -> tuple[Array, Array]:
    """Cosine of each label and each class [K, C], and reliability [K].

    Definitions tell far better than names what a class is; ``classes`` are texts "lemma, lemma: definition". A label
    is as near to a class as the nearest of its phrases.

    Args:
        phrases: float32 [P, D], the embeddings of all phrases of the first label, then of the second, ...
        starts: the first phrase of each of K labels.
    """
    if not classes:
        return _nothing(len(starts))
    cosines: Array = phrases @ embed(classes, keep=True).T
    worn = [i for i, text in enumerate(classes) if re.split("[,:]", text, maxsplit=1)[0] in _WORN]
    people = (phrases @ embed_labels(_PEOPLE, embed).T).max(1)
    credit = np.where(people >= _PEOPLE_LEAST, _PEOPLE_CREDIT * people, -1.0)
    cosines[:, worn] = np.maximum(cosines[:, worn], credit[:, None])
    cosines = np.maximum.reduceat(cosines, starts, axis=0)
    return cosines, _ramp(cosines.max(1), *_PICTURE_RAMP)


def sound_meaning(phrases: Sequence[str], starts: Rows, classes: Sequence[str], embed: Embed) -> tuple[Array, Array]:
    """Weights of the few classes nearest to each label [K, C], rows of them summing to its reliability [K].

    Sounds have names and no definitions, and labels of sounds are like them: bare texts are compared. A class is as
    near as the best of its comma-separated names, a label as the nearest of its phrases.
    """
    if not classes:
        return _nothing(len(starts))
    vectors = embed(phrases, keep=True)
    names = [[part.strip() for part in re.sub(r"\(.*?\)", "", text).split(",")] for text in classes]
    names = [[*parts, *_ALSO_CALLED.get(text, ())] for parts, text in zip(names, classes, strict=True)]
    first_names = np.cumsum([0] + [len(parts) for parts in names[:-1]])
    every_name = embed([name for parts in names for name in parts], keep=True)
    cosines = np.maximum.reduceat(vectors @ every_name.T, first_names, axis=1)
    cosines = np.maximum.reduceat(cosines, starts, axis=0)
    general = np.array([text in _GENERAL_SOUNDS for text in classes])
    cosines[general & (cosines < _GENERAL_LEAST)] = -1.0
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :_SOUND_NEIGHBOURS]
    near = np.take_along_axis(cosines, nearest, 1)
    near = np.exp((near - near[:, :1]) / _SOUND_SOFTNESS)
    reliability = _ramp(cosines.max(1), *_SOUND_RAMP)
    weights = np.zeros_like(cosines)
    np.put_along_axis(weights, nearest, near / near.sum(1, keepdims=True) * reliability[:, None], 1)
    return weights, reliability


def _nothing(num_labels: int) -> tuple[Array, Array]:
    """For an encoder without classes: nothing can be judged."""
    return np.zeros((num_labels, 0), np.float32), np.zeros(num_labels, np.float32)


def _ramp(values: Array, low: float, high: float) -> Array:
    """0 up to ``low``, 1 from ``high``, straight between."""
    ramp: Array = np.clip((values - low) / (high - low), 0.0, 1.0).astype(np.float32)
    return ramp
