"""The fusion of a run that looks for nothing: only what the encoders made of the segments is wanted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streammm.fusion.model import Fused
from streammm.fusion.temporal import Flags, Scores, Seconds, State
from streammm.types import Embeddings, Modality


class NoFusion:
    """Has no labels, takes anything and remembers nothing."""

    labels: tuple[str, ...] = ()
    look_ahead = 0

    def init_state(self, batch: int) -> State:
        """Nothing, in an array of its own for each source."""
        return {"nothing": np.zeros((batch, 0), np.float32)}

    def input_of(self, made: Embeddings) -> Scores:
        """Nothing of them: float32 [T, 0]."""
        return np.zeros((len(made), 0), np.float32)

    def __call__(
        self,
        inputs: Mapping[Modality, Scores],
        present: Flags,
        start_seconds: Seconds,
        end_seconds: Seconds,
        state: State,
    ) -> tuple[Fused, State]:
        """As `ZeroShotFusion`, for no labels."""
        shapes = (*present.shape[:2], 0), present.shape[:2], (*present.shape, 0), present.shape
        return Fused(*(np.zeros(shape, np.float32) for shape in shapes)), state
