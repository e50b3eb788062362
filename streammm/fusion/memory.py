"""Joined vectors segment by segment -> the same with what came before in them: five learned memories.

Each runs over a stretch of segments and gives the state behind it, so that a sequence may be cut anywhere. Time is
real: a memory is told how long ago the last segment ended, and what fades does so by seconds, not by segments.
Used by ``learned.py``, which keeps the clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

State = dict[str, Tensor]
"""What is remembered of each of B sources, as tensors [B, ...]."""

NUM_TIME_FEATURES = 3

_FAST_SECONDS, _SLOW_SECONDS = 0.7, 30.0
"""Time constants with which the channels of an average begin."""


class NoMemory(nn.Module):
    """Every segment by itself.

    Shape:
        - z: float32 [B, T, D]
        - time: float32 [B, T, 3], see `learned.time_features`
        - elapsed_seconds: float32 [B, T], from the end of the segment before to the end of this one
        - end_seconds: float64 [B, T]
        - output: float32 [B, T, D], and the state behind the last segment
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.Linear(width + NUM_TIME_FEATURES, width), nn.GELU(), nn.Dropout(dropout))

    def init_state(self, batch: int, device: torch.device) -> State:
        """The state of ``batch`` sources of which nothing was seen yet."""
        return {}

    def forward(
        self, z: Tensor, time: Tensor, elapsed_seconds: Tensor, end_seconds: Tensor, state: State
    ) -> tuple[Tensor, State]:
        return self.mix(torch.cat([z, time], -1)), {}


class Average(nn.Module):
    """A leaky average of every channel over real seconds, with learned time constants. Shapes as above."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        bounds = math.log(_FAST_SECONDS), math.log(_SLOW_SECONDS)
        self.log_seconds = nn.Parameter(torch.linspace(*bounds, width))
        self.mix = nn.Sequential(nn.Linear(2 * width + NUM_TIME_FEATURES, width), nn.GELU(), nn.Dropout(dropout))

    def init_state(self, batch: int, device: torch.device) -> State:
        return {"average": torch.zeros(batch, len(self.log_seconds), device=device)}

    def forward(
        self, z: Tensor, time: Tensor, elapsed_seconds: Tensor, end_seconds: Tensor, state: State
    ) -> tuple[Tensor, State]:
        kept = torch.exp(-elapsed_seconds[..., None] / self.log_seconds.exp())
        averages, last = _recurrence(kept, (1 - kept) * z, state["average"])
        return self.mix(torch.cat([z, averages, time], -1)), {"average": last}


class Gru(nn.Module):
    """A gated recurrent unit (Cho et al., arXiv:1406.1078) whose input also says how much time has passed.

    Update gates begin at time constants of 2 to 64 segments: chrono initialisation (Tallec and Ollivier,
    arXiv:1804.11188). Shapes as above.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.gru = nn.GRU(width + NUM_TIME_FEATURES, width, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        biases = {name: value for name, value in self.gru.named_parameters() if name.startswith("bias")}
        with torch.no_grad():
            for bias in biases.values():
                bias.zero_()
            biases["bias_ih_l0"][width : 2 * width] = torch.linspace(math.log(1.0), math.log(63.0), width)

    def init_state(self, batch: int, device: torch.device) -> State:
        return {"hidden": torch.zeros(batch, self.gru.hidden_size, device=device)}

    def forward(
        self, z: Tensor, time: Tensor, elapsed_seconds: Tensor, end_seconds: Tensor, state: State
    ) -> tuple[Tensor, State]:
        hidden, last = self.gru(torch.cat([z, time], -1), state["hidden"][None].contiguous())
        return z + self.dropout(hidden), {"hidden": last[0]}


class StateSpace(nn.Module):
    """Two layers of a diagonal linear recurrence whose decay depends on the input and on real time.

    h = a h + (1 - a) v with a = exp(-softplus(lambda) dt), where lambda, v and the output's gate are linear in the
    input: the selection of Mamba (Gu and Dao, arXiv:2312.00752) with the convex update of minimal gated units. A gap
    decays exactly as long segments would. Shapes as above.
    """

    num_layers = 2

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(self.num_layers))
        self.inputs = nn.ModuleList(nn.Linear(width + NUM_TIME_FEATURES, 3 * width) for _ in range(self.num_layers))
        self.outputs = nn.ModuleList(nn.Linear(width, width) for _ in range(self.num_layers))
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():
            for layer in self.inputs:
                assert isinstance(layer, nn.Linear)
                layer.bias.zero_()
                layer.bias[:width] = torch.linspace(-4.0, 1.0, width)

    def init_state(self, batch: int, device: torch.device) -> State:
        return {"hidden": torch.zeros(batch, self.num_layers, self.width, device=device)}

    def forward(
        self, z: Tensor, time: Tensor, elapsed_seconds: Tensor, end_seconds: Tensor, state: State
    ) -> tuple[Tensor, State]:
        lasts = []
        for n, (norm, enter, leave) in enumerate(zip(self.norms, self.inputs, self.outputs, strict=True)):
            rate, value, gate = enter(torch.cat([norm(z), time], -1)).chunk(3, -1)
            kept = torch.exp(-functional.softplus(rate) * elapsed_seconds[..., None])
            hidden, last = _recurrence(kept, (1 - kept) * value, state["hidden"][:, n])
            z = z + self.dropout(leave(hidden * functional.silu(gate)))
            lasts.append(last)
        return z, {"hidden": torch.stack(lasts, 1)}


