"""One connection to a live source, read in a thread of the decoding process until it ends.

Reading never waits for whoever takes the segments: a few are kept, then the oldest is dropped. Where decoding falls
behind the wall's clock, pictures are left out until it has caught up. What ends a connection is only said here; its
owner decides when to connect again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import av.error

from streammm.errors import SourceError
from streammm.media.address import public_name, scheme
from streammm.media.decode import MediaDecoder
from streammm.media.lag import Lag
from streammm.media.naps import Naps
from streammm.media.opening import open_source
from streammm.media.options import DecodeOptions
from streammm.media.source import reason
from streammm.types import LiveState, Segment

_RTCP_SECONDS = 6.0
"""RTP streams are side by side only after the first RTCP sender report of each, which comes within 5 s (RFC 3550)."""

LOST = "reopen: nothing of its"
"""How the reason begins where one of the streams has stayed away."""

_LOOK_SECONDS = 0.25
"""How often it is judged whether the connection must end."""

_PILES_UP = frozenset({"rtmp", "rtmps", "rtsp", "rtsps", "tcp", "udp"})
"""Where packets wait in a buffer that is large enough while nobody reads them."""

_KEY_SECONDS = 30.0
"""Only key pictures may be further apart than a stream's absence is borne with."""


class LiveConnection:
    """Reads one live source.

    Args:
        source: its address.
        options: how to decode, cut and follow.
        first_segment: no segment before this index is handed out.
        zero: when the source's time began, on this machine's monotonic clock; None if the first segment begins now.
        patience_seconds: for how long nothing of a stream may be decoded before the source is opened again, since the
            stream may have become another.
    """

    def __init__(
        self,
        source: str,
        options: DecodeOptions,
        first_segment: int,
        zero: float | None,
        patience_seconds: float,
    ) -> None:
        self._source = source
        self._options = options
        self._first = first_segment
        self._patience_seconds = patience_seconds
        self.zero = zero if zero is not None else time.monotonic()
        self._is_new = zero is None
        self.read_seconds = 0.0
        self._queue: deque[Segment] = deque()
        self._changed = threading.Condition()
        self._opened = False
        self._failure: SourceError | None = None
        self._ended = ""
        self._num_packets = 0
        self._num_dropped = 0
        self._decoder: MediaDecoder | None = None
        self._lag = Lag(options.live)
        self._got: dict[str, tuple[float, float]] = {}
        self._looked = 0.0
        self._naps: Naps | None = None
        threading.Thread(target=self._run, name="streammm-live", daemon=True).start()

    def is_open(self, wait_seconds: float) -> bool:
        """Waits for the connection to be made.

        Raises:
            SourceError: it cannot be made.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._opened or self._failure or self._ended, wait_seconds)
            if self._failure is not None:
                raise self._failure
            return self._opened or bool(self._ended)

    def take(self, count: int, wait_seconds: float) -> tuple[list[Segment], dict[str, Any]]:
        """Up to ``count`` segments, waiting for the first; and how the connection stands, in plain JSON types."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._ended, wait_seconds)
            segments = [self._queue.popleft() for _ in range(min(count, len(self._queue)))]
            decoder = self._decoder
            state = {
                "ended": self._ended if not self._queue else "",
                "num_packets": self._num_packets,
                "num_dropped": self._num_dropped,
                "num_errors": decoder.num_errors if decoder else 0,
                "last_error": decoder.last_error if decoder else "",
            }
        return [self._with_lag(segment) for segment in segments], state

    def _with_lag(self, segment: Segment) -> Segment:
        assert segment.live is not None
        lag = self._now() - segment.end_seconds - self._lag.least
        return replace(segment, live=replace(segment.live, lag_seconds=max(0.0, lag)))

    def _now(self) -> float:
        return time.monotonic() - self.zero

    def _run(self) -> None:
        """The reading thread: opens, reads and closes."""
        try:
            opened = open_source(self._source, self._options)
        except SourceError as error:
            self._tell(failure=error)
            return
        ended = "it ended"
        try:
            hop = self._options.windows.hop_seconds
            if self._is_new:  # the first segment begins now, also where others came in an earlier run
                self.zero = time.monotonic() - float(self._first * hop)
            self.read_seconds = opened.read_seconds
            first = max(self._first, int(Fraction(self._now()) / hop))
            name = public_name(self._source)
            self._decoder = MediaDecoder(opened.container, name, self._options, first, now=self._now)
            self._tell(opened=True)
            ended = self._read(opened.container, self._decoder)
            for segment in self._decoder.flush():
                self._put(segment)
        except SourceError as error:
            self._tell(failure=error)
        except Exception as error:  # noqa: BLE001 - whatever ends a connection, its owner makes a new one
            ended = f"{type(error).__name__}: {error}"
        finally:
            opened.close()
            self._tell(ended=ended)

    def _read(self, container: Any, decoder: MediaDecoder) -> str:
        """Reads until the connection ends and says why it did."""
        if self._may_nap:
            self._naps = Naps(self._now(), self._options.live.nonref_lag_seconds)
        asked = self._now()
        try:
            for packet in self._synchronised(container, decoder):
                waited = self._now() - asked
                self._num_packets += 1
                decoder.clock.place(packet)
                if self._naps is not None:
                    self._naps.note(packet.size, waited)
                for segment in decoder.push(packet):
                    self._put(segment)
                if why := self._judge(packet, decoder):
                    return why
                if self._naps is not None:
                    self._nap(self._naps, decoder.segmenter.next_end)
                asked = self._now()
        except IndexError:
            return "reopen: the streams in it have changed"
        except av.error.FFmpegError as error:
            return reason(error)
        return "it ended"

    @property
    def _may_nap(self) -> bool:
        kind, options = scheme(self._source), self._options
        is_udp = kind.startswith("rtsp") and options.network.rtsp_transport == "udp"
        return kind in _PILES_UP and not is_udp and options.max_shot_seconds is None

    def _nap(self, naps: Naps, next_end: float) -> None:
        seconds = naps.seconds(self._now(), next_end)
        if seconds and self._lag.seconds < self._options.live.restore_lag_seconds:
            time.sleep(seconds)

    def _synchronised(self, container: Any, decoder: MediaDecoder) -> Iterator[Any]:
        """The packets; those of RTSP from where both streams are on one clock."""
        packets = container.demux(decoder.streams)
        if not scheme(self._source).startswith("rtsp") or decoder.video is None or decoder.audio is None:
            yield from packets
            return
        waiting = {decoder.video.index, decoder.audio.index}
        started = time.monotonic()
        for packet in packets:
            if packet.has_sidedata("prft"):
                waiting.discard(packet.stream_index)
            if not waiting or time.monotonic() - started > _RTCP_SECONDS:
                yield packet
                break
            self._num_packets += 1
            if packet.stream is decoder.video:
                self._warm_up(packet)
        yield from packets

    def _warm_up(self, packet: Any) -> None:
        """Decodes a picture whose time is not known yet, so that those after it find what they refer to."""
        try:
            packet.decode()
        except (av.error.FFmpegError, ValueError) as error:
            assert self._decoder is not None
            self._decoder.count(error)

    def _judge(self, packet: Any, decoder: MediaDecoder) -> str:
        """After each packet: keeps up with the wall's clock; says why the connection must end, if it must."""
        now = self._now()
        if (time_shown := decoder.plain_seconds(packet)) is not None:
            before = self._lag.shed
            self._lag.note(now, time_shown)
            if self._lag.shed != before:
                decoder.shed(self._lag.skips)
        if now - self._looked < _LOOK_SECONDS:
            return ""
        self._looked = now
        if lost := self._lost(decoder, now):
            return f"{LOST} {lost} could be decoded for some time"
        if drift := self._lag.drift(float(self._options.windows.hop_seconds)):
            decoder.clock.move(Fraction(drift))
        if self._lag.is_hopeless:
            return f"reopen: decoding lags {self._lag.seconds:.1f} s behind"
        return ""

    def _lost(self, decoder: MediaDecoder, now: float) -> str:
        """The stream of which nothing was decoded for too long, if there is one."""
        ends = {"sound": decoder.segmenter.sound.level_seconds, "picture": float(decoder.segmenter.pictures.end)}
        used = {"sound": decoder.audio is not None, "picture": decoder.video is not None}
        patience = self._patience_seconds + (_KEY_SECONDS if self._lag.shed == "nonkey" else 0.0)
        for name, end in ends.items():
            if not used[name]:
                continue
            if name not in self._got or self._got[name][0] != end:
                self._got[name] = end, now
            elif now - self._got[name][1] > patience:
                return name
        return ""

    def _put(self, segment: Segment) -> None:
        assert self._decoder is not None
        if self._naps is not None:
            self._naps.complete(self._now(), segment.end_seconds)
        state = LiveState(
            start_unix_seconds=time.time() - self._now() + segment.start_seconds + self._lag.least,
            lag_seconds=0.0,
            shed=self._lag.shed,
            num_shed_steps=self._lag.num_steps,
            num_jumps=self._decoder.clock.num_jumps,
        )
        with self._changed:
            while len(self._queue) >= self._options.live.queue_segments:
                self._queue.popleft()
                self._num_dropped += 1
            self._queue.append(replace(segment, live=state))
            self._changed.notify_all()

    def _tell(self, *, opened: bool = False, failure: SourceError | None = None, ended: str = "") -> None:
        with self._changed:
            self._opened = self._opened or opened
            self._failure = self._failure or failure
            self._ended = self._ended or ended
            self._changed.notify_all()
