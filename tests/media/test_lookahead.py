"""What is left out of a live source, whose packets are not held back."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from streammm.media import selection
from streammm.media.cutting import Windows
from streammm.media.decode import MediaDecoder
from streammm.media.lookahead import Glance
from streammm.media.opening import open_source
from streammm.media.options import DecodeOptions
from streammm.types import Segment
from tests.conftest import MakeClip


def needed(*packets: tuple[int | None, int | None], instants: set[int]) -> str:
    """Which packets, each a pts and a dts, are needed where instants fall on some pts."""
    glance = Glance(lambda pts, next_pts: any(pts <= n < next_pts for n in instants))
    made: list[Any] = [SimpleNamespace(pts=pts, dts=dts) for pts, dts in packets]
    found = [pair for packet in made for pair in glance.push(packet)]
    assert [packet for packet, _ in found] == made
    return "".join("x" if is_needed else "." for _, is_needed in found)


def test_a_picture_is_needed_unless_one_that_was_seen_ends_it_before_an_instant() -> None:
    pyramid = [(0, -2), (4, -1), (2, 0), (1, 1), (3, 2), (8, 3), (6, 4), (5, 5), (7, 6)]
    assert needed(*pyramid, instants={100}) == "xx...x..."
    assert needed(*pyramid, instants={1}) == "xx.x.x..."
    assert needed(*pyramid, instants={2, 7}) == "xxx..xx.x"
    assert needed(*pyramid, instants={3}) == "xxx.xx..."


def test_a_picture_without_times_or_after_all_others_is_needed() -> None:
    assert needed((0, 0), (1, 1), (None, 2), (3, None), (2, 2), instants=set()) == "xxxxx"


def segments(path: Path, frames_per_second: int) -> tuple[list[Segment], int]:
    """A file as if it were live, and how many of its pictures came out of the decoder."""
    options = DecodeOptions(windows=Windows(frames_per_second=Fraction(frames_per_second)))
    found: list[Segment] = []
    num_pictures = 0
    with closing(open_source(str(path), options)) as opened:
        decoder = MediaDecoder(opened.container, "a", options, now=lambda: 0.0)
        push = decoder.segmenter.push_picture

        def count(*args: Any) -> Any:
            nonlocal num_pictures
            num_pictures += 1
            return push(*args)

        decoder.segmenter.push_picture = count  # type: ignore[method-assign]
        for packet in opened.container.demux(decoder.streams):
            decoder.clock.place(packet)
            found += decoder.push(packet)
        found += decoder.flush()
    return found, num_pictures


@pytest.mark.parametrize("frames_per_second", [2, 7, 25])
def test_what_is_sampled_stays_the_same_to_the_last_bit(
    clip: MakeClip, monkeypatch: pytest.MonkeyPatch, frames_per_second: int
) -> None:
    path = clip("a.mp4", 7.0, rate=25)
    found, num_decoded = segments(path, frames_per_second)
    monkeypatch.setattr(selection, "_LEAVES_OUT", frozenset())
    whole, num_all = segments(path, frames_per_second)
    assert num_all == 175
    assert num_decoded < 175 if frames_per_second < 25 else num_decoded == 175
    assert [(s.index, s.end_seconds, s.status) for s in found] == [(s.index, s.end_seconds, s.status) for s in whole]
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_array_equal(one.frames, other.frames)
        np.testing.assert_array_equal(one.frame_seconds, other.frame_seconds)
        np.testing.assert_array_equal(one.waveform, other.waveform)
