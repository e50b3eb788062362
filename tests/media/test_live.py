"""What a live reader makes of segments that come late, without a server."""

from __future__ import annotations

import time
from dataclasses import replace

from streammm.media.live import LiveReader
from streammm.media.options import DecodeOptions
from streammm.media.process import ProcessPool
from streammm.types import LiveState, Segment
from tests.workers.fakes import segment


def test_a_segment_that_comes_after_its_outage_is_dropped_and_counted() -> None:
    options = DecodeOptions()
    reader = LiveReader("udp://127.0.0.1:1", options, 0, ProcessPool(options.limits))
    reader._zero = time.monotonic() - 16.0
    reader._lost_since, reader._next = time.monotonic() - 2.5, 7
    (outage,) = reader._with_outages([])
    assert (outage.index, outage.start_seconds, outage.end_seconds) == (7, 14.0, 16.0)
    late, following = (reader._counted(segment_of(n), {}) for n in (7, 8))
    found = reader._with_outages([late, following])
    assert [s.index for s in found] == [8]
    after = reader._counted(segment_of(9), {})
    assert after.live is not None
    assert after.live.num_dropped_segments == 1


def segment_of(index: int) -> Segment:
    return replace(segment(index), live=LiveState(0.0, 0.0))
