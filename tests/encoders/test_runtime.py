"""The choice of runtime, and the promise that a group's result does not depend on the groups beside it."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from streammm.encoders.placement import Placement, devices
from streammm.encoders.runtime import CPU_CHUNK, compile_net
from streammm.encoders.torch_runtime import FixedBatches, take_own_stream
from streammm.errors import ConfigError, EncodeError

TORCH = Placement("torch", "cpu", "fp32")


class SquareAndSum(nn.Module):
    """Two outputs with known values: x squared, and the sum of each item."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.batches.append(len(x))
        return x * x, x.sum(1)


@pytest.mark.parametrize(
    ("field", "value"), [("runtime", "tensorrt"), ("device", "gpu"), ("precision", "int8"), ("threads", 0)]
)
def test_a_wrong_choice_is_shown(field: str, value: str | int) -> None:
    with pytest.raises(ValueError, match=f"{field} must be .*got '?{value}'?"):
        Placement(**{field: value})  # type: ignore[arg-type]


def test_auto_is_openvino_in_fp32_on_a_machine_without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streammm.encoders.placement.num_gpus", lambda: 0)
    assert Placement().resolved() == Placement("openvino", "cpu", "fp32")


def test_auto_is_torch_where_openvino_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streammm.encoders.placement.num_gpus", lambda: 0)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert Placement().resolved() == Placement("torch", "cpu", "fp32")
    with pytest.raises(ConfigError, match="pip install openvino"):
        Placement("openvino").resolved()


def test_auto_is_torch_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streammm.encoders.placement.num_gpus", lambda: 1)
    assert Placement().resolved() == Placement("torch", "cuda", "fp32")
    with pytest.raises(ConfigError, match="device cuda:1 is not there: torch sees 1 CUDA devices"):
        Placement(device="cuda:1").resolved()


def test_what_a_cpu_cannot_do_is_an_error() -> None:
    with pytest.raises(ConfigError, match="fp16 needs a CUDA device"):
        Placement("torch", device="cpu", precision="fp16").resolved()


def test_groups_come_back_in_order_and_long_ones_are_run_in_chunks() -> None:
    net = SquareAndSum()
    run = compile_net(lambda: net, torch.zeros(1, 2), TORCH, key="test")
    assert net.batches == [1, CPU_CHUNK]  # it has run once before the first segment
    net.batches.clear()
    groups = [np.full((n, 2), n, np.float32) for n in (1, CPU_CHUNK + 3, 2)]
    results = run(groups)
    assert net.batches == [1, CPU_CHUNK, 3, 2]
    for group, (squares, sums) in zip(groups, results, strict=True):
        np.testing.assert_array_equal(squares, group**2)
        np.testing.assert_array_equal(sums, group.sum(1))


def test_fixed_batches_are_filled_up_and_cut_apart_again() -> None:
    net = SquareAndSum()
    run = FixedBatches(net, TORCH, batch=4)
    groups = [np.arange(2 * n, dtype=np.float32).reshape(n, 2) + 10 * n for n in (3, 2, 5)]
    results = run(groups)
    assert net.batches == [4, 4, 4]
    for group, (squares, sums) in zip(groups, results, strict=True):
        np.testing.assert_array_equal(squares, group**2)
        np.testing.assert_array_equal(sums, group.sum(1))
    assert run([]) == []


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_a_failure_of_the_runtime_is_an_encode_error(runtime: str) -> None:
    run = compile_net(lambda: nn.Sequential(nn.Linear(3, 2)), torch.zeros(1, 3), Placement(runtime, "cpu"), key="test")
    with pytest.raises(EncodeError, match=f"{runtime} failed"):
        run([np.zeros((1, 4), np.float32)])


def test_a_compiled_net_gives_the_same_and_compiles_nothing_once_it_is_set_up() -> None:
    if shutil.which("g++") is None:
        reason = "no C++ compiler: make servers installs one"
        (pytest.fail if os.environ.get("STREAMMM_NO_SKIP") else pytest.skip)(reason)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2))
    groups = [np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32) for n in (1, 3, CPU_CHUNK, 2)]
    wanted = compile_net(lambda: net, torch.zeros(1, 3), TORCH, key="test")(groups)
    run = compile_net(lambda: net, torch.zeros(1, 3), replace(TORCH, torch_compile=True), key="test")
    with torch.compiler.set_stance("fail_on_recompile"):
        found = run(groups)
    for (one,), (other,) in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_compiling_that_cannot_work_is_a_mistake_in_the_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Placement(device="cpu", torch_compile=True).resolved().runtime == "torch"
    with pytest.raises(ConfigError, match="torch_compile is for runtime torch"):
        Placement("openvino", torch_compile=True).resolved()
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    net = nn.Sequential(nn.Linear(3, 7), nn.Tanh())
    with pytest.raises(ConfigError, match=r"runtime.torch_compile does not work here .* needs a C\+\+ compiler"):
        compile_net(lambda: net, torch.zeros(1, 3), replace(TORCH, torch_compile=True), key="test")


def test_encoders_on_a_gpu_have_a_stream_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: f"a stream of {device}")
    monkeypatch.setattr(torch.cuda, "set_stream", taken.append)
    take_own_stream("cpu")
    take_own_stream("cuda:1")
    assert taken == ["a stream of cuda:1"]


def test_every_gpu_is_used_unless_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streammm.encoders.placement.num_gpus", lambda: 2)
    assert devices("auto", "auto") == ["cuda:0", "cuda:1"]
    assert devices("openvino", "auto") == ["auto"]
    assert devices("torch", "cuda:1") == ["cuda:1"]
    monkeypatch.setattr("streammm.encoders.placement.num_gpus", lambda: 1)
    assert devices("auto", "auto") == ["auto"]
