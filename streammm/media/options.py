"""How sources are read: what the configuration says, in the terms of this package."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from streammm.media.cutting import Windows
from streammm.media.filter import SourceFilter
from streammm.media.network import NetworkOptions

Mode = Literal["exact", "adaptive", "fast", "keyframes"]


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How live sources are followed.

    A stream that falls more than ``max_lead_seconds`` behind the other is not waited for. ``queue_segments`` wait for
    a consumer that is too slow, then the oldest is dropped. When decoding lags behind the wall's clock by
    ``nonref_lag_seconds``, pictures that no other refers to are left out, by ``nonkey_lag_seconds`` all but key
    pictures; below ``restore_lag_seconds`` everything is decoded again, above ``reopen_lag_seconds`` the connection is
    made anew. A connection that ends is made again after a pause that doubles from ``first_backoff_seconds`` to
    ``max_backoff_seconds``, give or take 30 %; a source that was never reached is given up after ``connect_seconds``.
    ``max_seconds`` ends a live source after so long, None never.
    """

    max_lead_seconds: float = 4.0
    queue_segments: int = 2
    nonref_lag_seconds: float = 2.0
    nonkey_lag_seconds: float = 5.0
    restore_lag_seconds: float = 0.5
    reopen_lag_seconds: float = 10.0
    first_backoff_seconds: float = 0.5
    max_backoff_seconds: float = 30.0
    connect_seconds: float = 30.0
    max_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class SpeechWindow:
    """What is listened to around a segment, so that a word which is cut by its start or its end is heard whole.

    A segment is handed out when the sound after it has come: that much later than without.
    """

    before_seconds: Fraction
    after_seconds: Fraction = Fraction(1, 2)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the process that decodes a source may use before it is ended.

    ``memory_bytes`` is what it may allocate, ``progress_seconds`` how long it may take over one step without a word,
    ``segment_seconds`` how long it may read without coming to another segment.
    """

    memory_bytes: int = 2 * 1024**3
    progress_seconds: float = 30.0
    segment_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """How sources are decoded and cut.

    ``shorter_side`` and ``crop`` are the pictures that the image encoder wants, in pixels; with ``whole`` a picture is
    not cut but fitted into ``crop`` x ``crop``, over black. ``threads`` is how many threads one source's video decoder
    may use; a picture of over ``max_pixels`` is an error. ``mode`` says which pictures are decoded: all that can
    matter, these but only the first where nothing changes, only those that others refer to, or only key pictures.
    ``max_difference`` is what key pictures may differ by where nothing changes between them. ``hardware``
    names the device that decodes where it can, such as ``cuda``. With ``max_shot_seconds`` segments are shots. With
    ``speech`` the sound around each segment without captions is handed over with it. ``filter`` says which sources are
    left out.
    """

    windows: Windows = field(default_factory=Windows)
    max_shot_seconds: Fraction | None = None
    speech: SpeechWindow | None = None
    mode: Mode = "exact"
    max_difference: float = 1.0
    hardware: str | None = None
    shorter_side: int = 256
    crop: int = 224
    whole: bool = False
    threads: int = 1
    max_pixels: int = 100_000_000
    network: NetworkOptions = field(default_factory=NetworkOptions)
    live: LiveOptions = field(default_factory=LiveOptions)
    limits: Limits = field(default_factory=Limits)
    filter: SourceFilter = field(default_factory=SourceFilter)
