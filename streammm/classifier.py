"""Segments and their embeddings -> rows, one source at a time and in order: where fusion meets the row's format."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from streammm.fusion.model import Fused, ZeroShotFusion
from streammm.types import MODALITIES, Classification, Cue, Embeddings, Modality, ModalityResult, Segment

State = dict[str, torch.Tensor]


class Classifier:
    """Fuses what the encoders said of consecutive segments of a source and words it as rows.

    Args:
        fusion: the fusion model; its vocabulary names the labels.
        model: name of the whole set-up, copied into every row.
        top_labels: how many labels a row lists.
        with_text: rows hold the captions or the recognised words themselves.
    """

    def __init__(self, fusion: ZeroShotFusion, model: str, top_labels: int, *, with_text: bool = False) -> None:
        self._fusion = fusion.eval()
        self._labels = fusion.labels
        self._model = model
        self._top = top_labels
        self._with_text = with_text

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
        for t, segment in enumerate(segments):
            if segment.outage:  # nothing is known of it, and it must not count as something
                before, state = self._some(segments[:t], _rows_of(embeddings, slice(0, t)), state)
                after, state = self.rows(segments[t + 1 :], _rows_of(embeddings, slice(t + 1, None)), state)
                return [*before, self._nothing(segment), *after], state
        return self._some(segments, embeddings, state)

    def _some(
        self, segments: Sequence[Segment], embeddings: Mapping[Modality, Embeddings], state: State
    ) -> tuple[list[Classification], State]:
        if not segments:
            return [], state
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
        spoken = embeddings["text"].spoken if "text" in embeddings else ()
        spoken = spoken or ((),) * len(segments)
        return [self._row(segments[t], spoken[t], fused, present[0], t, now) for t in range(len(segments))], state

    def _row(
        self,
        segment: Segment,
        spoken: tuple[Cue, ...],
        fused: Fused,
        present: npt.NDArray[np.bool_],
        t: int,
        now: float,
    ) -> Classification:
        segment = segment.with_words(spoken)
        origin = "speech" if spoken else "captions" if segment.cues else ""
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
                    num_dropped=segment.num_dropped.get(modality, 0),
                    coverage=segment.coverage.get(modality, 1.0),
                    origin=origin if modality == "text" else "",
                    cues=segment.cues if modality == "text" and self._with_text else (),
                )
                for m, modality in enumerate(MODALITIES)
            },
            model=self._model,
            latency_seconds=max(0.0, now - _since(segment)),
            offset_seconds=segment.offset_seconds,
            live=segment.live,
        )

    def _nothing(self, segment: Segment) -> Classification:
        return Classification(
            source=segment.source,
            segment=segment.index,
            start_seconds=segment.start_seconds,
            end_seconds=segment.end_seconds,
            labels=(),
            other=0.0,
            modalities={m: ModalityResult(segment.status[m], 0.0, (), 0, coverage=0.0) for m in MODALITIES},
            model=self._model,
            latency_seconds=max(0.0, time.time() - _since(segment)),
            live=segment.live,
            outage=segment.outage,
        )

    def _best(self, scores: torch.Tensor) -> tuple[tuple[str, float], ...]:
        values, indexes = scores.topk(min(self._top, len(self._labels)))
        return tuple((self._labels[i], value) for i, value in zip(indexes.tolist(), values.tolist(), strict=True))


def _rows_of(embeddings: Mapping[Modality, Embeddings], rows: slice) -> dict[Modality, Embeddings]:
    return {m: made[rows] for m, made in embeddings.items()}


def _since(segment: Segment) -> float:
    """From when latency counts, in Unix time: the end of a live segment, the decoding of another."""
    if segment.live is None:
        return segment.decoded_unix_seconds
    return segment.live.start_unix_seconds + segment.end_seconds - segment.start_seconds
