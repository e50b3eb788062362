"""What was computed once at start-up: arrays in, the same arrays out of the user's cache the next time.

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

import numpy as np
import numpy.typing as npt
import platformdirs
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

CACHE_VARIABLE = "STREAMMM_CACHE"
FORMAT = 1
"""Part of every file's name: raise it when what is stored under a key changes its meaning."""

Array = npt.NDArray[np.float32]

_MOST = 64
"""So many files of one name are kept, those that were used last: nobody knows which labels will come again."""

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where cached arrays are kept; it need not exist."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else platformdirs.user_cache_path("streammm")


def cached(name: str, source_sha256: str, make: Callable[[], Mapping[str, Array]]) -> dict[str, Array]:
    """``make()``, or what it returned the last time that it was called for this name and source.

    Safe with several processes: a file appears whole or not at all, and all of them write the same.
    """
    path = cache_folder() / f"{name}-{source_sha256}-v{FORMAT}.safetensors"
    stored = _read(path)
    if stored is not None:
        with contextlib.suppress(OSError):
            os.utime(path)
        return stored
    arrays = {key: np.ascontiguousarray(array) for key, array in make().items()}
    _write(path, arrays)
    _forget_old(path.parent, name)
    return arrays


def _forget_old(folder: Path, name: str) -> None:
    """Removes the files of a name that nobody has used for longest."""
    with contextlib.suppress(OSError):
        files = sorted(folder.glob(f"{name}-*.safetensors"), key=lambda path: path.stat().st_mtime)
        for path in files[:-_MOST]:
            path.unlink()


def _read(path: Path) -> dict[str, Array] | None:
    """The stored arrays, or None where the file is missing, unreadable or damaged."""
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no dict
            expected = (file.metadata() or {}).get("sha256")
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError) as error:
        _log.warning("cache file %s is unreadable (%s), making it anew", path, error)
        return None
    if expected != _digest(arrays):
        _log.warning("cache file %s is damaged, making it anew", path)
        return None
    return arrays


def _write(path: Path, arrays: Mapping[str, Array]) -> None:
    content = save(dict(arrays), metadata={"sha256": _digest(arrays)})
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


def _digest(arrays: Mapping[str, Array]) -> str:
    digest = hashlib.sha256()
    for key in sorted(arrays):
        digest.update(f"{key} {tuple(arrays[key].shape)}".encode())
        digest.update(arrays[key].tobytes())
    return digest.hexdigest()
