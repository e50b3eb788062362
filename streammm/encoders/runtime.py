"""Where a net runs: a torch module in, a callable from arrays to arrays out.

Encoders only hand over their nets; ``placement.py`` has decided where they run.
Items come in groups, and a group's result does not depend on the groups beside it. On a CPU each group is run by
itself. On a GPU, where that would be slow, groups are joined and cut into batches of one fixed size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from streammm.encoders.openvino_cpu import compile_on_cpu
from streammm.encoders.placement import Placement
from streammm.errors import EncodeError

if TYPE_CHECKING:  # torch takes seconds to import, and what OpenVINO runs does without
    from torch import Tensor, nn

Items: TypeAlias = "npt.NDArray[Any] | Tensor"
"""The items of one group, [N, ...]."""
Outputs = tuple[npt.NDArray[np.float32], ...]
"""One array for each output of the net, float32 [N, ...]."""

CPU_CHUNK = 8
GPU_BATCH = 32


class Compiled(Protocol):
    """A net that is ready to run, on the resolved ``placement``."""

    placement: Placement

    def __call__(self, groups: Sequence[Items]) -> list[Outputs]:
        """The net's outputs for each group of items; used by one thread at a time.

        Raises:
            EncodeError: the runtime failed.
        """
        ...


def compile_net(
    make_net: Callable[[], nn.Module],
    example: Items,
    placement: Placement,
    *,
    key: str,
    num_free_axes: int = 1,
    cpu_chunk: int = CPU_CHUNK,
    gpu_batch: int = GPU_BATCH,
) -> Compiled:
    """A callable that runs a net.

    It has run when this returns, so that the first segment does not wait for what is set up in a first run. On torch
    and a CPU this sets torch's number of threads for the whole process.

    Args:
        make_net: makes the net with its weights; not called where a converted copy of it is at hand.
        example: an input of the right dtype and shape.
        key: names the weights and the code of the net, for converted copies to be found by.
        num_free_axes: how many leading axes of the input may have any size.
        cpu_chunk: how many items of a group a CPU is given at once, at most.
        gpu_batch: how many items, of any groups, a GPU is given at once.

    Raises:
        ConfigError: this machine cannot do what ``placement`` asks for.
    """
    placement = placement.resolved()
    if placement.runtime == "openvino":
        run = compile_on_cpu(make_net, np.asarray(example), placement, num_free_axes, key)
        return PerGroup(lambda items: run(np.ascontiguousarray(items)), placement, cpu_chunk)
    from streammm.encoders import torch_runtime

    return torch_runtime.compile_on_torch(make_net, example, placement, num_free_axes, cpu_chunk, gpu_batch)


class PerGroup:
    """Runs each group by itself, in chunks of so many items at most: no shape depends on another group."""

    def __init__(self, infer: Callable[[Items], Outputs], placement: Placement, chunk: int = CPU_CHUNK) -> None:
        self.placement = placement
        self._chunk = chunk
        self._infer = infer

    def __call__(self, groups: Sequence[Items]) -> list[Outputs]:
        try:
            return [self._run(group) for group in groups]
        except RuntimeError as error:
            raise EncodeError(f"{self.placement.runtime} failed: {error}") from error

    def _run(self, group: Items) -> Outputs:
        chunks = [self._infer(group[i : i + self._chunk]) for i in range(0, len(group), self._chunk)]
        return tuple(np.concatenate(parts) for parts in zip(*chunks, strict=True))
