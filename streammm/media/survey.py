"""One reading of an open container, for what a probe says of it: times, damage, the first picture."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import av
import av.error
from av.container import InputContainer

from streammm.media.clock import Clock
from streammm.media.source import reason
from streammm.media.streams import choose_audio, choose_video


@dataclass(slots=True)
class Found:
    """What reading one stream brings up."""

    times: list[float] = field(default_factory=list)
    ends: float = -math.inf
    num_packets: int = 0
    num_without_time: int = 0
    num_corrupt: int = 0


class Survey:
    """Reads an open container once: every packet, and the beginning decoded.

    Args:
        container: open for demuxing.
        decode_seconds: how much of it is decoded.
        most_seconds: after so long on the wall it has seen enough.
    """

    def __init__(self, container: InputContainer, decode_seconds: float, most_seconds: float) -> None:
        self.container = container
        self.video = choose_video(container)
        self.audio = choose_audio(container, self.video)
        self.found: dict[int, Found] = {s.index: Found() for s in container.streams}
        self.errors: list[str] = []
        self.frame: av.VideoFrame | None = None
        self.decoded_seconds = 0.0
        starts = [
            s.start_time * s.time_base
            for s in (self.video, self.audio)
            if s is not None and s.start_time is not None and s.time_base is not None
        ]
        self.clock = Clock(min(starts, default=None), wraps=container.format.name in ("mpegts", "mpeg"))
        self._decode_seconds = decode_seconds
        deadline = time.monotonic() + most_seconds
        for packet in self._packets():
            self._take(packet)
            if time.monotonic() > deadline:
                break

    def _packets(self) -> Iterator[av.Packet[Any]]:
        streams = [s for s in self.container.streams if getattr(s, "codec_context", None) is not None]
        for _ in range(100):
            try:
                for packet in self.container.demux(streams):
                    if packet.size:
                        self.clock.place(packet)
                        yield packet
            except (av.error.FFmpegError, IndexError, ValueError) as error:
                self.errors.append(reason(error))
            else:
                return

    def _take(self, packet: av.Packet[Any]) -> None:
        found = self.found[packet.stream_index]
        found.num_packets += 1
        found.num_corrupt += packet.is_corrupt
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None or self.clock.origin is None:
            found.num_without_time += 1
            at = found.ends if found.ends > 0 else 0.0
        else:
            at = float(self.clock.seconds(stamp, packet.time_base))
        if packet.stream is self.video or not found.times:
            found.times.append(at)
        found.ends = max(found.ends, at + float((packet.duration or 0) * packet.time_base))
        if at <= self._decode_seconds and packet.stream in (self.video, self.audio):
            self._decode(packet)
            self.decoded_seconds = max(self.decoded_seconds, at)

    def _decode(self, packet: av.Packet[Any]) -> None:
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, ValueError) as error:
            self.errors.append(reason(error))
            return
        for frame in frames:
            if isinstance(frame, av.VideoFrame):
                self.frame = self.frame or frame
                if frame.is_corrupt:
                    self.errors.append("a picture is damaged")
