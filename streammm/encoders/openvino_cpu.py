"""A torch net on OpenVINO: converted once, then read from the user's cache.

Converting means tracing, which takes far longer than reading the result back. What is kept is found again only with
the same weights, the same code of the net and the same versions of torch and OpenVINO.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import json
import logging
import shutil
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from streammm.encoders.cache import cache_folder
from streammm.encoders.placement import Placement
from streammm.errors import ConfigError

if TYPE_CHECKING:  # torch takes seconds to import, and what was converted once does without
    from torch import nn

_FORMAT = 1
"""Part of every name: raise it when the conversion itself changes."""

_PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}

_loading = threading.Lock()
"""One net is loaded at a time, its first run included. Torch can trace only one; and OpenVINO sets up shared tables in
its first run, in which two threads wait for each other for ever: one with the table, one with Python's lock."""

_log = logging.getLogger(__name__)


def compile_on_cpu(
    make_net: Callable[[], nn.Module], example: npt.NDArray[Any], placement: Placement, num_free_axes: int, key: str
) -> Callable[[npt.NDArray[Any]], tuple[npt.NDArray[np.float32], ...]]:
    """A function that runs the net on a contiguous array; ``make_net`` is called only if there is nothing to read.

    Raises:
        ConfigError: the CPU cannot do the precision.
    """
    with _loading:
        run = _load(make_net, example, placement, num_free_axes, key)
        run(example)
    return run


def _load(
    make_net: Callable[[], nn.Module], example: npt.NDArray[Any], placement: Placement, num_free_axes: int, key: str
) -> Callable[[npt.NDArray[Any]], tuple[npt.NDArray[np.float32], ...]]:
    openvino = import_openvino()
    core = openvino.Core()
    precision = placement.precision
    if precision.upper() not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise ConfigError(f"precision {precision}: this CPU has none for openvino; choose fp32")
    folder = cache_folder() / f"openvino-{_digest(key, example, num_free_axes, openvino.__version__)}"
    model = _read(core, folder)
    if model is None:
        model = _convert(openvino, make_net(), example, num_free_axes)
        _write(openvino, model, folder)
    options = {
        "INFERENCE_NUM_THREADS": placement.threads,
        "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = core.compile_model(model, "CPU", options).create_infer_request()
    return lambda array: tuple(request.infer([array], share_inputs=True).to_tuple())


def import_openvino() -> Any:
    """OpenVINO, which is optional and has no types, without what would tell its makers over the network of each import.

    It does without where that package is not installed; that is what it is made to believe.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")


def code_digest(module: str) -> str:
    """Digest of the module that defines a net: what is converted from it is stale when this changes."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"there is no module {module}")
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()


def _digest(key: str, example: npt.NDArray[Any], num_free_axes: int, version: str) -> str:
    torch_version = metadata.version("torch")
    parts = [_FORMAT, key, list(example.shape), str(example.dtype), num_free_axes, torch_version, version]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _convert(openvino: Any, net: nn.Module, example: npt.NDArray[Any], num_free_axes: int) -> Any:
    """What `openvino.convert_model` does with such a net, which meanwhile silences the warnings of all threads."""
    import torch
    from openvino._offline_transformations import apply_moc_transformations  # type: ignore[attr-defined]
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    net = net.eval().requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that tracing is deprecated: OpenVINO's decoder does it
        decoder = TorchScriptPythonDecoder(  # type: ignore[no-untyped-call]
            net, example_input=torch.from_numpy(example)
        )
    frontend = openvino.frontend.FrontEndManager().load_by_framework("pytorch")
    model = frontend.convert(frontend.load(decoder))
    apply_moc_transformations(model, cf=False, smart_reshape=True)
    model.reshape([*[-1] * num_free_axes, *example.shape[num_free_axes:]])
    return model


def _read(core: Any, folder: Path) -> Any:
    """The model kept in a folder, or None where there is none or it is damaged."""
    try:
        expected = (folder / "sha256").read_text()
        if expected == _files_digest(folder):
            return core.read_model(folder / "model.xml")
        _log.warning("cached model %s is damaged, converting it anew", folder)
        shutil.rmtree(folder, ignore_errors=True)
    except FileNotFoundError:
        pass
    except (OSError, RuntimeError) as error:
        _log.warning("cached model %s cannot be read (%s), converting it anew", folder, error)
    return None


def _write(openvino: Any, model: Any, folder: Path) -> None:
    """Keeps a model: all of it under its name, or nothing. Several processes may do so at once."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix="openvino-"))
    except OSError as error:
        _log.warning("cannot write to the cache (%s); the next start will take as long as this one", error)
        return
    try:
        openvino.save_model(model, temporary / "model.xml", compress_to_fp16=False)
        (temporary / "sha256").write_text(_files_digest(temporary))
        with contextlib.suppress(FileExistsError):
            temporary.rename(folder)
    except (OSError, RuntimeError) as error:
        if not folder.is_dir():
            _log.warning("cannot write to the cache (%s); the next start will take as long as this one", error)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _files_digest(folder: Path) -> str:
    digests = []
    for name in ("model.xml", "model.bin"):
        with (folder / name).open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return "\n".join(digests)
