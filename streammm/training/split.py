"""Which sources are learned from, which choose, and which are kept back: whole sources, never single segments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streammm.errors import ConfigError
from streammm.training.annotations import Annotation

TRAIN, VALIDATION, TEST = "train", "validation", "test"


@dataclass(frozen=True, slots=True)
class Split:
    """Sources by what they are for; ``notes`` tell what a user should know of it."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    notes: tuple[str, ...] = ()


def split_sources(
    by_source: Mapping[str, Sequence[Annotation]],
    digests: Mapping[str, str],
    *,
    validation_share: float = 0.2,
    validation_split: str | None = None,
    seed: int = 0,
) -> Split:
    """Divides sources as their annotations say, or else at random, label by label.

    Sources of equal content stay together, so that nothing is learned from that is judged by: where the annotations
    would part them they go to training, and it is noted.

    Args:
        by_source: the annotations of each source.
        digests: what names the content of each source.
        validation_share: how much of the training sources chooses, where the annotations say nothing of it.
        validation_split: a name in the annotations' column of splits, such as a fold's, that is for validation.
        seed: of the division at random.

    Raises:
        ConfigError: nothing is left to learn from, or to choose by.
    """
    named = {source: _split_of(items, validation_split) for source, items in by_source.items()}
    groups: dict[str, list[str]] = defaultdict(list)
    for source in by_source:
        groups[digests[source]].append(source)
    num_parted = 0
    for sources in groups.values():
        if len({named[source] for source in sources}) > 1:
            num_parted += 1
            named |= dict.fromkeys(sources, TRAIN)
    notes = [f"{num_parted} times the same content was in several splits: it is trained on"] if num_parted else []
    if VALIDATION not in named.values():
        chosen = _draw([g for g in groups.values() if named[g[0]] == TRAIN], by_source, validation_share, seed)
        named |= dict.fromkeys(chosen, VALIDATION)
        notes.append(f"{len(chosen)} of the sources, drawn at random, choose the epoch that is kept")
    parts = {name: tuple(s for s, split in named.items() if split == name) for name in (TRAIN, VALIDATION, TEST)}
    if not parts[TRAIN] or not parts[VALIDATION]:
        raise ConfigError(
            f"{len(by_source)} labelled sources leave {len(parts[TRAIN])} to train on and {len(parts[VALIDATION])} to "
            "validate with; there must be some of both, and each is a whole source"
        )
    return Split(parts[TRAIN], parts[VALIDATION], parts[TEST], tuple(notes))


def _split_of(items: Sequence[Annotation], validation_split: str | None) -> str:
    found = next((item.split for item in items if item.split is not None), None)
    if validation_split is not None and found == validation_split:
        return VALIDATION
    return found if found in (VALIDATION, TEST) else TRAIN


def _draw(
    groups: Sequence[Sequence[str]], by_source: Mapping[str, Sequence[Annotation]], share: float, seed: int
) -> list[str]:
    """About a share of the sources of each label, whole groups of equal content; at least one of each but the last."""
    by_label: dict[str, list[Sequence[str]]] = defaultdict(list)
    for group in groups:
        labels = sorted({item.label for item in by_source[group[0]]})
        by_label[labels[0] if labels else ""].append(group)
    draw = np.random.default_rng(seed)
    chosen: list[str] = []
    for label in sorted(by_label):
        some = by_label[label]
        number = min(len(some) - 1, max(1, round(share * len(some))))
        for n in draw.permutation(len(some))[:number]:
            chosen += some[n]
    return chosen
