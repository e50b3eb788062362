"""What the encoders make of media, kept by content: extracted once, read whenever a model is trained or evaluated.

A file in the cache belongs to one source's bytes, captions beside it included, and to everything that its numbers
depend on: encoders and their weights, how it is decoded and cut. Labels and fusion are not among it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from streammm.encoders.cache import cache_folder
from streammm.errors import SourceError
from streammm.kept import Kept
from streammm.media.address import is_address
from streammm.media.source import sidecars
from streammm.training.ragged import Ragged, together
from streammm.types import MODALITIES, Modality

_FORMAT = 2


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """A source as fusion sees it.

    Shape:
        - start_seconds, end_seconds: float64 [T]
        - vectors: by modality float32 [T, D], zeros where it is not present; a modality that never is, is left out; raw
          content, which may be of any length, is filled up with NaN, and read when it is asked for where it is much
        - present: bool [T, M], in the order of ``MODALITIES``
        - tags: by modality float32 [T, C], the scores of the encoder's own classes, where it has some
    """

    source: str
    start_seconds: npt.NDArray[np.float64]
    end_seconds: npt.NDArray[np.float64]
    vectors: Mapping[Modality, npt.NDArray[np.float32] | Ragged]
    present: npt.NDArray[np.bool_]
    tags: Mapping[Modality, npt.NDArray[np.float32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.start_seconds)

    @property
    def media_seconds(self) -> float:
        """From the first segment's start to the last one's end."""
        return float(self.end_seconds[-1] - self.start_seconds[0]) if len(self) else 0.0

    def with_tags(self, modalities: Iterable[Modality]) -> Features:
        """The same with the tags of some modalities behind their vectors, float32 [T, D + C]."""
        there = [m for m in modalities if m in self.tags]
        stacked = {m: np.concatenate([self.vectors[m], self.tags[m]], 1) for m in there}
        return replace(self, vectors={**self.vectors, **stacked}, tags={})

    @classmethod
    def of(cls, source: str, kept: Iterable[Kept]) -> Features:
        """The features of a source from what was kept of its segments, in order."""
        times: list[tuple[float, float]] = []
        rows: dict[Modality, list[npt.NDArray[np.float32] | None]] = {m: [] for m in MODALITIES}
        tags: dict[Modality, list[npt.NDArray[np.float32] | None]] = {m: [] for m in MODALITIES}
        for k in kept:
            times.append((k.start_seconds, k.end_seconds))
            for modality in MODALITIES:
                rows[modality].append(k.vectors.get(modality))
                tags[modality].append(k.tags.get(modality))
        present = np.array([[row is not None for row in rows[m]] for m in MODALITIES], np.bool_).T
        vectors = {m: together(found) for m, found in rows.items() if any(row is not None for row in found)}
        starts, ends = np.array(times, np.float64).reshape(-1, 2).T
        present = present.reshape(len(times), len(MODALITIES))
        return cls(source, starts.copy(), ends.copy(), vectors, present, _tags(tags))


class FeatureCache:
    """Features of many sources under one set-up.

    Args:
        identity: all that features depend on besides the media; see `building.identity.feature_identity`.
        folder: where they are; by default in the user's cache.
    """

    def __init__(self, identity: Mapping[str, Any], folder: Path | None = None) -> None:
        digest = hashlib.sha256(json.dumps([_FORMAT, dict(identity)], sort_keys=True).encode()).hexdigest()
        self.folder = (folder or cache_folder() / "features") / digest[:16]
        self._digests: dict[tuple[Path, int, int], bytes] = {}

    def __contains__(self, source: str) -> bool:
        """Whether the features of a source are kept, and their file is whole."""
        try:
            with safe_open(self.path(source), framework="np") as file:
                return "present" in file.keys()  # noqa: SIM118 - it is no dict
        except (OSError, SafetensorError):
            return False

    def path(self, source: str) -> Path:
        """Where the features of a source are, or would be.

        Raises:
            OSError: it is a file that cannot be read.
        """
        return self.folder / f"{self.digest(source)}.safetensors"

    def digest(self, source: str) -> str:
        """Names a file by its bytes and those of the captions beside it, an address by itself.

        Raises:
            OSError: it is a file that cannot be read.
        """
        if is_address(source):
            return hashlib.sha256(source.encode()).hexdigest()
        digest = hashlib.sha256()
        for path in map(Path, (source, *sidecars(source))):
            digest.update(self._file_digest(path))
        return digest.hexdigest()

    def _file_digest(self, path: Path) -> bytes:
        """The digest of a file, worked out once as long as the file looks the same."""
        about = path.stat()
        key = path, about.st_size, about.st_mtime_ns
        if key not in self._digests:
            with path.open("rb") as file:
                self._digests[key] = hashlib.file_digest(file, "sha256").digest()
        return self._digests[key]

    def put(self, features: Features) -> None:
        """Keeps the features of a source; a file appears whole or not at all."""
        path = self.path(features.source)
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, npt.NDArray[Any]] = {}
        for modality, values in features.vectors.items():
            if isinstance(values, Ragged):
                tensors |= {f"content.{modality}": values.numbers(), f"lengths.{modality}": values.lengths}
            else:
                tensors[f"vectors.{modality}"] = values
        tensors |= {f"tags.{m}": x for m, x in features.tags.items()}
        tensors |= {"start_seconds": features.start_seconds, "end_seconds": features.end_seconds}
        tensors["present"] = features.present.astype(np.uint8)
        temporary = path.with_suffix(".partial")
        save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, temporary)
        temporary.replace(path)

    def get(self, source: str) -> Features | None:
        """The features of a source; None if they are not kept, or damaged."""
        try:
            path = self.path(source)
            with safe_open(path, framework="np") as file:
                names = [name for name in file.keys() if not name.startswith("content.")]  # noqa: SIM118
                tensors = {name: file.get_tensor(name) for name in names}
            vectors: dict[Modality, npt.NDArray[np.float32] | Ragged] = {}
            for modality in MODALITIES:
                if f"vectors.{modality}" in tensors:
                    vectors[modality] = tensors[f"vectors.{modality}"]
                elif f"lengths.{modality}" in tensors:
                    read = _Reader(source, path, f"content.{modality}")
                    vectors[modality] = Ragged(tensors[f"lengths.{modality}"], read)
            present = tensors["present"].astype(np.bool_)
            tags = {m: tensors[f"tags.{m}"] for m in MODALITIES if f"tags.{m}" in tensors}
            return Features(source, tensors["start_seconds"], tensors["end_seconds"], vectors, present, tags)
        except (OSError, SafetensorError, KeyError):
            return None


def _tags(
    kept: Mapping[Modality, Sequence[npt.NDArray[np.float32] | None]],
) -> dict[Modality, npt.NDArray[np.float32]]:
    """Class scores of each modality that has some, zeros where it is not present."""
    found: dict[Modality, npt.NDArray[np.float32]] = {}
    for modality, rows in kept.items():
        there = {t: row for t, row in enumerate(rows) if row is not None and len(row)}
        if there:
            found[modality] = np.zeros((len(rows), len(next(iter(there.values())))), np.float32)
            for t, row in there.items():
                found[modality][t] = row
    return found


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads a stretch of the numbers in a file of the cache, which is open only meanwhile."""

    source: str
    path: Path
    name: str

    def __call__(self, first: int, stop: int) -> npt.NDArray[Any]:
        try:
            with safe_open(self.path, framework="np") as file:
                found: npt.NDArray[Any] = file.get_slice(self.name)[first:stop]
                return found
        except (OSError, SafetensorError) as error:
            raise SourceError(self.source, "unreadable", f"what was kept of it is gone: {error}") from error
