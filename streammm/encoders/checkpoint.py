"""Weights that a user names: a file or folder in, tensors and a digest out. Nothing in them is ever run.

A checkpoint is untrusted: safetensors cannot hold code, and of others only tensors and plain values are read.
"""

from __future__ import annotations

import functools
import hashlib
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from streammm.encoders.cache import cached
from streammm.errors import ConfigError

_WRAPPERS = ("state_dict", "model")
"""Where training scripts keep the weights inside what they save."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The state of a net out of a .safetensors file, or of what torch.save wrote.

    Raises:
        ConfigError: the file is missing or damaged, or holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ConfigError(f"cannot read the weights {path}: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        raise ConfigError(
            f"the weights {path} hold more than tensors, which could run code: save them as .safetensors"
        ) from error
    except (SafetensorError, RuntimeError, EOFError) as error:
        raise ConfigError(f"the weights {path} are damaged: {first_line(error)}") from error
    for wrapper in _WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ConfigError(f"the weights {path} are no state dict of a net, but {type(found).__name__}")
    return {name.removeprefix("module."): value for name, value in found.items()}


def cached_state(name: str, source_sha256: str, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The state of a net, made once and then read from the user's cache; see `cache.cached`."""
    arrays = cached(name, source_sha256, lambda: {key: tensor.numpy() for key, tensor in make().items()})
    return {key: torch.from_numpy(array) for key, array in arrays.items()}


def load_state(net: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Gives a net its weights, all of them.

    Raises:
        ConfigError: they are those of another net.
    """
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        raise ConfigError(f"the weights {where} are not those of this net: {' '.join(lines[1:3])[:300]}") from error


def num_rows(path: Path, name: str) -> int | None:
    """The length of a tensor in a file of weights, None where there is no such tensor.

    Raises:
        ConfigError: as `read_state`.
    """
    return _lengths(path, digest(path)).get(name)


def digest(path: Path) -> str:
    """SHA-256 of a file, or of all files in a folder and their names.

    Raises:
        ConfigError: there is nothing of that name, or it cannot be read.
    """
    try:
        files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
        parts = [f"{f.relative_to(path)} {_file_digest(f, f.stat().st_size, f.stat().st_mtime_ns)}" for f in files]
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@functools.lru_cache(maxsize=16)
def _lengths(path: Path, content: str) -> dict[str, int]:
    """The lengths of all tensors in a file, remembered as long as its content is the same."""
    return {name: len(tensor) for name, tensor in read_state(path).items() if tensor.ndim}


@functools.lru_cache(maxsize=256)
def _file_digest(path: Path, size_bytes: int, changed_ns: int) -> str:
    """The digest of a file, remembered as long as the file looks the same."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def first_line(error: BaseException) -> str:
    """What an error of somebody else's says, short enough for a line of ours."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
