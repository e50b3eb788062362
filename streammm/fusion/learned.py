"""Embeddings of every modality -> logits of the classes that it was trained on, segment by segment.

Input: an encoder's vectors for each modality, which of them are there, and when each segment begins and ends. Output:
logits of all modalities together, of each alone, and how much each counted. ``join.py`` makes one vector of a segment,
``memory.py`` remembers those before; with look-ahead the answer for a segment waits for some that follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streammm.fusion.join import JOINS
from streammm.fusion.memory import MEMORIES, NUM_TIME_FEATURES, State
from streammm.types import MODALITIES, Modality

__all__ = ["LearnedFusion", "Logits", "State", "time_features"]

_MEMORY = "memory."


@dataclass(frozen=True, slots=True)
class Logits:
    """What `model.Fused` has of each segment, before it is made probabilities.

    Shape:
        - fused: float32 [B, T, K]
        - by_modality: float32 [B, T, M, K]
        - weights: float32 [B, T, M]
    """

    fused: Tensor
    by_modality: Tensor
    weights: Tensor


class LearnedFusion(nn.Module):
    """Projects, joins, remembers, classifies.

    Args:
        dims: length of each modality's vectors, for those that are used.
        num_classes: K.
        width: channels of everything between.
        join: ``weighted_sum``, ``concat`` or ``gated``.
        memory: ``none``, ``ema``, ``gru``, ``ssm`` or ``attn``.
        look_ahead: how many segments after its own an answer waits for.
        dropout: share of channels left out in training.

    Raises:
        ValueError: a value that is none of the choices.
    """

    def __init__(
        self,
        dims: Mapping[Modality, int],
        num_classes: int,
        *,
        width: int = 128,
        join: str = "gated",
        memory: str = "ssm",
        look_ahead: int = 0,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if not dims or not set(dims) <= set(MODALITIES) or any(d < 1 for d in dims.values()):
            raise ValueError(f"dims must give a length for some of {MODALITIES}, got {dict(dims)}")
        if join not in JOINS:
            raise ValueError(f"join must be one of {tuple(JOINS)}, got {join!r}")
        if memory not in MEMORIES:
            raise ValueError(f"memory must be one of {tuple(MEMORIES)}, got {memory!r}")
        if num_classes < 1 or look_ahead < 0:
            raise ValueError(f"there must be classes and no negative look_ahead, got {num_classes} and {look_ahead}")
        self.modalities: tuple[Modality, ...] = tuple(m for m in MODALITIES if m in dims)
        self.dims = {m: dims[m] for m in self.modalities}
        self.num_classes = num_classes
        self.width = width
        self.look_ahead = look_ahead
        self.enter = nn.ModuleDict(
            {
                m: nn.Sequential(nn.LayerNorm(dims[m]), nn.Dropout(dropout), nn.Linear(dims[m], width), nn.GELU())
                for m in self.modalities
            }
        )
        self.absent = nn.Parameter(0.02 * torch.randn(len(self.modalities), width))
        self.join = JOINS[join](len(self.modalities), width)
        self.memory = MEMORIES[memory](width, min(dropout, 0.1))
        head_width = width * (2 if look_ahead else 1)
        self.head = nn.Sequential(nn.LayerNorm(head_width), nn.Dropout(dropout), nn.Linear(head_width, num_classes))
        self.alone = nn.ModuleDict({m: nn.Linear(width, num_classes) for m in self.modalities})

    def init_state(self, batch: int) -> State:
        """The state of ``batch`` sources of which nothing was seen yet."""
        device = self.absent.device
        memory: State = self.memory.init_state(batch, device)  # type: ignore[operator]  # a Module has any attribute
        state = {f"{_MEMORY}{name}": value for name, value in memory.items()}
        state["end_seconds"] = torch.full((batch,), float("nan"), dtype=torch.float64, device=device)
        if self.look_ahead:
            state["waiting"] = torch.zeros(batch, self.look_ahead, self.width, device=device)
            state["num_waiting"] = torch.zeros(batch, dtype=torch.int64, device=device)
        return state

    def forward(
        self,
        inputs: Mapping[Modality, Tensor],
        present: Tensor,
        start_seconds: Tensor,
        end_seconds: Tensor,
        state: State | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Logits, State]:
        """Whole sequences: the answer for each of T segments of each of B sources, the last ones with what there is.

        Args:
            inputs, present, start_seconds, end_seconds: as of `ZeroShotFusion`, float32 [B, T, D] by modality.
            state: of `init_state` or of an earlier stretch; None starts anew. Nothing may be waiting in it.
            lengths: int64 [B], where sequences are filled up to T at their ends; what fills them does not matter, and
                neither does their state.

        Returns:
            the logits, and the state behind the last segment, in which nothing waits.
        """
        state = self.init_state(present.shape[0]) if state is None else state
        known, by_modality, weights, after = self._remember(inputs, present, start_seconds, end_seconds, state)
        if self.look_ahead:
            num_segments = known.shape[1]
            last = torch.full_like(present[:, 0, 0], num_segments, dtype=torch.int64) if lengths is None else lengths
            later = torch.arange(num_segments, device=known.device)[None] + self.look_ahead
            later = later.minimum((last - 1).clamp_min(0)[:, None])
            ahead = known.gather(1, later[..., None].expand(-1, -1, self.width))
            known = torch.cat([known, ahead], -1)
            after |= {name: state[name] for name in ("waiting", "num_waiting")}
        return Logits(self.head(known), by_modality, weights), after

    def step(
        self,
        inputs: Mapping[Modality, Tensor],
        present: Tensor,
        start_seconds: Tensor,
        end_seconds: Tensor,
        state: State,
        active: Tensor | None = None,
    ) -> tuple[Logits, Tensor, State]:
        """The next segment of each source: `forward` without the T axis, and without waiting for the end.

        Args:
            active: bool [B]; where it is False the state stays as it was, and nothing is answered.

        Returns:
            logits; bool [B], which sources have an answer; and the state. With look-ahead L ``fused`` answers the
            segment L before this one, once there is one; ``by_modality`` and ``weights`` are of this one.
        """
        inputs = {modality: values[:, None] for modality, values in inputs.items()}
        known, by_modality, weights, after = self._remember(
            inputs, present[:, None], start_seconds[:, None], end_seconds[:, None], state
        )
        is_answered = torch.ones_like(present[:, 0])
        features = known[:, 0]
        if self.look_ahead:
            waiting, num_waiting = state["waiting"], state["num_waiting"]
            features = torch.cat([waiting[:, 0], features], -1)
            is_answered = num_waiting == self.look_ahead
            after["waiting"] = torch.cat([waiting[:, 1:], known], 1)
            after["num_waiting"] = (num_waiting + 1).clamp_max(self.look_ahead)
        if active is not None:
            is_answered = is_answered & active
        logits = Logits(self.head(features), by_modality[:, 0], weights[:, 0])
        return logits, is_answered, _hold(state, after, active)

    def flush(self, state: State) -> tuple[Tensor, Tensor]:
        """The answers that wait at the end of the sources, with the last segment in place of those that do not come.

        Returns:
            ``fused`` float32 [B, L, K], oldest first, and bool [B, L], which of them there are.
        """
        if not self.look_ahead:
            batch = len(state["end_seconds"])
            nothing = torch.zeros(batch, 0, self.num_classes, device=self.absent.device)
            return nothing, torch.zeros(batch, 0, dtype=torch.bool, device=self.absent.device)
        waiting = state["waiting"]
        last = waiting[:, -1:].expand(-1, self.look_ahead, -1)
        place = torch.arange(self.look_ahead, device=waiting.device)[None]
        is_there = place >= self.look_ahead - state["num_waiting"][:, None]
        return self.head(torch.cat([waiting, last], -1)), is_there

    def _remember(
        self,
        inputs: Mapping[Modality, Tensor],
        present: Tensor,
        start_seconds: Tensor,
        end_seconds: Tensor,
        state: State,
    ) -> tuple[Tensor, Tensor, Tensor, State]:
        """What is known after each segment [B, T, D], each modality's own logits, the weights, and the state."""
        columns = [MODALITIES.index(m) for m in self.modalities]
        there = torch.stack(
            [present[..., c] & (m in inputs) for m, c in zip(self.modalities, columns, strict=True)], -1
        )
        parts = []
        by_modality = present.new_zeros(*present.shape, self.num_classes, dtype=torch.float32)
        for n, (modality, column) in enumerate(zip(self.modalities, columns, strict=True)):
            part = self.absent[n].expand(*present.shape[:2], -1)
            if modality in inputs:
                part = torch.where(there[..., n, None], self.enter[modality](inputs[modality].nan_to_num()), part)
            parts.append(part)
            by_modality[:, :, column] = torch.where(there[..., n, None], self.alone[modality](part), 0.0)
        joined, shares = self.join(parts, there)
        weights = present.new_zeros(present.shape, dtype=torch.float32)
        weights[..., columns] = shares
        time, elapsed_seconds = time_features(start_seconds, end_seconds, state["end_seconds"])
        remembered = {name.removeprefix(_MEMORY): value for name, value in state.items() if name.startswith(_MEMORY)}
        known, remembered = self.memory(joined, time, elapsed_seconds, end_seconds, remembered)
        after = {f"{_MEMORY}{name}": value for name, value in remembered.items()}
        return known, by_modality, weights, after | {"end_seconds": end_seconds[:, -1].clone()}


