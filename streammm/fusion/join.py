"""What several modalities know of a segment -> one vector: three learned ways, used by ``learned.py``.

Each takes the modalities' vectors [B, T, D], one a modality, and which of them are there; what is not there has a
learned vector in its place. Each returns the joined vector and how much each modality counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_ABSENT = -1e4
"""A logit that leaves nothing after a softmax, and is finite where every modality is absent."""


class WeightedSum(nn.Module):
    """A sum with learned weights, the same for every segment, made anew over what is there.

    Shape:
        - parts: M of float32 [B, T, D]
        - present: bool [B, T, M]
        - output: float32 [B, T, D], and weights float32 [B, T, M]
    """

    def __init__(self, num_modalities: int, width: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(num_modalities))
        self.norm = nn.LayerNorm(width)

    def forward(self, parts: Sequence[Tensor], present: Tensor) -> tuple[Tensor, Tensor]:
        weights = self.logits.masked_fill(~present, _ABSENT).softmax(-1)
        joined = (weights[..., None] * torch.stack(list(parts), -2)).sum(-2)
        return self.norm(joined), weights * present


class Concat(nn.Module):
    """A linear layer over all vectors side by side, and over which of them are there.

    How much a modality counted is the length of what the layer makes of its vector, as a share. Shapes as above.
    """

    def __init__(self, num_modalities: int, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(num_modalities * width + num_modalities, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, parts: Sequence[Tensor], present: Tensor) -> tuple[Tensor, Tensor]:
        joined = self.mix(torch.cat([*parts, present.float()], -1))
        columns = torch.split(self.mix.weight, parts[0].shape[-1], 1)[: len(parts)]
        amounts = torch.stack([(part @ w.T).norm(dim=-1) for part, w in zip(parts, columns, strict=True)], -1)
        amounts = torch.where(present, amounts, 0.0)
        return self.norm(joined), amounts / amounts.sum(-1, keepdim=True).clamp_min(1e-9)


class Gated(nn.Module):
    """A softmax over the modalities for every channel, made from all of them: the gated multimodal unit.

    After Arevalo et al., Gated Multimodal Units for Information Fusion (arXiv:1702.01992), with softmax for more than
    two modalities. How much a modality counted is the mean of its gates. Shapes as above.
    """

    def __init__(self, num_modalities: int, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(num_modalities * width + num_modalities, num_modalities * width)
        self.values = nn.ModuleList(nn.Linear(width, width) for _ in range(num_modalities))
        self.norm = nn.LayerNorm(width)

    def forward(self, parts: Sequence[Tensor], present: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.gate(torch.cat([*parts, present.float()], -1)).unflatten(-1, (len(parts), -1))
        gates = logits.masked_fill(~present[..., None], _ABSENT).softmax(-2)
        values = torch.stack([torch.tanh(v(part)) for v, part in zip(self.values, parts, strict=True)], -2)
        return self.norm((gates * values).sum(-2)), gates.mean(-1) * present


JOINS: dict[str, type[WeightedSum] | type[Concat] | type[Gated]] = {
    "weighted_sum": WeightedSum,
    "concat": Concat,
    "gated": Gated,
}
