"""What a source holds and what the pipeline makes of it, in facts and advice: for `streammm probe`.

All packets are read, which is cheap, and the beginning is decoded. Runs in the decoding process.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import av
import av.error
from av.container import InputContainer

from streammm.media.filter import SourceFilter
from streammm.media.subtitles import is_text
from streammm.media.survey import Survey
from streammm.types import Modality

_HDR = {16: "PQ", 18: "HLG"}
"""Transfer characteristics of ITU-T H.273 that ordinary screens cannot show as they are."""

_GAP_SECONDS = 1.0
_LEAST_TAIL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class StreamProbe:
    """One stream: ``use`` says whether the pipeline takes it, else why not."""

    index: int
    kind: str
    codec: str
    detail: str
    use: str
    start_seconds: float | None = None
    end_seconds: float | None = None
    num_packets: int = 0


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found; ``claimed_seconds`` and ``declared_rate_hz`` are what the container says, the others are true."""

    source: str
    container: str
    is_live: bool
    claimed_seconds: float | None
    found_seconds: float
    streams: tuple[StreamProbe, ...]
    captions_beside: tuple[str, ...]
    declared_rate_hz: float | None
    rate_hz: float | None
    least_rate_hz: float | None
    most_rate_hz: float | None
    rotation_degrees: int
    offset_seconds: float | None
    decoded_seconds: float
    num_errors: int
    last_error: str
    num_segments: int | None
    advice: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The probe as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """The probe that `to_json` was called on."""
        streams = tuple(StreamProbe(**stream) for stream in plain["streams"])
        lists = {name: tuple(plain[name]) for name in ("captions_beside", "advice")}
        return cls(**{**plain, "streams": streams, **lists})


def probe_container(
    container: InputContainer,
    source: str,
    *,
    length_seconds: float,
    hop_seconds: float,
    captions_beside: tuple[str, ...] = (),
    decode_seconds: float = 10.0,
    is_live: bool = False,
    live_seconds: float = 5.0,
    source_filter: SourceFilter | None = None,
    notes: Sequence[str] = (),
) -> Probe:
    """Looks into an open container.

    Args:
        container: open for demuxing.
        source: its name.
        length_seconds: of a segment.
        hop_seconds: from one segment's start to the next.
        captions_beside: names of caption files beside the source.
        decode_seconds: how much of it is decoded; infinity for all.
        is_live: it goes on without end, and is looked at for ``live_seconds``.
        live_seconds: how long a live source is looked at.
        source_filter: by which it may be left out.
        notes: further advice.
    """
    look = Survey(container, decode_seconds, live_seconds if is_live else math.inf)
    end = max((look.found[s.index].ends for s in (look.video, look.audio) if s is not None), default=0.0)
    if look.video is None and look.audio is None:
        end = max((found.ends for found in look.found.values()), default=0.0)
    end = max(end, 0.0)
    rates = _rates(look)
    num_errors = len(look.errors) + sum(found.num_corrupt for found in look.found.values())
    probe = Probe(
        source=source,
        container=container.format.name,
        is_live=is_live,
        claimed_seconds=container.duration / av.time_base if container.duration else None,
        found_seconds=round(end, 3),
        streams=tuple(_stream(look, stream) for stream in container.streams),
        captions_beside=captions_beside,
        declared_rate_hz=float(look.video.average_rate) if look.video and look.video.average_rate else None,
        rate_hz=rates[0],
        least_rate_hz=rates[1],
        most_rate_hz=rates[2],
        rotation_degrees=round(look.frame.rotation) if look.frame is not None else 0,
        offset_seconds=_offset(look),
        decoded_seconds=round(look.decoded_seconds, 3),
        num_errors=num_errors,
        last_error=look.errors[-1] if look.errors else "a packet is damaged" if num_errors else "",
        num_segments=None if is_live else _num_segments(end, length_seconds, hop_seconds),
    )
    advice = [*_on_filter(probe, look, source_filter or SourceFilter()), *_advice(probe, look), *notes]
    return Probe(**{**asdict(probe), "streams": probe.streams, "advice": tuple(advice)})


def _on_filter(probe: Probe, look: Survey, source_filter: SourceFilter) -> Iterator[str]:
    has: set[Modality] = {"video"} if look.video is not None else set()
    has |= {"audio"} if look.audio is not None else set()
    has |= {"text"} if probe.captions_beside or any(is_text(s) for s in look.container.streams) else set()
    if not probe.is_live and (objection := source_filter.objection(probe.claimed_seconds, has)):
        yield f"would be left out: {objection}"


def _num_segments(end: float, length: float, hop: float) -> int:
    """As `segmenter` counts them: a rest of 0.1 s or more is a segment."""
    count = int(end > 0)
    while end - ((count - 1) * hop + length) >= _LEAST_TAIL_SECONDS:
        count += 1
    return count


