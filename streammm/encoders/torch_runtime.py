"""Nets on torch, on a CPU or a GPU; the half of ``runtime.py`` that loads torch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from streammm.encoders.graph import captured, exact_kernels, outputs_of
from streammm.encoders.placement import Placement
from streammm.encoders.runtime import GPU_BATCH, Compiled, Items, Outputs, PerGroup
from streammm.errors import ConfigError, EncodeError

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def compile_on_torch(
    make_net: Callable[[], nn.Module],
    example: Items,
    placement: Placement,
    num_free_axes: int,
    cpu_chunk: int,
    gpu_batch: int,
) -> Compiled:
    """A callable that runs a net and has run once; arguments as of `runtime.compile_net`, ``placement`` resolved.

    Raises:
        ConfigError: torch cannot compile it.
    """
    net = make_net().eval().requires_grad_(False)
    net = net.to(placement.device, _DTYPES[placement.precision])
    if all(parameter.ndim < 5 for parameter in net.parameters()):  # weights over time and space cannot be channels last
        net = net.to(memory_format=torch.channels_last)
    on_cpu = placement.device == "cpu"
    if placement.torch_compile:
        net.compile(dynamic=on_cpu or num_free_axes > 1)  # on a GPU batches have one size
    compiled: Compiled
    if on_cpu:
        torch.set_num_threads(placement.threads)
        compiled = PerGroup(functools.partial(_infer, net), placement, cpu_chunk)
    else:
        batch = _varied(torch.as_tensor(example), gpu_batch)
        compiled = FixedBatches(captured(net, batch, placement) if num_free_axes == 1 else net, placement, gpu_batch)
    _warm_up(compiled, torch.as_tensor(example), cpu_chunk)
    return compiled


def take_own_stream(device: str) -> None:
    """Gives this thread a CUDA stream of its own, so that what it runs on a GPU does not wait for other threads'."""
    if device != "cpu":
        torch.cuda.set_stream(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]


def upload(items: Items, device: torch.device) -> Tensor:
    """A tensor on a device; to a GPU it is copied without anybody waiting for it."""
    tensor = torch.as_tensor(items)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def _varied(example: Tensor, batch: int) -> Tensor:
    """A batch like an example, filled with what is not all the same."""
    shape = (batch, *example.shape[1:])
    seeded = torch.Generator().manual_seed(0)
    if example.is_floating_point():
        return torch.randn(shape, generator=seeded).to(example.dtype)
    if example.dtype == torch.uint8:
        return torch.randint(0, 256, shape, generator=seeded, dtype=torch.uint8)
    return example.expand(shape).clone()  # numbers of tokens: others may not be there


def _infer(net: nn.Module, items: Items) -> Outputs:
    with torch.inference_mode():
        return tuple(output.numpy() for output in outputs_of(net(torch.as_tensor(items))))


def _warm_up(compiled: Compiled, example: Tensor, chunk: int) -> None:
    """Runs one item and a full chunk, as arrays: compiled code is another for one than for many."""
    one = example.numpy()
    try:
        compiled([one, np.repeat(one, chunk, axis=0)] if chunk > 1 else [one])
    except EncodeError as error:
        if not compiled.placement.torch_compile:
            raise
        why = str(error).strip().splitlines()[0]
        raise ConfigError(f"runtime.torch_compile does not work here ({why}); it needs a C++ compiler") from error


class FixedBatches:
    """Joins all groups and runs batches of one size, the last one filled up with zeros.

    Kernels are chosen by shape, so that one shape means one order of summation whoever is in the batch. While a batch
    is computed, the next one is already copied to the GPU, on a stream of its own.
    """

    def __init__(self, net: Callable[[Tensor], Any], placement: Placement, batch: int = GPU_BATCH) -> None:
        self.placement = placement
        self._net = net
        self._batch = batch
        self._device = torch.device(placement.device)
        is_on_gpu = self._device.type == "cuda"
        self._copies = torch.cuda.Stream(self._device) if is_on_gpu else None  # type: ignore[no-untyped-call]

    def __call__(self, groups: Sequence[Items]) -> list[Outputs]:
        if not groups:
            return []
        sizes = [len(group) for group in groups]
        try:
            with torch.inference_mode():
                outputs = self._run(torch.cat([torch.as_tensor(group) for group in groups]))
        except RuntimeError as error:
            raise EncodeError(f"torch failed on {self.placement.device}: {error}") from error
        ends = np.cumsum(sizes)
        return [tuple(o[end - size : end] for o in outputs) for size, end in zip(sizes, ends, strict=True)]

    def _run(self, items: Tensor) -> Outputs:
        with exact_kernels():
            batches = [outputs_of(self._net(self._on_device(batch))) for batch in self._batches(items)]
            joined = (torch.cat(parts)[: len(items)] for parts in zip(*batches, strict=True))
            return tuple(part.cpu().numpy() for part in joined)

    def _on_device(self, batch: Tensor) -> Tensor:
        """The batch where it is computed on; what comes from the host is copied beside what is being computed."""
        if self._copies is None or batch.is_cuda:
            return batch
        with torch.cuda.stream(self._copies):
            copy = upload(batch, self._device)
        computes = torch.cuda.current_stream(self._device)
        computes.wait_stream(self._copies)
        copy.record_stream(computes)  # its memory is not used again before it was read
        return copy

    def _batches(self, items: Tensor) -> Iterator[Tensor]:
        for batch in torch.split(items, self._batch):
            missing = self._batch - len(batch)
            yield torch.cat([batch, batch.new_zeros(missing, *batch.shape[1:])]) if missing else batch
