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
from streammm.kept import Kept
from streammm.media.address import is_address
from streammm.media.source import sidecars
from streammm.types import MODALITIES, Modality

_FORMAT = 2


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """A source as fusion sees it.

    Shape:
        - start_seconds, end_seconds: float64 [T]
        - vectors: by modality float32 [T, D], zeros where it is not present; a modality that never is, is left out; raw
          content, which may be of any length, is filled up with NaN
        - present: bool [T, M], in the order of ``MODALITIES``
        - tags: by modality float32 [T, C], the scores of the encoder's own classes, where it has some
    """

    source: str
    start_seconds: npt.NDArray[np.float64]
    end_seconds: npt.NDArray[np.float64]
    vectors: Mapping[Modality, npt.NDArray[np.float32]]
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
    def of(cls, source: str, kept: Sequence[Kept]) -> Features:
        """The features of a source from what was kept of its segments, in order."""
        present = np.array([[m in k.vectors for m in MODALITIES] for k in kept], np.bool_).reshape(len(kept), -1)
        vectors: dict[Modality, npt.NDArray[np.float32]] = {}
        for modality in MODALITIES:
            found = {t: k.vectors[modality] for t, k in enumerate(kept) if modality in k.vectors}
            if found:
                vectors[modality] = np.zeros((len(kept), max(map(len, found.values()))), np.float32)
                for t, vector in found.items():
                    vectors[modality][t, : len(vector)] = vector
                    vectors[modality][t, len(vector) :] = np.nan  # raw content may be of any length
        starts = np.array([k.start_seconds for k in kept], np.float64)
        ends = np.array([k.end_seconds for k in kept], np.float64)
        return cls(source, starts, ends, vectors, present, _tags(kept))


class FeatureCache:
    """Features of many sources under one set-up.

    Args:
        identity: all that features depend on besides the media; see `build.feature_identity`.
        folder: where they are; by default in the user's cache.
    """

    def __init__(self, identity: Mapping[str, Any], folder: Path | None = None) -> None:
        digest = hashlib.sha256(json.dumps([_FORMAT, dict(identity)], sort_keys=True).encode()).hexdigest()
        self.folder = (folder or cache_folder() / "features") / digest[:16]

    def path(self, source: str) -> Path:
        """Where the features of a source are, or would be.

        Raises:
            OSError: it is a file that cannot be read.
        """
        return self.folder / f"{content_digest(source)}.safetensors"

    def put(self, features: Features) -> None:
        """Keeps the features of a source; a file appears whole or not at all."""
        path = self.path(features.source)
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, npt.NDArray[Any]] = {f"vectors.{m}": x for m, x in features.vectors.items()}
        tensors |= {f"tags.{m}": x for m, x in features.tags.items()}
        tensors |= {"start_seconds": features.start_seconds, "end_seconds": features.end_seconds}
        tensors["present"] = features.present.astype(np.uint8)
        temporary = path.with_suffix(".partial")
        save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, temporary)
        temporary.replace(path)

    def get(self, source: str) -> Features | None:
        """The features of a source; None if they are not kept, or damaged."""
        try:
            with safe_open(self.path(source), framework="np") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
            vectors: dict[Modality, npt.NDArray[np.float32]] = {
                m: tensors[f"vectors.{m}"] for m in MODALITIES if f"vectors.{m}" in tensors
            }
            present = tensors["present"].astype(np.bool_)
            tags = {m: tensors[f"tags.{m}"] for m in MODALITIES if f"tags.{m}" in tensors}
            return Features(source, tensors["start_seconds"], tensors["end_seconds"], vectors, present, tags)
        except (OSError, SafetensorError, KeyError):
            return None


def _tags(kept: Sequence[Kept]) -> dict[Modality, npt.NDArray[np.float32]]:
    """Class scores of each modality that has some, zeros where it is not present."""
    found: dict[Modality, npt.NDArray[np.float32]] = {}
    for modality in MODALITIES:
        rows = {t: k.tags[modality] for t, k in enumerate(kept) if modality in k.tags and len(k.tags[modality])}
        if rows:
            found[modality] = np.zeros((len(kept), len(next(iter(rows.values())))), np.float32)
            for t, row in rows.items():
                found[modality][t] = row
    return found


def content_digest(source: str) -> str:
    """Names a file by its bytes and those of the captions beside it; an address by itself.

    Raises:
        OSError: it is a file that cannot be read.
    """
    if is_address(source):
        return hashlib.sha256(source.encode()).hexdigest()
    digest = hashlib.sha256()
    for path in map(Path, (source, *sidecars(source))):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
