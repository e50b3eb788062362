"""Class probabilities segment by segment -> the same, smoothed over real seconds; the last step of ``model.py``.

What is smoothed is a signal over time, not a list of segments: cutting a segment in two changes nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Seconds = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_NOTHING_KNOWN = 0.1
"""How much knowing nothing weighs against a full memory: a first segment as long as the time constant keeps 95 % of
its scores, and five time constants after the last evidence 7 % are left."""

State = dict[str, npt.NDArray[Any]]
"""What is remembered of each of B sources, as arrays [B, ...]: saved with safetensors."""


def hold(state: State, after: State, active: Flags | None) -> State:
    """The state after a step, but as it was where ``active``, bool [B], is False."""
    if active is None:
        return after
    return {
        name: np.where(active.reshape(-1, *[1] * (value.ndim - 1)), value, state[name]) for name, value in after.items()
    }


class ExponentialMemory:
    """A causal low-pass filter of first order whose input is worth something only where there was something to judge.

    With scores x(t) and evidence e(t), which is one inside segments with any modality and zero elsewhere, two leaky
    integrators y' = (e x - y) / tau and n' = (e - n) / tau are solved exactly over each segment and each gap. The
    result is y (1 + c) / (n + c): an average of what was seen, which fades to zero when nothing more comes.

    Args:
        smoothing_seconds: the time constant tau; zero passes every segment through on its own.
    """

    def __init__(self, smoothing_seconds: float) -> None:
        if not 0 <= smoothing_seconds < float("inf"):
            raise ValueError(f"smoothing_seconds must be zero or more, got {smoothing_seconds}")
        self.smoothing_seconds = smoothing_seconds

    def init_state(self, batch: int, num_labels: int) -> State:
        """The state of ``batch`` sources of which nothing was seen yet."""
        return {
            "end_seconds": np.full(batch, np.nan),
            "known": np.zeros(batch, np.float32),
            "scores": np.zeros((batch, num_labels), np.float32),
        }

    def __call__(
        self, scores: Scores, evidence: Scores, start_seconds: Seconds, end_seconds: Seconds, state: State
    ) -> tuple[Scores, State]:
        """One segment of each source.

        Args:
            scores: float32 [B, K].
            evidence: float32 [B] in [0, 1], zero where no modality was there.
            start_seconds: float64 [B], as large as Unix time is fine.
            end_seconds: float64 [B].
            state: what the last call returned; it is not changed.

        Returns:
            smoothed scores float32 [B, K] as of the end of the segment, and the state after it.
        """
        before = state["end_seconds"]
        # A clock that was set back, or the first segment: there is no gap and the whole segment is new.
        restarted = ~(end_seconds > before)
        gap = np.where(restarted, 0.0, np.maximum(start_seconds - before, 0.0))
        covered = end_seconds - np.where(restarted, start_seconds, np.maximum(start_seconds, before))
        kept = self._decay(gap + covered)
        new = 1.0 - self._decay(covered)
        known: Scores = kept * state["known"] + new * evidence
        memory: Scores = kept[:, None] * state["scores"] + (new * evidence)[:, None] * scores
        smoothed = memory * ((1.0 + _NOTHING_KNOWN) / (known + _NOTHING_KNOWN))[:, None]
        return smoothed, {"end_seconds": end_seconds.copy(), "known": known, "scores": memory}

    def _decay(self, seconds: Seconds) -> Scores:
        """exp(-seconds / tau), worked out in float64, as float32."""
        if self.smoothing_seconds == 0:
            return (seconds <= 0).astype(np.float32)
        found: Scores = np.exp(-seconds / self.smoothing_seconds).astype(np.float32)
        return found
