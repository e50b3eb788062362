"""Embeddings as they are kept in a journal: one line of JSON a segment with its arrays packed, and read back.

Packed are float32 arrays of which the upper 16 bits of the fraction stay (relative error at most 2^-17), their bytes
sorted by significance and deflated: 60 % of the bytes, and no score moves by more than 1e-5 for it. With float16 in
their place scores would move by up to 1e-3.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streammm.journal import EMBEDDINGS, Entry
from streammm.types import Embeddings, Modality, Segment

_FORMAT = 2
_BYTES = "u1:"
"""Begins what is kept a byte a number, as pixels are."""

_DROPPED_BITS = 7
_MAX_BYTES = 2**28
"""What one packed array may become: more is no embedding, but an attack on memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What the encoders made of one segment: by modality that was there, float32 [D] vectors and [C] class scores."""

    source: str
    segment: int
    start_seconds: float
    end_seconds: float
    vectors: Mapping[Modality, npt.NDArray[np.float32]]
    tags: Mapping[Modality, npt.NDArray[np.float32]]


def embeddings_entry(segment: Segment, embeddings: Mapping[Modality, Embeddings], position: int) -> Entry:
    """What is committed of one segment of a batch of embeddings."""
    there = {m: made for m, made in embeddings.items() if made.present[position]}
    fields = {
        "packed": _FORMAT,
        "start_seconds": segment.start_seconds,
        "end_seconds": segment.end_seconds,
        "vectors": {m: _pack(made.vectors[position]) for m, made in there.items()},
        "tags": {m: _pack(made.tags[position]) for m, made in there.items()},
    }
    return Entry(segment.source, segment.index, EMBEDDINGS, json.dumps(fields))


def kept_of(entry: Entry) -> Kept:
    """The embeddings in an entry of their kind; an array is unpacked when it is looked at.

    Raises:
        KeyError, TypeError, ValueError: it holds none; ValueError also when an array is looked at that is damaged.
    """
    fields = json.loads(entry.text)
    if fields["packed"] != _FORMAT or entry.segment is None:
        raise ValueError(f"they are packed in the way {fields['packed']}, this version of streammm reads {_FORMAT}")
    start, end = float(fields["start_seconds"]), float(fields["end_seconds"])
    return Kept(entry.source, entry.segment, start, end, _Arrays(fields["vectors"]), _Arrays(fields["tags"]))


class _Arrays(Mapping[Modality, npt.NDArray[np.float32]]):
    """Packed arrays by modality, each unpacked when it is looked at: whoever needs one does not pay for five."""

    def __init__(self, packed: Mapping[Modality, str]) -> None:
        self._packed = packed

    def __getitem__(self, modality: Modality) -> npt.NDArray[np.float32]:
        return _unpack(self._packed[modality])

    def __iter__(self) -> Iterator[Modality]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def __contains__(self, modality: object) -> bool:
        return modality in self._packed


def _pack(values: npt.NDArray[np.float32]) -> str:
    found = tight(values)
    if found.dtype == np.uint8:
        return _BYTES + base64.b64encode(zlib.compress(found.tobytes(), 1)).decode()
    bits = np.ascontiguousarray(values, "<f4").view("<u4")
    rounded = (bits + np.uint32(1 << (_DROPPED_BITS - 1))) >> np.uint32(_DROPPED_BITS) << np.uint32(_DROPPED_BITS)
    rounded = np.where(np.isfinite(rounded.view("<f4")), rounded, bits)
    planes = np.ascontiguousarray(rounded.view(np.uint8).reshape(-1, 4).T)
    return base64.b64encode(zlib.compress(planes.tobytes(), 1)).decode()


def _unpack(text: str) -> npt.NDArray[np.float32]:
    unpacking = zlib.decompressobj()
    try:
        content = unpacking.decompress(base64.b64decode(text.removeprefix(_BYTES), validate=True), _MAX_BYTES)
    except zlib.error as error:
        raise ValueError(f"a packed array is damaged: {error}") from error
    if unpacking.eof and text.startswith(_BYTES):
        return np.frombuffer(content, np.uint8).astype(np.float32)
    if not unpacking.eof or len(content) % 4:
        raise ValueError("a packed array is damaged: its length is wrong")
    planes = np.frombuffer(content, np.uint8).reshape(4, -1)
    return np.ascontiguousarray(planes.T).view("<f4").reshape(-1).astype(np.float32, copy=False)


def tight(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | npt.NDArray[np.uint8]:
    """The same numbers as uint8 if all of them are, as those of pixels: a quarter of the bytes."""
    with np.errstate(invalid="ignore"):
        small = values.astype(np.uint8)
    return small if np.array_equal(small, values) else values
