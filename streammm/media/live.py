"""A live source, for as long as it is wanted: connections are made again, and what was missed is said.

The index of a segment follows the wall's clock: it is the number of hops since the source was first reached, whatever
happened in between. Every index that no segment came for is part of an outage, which is a segment of its own.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from streammm.errors import SourceError
from streammm.media.address import public_name
from streammm.media.connection import LOST
from streammm.media.isolated import nothing
from streammm.media.options import DecodeOptions
from streammm.media.process import DecodeProcess, DecoderDiedError, ProcessPool
from streammm.types import MODALITIES, LiveState, Modality, Segment, Status

_HOPELESS = frozenset({"bad-address", "unsupported", "needs-ffmpeg", "refused", "unauthorised", "no-media"})
"""Reasons that no waiting mends; at the first connection they end the source."""

_LONGEST_OUTAGE_SEGMENT = 60.0

_LOST_PATIENCE = (8.0, 600.0)
"""For how long nothing of one of the streams may be decoded: at first, and where it has stayed away before."""

_STALLS = 3
"""The decoding process is ended after so many read time-outs without a packet: its own time-out has failed then."""


class LiveReader:
    """Follows one live source.

    Args:
        source: its address.
        options: how to decode, cut and follow.
        first_segment: index of the first segment, for a source that was followed before.
        pool: where decoding processes come from.
    """

    is_live = True

    def __init__(self, source: str, options: DecodeOptions, first_segment: int, pool: ProcessPool) -> None:
        self.num_errors = 0
        self.last_error = ""
        self.num_restarts = 0
        self.left_out: dict[int, str] = {}
        self._source = source
        self._name = public_name(source)
        self._options = options
        self._pool = pool
        self._next = first_segment
        self._process: DecodeProcess | None = None
        self._started = time.monotonic()
        self._zero: float | None = None
        self._stop = threading.Event()
        self._before = LiveState(0.0, 0.0)  # the counts of all connections before this one
        self._here = self._before
        self._num_packets = 0
        self._last_packet = 0.0
        self._read_seconds = 10.0
        self._errors_here = 0
        self._failures_in_a_row = 0
        self._lost_since: float | None = None
        self._why = ""
        self._last_lost = -math.inf
        self._outage_said = 0.0

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
        """Ends the following, also from another thread than the one that reads."""
        self._stop.set()
        if (process := self._process) is not None:
            process.kill()

    def read(self, max_segments: int) -> tuple[list[Segment], bool]:
        """The next segments, at least one unless the following ends, and whether it does.

        Raises:
            SourceError: the source cannot be followed at all, or was not reached in time.
        """
        while not self._is_over():
            if self._process is None:
                self._connect()
                found: list[Segment] = []
            else:
                found = self._take(max_segments)
            found = self._with_outages(found)
            if found:
                return found, False
        if self._process is not None:
            self._process.kill()
            self._process = None
        return [], True

    def _is_over(self) -> bool:
        limit = self._options.live.max_seconds
        return self._stop.is_set() or (limit is not None and time.monotonic() - self._started >= limit)

    # --- connections

    def _connect(self) -> None:
        """Tries once to connect, after a pause where it has just failed."""
        if self._lost_since is not None:
            self._pause()
        if self._is_over():
            return
        process = self._pool.take()
        try:
            self._process = process
            answer = process.ask(
                "follow",
                self._options,
                source=self._source,
                first_segment=self._next,
                zero=self._zero,
                patience_seconds=self._patience_seconds(),
            )
        except DecoderDiedError as error:
            self.num_restarts += 1
            self._lose(f"opening it ended the decoder: {error}")
        except SourceError as error:
            process.kill()
            reached = self._zero is not None
            is_late = time.monotonic() - self._started > self._options.live.connect_seconds
            if not reached and (error.reason in _HOPELESS or is_late):
                raise type(error)(self._name, error.reason, error.detail) from error
            self._lose(error.detail)
        else:
            if self._zero is None:
                self._zero = float(answer["zero"])
            else:
                self._before = replace(self._before, num_reconnects=self._before.num_reconnects + 1)
            self._read_seconds = float(answer["read_seconds"]) or self._read_seconds
            self._num_packets, self._last_packet = 0, time.monotonic()
            self._errors_here = 0

    def _patience_seconds(self) -> float:
        """How long a stream may stay away: not long, unless opening again for that has not just helped."""
        has_just_failed = time.monotonic() - self._last_lost < _LOST_PATIENCE[1]
        return _LOST_PATIENCE[has_just_failed]

    def _pause(self) -> None:
        """Waits before the next try: longer each time, and not at the same moment as everybody else."""
        live = self._options.live
        seconds = min(live.first_backoff_seconds * 2 ** min(self._failures_in_a_row, 30), live.max_backoff_seconds)
        self._failures_in_a_row += 1
        seconds *= random.uniform(0.7, 1.3)  # noqa: S311 - spreads tries, guards nothing
        self._stop.wait(seconds)

    def _take(self, max_segments: int) -> list[Segment]:
        """What the connection has; ends it where it has ended or has stalled."""
        assert self._process is not None
        try:
            segments, state = self._process.ask_for_segments("next", count=max_segments)
        except DecoderDiedError as error:
            self.num_restarts += 1
            self._lose("" if self._stop.is_set() else f"its decoder died: {error}")
            return [self._counted(segment, {}) for segment in error.segments]
        except SourceError as error:
            self._disconnect(error.detail)
            return []
        found = [self._counted(segment, state) for segment in segments]
        self.num_errors += state["num_errors"] - self._errors_here
        self._errors_here = state["num_errors"]
        self.last_error = state["last_error"] or self.last_error
        if state["num_packets"] != self._num_packets:
            self._num_packets, self._last_packet = state["num_packets"], time.monotonic()
        if segments:
            self._failures_in_a_row = 0
        if state["ended"]:
            self._disconnect(state["ended"])
        elif time.monotonic() - self._last_packet > _STALLS * self._read_seconds:
            self._disconnect("nothing came any more, and its decoder did not notice")
        return found

    def _counted(self, segment: Segment, state: dict[str, Any]) -> Segment:
        """A segment with the counts of all connections in it."""
        assert segment.live is not None
        here, before = segment.live, self._before
        self._here = replace(
            here,
            num_reconnects=before.num_reconnects,
            outage_seconds=before.outage_seconds,
            num_dropped_segments=before.num_dropped_segments + state.get("num_dropped", 0),
            num_shed_steps=before.num_shed_steps + here.num_shed_steps,
            num_jumps=before.num_jumps + here.num_jumps,
            num_reopens=before.num_reopens,
        )
        return replace(segment, live=self._here)

    def _disconnect(self, why: str) -> None:
        if self._process is not None:
            self._process.kill()
            self._lose(why)

    def _lose(self, why: str) -> None:
        """Notes that there is no connection now, and why."""
        self._process = None
        if why.startswith(LOST):
            self._last_lost = time.monotonic()
        if self._lost_since is None or not self._why:
            self._lost_since = time.monotonic()
        self._why = why.removeprefix("reopen: ")
        self.last_error = self._why
        self._before = replace(self._here, num_reopens=self._here.num_reopens + why.startswith("reopen: "))

    # --- what was missed

    def _with_outages(self, found: list[Segment]) -> list[Segment]:
        """The segments with an outage before each where indexes are missing, and one while there is no connection.

        A segment that comes after its time was told as an outage is dropped and counted: indexes never go back.
        """
        complete = []
        for segment in found:
            if segment.index < self._next:
                num_dropped = self._before.num_dropped_segments + 1
                self._before = replace(self._before, num_dropped_segments=num_dropped)
                continue
            if segment.index > self._next:
                complete.append(self._outage(segment.index))
            complete.append(segment)
            self._next = segment.index + 1
            self._lost_since, self._why, self._outage_said = None, "", 0.0
        if self._lost_since is not None and self._zero is not None:
            passed = time.monotonic() - self._zero
            hop = float(self._options.windows.hop_seconds)
            missing = passed - self._next * hop
            if missing >= max(hop, min(2 * self._outage_said, _LONGEST_OUTAGE_SEGMENT)):
                self._outage_said = missing
                complete.append(self._outage(int(passed / hop)))
        return complete

    def _outage(self, until: int) -> Segment:
        """Everything from the next segment that is due to before segment ``until`` is missing."""
        windows = self._options.windows
        start, end = float(windows.start(self._next)), float(windows.start(until))
        why = self._why or "the segments were dropped, whoever takes them was too slow"
        if self._lost_since is not None:
            self._before = replace(self._before, outage_seconds=self._before.outage_seconds + end - start)
        assert self._zero is not None
        status: dict[Modality, Status] = dict.fromkeys(MODALITIES, Status.ABSENT)
        unix = time.time() - time.monotonic() + self._zero + start
        state = replace(
            self._here,
            start_unix_seconds=unix,
            lag_seconds=0.0,
            num_reconnects=self._before.num_reconnects,
            outage_seconds=self._before.outage_seconds,
            num_reopens=self._before.num_reopens,
        )
        self._here = state
        segment = nothing(
            self._name, self._next, start, end, status, live=state, outage=why, decoded_unix_seconds=time.time()
        )
        self._next = until
        return segment
