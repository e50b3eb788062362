"""The fusion of a run that looks for nothing: only what the encoders made of the segments is wanted."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from streammm.fusion.model import Fused
from streammm.fusion.temporal import State
from streammm.types import MODALITIES, Embeddings, Modality


class NoFusion:
    """Has no labels, takes anything and remembers nothing."""

    labels: tuple[str, ...] = ()
    look_ahead = 0

    def init_state(self, batch: int) -> State:
        """Nothing, in a tensor of its own for each source."""
        return {"nothing": torch.zeros(batch, 0)}

    def input_of(self, made: Embeddings) -> Tensor:
        """Nothing of them: float32 [T, 0]."""
        return torch.zeros(len(made), 0)

    def __call__(
        self,
        inputs: Mapping[Modality, Tensor],
        present: Tensor,
        start_seconds: Tensor,
        end_seconds: Tensor,
        state: State,
    ) -> tuple[Fused, State]:
        """As `ZeroShotFusion.forward`, for no labels."""
        size, length = present.shape[:2]
        nothing = torch.zeros(size, length, 0)
        by_modality = torch.zeros(size, length, len(MODALITIES), 0)
        return Fused(nothing, torch.zeros(size, length), by_modality, torch.zeros(present.shape)), state