def _hold(state: State, after: State, active: Tensor | None) -> State:
    """As `temporal.hold`."""
    if active is None:
        return after
    return {
        name: torch.where(active.view(-1, *[1] * (value.ndim - 1)), value, state[name]) for name, value in after.items()
    }


def time_features(start_seconds: Tensor, end_seconds: Tensor, before_seconds: Tensor) -> tuple[Tensor, Tensor]:
    """What a memory is told of time, from timestamps as large as Unix time.

    Args:
        start_seconds: float64 [B, T].
        end_seconds: float64 [B, T].
        before_seconds: float64 [B], the end of the segment before the first, NaN where there is none.

    Returns:
        float32 [B, T, 3]: log(1 + duration), log(1 + gap before it), and whether it is the first; and float32 [B, T],
        seconds from the end of the segment before to the end of this one, at least a millisecond.
    """
    before = torch.cat([before_seconds[:, None], end_seconds[:, :-1]], 1)
    is_first = before.isnan()
    before = torch.where(is_first, start_seconds, before)
    duration = (end_seconds - start_seconds).clamp_min(0).float()
    gap = (start_seconds - before).clamp_min(0).float()
    elapsed = (end_seconds - before).clamp_min(1e-3).float()
    features = torch.stack([duration.log1p(), gap.log1p(), is_first.float()], -1)
    assert features.shape[-1] == NUM_TIME_FEATURES
    return features, elapsed
