"""A file, read in a process of its own: what kills or stops that process costs the segment it was at, no more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np

from streammm.errors import SourceError
from streammm.media.address import public_name
from streammm.media.options import DecodeOptions
from streammm.media.process import DecodeProcess, DecoderDiedError, ProcessPool
from streammm.types import MODALITIES, Modality, Segment, Status

_MAX_ATTEMPTS = 2
"""How often a segment may end its decoder before it is left out."""

_MAX_LEFT_OUT = 3
"""So many segments in a row that end their decoder end the source."""


class IsolatedReader:
    """Reads a file or a stream that ends; see `reader.SegmentReader`.

    Args:
        source: path or address.
        options: how to decode and cut.
        first_segment: index of the first segment to hand out.
        pool: where decoding processes come from.
        pipe_fd: descriptor to read, where the source is standard input.

    Raises:
        SourceError: when made, if the source cannot be opened or has nothing to decode.
    """

    def __init__(
        self,
        source: str,
        options: DecodeOptions,
        first_segment: int,
        pool: ProcessPool,
        pipe_fd: int | None = None,
    ) -> None:
        self.num_errors = 0
        self.last_error = ""
        self.num_restarts = 0
        self.left_out: dict[int, str] = {}
        self.is_live = False
        self._source = source
        self._options = options
        self._pool = pool
        self._pipe_fd = pipe_fd
        self._next = first_segment
        self._attempts = 0
        self._num_left_out = 0
        self._process: DecodeProcess | None = None
        self._is_reading = self._is_closed = False
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> Iterator[Segment]:
        is_last = False
        while not is_last:
            segments, is_last = self.read(1)
            yield from segments

    def close(self) -> None:
        """Ends the reading, also from another thread than the one that reads, which then gets an error."""
        self._is_closed = True
        process, self._process = self._process, None
        if process is None:
            return
        if self._pipe_fd is not None or self._is_reading:
            process.kill()
            return
        try:
            process.ask("close")
        except (DecoderDiedError, SourceError):
            process.kill()
        else:
            self._pool.give_back(process)

    def read(self, max_segments: int) -> tuple[list[Segment], bool]:
        """The next segments, and whether the source ends with them; fewer than asked for where it does, or after
        trouble.

        Raises:
            SourceError: nothing in the source could be decoded, or it ended its decoder again and again.
        """
        if self._is_closed:
            return [], True
        try:
            self._is_reading = True
            if self._process is None:
                self._open()
            assert self._process is not None
            segments, state = self._process.ask_for_segments("next", count=max_segments)
        except DecoderDiedError as error:
            return (error.segments, True) if self._is_closed else (self._after_death(error), False)
        except SourceError as error:
            raise self._named(error) from error
        finally:
            self._is_reading = False
        self._note(segments)
        self.num_errors = max(self.num_errors, state["num_errors"])
        self.last_error = state["last_error"] or self.last_error
        return segments, bool(state["is_last"])

    def _open(self) -> None:
        for attempt in range(_MAX_ATTEMPTS):
            if self._pipe_fd is None:
                process = self._pool.take()
            else:
                process = DecodeProcess(self._options.limits, self._pipe_fd, self._pool.usage)
            try:
                answer = process.ask(
                    "open", self._options, source=self._source, first_segment=self._next, pipe_fd=self._pipe_fd
                )
            except DecoderDiedError as error:
                self.num_restarts += 1
                if attempt + 1 == _MAX_ATTEMPTS:
                    detail = f"opening it ended the decoder: {error}"
                    raise SourceError(public_name(self._source), "decoder-died", detail) from error
            except SourceError as error:
                self._pool.give_back(process)
                raise self._named(error) from error
            else:
                self._process = process
                self.is_live = bool(answer.get("is_live"))
                return

    def _note(self, segments: list[Segment]) -> None:
        if segments:
            self._next = segments[-1].index + 1
            self._attempts = self._num_left_out = 0

    def _after_death(self, error: DecoderDiedError) -> list[Segment]:
        """Goes on where the decoder died, or after the segment that ends it each time."""
        self._process = None
        self._note(error.segments)
        self.num_restarts += 1
        self._attempts += 1
        if self._pipe_fd is not None or self._options.max_shot_seconds is not None:
            self._attempts = _MAX_ATTEMPTS
            self._num_left_out = _MAX_LEFT_OUT  # what was piped is gone, and shots cannot be counted from here
        if self._attempts < _MAX_ATTEMPTS:
            return error.segments
        if self._num_left_out >= _MAX_LEFT_OUT:
            detail = f"its decoder was ended again and again at segment {self._next}: {error}"
            raise SourceError(public_name(self._source), "decoder-died", detail)
        self.num_errors += 1
        self.last_error = f"segment {self._next} ended the decoder: {error}"
        self.left_out[self._next] = f"it ended the decoder {_MAX_ATTEMPTS} times: {error}"
        left_out = self._placeholder(self._next)
        self._next += 1
        self._attempts = 0
        self._num_left_out += 1
        return [*error.segments, left_out]

    def _placeholder(self, index: int) -> Segment:
        windows = self._options.windows
        damaged: dict[Modality, Status] = {"audio": Status.DAMAGED, "text": Status.ABSENT, "video": Status.DAMAGED}
        return nothing(
            public_name(self._source), index, float(windows.start(index)), float(windows.end(index)), damaged
        )

    def _named(self, error: SourceError) -> SourceError:
        if error.source:
            return error
        return type(error)(public_name(self._source), error.reason, error.detail)


def nothing(source: str, index: int, start: float, end: float, status: dict[Modality, Status], **more: Any) -> Segment:
    """A segment of which nothing is there."""
    segment = Segment(
        source=source,
        index=index,
        start_seconds=start,
        end_seconds=end,
        frames=np.zeros((0, 1, 1, 3), np.uint8),
        frame_seconds=np.zeros(0, np.float64),
        waveform=np.zeros(0, np.float32),
        cues=(),
        status=status,
        coverage=dict.fromkeys(MODALITIES, 0.0),
        num_errors={m: int(s == Status.DAMAGED) for m, s in status.items()},
    )
    return replace(segment, **more)
