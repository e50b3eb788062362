"""The decode stage: opens sources and hands out their segments in chunks. Needs no torch, so it starts quickly."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from streammm.errors import StreammmError
from streammm.media.decode import DecodeOptions, SegmentReader
from streammm.types import Segment


class NotOpenError(StreammmError):
    """The stage does not know this reading: it was restarted since, and the source must be opened again."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive segments of one source without their pictures and sound, which travel on their own.

    ``is_last`` says that the source ends here. The counts are of the whole reading so far.
    """

    segments: list[Segment]
    is_last: bool
    num_errors: int
    last_error: str


class DecodeWorker:
    """Decodes any number of sources in turns; each reading has a ticket that its opener chose."""

    def __init__(self, options: DecodeOptions) -> None:
        self._options = options
        self._open: dict[str, tuple[SegmentReader, Iterator[Segment]]] = {}

    def open(self, ticket: str, source: str, first_segment: int) -> None:
        """Starts a reading at a segment.

        Raises:
            SourceError: the source cannot be read.
        """
        self.close(ticket)
        reader = SegmentReader(source, self._options, first_segment)
        self._open[ticket] = reader, iter(reader)

    def next(self, ticket: str, num_segments: int) -> tuple[Chunk, list[Segment], list[Segment]]:
        """The next segments of a reading: a chunk of headers, the same segments with pictures, and with sound.

        Raises:
            NotOpenError: this worker has no such reading.
            SourceError: nothing in the source could be decoded.
        """
        if ticket not in self._open:
            raise NotOpenError(ticket)
        reader, segments = self._open[ticket]
        found = list(itertools.islice(segments, num_segments))
        chunk = Chunk([s.only("text") for s in found], len(found) < num_segments, reader.num_errors, reader.last_error)
        return chunk, [s.only("video") for s in found], [s.only("audio") for s in found]

    def close(self, ticket: str) -> None:
        """Ends a reading, if there is one."""
        if (found := self._open.pop(ticket, None)) is not None:
            found[0].close()
