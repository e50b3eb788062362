"""Embeddings of every modality -> class probabilities, with no training: the fusion that works out of the box.

Input: class scores of the picture and sound encoders, sentence embeddings of the text, and which of them are there.
Output: probabilities of the user's labels, fused and smoothed, and what each modality said and contributed.
``modality.py`` judges each modality by itself and weighs them, ``temporal.py`` remembers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from streammm.fusion.modality import Judge, PictureJudge, SoundJudge, TextJudge, weighted_sum
from streammm.fusion.temporal import ExponentialMemory, Flags, Scores, Seconds, State, hold
from streammm.fusion.vocabulary import Vocabulary
from streammm.types import MODALITIES, Embeddings, Modality

SMOOTHING_SECONDS = 1.5
"""Chosen on ESC-10 clips of 5 s strung together, where 0.5 to 2 s were alike and best: 70 % of segments against 61 %
without smoothing. What lasts longer is served better by the longer ones."""

DEFAULT_WEIGHTS: Mapping[Modality, float] = {"audio": 1.0, "text": 0.5, "video": 1.0}
"""What is talked about need not be there, so text counts half."""


@dataclass(frozen=True, slots=True)
class Fused:
    """What is known at the end of each segment; ``step`` gives the same without the T axis.

    Shape:
        - scores: float32 [B, T, K], fused and smoothed; with ``other`` they sum to one
        - other: float32 [B, T], the share of "none of these labels"
        - by_modality: float32 [B, T, M, K], what each modality says alone and of this segment alone
        - weights: float32 [B, T, M], each modality's share in this segment; sums to one where any is there
    """

    scores: Scores
    other: Scores
    by_modality: Scores
    weights: Scores


class ZeroShotFusion:
    """Judges each modality by what its classes mean, adds the judgements up by reliability, and smooths over time.

    Args:
        vocabulary: the labels to choose from, made by ``build_vocabulary``.
        weights: how much each modality counts, zero or more; one that is not named counts nothing.
        smoothing_seconds: time constant of the memory; zero judges every segment by itself.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        weights: Mapping[Modality, float] = DEFAULT_WEIGHTS,
        smoothing_seconds: float = SMOOTHING_SECONDS,
    ) -> None:
        unknown = set(weights) - set(MODALITIES)
        if unknown or any(not 0 <= w < float("inf") for w in weights.values()) or not any(weights.values()):
            raise ValueError(f"weights must be zero or more for some of {MODALITIES}, got {dict(weights)}")
        self.labels = vocabulary.labels
        self.num_columns = len(self.labels) + vocabulary.num_distractors + bool(vocabulary.rival_of)
        self.look_ahead = 0
        self.judges: dict[Modality, Judge] = {
            "audio": SoundJudge(vocabulary),
            "text": TextJudge(vocabulary),
            "video": PictureJudge(vocabulary),
        }
        self.memory = ExponentialMemory(smoothing_seconds)
        self.base_weights = np.array([weights.get(m, 0.0) for m in MODALITIES], np.float32)

    def init_state(self, batch: int) -> State:
        """The state of ``batch`` sources of which nothing was seen yet."""
        return self.memory.init_state(batch, len(self.labels))

    def input_of(self, made: Embeddings) -> Scores:
        """What of an encoder's embeddings it takes: its class scores, or its vectors where it has no classes."""
        return made.tags if made.tags.shape[1] else made.vectors

    def __call__(
        self,
        inputs: Mapping[Modality, Scores],
        present: Flags,
        start_seconds: Seconds,
        end_seconds: Seconds,
        state: State | None = None,
    ) -> tuple[Fused, State]:
        """A stretch of T segments of each of B sources.

        Args:
            inputs: float32 [B, T, C]: class scores for audio and video, embeddings for text. What is in a row that is
                not present does not matter, NaN included; a modality may be missing altogether.
            present: bool [B, T, M], in the order of ``MODALITIES``.
            start_seconds: float64 [B, T].
            end_seconds: float64 [B, T].
            state: where the last stretch ended; None starts anew.

        Returns:
            the result and the state behind the last segment.
        """
        state = self.init_state(present.shape[0]) if state is None else state
        present = present & np.array([m in inputs for m in MODALITIES])
        by_modality, fused, weights = self._judge(inputs, present)
        evidence = np.asarray((present & (self.base_weights > 0)).any(-1), np.float32)
        scores = np.empty(fused.shape, np.float32)
        for t in range(present.shape[1]):
            now = start_seconds[:, t], end_seconds[:, t]
            scores[:, t], state = self.memory(fused[:, t], evidence[:, t], *now, state)
        return Fused(scores, np.maximum(1.0 - scores.sum(-1), 0.0), by_modality, weights), state

    def step(
        self,
        inputs: Mapping[Modality, Scores],
        present: Flags,
        start_seconds: Seconds,
        end_seconds: Seconds,
        state: State,
        active: Flags | None = None,
    ) -> tuple[Fused, State]:
        """One segment of each source: a call without the T axis.

        Where ``active``, bool [B], is False, the state stays as it was, and that row of the result means nothing.
        """
        inputs = {modality: values[:, None] for modality, values in inputs.items()}
        many, after = self(inputs, present[:, None], start_seconds[:, None], end_seconds[:, None], state)
        one = Fused(many.scores[:, 0], many.other[:, 0], many.by_modality[:, 0], many.weights[:, 0])
        return one, hold(state, after, active)

    def _judge(self, inputs: Mapping[Modality, Scores], present: Flags) -> tuple[Scores, Scores, Scores]:
        """What each modality says [B, T, M, K], their weighted sum [B, T, K], and the weights [B, T, M]."""
        scores = np.zeros((*present.shape, self.num_columns), np.float32)
        for m, modality in enumerate(MODALITIES):
            there = present[..., m]
            if there.any():
                scores[there, m] = self.judges[modality](inputs[modality][there])
        fused, weights = weighted_sum(scores, present, self.base_weights)
        return scores[..., : len(self.labels)], fused[..., : len(self.labels)], weights
