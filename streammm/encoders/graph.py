"""A net on a GPU as a CUDA graph: one launch for a batch in place of one for each of its kernels.

A graph is of one shape, as the batches of `FixedBatches` are. It runs the kernels that the net runs without it, in the
same order; where it does not give the same numbers, or the net cannot be captured, the net runs as it is.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from streammm.encoders.placement import Placement

_WARM_UPS = 3
"""A net must have run before it is captured: what is set up in a first run is no part of a graph."""

_capturing = threading.Lock()
"""One net is captured at a time, whichever threads load others."""

_log = logging.getLogger(__name__)


def captured(net: nn.Module, batch: Tensor, placement: Placement) -> Callable[[Tensor], Any]:
    """The net as a graph for batches of this shape, tried on this one; or the net itself.

    Args:
        batch: what the graph's numbers are compared on, in the memory of the host.
    """
    if placement.torch_compile:
        return net  # which makes kernels of its own
    try:
        with _capturing, torch.inference_mode(), torch.cuda.device(placement.device), exact_kernels():
            graph = Graph(net, batch.to(placement.device))
            wanted, found = (outputs_of(run(batch.to(placement.device))) for run in (net, graph))
            if len(wanted) == len(found) and all(map(torch.equal, wanted, found)):
                return graph
        _log.warning("a net gives other numbers as a CUDA graph: it runs without")
    except RuntimeError as error:
        _log.info("a net cannot be a CUDA graph (%s): it runs without", error)
    return net


def exact_kernels() -> AbstractContextManager[None]:
    """Kernels that give the same numbers each time, and that do not shorten fp32."""
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        benchmark=False, deterministic=True, allow_tf32=False
    )
    return flags


def outputs_of(result: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What a net gives, as a tuple."""
    return result if isinstance(result, tuple) else (result,)


class Graph:
    """A net captured for one shape. What it returns is copied: the next batch would overwrite it."""

    def __init__(self, net: nn.Module, batch: Tensor) -> None:
        self._net = net
        self._input = batch.clone()
        beside = torch.cuda.Stream(batch.device)  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream(batch.device))
        with torch.cuda.stream(beside):
            for _ in range(_WARM_UPS):
                net(self._input)
        torch.cuda.current_stream(batch.device).wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        # Other encoders load in other threads meanwhile, and what they do is no part of this.
        with torch.cuda.graph(self._graph, stream=beside, capture_error_mode="thread_local"):
            self._outputs = outputs_of(net(self._input))

    def __call__(self, batch: Tensor) -> tuple[Tensor, ...]:
        """The outputs for a batch; one of another shape is run without the graph."""
        if batch.shape != self._input.shape or batch.dtype != self._input.dtype:
            return outputs_of(self._net(batch))
        self._input.copy_(batch)
        self._graph.replay()
        return tuple(output.clone() for output in self._outputs)
