"""A file -> its Segments: one demux loop, every packet decoded once, on one clock. Runs wherever decoding runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

import av
import av.error
import numpy as np

from streammm.errors import DecodeError, SourceError
from streammm.media.clock import Clock, FrameTimes
from streammm.media.convert import PictureConverter
from streammm.media.segmenter import Segmenter, Windows
from streammm.media.source import open_media, reason, sidecars
from streammm.media.streams import choose_audio, choose_video, set_up_video
from streammm.media.subtitles import is_text, packet_cues, read_sidecar
from streammm.types import SAMPLE_RATE_HZ, Cue, Modality, Segment

_MAX_DEMUX_ERRORS = 100
"""A container so damaged that reading fails this often in a row is taken to end there."""

_LAST_CUE_SECONDS = 48 * 3600
"""A caption file of a few bytes may name any time, and with captions alone each window up to it is a row."""


_INDEXED_FORMATS = ("mov", "matroska")
"""Containers that say how long they are; of others FFmpeg guesses it from the bit rate."""


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """How sources are decoded and cut.

    ``shorter_side`` and ``crop`` are the pictures that the image encoder wants, in pixels; ``threads`` is how many
    threads one source's video decoder may use; a picture of over ``max_pixels`` is an error.
    """

    windows: Windows = field(default_factory=Windows)
    shorter_side: int = 256
    crop: int = 224
    threads: int = 1
    max_pixels: int = 100_000_000


class SegmentReader:
    """Iterates over the segments of one source, from ``first_segment`` on.

    Wherever it starts, the segments are the same as in a reading from the beginning. A damaged stretch costs what
    cannot be decoded of it and is counted; only a source of which nothing at all can be decoded is an error.

    Args:
        source: path of a file; caption files beside it are read too.
        options: how to decode and cut.
        first_segment: index of the first segment to hand out.

    Raises:
        SourceError: when made, if the source cannot be opened or has nothing to decode.
        DecodeError: at the end, if nothing could be decoded.
    """

    def __init__(self, source: str, options: DecodeOptions, first_segment: int = 0) -> None:
        self.source = source
        self.num_errors = 0
        self.last_error = ""
        self._container = open_media(source, options.max_pixels)
        try:
            self._video = choose_video(self._container)
            self._audio = choose_audio(self._container, self._video)
            if self._video is not None:
                set_up_video(self._video, options.threads, options.max_pixels)
            sidecar_cues = self._read_sidecar()
            self._text = None if sidecar_cues else next((s for s in self._container.streams if is_text(s)), None)
            self._streams = [s for s in (self._video, self._audio, self._text) if s is not None]
            if not self._streams:
                raise SourceError(source, "no-media", "no video, sound or text in it that can be decoded")
            self._make_stages(options, first_segment)
            for cue in sidecar_cues:
                self._push_cue(cue)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Frees the decoder; must be called by the thread that reads."""
        self._container.close()

    def __iter__(self) -> Iterator[Segment]:
        decoded_any = False
        for packet in self._packets():
            for segment in self._decode(packet):
                decoded_any = True
                yield segment
        for segment in self._flush():
            decoded_any = True
            yield segment
        if not decoded_any and self._segmenter.end <= 0:
            detail = f"nothing in it can be decoded: {self.last_error}" if self.last_error else "there is nothing in it"
            raise DecodeError(self.source, "undecodable", detail)

    # --- streams

    def _read_sidecar(self) -> list[Cue]:
        """Cues of the first caption file beside the source; one that cannot be read is counted as an error."""
        for path in sidecars(self.source):
            try:
                return read_sidecar(path)
            except SourceError as error:
                self._count(error)
        return []

    def _make_stages(self, options: DecodeOptions, first_segment: int) -> None:
        starts = [
            s.start_time * s.time_base
            for s in (self._video, self._audio)
            if s is not None and s.start_time is not None and s.time_base is not None
        ]
        if not starts and self._video is None and self._audio is None:
            starts = [Fraction(0)]  # captions alone are timed from the start of what they belong to
        format_name = self._container.format.name
        self._clock = Clock(min(starts, default=None), wraps=format_name in ("mpegts", "mpeg"))
        if self._video is not None:
            self._times = FrameTimes(self._clock, self._video, use_dts=format_name == "avi")
            ratio = self._video.sample_aspect_ratio
            self._pixel_aspect = float(ratio) if ratio else 1.0
        self._resampler = _resampler()
        streams: set[Modality] = set()
        if self._video is not None:
            streams.add("video")
        if self._audio is not None:
            streams.add("audio")
        convert = PictureConverter(options.shorter_side, options.crop)
        self._segmenter = Segmenter(
            self.source,
            options.windows,
            frozenset(streams),
            lambda frame: convert(frame, self._pixel_aspect),
            (options.crop, options.crop),
            first_segment,
        )

    # --- packets

    def _packets(self) -> Iterator[av.Packet[Any]]:
        """Every packet of the chosen streams, with an empty one per stream at the end that flushes its decoder."""
        in_a_row = 0
        while in_a_row < _MAX_DEMUX_ERRORS:
            try:
                for packet in self._container.demux(self._streams):
                    in_a_row = 0
                    yield packet
                return
            except (av.error.FFmpegError, IndexError, ValueError) as error:
                in_a_row += 1
                self._count(error)

    def _decode(self, packet: av.Packet[Any]) -> Iterator[Segment]:
        modality: Modality = "video" if packet.stream is self._video else "audio"
        try:
            if packet.stream is self._text:
                modality = "text"
                for cue in packet_cues(packet, -float(self._clock.origin or 0)):
                    self._push_cue(cue)
                return
            frames = packet.decode()
        except (av.error.FFmpegError, ValueError) as error:
            self._segmenter.push_error(modality, self._packet_seconds(packet))
            self._count(error)
            return
        if packet.is_corrupt:
            self._segmenter.push_error(modality, self._packet_seconds(packet))
            self.num_errors += 1
            self.last_error = "a packet is damaged"
        for frame in frames:
            yield from self._push(frame)

    def _push_cue(self, cue: Cue) -> None:
        if cue.start_seconds > _LAST_CUE_SECONDS:
            self.num_errors += 1
            self.last_error = f"a caption at {cue.start_seconds:.0f} s, which no film reaches"
        else:
            self._segmenter.push_cue(cue)

    def _push(self, frame: object) -> Iterator[Segment]:
        if isinstance(frame, av.VideoFrame):
            start, duration = self._times.span(frame)
            if frame.is_corrupt:
                self._segmenter.push_error("video", start)
                self.num_errors += 1
            yield from self._segmenter.push_picture(start, duration, frame)
            return
        assert isinstance(frame, av.AudioFrame)
        for piece in self._resample(frame):
            yield from self._push_piece(piece)

    def _resample(self, frame: av.AudioFrame | None) -> list[av.AudioFrame]:
        try:
            return self._resampler.resample(frame)
        except ValueError:  # the rate or layout changed in mid-stream
            self._resampler = _resampler()
            return self._resampler.resample(frame)
        except av.error.FFmpegError as error:
            self._segmenter.push_error("audio", None)
            self._count(error)
            return []

    def _push_piece(self, piece: av.AudioFrame) -> Iterable[Segment]:
        start = None
        if piece.pts is not None and self._audio is not None:
            start = self._clock.seconds(self._audio.index, piece.pts, Fraction(1, SAMPLE_RATE_HZ))
        return self._segmenter.push_sound(start, np.frombuffer(memoryview(piece.planes[0]), np.float32, piece.samples))

    def _flush(self) -> Iterator[Segment]:
        for piece in self._resample(None) if self._audio is not None else ():
            yield from self._push_piece(piece)
        yield from self._segmenter.flush()
        self._count_what_is_missing()

    def _count_what_is_missing(self) -> None:
        """Counts what was dropped on the clock, and the rest of a file that is cut short."""
        claimed = (self._container.duration or 0) / av.time_base
        end = float(self._segmenter.end)
        if self._container.format.name.startswith(_INDEXED_FORMATS) and claimed - end > max(1.0, claimed / 10):
            self.num_errors += 1
            self.last_error = f"it ends after {end:.1f} s and says that it has {claimed:.1f} s"
        if dropped := self._segmenter.pictures.num_out_of_order + self._segmenter.sound.num_overlaps:
            self.num_errors += dropped
            self.last_error = self.last_error or "times went back a little, what came twice was dropped"
        if jumps := self._clock.num_jumps:
            self.num_errors += jumps
            self.last_error = self.last_error or "times jumped, what follows was joined to what came before"

    def _packet_seconds(self, packet: av.Packet[Any]) -> Fraction | None:
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None or self._clock.origin is None:
            return None
        return stamp * packet.time_base - self._clock.origin

    def _count(self, error: BaseException) -> None:
        self.num_errors += 1
        self.last_error = error.detail if isinstance(error, SourceError) else reason(error)


def _resampler() -> av.AudioResampler:
    return av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE_HZ)
