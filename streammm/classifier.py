"""Segments and their embeddings -> rows, one source at a time and in order: where fusion meets the row's format."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from streammm.fusion.model import Fused, ZeroShotFusion
from streammm.types import MODALITIES, Classification, Embeddings, Modality, ModalityResult, Segment

State = dict[str, torch.Tensor]


class Classifier:
    """Fuses what the encoders said of consecutive segments of a source and words it as rows.

    Args:
        fusion: the fusion model; its vocabulary names the labels.
        model: name of the whole set-up, copied into every row.
        top_labels: how many labels a row lists.
    """

    def __init__(self, fusion: ZeroShotFusion, model: str, top_labels: int) -> None:
        self._fusion = fusion.eval()
        self._labels = fusion.labels
        self._model = model
        self._top = top_labels

    def initial_state(self) -> State:
        """The state of a source of which nothing has been seen."""
        return self._fusion.init_state(1)

    @torch.inference_mode()
    def rows(
        self, segments: Sequence[Segment], embeddings: Mapping[Modality, Embeddings], state: State
    ) -> tuple[list[Classification], State]:
        """Rows of the next segments of a source, and the state after them.

        Args:
            segments: T consecutive segments; their pictures and sound are not needed any more.
            embeddings: of the same T segments, by modality; one that is left out is absent in all of them.
            state: what `initial_state` or the call before returned. It is not changed.
        """
        present = np.zeros((1, len(segments), len(MODALITIES)), np.bool_)
        inputs: dict[Modality, torch.Tensor] = {}
        for m, modality in enumerate(MODALITIES):
            if (made := embeddings.get(modality)) is not None and made.present.any():
                present[0, :, m] = made.present
                values = made.tags if made.tags.shape[1] else made.vectors
                inputs[modality] = torch.from_numpy(np.array(values))[None]
        starts = torch.tensor([[s.start_seconds for s in segments]], dtype=torch.float64)
        ends = torch.tensor([[s.end_seconds for s in segments]], dtype=torch.float64)
        fused, state = self._fusion(inputs, torch.from_numpy(present), starts, ends, state)
        now = time.time()
        return [self._row(segment, fused, present[0], t, now) for t, segment in enumerate(segments)], state

    def _row(
        self, segment: Segment, fused: Fused, present: npt.NDArray[np.bool_], t: int, now: float
    ) -> Classification:
        return Classification(
            source=segment.source,
            segment=segment.index,
            start_seconds=segment.start_seconds,
            end_seconds=segment.end_seconds,
            labels=self._best(fused.scores[0, t]),
            other=float(fused.other[0, t]),
            modalities={
                modality: ModalityResult(
                    status=segment.status[modality],
                    weight=float(fused.weights[0, t, m]),
                    labels=self._best(fused.by_modality[0, t, m]) if present[t, m] else (),
                    amount=segment.amounts.get(modality, 0),
                    num_errors=segment.num_errors.get(modality, 0),
                )
                for m, modality in enumerate(MODALITIES)
            },
            model=self._model,
            latency_seconds=max(0.0, now - segment.decoded_unix_seconds),
        )

    def _best(self, scores: torch.Tensor) -> tuple[tuple[str, float], ...]:
        values, indexes = scores.topk(min(self._top, len(self._labels)))
        return tuple((self._labels[i], value) for i, value in zip(indexes.tolist(), values.tolist(), strict=True))
