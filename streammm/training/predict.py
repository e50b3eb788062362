"""A network over labelled sources: what it says of everything whose truth is known, segments or whole sources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from streammm.fusion.card import Task
from streammm.fusion.learned import LearnedFusion, Logits
from streammm.training.dataset import Batch, Example, batches
from streammm.training.features import Features
from streammm.training.loss import pool
from streammm.types import MODALITIES, Modality

_BATCH_SEGMENTS = 4096
_CONTENT_BYTES = 64 * 2**20
"""How much raw content towers are given at once, so that sources of any length need no more memory."""


class FusionNet(nn.Module):
    """Towers, which are trained encoders of single modalities, and the fusion on top of them."""

    def __init__(self, network: LearnedFusion, towers: Mapping[Modality, nn.Module]) -> None:
        super().__init__()
        self.network = network
        self.towers = nn.ModuleDict({str(modality): tower for modality, tower in towers.items()})

    def forward(self, batch: Batch, present: Tensor) -> Logits:
        """The logits of a batch, of which only the modalities are looked at that are ``present``, bool [B, T, M]."""
        return self.fuse(self.enter(batch, present), batch, present)

    def enter(self, batch: Batch, present: Tensor) -> dict[Modality, Tensor]:
        """What the network takes of each modality; a tower is only given what is present."""
        return {m: self._enter(m, x, present[..., MODALITIES.index(m)]) for m, x in batch.inputs.items()}

    def fuse(self, inputs: Mapping[Modality, Tensor], batch: Batch, present: Tensor) -> Logits:
        """The logits of what `enter` gave."""
        found: tuple[Logits, object] = self.network(
            inputs, present, batch.start_seconds, batch.end_seconds, lengths=batch.lengths
        )
        return found[0]

    def _enter(self, modality: Modality, content: Tensor, is_present: Tensor) -> Tensor:
        if modality not in self.towers:
            return content
        if not is_present.any():
            return torch.zeros(*is_present.shape, self.network.dims[modality])
        vectors: Tensor = self.towers[modality](content[is_present])
        return vectors.new_zeros(*is_present.shape, vectors.shape[-1]).masked_scatter(is_present[..., None], vectors)


@torch.inference_mode()
def past_towers(
    net: FusionNet, examples: Sequence[Example], dims: Mapping[Modality, int]
) -> tuple[FusionNet, list[Example], dict[Modality, int]]:
    """The same with what the towers make of the examples in place of both, to be worked out once for many predictions.

    Returns:
        the net without towers, the examples, and the lengths of what they now hold.
    """
    if not net.towers:
        return net, list(examples), dict(dims)
    net.eval()
    found = []
    for example in examples:
        features = example.features
        there = [m for m in features.vectors if features.present[:, MODALITIES.index(m)].any()]
        vectors = {m: _through(net.towers[m], features, m) if m in net.towers else features.vectors[m] for m in there}
        found.append(replace(example, features=replace(features, vectors=vectors)))
    made = {m: next((e.features.vectors[m].shape[1] for e in found if m in e.features.vectors), dims[m]) for m in dims}
    return FusionNet(net.network, {}).eval(), found, made


def _through(tower: nn.Module, features: Features, modality: Modality) -> npt.NDArray[np.float32]:
    """What a tower makes of a source, a stretch at a time; zeros where the modality is not present."""
    content, present = features.vectors[modality], features.present[:, MODALITIES.index(modality)]
    stretch = max(1, _CONTENT_BYTES // (4 * content.shape[1]))
    parts = []
    for first in range(0, len(features), stretch):
        there = present[first : first + stretch]
        rows = torch.from_numpy(content[first : first + stretch])[torch.from_numpy(there)]
        made = tower(rows).numpy() if len(rows) else None
        parts.append((there, made))
    width = next(made.shape[1] for _, made in parts if made is not None)
    found = np.zeros((len(features), width), np.float32)
    found[present] = np.concatenate([made for _, made in parts if made is not None])
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """Logits and truth of N segments, and of sources of which only is known what is somewhere in them.

    Shape:
        - logits, targets: float32 [N, K]; a whole source's logits are those of its pooled probabilities
        - source: int64 [N], number of the example
        - start_seconds, end_seconds: float64 [N]
    """

    logits: Tensor
    targets: Tensor
    source: Tensor
    start_seconds: Tensor
    end_seconds: Tensor
    num_whole_sources: int

    def __len__(self) -> int:
        return len(self.source)


@torch.inference_mode()
def predict(
    net: FusionNet,
    examples: Sequence[Example],
    dims: Mapping[Modality, int],
    task: Task,
    missing: Iterable[Modality] = (),
    *,
    everything: bool = False,
) -> Predictions:
    """What a network says where the truth is known.

    Args:
        missing: modalities that are taken away.
        everything: give all segments, and no whole sources; targets of unknown ones mean nothing.
    """
    keep = torch.tensor([m not in set(missing) for m in MODALITIES])
    net.eval()
    net, examples, dims = past_towers(net, examples, dims)
    num_classes = examples[0].targets.shape[1] if examples else 0
    empty = torch.zeros(0, num_classes)
    parts = [(empty, empty, torch.zeros(0, dtype=torch.int64), torch.zeros(0).double(), torch.zeros(0).double())]
    first = num_whole = 0
    for batch in batches(examples, dims, segments_a_batch=_BATCH_SEGMENTS):
        logits = net(batch, batch.present & keep).fused
        chosen = batch.is_there if everything else batch.known
        numbers = torch.arange(first, first + len(batch.lengths))
        of_segment = numbers[:, None].expand_as(chosen)[chosen]
        times = batch.start_seconds[chosen], batch.end_seconds[chosen]
        parts.append((logits[chosen], batch.targets[chosen], of_segment, *times))
        if batch.has_weak.any() and not everything:
            whole = batch.has_weak
            pooled = pool(logits, batch.is_there, task)[whole]
            last = batch.end_seconds.gather(1, (batch.lengths - 1)[:, None])[:, 0]
            found = pooled.logit() if task == "multi_label" else pooled.log()
            parts.append((found, batch.weak[whole], numbers[whole], batch.start_seconds[whole, 0], last[whole]))
            num_whole += int(whole.sum())
        first += len(batch.lengths)
    logits, targets, source, starts, ends = (torch.cat(column) for column in zip(*parts, strict=True))
    return Predictions(logits, targets, source, starts, ends, num_whole)
