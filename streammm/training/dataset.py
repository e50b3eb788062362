"""Features with their labels -> batches: sequences filled up to one length, and what of them is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from streammm.training.features import Features
from streammm.types import MODALITIES, Modality


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One source with its labels.

    Shape:
        - targets: float32 [T, K] in [0, 1]
        - known: bool [T], which segments have labels of their own
        - weak: float32 [K], what is somewhere in the source; None where nothing is said of it as a whole
    """

    features: Features
    targets: npt.NDArray[np.float32]
    known: npt.NDArray[np.bool_]
    weak: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if not len(self.targets) == len(self.known) == len(self.features):
            raise ValueError(
                f"a target for each segment: got {len(self.features)} segments, {len(self.targets)} targets and "
                f"{len(self.known)} known"
            )

    def __len__(self) -> int:
        return len(self.known)

    def cut(self, first: int, stop: int) -> Example:
        """A stretch of its segments."""
        f = self.features
        part = Features(
            f.source,
            f.start_seconds[first:stop],
            f.end_seconds[first:stop],
            {m: x[first:stop] for m, x in f.vectors.items()},
            f.present[first:stop],
        )
        return Example(part, self.targets[first:stop], self.known[first:stop], self.weak)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """B sequences, filled up to T segments.

    Shape:
        - inputs: by modality float32 [B, T, D]
        - present: bool [B, T, M]
        - start_seconds, end_seconds: float64 [B, T]
        - lengths: int64 [B]
        - targets: float32 [B, T, K]
        - known: bool [B, T]
        - weak: float32 [B, K], and has_weak: bool [B]
    """

    inputs: dict[Modality, Tensor]
    present: Tensor
    start_seconds: Tensor
    end_seconds: Tensor
    lengths: Tensor
    targets: Tensor
    known: Tensor
    weak: Tensor
    has_weak: Tensor

    @property
    def is_there(self) -> Tensor:
        """Which segments are not mere filling: bool [B, T]."""
        return torch.arange(self.present.shape[1])[None] < self.lengths[:, None]


def collate(examples: Sequence[Example], dims: Mapping[Modality, int]) -> Batch:
    """One batch of some examples."""
    lengths = torch.tensor([len(e) for e in examples])
    size, length, num_classes = len(examples), int(lengths.max()), examples[0].targets.shape[1]
    inputs = {m: torch.zeros(size, length, d) for m, d in dims.items()}
    present = torch.zeros(size, length, len(MODALITIES), dtype=torch.bool)
    starts = torch.zeros(size, length, dtype=torch.float64)
    ends = torch.zeros(size, length, dtype=torch.float64)
    targets = torch.zeros(size, length, num_classes)
    known = torch.zeros(size, length, dtype=torch.bool)
    weak, has_weak = torch.zeros(size, num_classes), torch.zeros(size, dtype=torch.bool)
    for b, example in enumerate(examples):
        n = len(example)
        for modality, values in example.features.vectors.items():
            if modality in inputs:
                inputs[modality][b, :n, : values.shape[1]] = torch.from_numpy(values[:])
                inputs[modality][b, :n, values.shape[1] :] = torch.nan  # raw content may be of any length
        present[b, :n] = torch.from_numpy(example.features.present)
        starts[b, :n] = torch.from_numpy(example.features.start_seconds)
        ends[b, :n] = torch.from_numpy(example.features.end_seconds)
        targets[b, :n] = torch.from_numpy(example.targets)
        known[b, :n] = torch.from_numpy(example.known)
        if example.weak is not None:
            weak[b], has_weak[b] = torch.from_numpy(example.weak), True
    return Batch(inputs, present, starts, ends, lengths, targets, known, weak, has_weak)


def batches(
    examples: Sequence[Example],
    dims: Mapping[Modality, int],
    *,
    segments_a_batch: int,
    max_segments: int | None = None,
    draw: np.random.Generator | None = None,
) -> Iterator[Batch]:
    """All examples once, in batches of about so many segments.

    Args:
        max_segments: longer sequences are cut down to a stretch of this length, drawn anew each time.
        draw: shuffles them; None keeps their order.
    """
    order = np.arange(len(examples)) if draw is None else draw.permutation(len(examples))
    chosen: list[Example] = []
    for n in order:
        example = examples[n]
        if max_segments is not None and len(example) > max_segments:
            first = 0 if draw is None else int(draw.integers(0, len(example) - max_segments + 1))
            example = example.cut(first, first + max_segments)
        if chosen and (len(chosen) + 1) * max(len(example), *map(len, chosen)) > segments_a_batch:
            yield collate(chosen, dims)
            chosen = []
        chosen.append(example)
    if chosen:
        yield collate(chosen, dims)