class Attention(nn.Module):
    """Two layers of causal attention over the last 64 segments, with a bias by age in seconds and no position.

    The bias is linear as in ALiBi (Press et al., arXiv:2108.12409), with learned slopes, so that a stream may run for
    weeks. Shapes as above.
    """

    num_layers, num_heads, window = 2, 4, 64

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        if width % self.num_heads:
            raise ValueError(f"width must be divisible by {self.num_heads}, got {width}")
        self.width = width
        self.enter = nn.Linear(width + NUM_TIME_FEATURES, width)
        slopes = [[math.log(2.0 ** -(1 + 2 * head)) for head in range(self.num_heads)] for _ in range(self.num_layers)]
        self.log_slopes = nn.Parameter(torch.tensor(slopes))
        layers = range(self.num_layers)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in layers)
        self.projections = nn.ModuleList(nn.Linear(width, 3 * width) for _ in layers)
        self.outputs = nn.ModuleList(nn.Linear(width, width) for _ in layers)
        self.feed_forward = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
            for _ in layers
        )
        self.dropout = nn.Dropout(dropout)

    def init_state(self, batch: int, device: torch.device) -> State:
        past = self.window - 1
        shape = (batch, self.num_layers, self.num_heads, past, self.width // self.num_heads)
        return {
            "keys": torch.zeros(shape, device=device),
            "values": torch.zeros(shape, device=device),
            "end_seconds": torch.zeros(batch, past, dtype=torch.float64, device=device),
            "num_seen": torch.zeros(batch, dtype=torch.int64, device=device),
        }

    def forward(
        self, z: Tensor, time: Tensor, elapsed_seconds: Tensor, end_seconds: Tensor, state: State
    ) -> tuple[Tensor, State]:
        past, length = self.window - 1, z.shape[1]
        ends = torch.cat([state["end_seconds"], end_seconds], 1)
        age_seconds = (end_seconds[:, :, None] - ends[:, None]).clamp_min(0).float()
        seen = self._seen(state["num_seen"], length)
        x = self.enter(torch.cat([z, time], -1))
        all_keys, all_values = [], []
        for n in range(self.num_layers):
            queries, keys, values = (
                part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
                for part in self.projections[n](self.norms[n](x)).chunk(3, -1)
            )
            keys = torch.cat([state["keys"][:, n], keys], 2)
            values = torch.cat([state["values"][:, n], values], 2)
            bias = -self.log_slopes[n].exp()[None, :, None, None] * age_seconds[:, None]
            bias = bias.masked_fill(~seen[:, None], float("-inf"))
            found = functional.scaled_dot_product_attention(queries, keys, values, bias)
            x = x + self.dropout(self.outputs[n](found.transpose(1, 2).flatten(-2)))
            x = x + self.dropout(self.feed_forward[n](x))
            all_keys.append(keys[:, :, -past:])
            all_values.append(values[:, :, -past:])
        return x, {
            "keys": torch.stack(all_keys, 1),
            "values": torch.stack(all_values, 1),
            "end_seconds": ends[:, -past:].contiguous(),
            "num_seen": state["num_seen"] + length,
        }

    def _seen(self, num_seen: Tensor, length: int) -> Tensor:
        """Which of the past and the present each segment may look at: bool [B, T, past + T]."""
        past = self.window - 1
        here = torch.arange(length, device=num_seen.device)[:, None]
        there = torch.arange(past + length, device=num_seen.device)[None]
        in_window = (there <= here + past) & (there >= here)
        was_there = there >= past - num_seen.clamp_max(past)[:, None]
        return in_window[None] & was_there[:, None]


def _recurrence(kept: Tensor, added: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """h = kept * h + added along T: float32 [B, T, D] from the state [B, D], and the last h."""
    found = []
    for k, a in zip(kept.unbind(1), added.unbind(1), strict=True):
        state = k * state + a
        found.append(state)
    return torch.stack(found, 1), state


MEMORIES: dict[str, Callable[[int, float], nn.Module]] = {
    "none": NoMemory,
    "ema": Average,
    "gru": Gru,
    "ssm": StateSpace,
    "attn": Attention,
}
