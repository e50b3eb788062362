"""A net of the user's own as ONNX: `onnx:FILE`, for any modality, run by ONNX Runtime or OpenVINO.

What the shape of its input says of pictures, clips and sound need not be said again in FILE.json. Text goes into the
first input; one called ``attention_mask`` gets ones and one called ``token_type_ids`` zeros.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor, nn

from streammm.encoders.checkpoint import first_line
from streammm.encoders.exported import Wanted, encoder_of, file_of, wanted_by
from streammm.encoders.net import NetEncoder
from streammm.encoders.openvino_cpu import import_openvino
from streammm.encoders.placement import Placement
from streammm.errors import ConfigError
from streammm.types import Modality

_FILLED = {"attention_mask": np.ones_like, "token_type_ids": np.zeros_like}
_LAYOUTS = {4: ("NCHW", "NHWC"), 5: ("NCTHW", "NTCHW", "NTHWC")}
_OPENVINO_PRECISIONS = {"fp32": "f32", "bf16": "bf16"}

_log = logging.getLogger(__name__)


def make(rest: str, modality: Modality, placement: Placement) -> NetEncoder:
    """The encoder `onnx:` + ``rest``.

    Raises:
        ConfigError: the file is missing or damaged, what it wants is not said, or it cannot be run here.
    """
    path = file_of(rest)
    on_openvino = placement.runtime == "openvino"
    if not on_openvino and placement.precision not in ("auto", "fp32"):
        raise ConfigError(f"onnx:{rest} computes as it was exported: runtime.precision must be auto or fp32")
    resolved = replace(placement, runtime="openvino" if on_openvino else "torch", torch_compile=False).resolved()
    device = "cpu" if on_openvino else _device(resolved.device, is_asked_for=placement.device != "auto")
    session = _session(path, device, placement.threads)
    first = session.get_inputs()[0]
    wanted = _with_shape(wanted_by(path), modality, first.shape, is_raw=first.type == "tensor(uint8)")

    def load() -> nn.Module:
        run = _on_openvino(path, resolved) if on_openvino else _on_onnxruntime(session)
        return _Called(run, is_one_at_a_time=first.shape[0] == 1)

    inside = Placement("torch", device, "fp32", placement.threads)
    return encoder_of(f"onnx:{rest}", path, modality, inside, wanted, load)


class _Called(nn.Module):
    """A runtime in place of a net: arrays out of tensors, tensors out of arrays."""

    def __init__(self, run: Any, is_one_at_a_time: bool) -> None:
        super().__init__()
        self.run = run
        self.is_one_at_a_time = is_one_at_a_time

    def forward(self, x: Tensor) -> list[Tensor]:
        array = np.ascontiguousarray(x.cpu().numpy())
        batches = np.split(array, len(array)) if self.is_one_at_a_time else [array]
        try:
            results = [self.run(batch) for batch in batches]
        except Exception as error:  # runtimes have exceptions of their own
            raise RuntimeError(first_line(error)) from error
        return [torch.from_numpy(np.concatenate(parts)).to(x.device) for parts in zip(*results, strict=True)]


def _on_onnxruntime(session: Any) -> Any:
    inputs = [given.name for given in session.get_inputs()]
    unknown = [name for name in inputs[1:] if name not in _FILLED]
    if unknown:
        raise ConfigError(f"an ONNX net takes one input, and {' and '.join(_FILLED)}; this one wants {unknown[0]} too")

    def run(array: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        feed = {inputs[0]: array} | {name: _FILLED[name](array) for name in inputs[1:]}
        found: list[npt.NDArray[Any]] = session.run(None, feed)
        return found

    return run


def _on_openvino(path: Path, placement: Placement) -> Any:
    openvino = import_openvino()
    options = {
        "INFERENCE_NUM_THREADS": placement.threads,
        "INFERENCE_PRECISION_HINT": _OPENVINO_PRECISIONS[placement.precision],
        "PERFORMANCE_HINT": "LATENCY",
    }
    try:
        model = openvino.Core().compile_model(str(path), "CPU", options)
    except RuntimeError as error:
        raise ConfigError(f"openvino cannot run {path}: {first_line(error)}; set runtime.backend=auto") from error
    names = [given.get_any_name() for given in model.inputs]
    request = model.create_infer_request()

    def run(array: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        feed = {names[0]: array} | {name: _FILLED[name](array) for name in names[1:]}
        return [np.array(output) for output in request.infer(feed).to_tuple()]

    return run


def _session(path: Path, device: str, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    providers: list[Any] = ["CPUExecutionProvider"]
    if device != "cpu":
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(device.partition(":")[2] or 0)}))
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # its exceptions have no class in common
        raise ConfigError(f"{path} is no ONNX net that can be run: {first_line(error)}") from error


def _device(device: str, is_asked_for: bool) -> str:
    """Where ONNX Runtime can run, which has a package of its own for GPUs."""
    if device == "cpu" or "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return device
    if is_asked_for:
        raise ConfigError("the installed onnxruntime has no CUDA; run: pip install onnxruntime-gpu, or set device cpu")
    _log.warning("the installed onnxruntime has no CUDA: ONNX nets run on the CPU")
    return "cpu"


def _with_shape(wanted: Wanted, modality: Modality, shape: Sequence[Any], is_raw: bool) -> Wanted:
    """What is wanted, with what the shape of the input says; what stands in the file goes first."""
    said: dict[str, Any] = {}
    sizes = [size if isinstance(size, int) else None for size in shape]
    if modality == "audio" and len(sizes) == 2 and sizes[1]:
        said["samples"] = sizes[1]
    if modality == "video":
        said["raw"] = is_raw
        layouts = [layout for layout in _LAYOUTS.get(len(sizes), ()) if sizes[layout.index("C")] == 3]
        if layouts:
            layout = wanted.layout or layouts[0]
            said["layout"] = layout
            if side := sizes[layout.index("H")]:
                said["pixels"] = side
            if "T" in layout and (num_frames := sizes[layout.index("T")]):
                said["num_frames"] = num_frames
    return Wanted.model_validate(said | wanted.model_dump(exclude_unset=True))
