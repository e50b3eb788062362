"""What was computed once at start-up: tensors in, the same tensors out of the user's cache the next time.

The folder is the platform's cache folder for streammm, or what STREAMMM_CACHE names. Nothing depends on it: a
folder that cannot be written or a file that is damaged costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from safetensors import SafetensorError, safe_open

if TYPE_CHECKING:  # torch takes seconds to import, and those who only ask for the folder do not need it
    from torch import Tensor

CACHE_VARIABLE = "STREAMMM_CACHE"
FORMAT = 1
"""Part of every file's name: raise it when what is stored under a key changes its meaning."""

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where cached tensors are kept; it need not exist."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else platformdirs.user_cache_path("streammm")


def cached(name: str, source_sha256: str, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """``make()``, or what it returned the last time that it was called for this name and source.

    Safe with several processes: a file appears whole or not at all, and all of them write the same.
    """
    path = cache_folder() / f"{name}-{source_sha256}-v{FORMAT}.safetensors"
    stored = _read(path)
    if stored is not None:
        return stored
    tensors = {key: tensor.contiguous() for key, tensor in make().items()}
    _write(path, tensors)
    return tensors


def _read(path: Path) -> dict[str, Tensor] | None:
    """The stored tensors, or None where the file is missing, unreadable or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no dict
            expected = (file.metadata() or {}).get("sha256")
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError) as error:
        _log.warning("cache file %s is unreadable (%s), making it anew", path, error)
        return None
    if expected != _digest(tensors):
        _log.warning("cache file %s is damaged, making it anew", path)
        return None
    return tensors


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save

    content = save(dict(tensors), metadata={"sha256": _digest(tensors)})
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
        temporary.replace(path)
    except OSError as error:
        _log.warning("cannot write to the cache (%s); the next start will take as long as this one", error)
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(tensors):
        digest.update(f"{key} {tuple(tensors[key].shape)}".encode())
        digest.update(tensors[key].numpy().tobytes())
    return digest.hexdigest()
