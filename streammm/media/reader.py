"""A file -> its Segments. Runs wherever decoding runs, and is what a decoding process does inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import av
import av.error

from streammm.errors import DecodeError, SourceError
from streammm.media import position
from streammm.media.address import public_name
from streammm.media.decode import MediaDecoder
from streammm.media.opening import captions_beside, open_source
from streammm.media.options import DecodeOptions
from streammm.media.subtitles import read_captions
from streammm.types import MODALITIES, Cue, Modality, Segment

_MAX_DEMUX_ERRORS = 100
"""A container so damaged that reading fails this often in a row is taken to end there."""

_INDEXED_FORMATS = ("mov", "matroska")
"""Containers that say how long they are; of others FFmpeg guesses it from the bit rate."""


class SegmentReader:
    """Iterates over the segments of one source, from ``first_segment`` on.

    Wherever it starts, the segments are the same as in a reading from the beginning. A damaged stretch costs what
    cannot be decoded of it and is counted; only a source of which nothing at all can be decoded is an error.

    Args:
        source: path or address of a file; caption files beside it are read too.
        options: how to decode and cut.
        first_segment: index of the first segment to hand out. Decoding starts shortly before it, except where
            segments are shots, which have to be found from the beginning.
        on_progress: called for every packet that is read.
        pipe_fd: descriptor to read, where the source is standard input.

    Raises:
        SourceError: when made, if the source cannot be opened, has nothing to decode, or is to be left out, by the
            reason ``filtered``. What was begun is not: a source is asked at its first segment only.
        DecodeError: at the end, if nothing could be decoded.
    """

    def __init__(
        self,
        source: str,
        options: DecodeOptions,
        first_segment: int = 0,
        *,
        on_progress: Callable[[], None] = lambda: None,
        pipe_fd: int | None = None,
    ) -> None:
        self.source = public_name(source)
        self._address = source
        self._on_progress = on_progress
        self._pipe_fd = pipe_fd
        self._options = options
        self._first = first_segment
        self._sidecar_error: SourceError | None = None
        self._cues = self._read_sidecar()
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Frees the decoder; must be called by the thread that reads."""
        self._opened.close()

    @property
    def is_live(self) -> bool:
        """True for a source that goes on without end, which is to be followed, not read."""
        return self._opened.is_live

    @property
    def num_errors(self) -> int:
        """How many things went wrong so far."""
        return self._decoder.num_errors

    @property
    def last_error(self) -> str:
        """The last of them, in words."""
        return self._decoder.last_error

    def __iter__(self) -> Iterator[Segment]:
        decoded_any = False
        for packet in self._positioned():
            for segment in self._decoder.push(packet):
                decoded_any = True
                yield segment
        for segment in self._decoder.flush():
            decoded_any = True
            yield segment
        self._count_what_is_missing()
        if not decoded_any and self._decoder.segmenter.end <= 0:
            detail = f"nothing in it can be decoded: {self.last_error}" if self.last_error else "there is nothing in it"
            raise DecodeError(self.source, "undecodable", detail)

    def _open(self) -> None:
        self._opened = open_source(self._address, self._options, self._pipe_fd, self._on_progress)
        self._container = self._opened.container
        try:
            self._decoder = MediaDecoder(self._container, self.source, self._options, self._first, cues=self._cues)
            if self._first == 0 and not self._opened.is_live:
                self._filter()
        except BaseException:
            self.close()
            raise
        if self._sidecar_error is not None:
            self._decoder.count(self._sidecar_error)

    def _filter(self) -> None:
        found = {"video": self._decoder.video, "audio": self._decoder.audio, "text": self._decoder.text or self._cues}
        has: list[Modality] = [m for m in MODALITIES if found[m]]
        seconds = self._container.duration / av.time_base if self._container.duration else None
        if objection := self._options.filter.objection(seconds, has):
            raise SourceError(self.source, "filtered", objection)

    def _read_sidecar(self) -> list[Cue]:
        """Cues of the first caption file beside the source; one that cannot be read is counted as an error."""
        try:
            names = captions_beside(self._address, self._options, self._on_progress)
        except SourceError as error:
            if error.reason != "unauthorised":
                raise
            detail = f"captions beside it cannot be looked for: {error.detail}"
            self._sidecar_error = SourceError(self.source, error.reason, detail)
            return []
        for name in names:
            try:
                options = replace(self._options, max_pixels=1, hardware=None)
                with closing(open_source(name, options, on_wait=self._on_progress)) as opened:
                    return read_captions(opened.container, name)
            except SourceError as error:
                if error.reason == "unreachable":  # without them there would be other rows
                    raise
                self._sidecar_error = error
        return []

    def _positioned(self) -> Iterator[av.Packet[Any]]:
        """The packets from which the first segment can be decoded, on the clock."""
        if self._first == 0 or self._options.max_shot_seconds is not None:
            return self._packets()
        target = self._options.windows.start(self._first)
        packets = None
        if self._pipe_fd is None:
            packets = position.seek(self._container, self._decoder, target, self._packets())
        if packets is None and self._pipe_fd is None:
            self.close()
            self._open()
        return position.forward(packets or self._packets(), self._decoder, target)

    def _packets(self) -> Iterator[av.Packet[Any]]:
        """Every packet of the used streams on the clock, with an empty one per stream at the end."""
        in_a_row = 0
        while in_a_row < _MAX_DEMUX_ERRORS and self._decoder.streams:
            try:
                for packet in self._container.demux(self._decoder.streams):
                    in_a_row = 0
                    self._on_progress()
                    self._decoder.clock.place(packet)
                    yield packet
                return
            except (av.error.FFmpegError, IndexError, ValueError) as error:
                in_a_row += 1
                self._decoder.count(error)

    def _count_what_is_missing(self) -> None:
        """Counts what was dropped on the clock, and the rest of a file that is cut short."""
        decoder = self._decoder
        claimed = (self._container.duration or 0) / av.time_base
        end = float(decoder.segmenter.end)
        last_error = decoder.last_error
        if self._container.format.name.startswith(_INDEXED_FORMATS) and claimed - end > max(1.0, claimed / 10):
            decoder.count(last_error := f"it ends after {end:.1f} s and says that it has {claimed:.1f} s")
        if dropped := decoder.segmenter.pictures.num_out_of_order + decoder.segmenter.sound.num_overlaps:
            decoder.num_errors += dropped
            last_error = last_error or "times went back a little, what came twice was dropped"
        if jumps := decoder.clock.num_jumps:
            decoder.num_errors += jumps
            last_error = last_error or "times jumped, what follows was joined to what came before"
        decoder.last_error = last_error
