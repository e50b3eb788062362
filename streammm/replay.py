"""A run's journal, read back segment by segment: rows with the embeddings beside them, as fusion takes them again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from streammm.errors import ConfigError
from streammm.journal import EMBEDDINGS, Entry, Journal
from streammm.kept import Kept, kept_of
from streammm.rows import row_from_json
from streammm.types import Classification, Embeddings, Modality, Segment

_CHUNK_SEGMENTS = 64
_READ_ENTRIES = 256
"""Far more than there are kinds of entries, of which a segment has one each."""


@dataclass(slots=True)
class Replayed:
    """One segment of the run: its row, its embeddings if there are any, and why something of it was given up."""

    row: Classification
    kept: Kept | None = None
    quarantine: list[Entry] = field(default_factory=list)


def chunks_of(journal: Journal, name: str, first: int) -> Iterator[list[Replayed]]:
    """The segments of a source from one on, some at a time and in order.

    Raises:
        ConfigError: an entry is damaged, or embeddings are missing.
    """
    chunk: list[Replayed] = []
    for found in _segments(journal, name, first):
        if found.kept is None and not found.row.outage:
            raise ConfigError(f"the embeddings of segment {found.row.segment} of {name} are missing")
        chunk.append(found)
        if len(chunk) == _CHUNK_SEGMENTS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _segments(journal: Journal, name: str, first: int) -> Iterator[Replayed]:
    while True:
        entries = journal.read_segments(name, first, _READ_ENTRIES)
        is_last = len(entries) < _READ_ENTRIES
        by_segment: dict[int, list[Entry]] = {}
        for entry in entries:
            assert entry.segment is not None
            by_segment.setdefault(entry.segment, []).append(entry)
        if not is_last:  # the last one may be cut off
            first, _ = by_segment.popitem()
        for segment, found in by_segment.items():
            try:
                yield _joined(found)
            except (KeyError, TypeError, ValueError) as error:
                raise ConfigError(f"what was kept of segment {segment} of {name} cannot be read: {error}") from error
        if is_last:
            return


def _joined(entries: Sequence[Entry]) -> Replayed:
    found: Replayed | None = None
    kept: Kept | None = None
    quarantine: list[Entry] = []
    for entry in entries:
        if entry.kind == "row":
            found = Replayed(row_from_json(json.loads(entry.text)))
        elif entry.kind == EMBEDDINGS:
            kept = kept_of(entry)
        elif entry.kind == "quarantine":
            quarantine.append(entry)
    if found is None:
        raise ValueError("there is no row")
    return replace(found, kept=kept, quarantine=quarantine)


def segment_of(found: Replayed) -> Segment:
    """As much of the segment as fusion looks at; its times are those that the run had, to the last digit."""
    row = found.row
    exact = found.kept or row
    return Segment(
        source=row.source,
        index=row.segment,
        start_seconds=exact.start_seconds,
        end_seconds=exact.end_seconds,
        frames=np.zeros((0, 1, 1, 3), np.uint8),
        frame_seconds=np.zeros(0),
        waveform=np.zeros(0, np.float32),
        cues=(),
        status={m: result.status for m, result in row.modalities.items()},
        live=row.live,
        outage=row.outage,
    )


def embeddings_of(chunk: Sequence[Replayed], used: Sequence[Modality]) -> dict[Modality, Embeddings]:
    made: dict[Modality, Embeddings] = {}
    for modality in used:
        found = {i: old.kept for i, old in enumerate(chunk) if old.kept and modality in old.kept.vectors}
        if not found:
            continue
        present = np.zeros(len(chunk), np.bool_)
        present[list(found)] = True
        try:
            vectors = spread([kept.vectors[modality] for kept in found.values()], present)
            tags = spread([kept.tags[modality] for kept in found.values()], present)
        except (KeyError, TypeError, ValueError) as error:
            source = chunk[0].row.source
            raise ConfigError(f"what was kept of {source} about {modality} cannot be read: {error}") from error
        made[modality] = Embeddings(modality, vectors, tags, present)
    return made


def spread(arrays: Sequence[npt.NDArray[np.float32]], present: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Arrays of those segments that are present as rows, with rows of zeros for the others.

    Raises:
        ValueError: they differ in length.
    """
    if len(sizes := {len(array) for array in arrays}) != 1:
        raise ValueError(f"arrays differ in length: {sorted(sizes)}")
    found = np.zeros((len(present), sizes.pop()), np.float32)
    found[present] = arrays
    return found
