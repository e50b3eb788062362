"""The choice of runtime, device and precision: what was asked for in, what this machine will do out.

It is made here and nowhere else; ``runtime.py`` carries it out.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import re
from dataclasses import dataclass, replace
from typing import Literal, get_args

from streammm.errors import ConfigError

Runtime = Literal["auto", "torch", "openvino"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True, slots=True)
class Placement:
    """What runs a net, where, how exactly, with how many threads of a CPU, and whether torch compiles it first.

    Raises:
        ValueError: a value that is none of the choices.
    """

    runtime: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    threads: int = 1
    torch_compile: bool = False

    def __post_init__(self) -> None:
        if self.runtime not in get_args(Runtime):
            raise ValueError(f"runtime must be one of {get_args(Runtime)}, got {self.runtime!r}")
        if self.precision not in get_args(Precision):
            raise ValueError(f"precision must be one of {get_args(Precision)}, got {self.precision!r}")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"device must be auto, cpu, cuda or cuda:<number>, got {self.device!r}")
        if self.threads < 1:
            raise ValueError(f"threads must be at least 1, got {self.threads}")

    def resolved(self) -> Placement:
        """The same with every ``auto`` decided for this machine.

        A GPU is taken where there is one; on a CPU, OpenVINO where it is installed and torch is not to compile. The
        precision is fp32 wherever it is not asked for otherwise: a run has it decided once, see `trial.py`.

        Raises:
            ConfigError: this machine cannot do what was asked for.
        """
        device = self.device
        if device == "auto":
            device = "cuda" if self.runtime != "openvino" and num_gpus() else "cpu"
        is_for_torch = self.torch_compile or device != "cpu" or not importlib.util.find_spec("openvino")
        on_cpu = device == "cpu"
        runtime = self.runtime
        if runtime == "auto":
            runtime = "torch" if is_for_torch else "openvino"
        precision = "fp32" if self.precision == "auto" else self.precision

        if not on_cpu and not _has_cuda(device):
            raise ConfigError(f"device {device} is not there: torch sees {num_gpus()} CUDA devices")
        if not on_cpu and runtime == "openvino":
            raise ConfigError(f"runtime openvino runs on device cpu only, got {device}")
        if self.torch_compile and runtime == "openvino":
            raise ConfigError("torch_compile is for runtime torch, got openvino, which compiles by itself")
        if on_cpu and precision == "fp16" and runtime == "torch":
            raise ConfigError("precision fp16 needs a CUDA device, or openvino; choose fp32 or bf16")
        if runtime == "openvino" and importlib.util.find_spec("openvino") is None:
            raise ConfigError("runtime openvino is not installed; run: pip install openvino, or choose torch")
        return replace(self, runtime=runtime, device=device, precision=precision)


def devices(runtime: str, device: str) -> list[str]:
    """The devices that a process may use at once: every GPU where nothing else is asked for, else the one that is."""
    count = num_gpus() if device == "auto" and runtime != "openvino" else 0
    return [f"cuda:{n}" for n in range(count)] if count > 1 else [device]


def _has_cuda(device: str) -> bool:
    return int(device.partition(":")[2] or 0) < num_gpus()


def num_gpus() -> int:
    """How many CUDA devices torch can use; where there is no driver, torch is not asked, since it takes seconds."""
    if not has_driver():
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


@functools.cache
def has_driver() -> bool:
    """Whether a driver of NVIDIA's, or of AMD's, is installed."""
    for library in ("libcuda.so.1", "nvcuda.dll", "libamdhip64.so"):
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return True
    return False