def _rates(look: Survey) -> tuple[float | None, float | None, float | None]:
    """Mean, least and most pictures a second, by the times of the packets."""
    times = sorted(look.found[look.video.index].times) if look.video is not None else []
    steps = sorted(b - a for a, b in itertools.pairwise(times) if b > a)
    if len(steps) < 2:
        return None, None, None
    mean = len(steps) / (times[-1] - times[0])
    cut = len(steps) // 50  # the shortest and longest fiftieth are rounding and gaps
    return round(mean, 3), round(1 / steps[-1 - cut], 3), round(1 / steps[cut], 3)


def _offset(look: Survey) -> float | None:
    if look.video is None or look.audio is None:
        return None
    video, audio = look.found[look.video.index], look.found[look.audio.index]
    if not video.times or not audio.times:
        return None
    return round(max(0.0, audio.times[0]) - max(0.0, min(video.times)), 4)


def _stream(look: Survey, stream: Any) -> StreamProbe:
    context = getattr(stream, "codec_context", None)
    found = look.found[stream.index]
    has_times = bool(found.times)
    return StreamProbe(
        index=stream.index,
        kind=stream.type,
        codec=context.name if context is not None else "unknown",
        detail=_detail(stream, context),
        use=_use(look, stream, context),
        start_seconds=round(min(found.times), 4) if has_times else None,
        end_seconds=round(found.ends, 4) if has_times else None,
        num_packets=found.num_packets,
    )


def _detail(stream: Any, context: Any) -> str:
    if context is None:
        return ""
    if stream.type == "video":
        ratio = stream.sample_aspect_ratio
        shape = f", pixels {ratio.numerator}:{ratio.denominator}" if ratio and ratio != 1 else ""
        return f"{context.width}x{context.height} {context.pix_fmt or ''}{shape}".strip()
    if stream.type == "audio":
        return f"{context.sample_rate} Hz {context.layout.name}"
    return str(stream.language or "")


def _use(look: Survey, stream: Any, context: Any) -> str:
    if stream is look.video or stream is look.audio:
        return "used"
    if context is None:
        return "no decoder"
    if stream.type == "subtitle":
        first = next((s for s in look.container.streams if is_text(s)), None)
        return "used" if stream is first else "another is used" if is_text(stream) else "pictures, not text"
    if stream.type == "video" and stream.disposition & av.stream.Disposition.attached_pic:
        return "cover art"
    return "another is used" if stream.type in ("video", "audio") else "not looked at"


def _advice(probe: Probe, look: Survey) -> Iterator[str]:
    """What whoever reads this should know, most important first."""
    video, audio = look.video, look.audio
    if video is None:
        yield "no picture: segments have sound or text only"
    if audio is None:
        yield "no sound"
    if probe.num_errors:
        yield f"damaged: {probe.num_errors} errors in what was decoded, the last: {probe.last_error}"
    claimed = probe.claimed_seconds or 0.0
    if not probe.is_live and claimed - probe.found_seconds > max(1.0, claimed / 10):
        yield f"cut short: it says that it has {claimed:.1f} s and ends at {probe.found_seconds:.1f} s"
    if probe.most_rate_hz and probe.least_rate_hz and probe.most_rate_hz > 1.2 * probe.least_rate_hz:
        yield f"variable frame rate: {probe.least_rate_hz:.4g} to {probe.most_rate_hz:.4g} pictures a second"
    if probe.offset_seconds is not None and abs(probe.offset_seconds) >= 0.04:
        which = "sound" if probe.offset_seconds > 0 else "picture"
        yield f"{which} starts {abs(probe.offset_seconds):.2f} s after the other, which is corrected"
    yield from _on_picture(probe, look)
    for stream in probe.streams:
        if stream.use == "used" and stream.end_seconds is not None and stream.kind in ("video", "audio"):
            if probe.found_seconds - stream.end_seconds > max(0.3, probe.found_seconds / 20):
                yield f"{stream.kind} ends at {stream.end_seconds:.1f} s of {probe.found_seconds:.1f} s"
        elif stream.use not in ("used", "not looked at"):
            yield f"stream {stream.index} ({stream.kind}, {stream.codec}) is left out: {stream.use}"
    if jumps := look.clock.num_jumps:
        yield f"its times jump {jumps} times, what follows is joined to what came before"


def _on_picture(probe: Probe, look: Survey) -> Iterator[str]:
    if look.video is None:
        return
    found = look.found[look.video.index]
    if probe.rotation_degrees % 360:
        yield f"turned by {probe.rotation_degrees} degrees, which is put right"
    if (frame := look.frame) is not None:
        if frame.interlaced_frame:
            yield "interlaced"
        if hdr := _HDR.get(int(frame.color_trc)):
            yield f"high dynamic range ({hdr}), mapped to that of ordinary screens"
        if min(frame.width, frame.height) < 32:
            yield f"very small pictures, {frame.width}x{frame.height}"
    elif probe.decoded_seconds >= 0 and found.num_packets:
        yield "none of its first pictures could be decoded"
    if found.num_without_time:
        yield f"{found.num_without_time} pictures have no time of their own, they follow at the nominal rate"
    steps = [b - a for a, b in itertools.pairwise(sorted(found.times))]
    if steps and max(steps) > max(_GAP_SECONDS, 3 * sum(steps) / len(steps)):
        yield f"a gap of {max(steps):.1f} s without a new picture"
