"""Where to begin reading so that decoding starts shortly before a time, and finds there what it would have found.

Containers with an index are asked to seek, and what they give is looked at: it must begin early enough. In others, and
where a seek went wrong, everything is read from the start. Either way no picture is decoded before the last key
picture that comes before the time: reading costs a hundredth of decoding, and jumps in time are found on the way.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, TypeAlias

import av
import av.error
from av.container import InputContainer

from streammm.media.decode import MediaDecoder
from streammm.media.sound_decoder import LEAD_SECONDS

_INDEXED = ("mov", "matroska")

_MAX_HELD_BYTES = 64 * 2**20
"""Packets that are held until decoding starts; where no key picture comes for longer, decoding starts early."""

_MAX_LOOKED_AT = 2000

Packets: TypeAlias = "Iterator[av.Packet[Any]]"


def seek(container: InputContainer, decoder: MediaDecoder, target: Fraction, packets: Packets) -> Packets | None:
    """Seeks to shortly before a time; None if the container cannot, and then it must be opened anew.

    Args:
        container: what to seek in.
        decoder: says which streams matter, and knows the clock.
        target: seconds on the source's clock.
        packets: what demuxing gives after the seek.
    """
    stream = decoder.video or decoder.audio
    origin = decoder.clock.origin
    is_indexed = container.format.name.startswith(_INDEXED)
    if not is_indexed or stream is None or not stream.time_base or origin is None or decoder.text is not None:
        return None  # a caption may have begun long before, and only reading everything finds it
    wanted = {stream.index: target - LEAD_SECONDS}
    if decoder.audio is not None:
        wanted[decoder.audio.index] = decoder.sound_from(target)
    try:
        container.seek(int((min(wanted.values()) + origin) / stream.time_base), stream=stream, backward=True)
        looked_at = list(itertools.islice(_until_all_seen(packets, set(wanted)), _MAX_LOOKED_AT))
    except (av.error.FFmpegError, ValueError):
        return None
    first: dict[int, Fraction] = {}
    for packet in looked_at:
        if (time := decoder.seconds(packet)) is not None:
            first.setdefault(packet.stream_index, time)
    for index, time in wanted.items():
        start = (container.streams[index].start_time or 0) * (container.streams[index].time_base or 0) - origin
        if index not in first or first[index] > max(time, start):
            return None
    return itertools.chain(looked_at, packets)


def _until_all_seen(packets: Packets, missing: set[int]) -> Packets:
    for packet in packets:
        yield packet
        missing.discard(packet.stream_index)
        if not missing:
            return


def forward(packets: Packets, decoder: MediaDecoder, target: Fraction) -> Packets:
    """Passes over packets until a time is near, then gives what begins with the last key picture before it."""
    held: deque[av.Packet[Any]] = deque()
    held_bytes = 0
    sound_from = decoder.sound_from(target)
    for packet in packets:
        time = decoder.seconds(packet)
        if packet.stream is not decoder.video:
            is_near = time is not None and time >= target
            if packet.stream is decoder.text or time is None or time >= sound_from:
                yield packet
        elif not decoder.prime(packet):
            continue
        else:
            is_near = time is None or time >= target - LEAD_SECONDS
            if packet.is_keyframe and not is_near:
                held.clear()
                held_bytes = 0
            held.append(packet)
            held_bytes += packet.size
        if is_near or held_bytes > _MAX_HELD_BYTES:
            break
    yield from held
    yield from packets
