"""Packets of one open container -> Segments: every packet decoded at most once, all on one clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
import av.error
from av.container import InputContainer

from streammm.errors import SourceError
from streammm.media.clock import Clock, FrameTimes
from streammm.media.convert import PictureConverter
from streammm.media.cutting import Shots
from streammm.media.options import DecodeOptions
from streammm.media.pictures import instants_before
from streammm.media.segmenter import Segmenter
from streammm.media.selection import Selection, Skip, Step
from streammm.media.shots import ShotDetector
from streammm.media.sound import Downmix
from streammm.media.sound_decoder import SoundDecoder
from streammm.media.source import reason
from streammm.media.streams import choose_audio, choose_video, set_up_video
from streammm.media.subtitles import is_text, packet_cues
from streammm.types import Cue, Modality, Segment

_LAST_CUE_SECONDS = 48 * 3600
"""A caption file of a few bytes may name any time, and with captions alone each window up to it is a row."""


class MediaDecoder:
    """Decodes the streams that are used and cuts what comes out into segments.

    Args:
        container: open for demuxing; stays the caller's.
        source: name of the source, copied into every segment.
        options: how to decode and cut.
        first_segment: index of the first segment to hand out.
        cues: captions from beside the source; with these, subtitles inside it are not used.
        now: for live sources, the seconds that have passed on the wall since the source's zero.

    Raises:
        SourceError: there is nothing in it to decode.
    """

    def __init__(
        self,
        container: InputContainer,
        source: str,
        options: DecodeOptions,
        first_segment: int = 0,
        *,
        cues: Iterable[Cue] = (),
        now: Callable[[], float] | None = None,
    ) -> None:
        self.num_errors = 0
        self.last_error = ""
        self.video = choose_video(container)
        self.audio = choose_audio(container, self.video)
        cues = list(cues)
        self.text = None if cues else next((s for s in container.streams if is_text(s)), None)
        self.streams: list[Any] = [s for s in (self.video, self.audio, self.text) if s is not None]
        if not self.streams and not cues:
            raise SourceError(source, "no-media", "no video, sound or text in it that can be decoded")
        self._make_clock(container, now)
        self._downmix = Downmix()
        self.sound = SoundDecoder(self.audio) if self.audio is not None else None
        self._selection: Selection | None = None
        self._in_seconds: dict[int, Callable[[int], float]] = {}
        self._is_emptied = False
        self._asked: Skip = "DEFAULT"
        self._shed: Skip = "DEFAULT"
        self._left_out: Skip = "DEFAULT"
        self._leaves_pictures_out = False
        self._video_end: int | None = None
        self._sound_before = options.speech.before_seconds if options.speech else Fraction(0)
        self._make_segmenter(source, options, first_segment)
        if self.video is not None:
            self._set_up_video(container, options)
        for cue in cues:
            self._push_cue(cue)

    def push(self, packet: av.Packet[Any]) -> Iterator[Segment]:
        """Takes the next packet of a used stream, with its timestamps placed on the clock; an empty one flushes."""
        if packet.stream is self.text:
            self._decode_text(packet)
        elif packet.stream is self.video and self._selection is not None:
            if self._leaves_pictures_out and packet.pts is not None:
                end = packet.pts + (packet.duration or 0)
                self._video_end = end if self._video_end is None else max(self._video_end, end)
            yield from self._decode_selected(self._selection.push(packet))
        else:
            yield from self._decode(packet)

    def flush(self) -> Iterator[Segment]:
        """Nothing follows: gives the segments that are left."""
        if self._selection is not None:
            yield from self._decode_selected(self._selection.flush())
        if self._video_end is not None:
            self.segmenter.pictures.hold_until(self.clock.seconds(self._video_end, self._video_base))
        yield from self.segmenter.flush()

    def shed(self, what: Skip) -> None:
        """From the next packet on leaves out pictures, whether they are sampled or not: ``DEFAULT`` (none, but those
        that are not needed), ``NONREF`` or ``NONKEY``."""
        self._shed = what
        self._skip(self._asked)

    def _skip(self, asked: Skip) -> None:
        self._asked = asked
        what = asked if self._shed == "DEFAULT" else self._shed
        if self.video is not None and what != self._left_out:
            self.video.codec_context.skip_frame = self._left_out = what

    def seconds(self, packet: av.Packet[Any]) -> Fraction | None:
        """When a packet is shown or heard, or if that is not known, decoded."""
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None or self.clock.origin is None:
            return None
        return self.clock.seconds(stamp, packet.time_base)

    def plain_seconds(self, packet: av.Packet[Any]) -> float | None:
        """The same, rounded to a float."""
        stamp = packet.pts if packet.pts is not None else packet.dts
        return self._plain(packet.stream, stamp)

    def _plain(self, stream: Any, stamp: int | None) -> float | None:
        if stamp is None:
            return None
        if (in_seconds := self._in_seconds.get(stream.index)) is None:
            if self.clock.origin is None or stream.time_base is None:
                return None
            in_seconds = self._in_seconds[stream.index] = self.clock.in_seconds(stream.time_base)
        return in_seconds(stamp)

    def _ends(self, packet: av.Packet[Any]) -> Fraction | None:
        """When a packet stops being shown or heard, if that is known."""
        start = self.seconds(packet)
        return None if start is None else start + (packet.duration or 0) * packet.time_base

    def sound_from(self, target: Fraction) -> Fraction:
        """From where packets of sound must be decoded for the segment at a time to be whole."""
        if self.sound is None:
            return target
        return self.sound.start_of(max(Fraction(0), target - self._sound_before))

    def prime(self, packet: av.Packet[Any]) -> bool:
        """Decodes a picture only for its time; True once the stream knows where its pictures' times begin."""
        if packet.stream is not self.video or not self.times.use_dts or self.times.is_anchored:
            return True
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, ValueError):
            return False
        for frame in frames:
            self.times.span(frame)
        if self.times.is_anchored:
            self.video.codec_context.flush_buffers()
        return self.times.is_anchored

    def count(self, error: BaseException | str) -> None:
        """Counts something that went wrong."""
        self.num_errors += 1
        if isinstance(error, SourceError):
            self.last_error = error.detail
        else:
            self.last_error = error if isinstance(error, str) else reason(error)

    # --- set-up

    def _make_clock(self, container: InputContainer, now: Callable[[], float] | None) -> None:
        starts = {
            s.type: s.start_time * s.time_base
            for s in (self.video, self.audio)
            if s is not None and s.start_time is not None and s.time_base is not None
        }
        origin = min(starts.values(), default=None)
        if self.video is None and self.audio is None:
            origin = Fraction(0)  # captions alone are timed from the start of what they belong to
        self.clock = Clock(origin, wraps=container.format.name in ("mpegts", "mpeg"), now=now)
        self._offset_seconds = float(starts["audio"] - starts["video"]) if len(starts) == 2 else 0.0
        self._is_live = now is not None

    def _make_segmenter(self, source: str, options: DecodeOptions, first_segment: int) -> None:
        streams: set[Modality] = set()
        pixel_aspect = 1.0
        if self.video is not None:
            streams.add("video")
            ratio = self.video.sample_aspect_ratio
            pixel_aspect = float(ratio) if ratio else 1.0
        if self.audio is not None:
            streams.add("audio")
        convert = PictureConverter(options.shorter_side, options.crop, options.whole)
        self._shots: Shots | None = None
        if options.max_shot_seconds is not None:
            self._shots = Shots(ShotDetector(), options.max_shot_seconds, has_pictures=self.video is not None)
        self.segmenter = Segmenter(
            source,
            options.windows,
            frozenset(streams),
            lambda frame: convert(frame, pixel_aspect),
            (options.crop, options.crop),
            first_segment,
            shots=self._shots,
            speech=options.speech,
            max_lead_seconds=options.live.max_lead_seconds if self._is_live else 60.0,
            is_live=self._is_live,
            offset_seconds=self._offset_seconds,
        )

    def _set_up_video(self, container: InputContainer, options: DecodeOptions) -> None:
        assert self.video is not None
        set_up_video(self.video, options.threads, options.max_pixels)
        self.times = FrameTimes(self.clock, self.video, use_dts=container.format.name == "avi")
        time_base = self.video.time_base or Fraction(0)
        count: Callable[[int], int] | None = None

        def is_sampled(pts: int, next_pts: int) -> bool:
            nonlocal count
            if count is None:
                origin = self.clock.origin or Fraction(0)
                count = instants_before(time_base, options.windows.frames_per_second, origin)
            return count(next_pts) > count(pts)

        self._selection = Selection(
            self.video.codec_context,
            options,
            is_sampled,
            is_live=self._is_live,
            is_whole=self._shots is not None or self.times.use_dts,  # which need others to know a picture's time
        )
        self._skip(self._selection.skips)
        self._video_base = time_base
        self._leaves_pictures_out = self._is_live or self._selection.skips != "DEFAULT"

    # --- decoding

    def _decode_selected(self, steps: Iterable[Step]) -> Iterator[Segment]:
        for step in steps:
            if step.skip is not None:
                self._skip(step.skip)
            if step.packet is not None:
                yield from self._decode(step.packet)
                if self._is_live:
                    yield from self._see(step.packet)
            elif not self._is_emptied:
                yield from self._empty()
            if ends := [end for end in map(self._ends, step.stands_for) if end is not None]:
                self.segmenter.pictures.hold_until(max(ends))

    def _see(self, packet: av.Packet[Any]) -> Iterable[Segment]:
        """Nothing that comes later is shown before its own decoding time, which is when this packet's time is over."""
        seconds = None if packet.dts is None else self._plain(packet.stream, packet.dts + (packet.duration or 0))
        return () if seconds is None else self.segmenter.see(seconds)

    def _empty(self) -> Iterator[Segment]:
        assert self.video is not None
        frames: list[av.VideoFrame] = []
        with suppress(av.error.FFmpegError, ValueError):
            frames = self.video.codec_context.decode(None)
        self.video.codec_context.flush_buffers()
        self._is_emptied = True
        for frame in frames:
            yield from self._push_picture(frame)

    def _decode(self, packet: av.Packet[Any]) -> Iterator[Segment]:
        modality: Modality = "video" if packet.stream is self.video else "audio"
        if modality == "video":
            self._is_emptied = False
        try:
            frames = self._frames(packet)
        except (av.error.FFmpegError, ValueError) as error:
            self.segmenter.push_error(modality, self.seconds(packet))
            self.count(error)
            return
        if packet.is_corrupt:
            self.segmenter.push_error(modality, self.seconds(packet))
            self.count("a packet is damaged")
        for frame in frames:
            if isinstance(frame, av.VideoFrame):
                yield from self._push_picture(frame)
            else:
                yield from self._push_sound(frame)

    def _frames(self, packet: av.Packet[Any]) -> list[Any]:
        if packet.stream is self.audio and self.sound is not None:
            return self.sound.decode(packet, self.plain_seconds(packet))
        return packet.decode()

    def _decode_text(self, packet: av.Packet[Any]) -> None:
        try:
            for cue in packet_cues(packet, -float(self.clock.origin or 0)):
                self._push_cue(cue)
        except (av.error.FFmpegError, ValueError) as error:
            self.segmenter.push_error("text", self.seconds(packet))
            self.count(error)

    def _push_cue(self, cue: Cue) -> None:
        if cue.start_seconds > _LAST_CUE_SECONDS and not self._is_live:
            self.count(f"a caption at {cue.start_seconds:.0f} s, which no film reaches")
        else:
            self.segmenter.push_cue(cue)

    def _push_picture(self, frame: av.VideoFrame) -> Iterable[Segment]:
        start, duration = self.times.span(frame)
        if frame.is_corrupt:
            self.segmenter.push_error("video", start)
            self.count("a picture is damaged")
        return self.segmenter.push_picture(start, duration, frame)

    def _push_sound(self, frame: av.AudioFrame) -> Iterable[Segment]:
        assert self.audio is not None
        start = self._plain(self.audio, frame.pts)
        try:
            samples = self._downmix(frame)
        except (av.error.FFmpegError, ValueError) as error:
            self.segmenter.push_error("audio", start)
            self.count(error)
            return ()
        return self.segmenter.push_sound(start, samples, frame.sample_rate)
