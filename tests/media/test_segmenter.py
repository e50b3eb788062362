"""Pictures and sound with known times: which segment gets what, and when it is complete."""

import itertools
from collections.abc import Iterable
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from streammm.media.clock import Clock
from streammm.media.cutting import Windows
from streammm.media.pictures import PictureSampler
from streammm.media.segmenter import Segmenter
from streammm.types import Cue, Modality, Segment, Status


def placed(clock: Clock, stream: int, pts: int, base: Fraction) -> Fraction:
    shift = clock.shift(stream, pts * base)
    return clock.seconds(pts, base) + shift


def picture(frame: SimpleNamespace) -> np.ndarray:
    return np.full((2, 2, 3), frame.number % 256, np.uint8)


def segmenter(*streams: Modality, **kwargs: object) -> Segmenter:
    return Segmenter("s", Windows(), frozenset(streams), picture, (2, 2), **kwargs)


def push_pictures(stage: Segmenter, times: Iterable[Fraction], first: int = 100) -> list[Segment]:
    times = list(times)
    steps = [b - a for a, b in itertools.pairwise(times)] + [Fraction(1, 10)]
    out = []
    for n, (time, step) in enumerate(zip(times, steps, strict=True)):
        out += stage.push_picture(time, step, SimpleNamespace(number=first + n))
    return out


def numbers(segment: Segment) -> list[int]:
    return segment.frames[:, 0, 0, 0].tolist()


def test_a_variable_rate_gives_the_picture_shown_at_each_instant() -> None:
    stage = segmenter("video")
    segments = push_pictures(stage, [Fraction(t, 100) for t in (0, 20, 30, 110, 190, 205, 230)])
    segments += stage.flush()
    assert numbers(segments[0]) == [101, 102, 103, 103]  # at .25, .75, 1.25 and 1.75
    assert segments[0].frame_seconds.tolist() == [0.2, 0.3, 1.1, 1.1]


def test_only_pictures_that_are_kept_are_converted() -> None:
    converted = []
    sampler = PictureSampler(Fraction(2), lambda f: converted.append(f.number) or picture(f), Fraction(0))
    for n in range(100):
        sampler.push(Fraction(n, 25), Fraction(1, 25), SimpleNamespace(number=n))
    sampler.flush()
    assert converted == [6, 18, 31, 43, 56, 68, 81, 93]  # the last that started by .25, .75, 1.25 ...


def test_pictures_out_of_order_are_counted() -> None:
    stage = segmenter("video")
    push_pictures(stage, [Fraction(0), Fraction(2, 10), Fraction(1, 10), Fraction(3, 10)])
    assert stage.pictures.num_out_of_order == 1


def test_a_segment_waits_for_the_slower_stream() -> None:
    stage = segmenter("audio", "video")
    assert push_pictures(stage, [Fraction(n, 10) for n in range(40)]) == []
    assert list(stage.push_sound(Fraction(0), np.ones(32_100, np.float32), 16_000)) == []
    assert [s.index for s in stage.push_sound(None, np.ones(60, np.float32), 16_000)] == [0]


def test_a_stream_that_stays_away_is_not_waited_for_beyond_the_lead() -> None:
    stage = segmenter("audio", "video", max_lead_seconds=4.0)
    segments = push_pictures(stage, [Fraction(n, 10) for n in range(81)])
    assert [(s.index, s.status["audio"]) for s in segments] == [(0, Status.ABSENT), (1, Status.ABSENT)]


def test_memory_is_bounded_by_the_open_windows_and_the_lead() -> None:
    stage = segmenter("audio", "video", max_lead_seconds=4.0)
    push_pictures(stage, [Fraction(n, 10) for n in range(3000)], first=0)
    assert len(stage.pictures._taken) <= 2 * (2 + 4)


def test_cues_are_in_every_segment_they_overlap_and_half_open() -> None:
    stage = segmenter("video")
    for cue in (Cue(0.0, 2.0, "one"), Cue(1.0, 4.5, "two")):
        stage.push_cue(cue)
    segments = push_pictures(stage, [Fraction(n, 10) for n in range(60)]) + list(stage.flush())
    assert [s.text for s in segments] == ["one two", "two", "two"]


def test_captions_alone_make_segments() -> None:
    stage = segmenter()
    stage.push_cue(Cue(1.0, 3.0, "words"))
    assert [(s.start_seconds, s.end_seconds, s.text) for s in stage.flush()] == [
        (0.0, 2.0, "words"),
        (2.0, 3.0, "words"),
    ]


def test_errors_mark_the_segment_they_lie_in() -> None:
    stage = segmenter("video")
    stage.push_error("video", Fraction(5, 2))
    segments = push_pictures(stage, [Fraction(n, 10) for n in range(60)]) + list(stage.flush())
    assert [s.status["video"] for s in segments] == [Status.OK, Status.DAMAGED, Status.OK]
    assert [s.num_errors["video"] for s in segments] == [0, 1, 0]


@pytest.mark.parametrize("values", [{"length_seconds": 0}, {"hop_seconds": 3}, {"frames_per_second": 0}])
def test_windows_that_cannot_be_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="need 0 < hop <= length"):
        Windows(**{key: Fraction(value) for key, value in values.items()})


def test_the_clock_starts_at_the_origin_and_survives_wraps() -> None:
    clock = Clock(Fraction(95_443), wraps=True)
    base = Fraction(1, 90_000)
    stamps = [95_443 * 90_000, 2**33 - 1, 2**33 + 29_999]
    seconds = [placed(clock, 0, stamp % 2**33, base) for stamp in stamps]
    assert seconds == [stamp * base - 95_443 for stamp in stamps]
    assert placed(clock, 0, 2**33 - 30_000, base) == (2**33 - 30_000) * base - 95_443  # a reordered one from before


def test_the_clock_takes_its_zero_from_the_first_time_where_the_container_has_none() -> None:
    clock = Clock(None)
    assert [placed(clock, 0, pts, Fraction(1, 10)) for pts in (50, 51)] == [0, Fraction(1, 10)]


def test_streams_that_jump_stay_together_and_go_on_where_the_latest_was() -> None:
    clock, base = Clock(Fraction(0), wraps=True), Fraction(1, 1000)
    assert [placed(clock, 0, pts, base) for pts in (9_900, 10_000)] == [Fraction(99, 10), 10]
    assert placed(clock, 1, 9_980, base) == Fraction(998, 100)
    assert placed(clock, 0, 500_040, base) == 10  # the pictures start anew at 500.04 s
    assert placed(clock, 1, 500_060, base) == Fraction(1002, 100)  # 20 ms later, as the sound was
    assert placed(clock, 0, 500_140, base) == Fraction(101, 10)
    assert clock.num_jumps == 2


@pytest.mark.parametrize("wraps", [True, False])
def test_a_time_of_many_days_ahead_costs_no_segments(wraps: bool) -> None:
    clock = Clock(Fraction(0), wraps=wraps)
    assert [placed(clock, 0, pts, Fraction(1)) for pts in (1, 2, 10**6, 10**6 + 1)] == [1, 2, 2, 3]
