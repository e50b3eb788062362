"""The decode stage: opens sources and hands out their segments in chunks. Needs no torch, so it starts quickly.

Decoding itself happens in processes of its own, one a source under way, which can be limited and killed.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image

from streammm.errors import StreammmError
from streammm.media.isolated import IsolatedReader
from streammm.media.live import LiveReader
from streammm.media.options import DecodeOptions
from streammm.media.process import ProcessPool
from streammm.media.read import open_reader
from streammm.types import Modality, Segment

_JPEG_QUALITY = 78


class NotOpenError(StreammmError):
    """The stage does not know this reading: it was restarted since, and the source must be opened again."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive segments of one source without their pictures and sound, which travel on their own.

    ``is_last`` says that the source ends here. The counts are of the whole reading so far. ``left_out`` says by index
    which segments end whoever decodes them. ``busy_seconds`` is how long it took to make the chunk, ``cpu_seconds``
    what the worker's decoding processes computed since its last chunk, ``peak_bytes`` the most memory one of them had.
    ``jpeg`` is the last picture in it, where somebody watches.
    """

    segments: list[Segment]
    is_last: bool
    num_errors: int
    last_error: str
    num_restarts: int = 0
    left_out: Mapping[int, str] = field(default_factory=dict)
    busy_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    jpeg: bytes = b""


class DecodeWorker:
    """Decodes any number of sources in turns; each reading has a ticket that its opener chose."""

    def __init__(self, options: DecodeOptions) -> None:
        self._options = options
        self._pool = ProcessPool(options.limits)
        self._pool.prepare()
        self._open: dict[str, IsolatedReader | LiveReader] = {}
        self._cpu_seconds_told = 0.0

    def open(self, ticket: str, source: str, first_segment: int) -> None:
        """Starts a reading at a segment.

        Raises:
            SourceError: the source cannot be read.
        """
        self.close(ticket)
        self._open[ticket] = open_reader(source, self._options, first_segment, self._pool)

    def next(
        self, ticket: str, num_segments: int, is_watched: bool = False
    ) -> tuple[Chunk, list[Segment], list[Segment]]:
        """The next segments of a reading: a chunk of headers, the same segments with pictures, and with sound.

        Where speech is to be recognised, the sound is for the text encoder as well, and there are the captions with it.
        Of a live source it gives those that there are, and waits for the first.

        Raises:
            NotOpenError: this worker has no such reading.
            SourceError: nothing in the source could be decoded, or it cannot be followed.
        """
        if (reader := self._open.get(ticket)) is None:
            raise NotOpenError(ticket)
        started = time.monotonic()
        found: list[Segment] = []
        is_last = False
        while not found and not is_last:
            found, is_last = reader.read(num_segments)
        headers = [s.only("text") for s in found]
        usage = self._pool.usage
        cpu_seconds, self._cpu_seconds_told = usage.cpu_seconds - self._cpu_seconds_told, usage.cpu_seconds
        chunk = Chunk(
            headers,
            is_last,
            reader.num_errors,
            reader.last_error,
            reader.num_restarts,
            {s.index: reader.left_out[s.index] for s in found if s.index in reader.left_out},
            time.monotonic() - started,
            cpu_seconds,
            usage.peak_bytes,
            last_picture(found) if is_watched else b"",
        )
        heard: tuple[Modality, ...] = ("audio",) if self._options.speech is None else ("audio", "text")
        return chunk, [s.only("video") for s in found], [s.only(*heard) for s in found]

    def close(self, ticket: str) -> None:
        """Ends a reading, if there is one; may be called while another thread waits for its next segments."""
        if (reader := self._open.pop(ticket, None)) is not None:
            reader.close()

    def end(self) -> None:
        """Ends all readings and the processes that wait for work."""
        for ticket in list(self._open):
            self.close(ticket)
        self._pool.close()


def last_picture(segments: Sequence[Segment]) -> bytes:
    """The last picture in some segments, as the encoder gets it, as JPEG; b"" if there is none."""
    pictures = next((s.frames for s in reversed(segments) if len(s.frames)), None)
    if pictures is None:
        return b""
    written = io.BytesIO()
    Image.fromarray(pictures[-1]).save(written, "JPEG", quality=_JPEG_QUALITY)
    return written.getvalue()
