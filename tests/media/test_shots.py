"""Pictures whose cuts are known: found at the right time, and nothing else taken for one."""

from fractions import Fraction

import av
import numpy as np
import pytest

from streammm.media.cutting import Windows
from streammm.media.options import DecodeOptions
from streammm.media.reader import SegmentReader
from streammm.media.shots import ShotDetector
from tests.conftest import MakeClip


def frame(level: int, offset: int = 0, form: str = "rgb24", size: tuple[int, int] = (90, 160)) -> av.VideoFrame:
    """A picture with a gradient that moves by ``offset`` pixels, on top of a grey level."""
    slope = (np.arange(size[1]) + offset) % 160 // 8
    picture = np.broadcast_to((level + slope)[None, :, None], (*size, 3)).astype(np.uint8)
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24").reformat(format=form)


def cuts_of(frames: list[av.VideoFrame], **kwargs: float) -> list[float]:
    detector = ShotDetector(**kwargs)
    found = [cut for n, picture in enumerate(frames) for cut in detector.push(Fraction(n, 25), picture)]
    return [float(cut) for cut in found + detector.flush()]


def test_cuts_are_found_at_the_first_picture_of_the_new_shot() -> None:
    shots = [frame(40, n) for n in range(30)] + [frame(120, n) for n in range(30)] + [frame(200) for _ in range(30)]
    assert cuts_of(shots) == [30 / 25, 60 / 25]


def test_a_moving_picture_is_one_shot() -> None:
    assert cuts_of([frame(60, 5 * n) for n in range(60)]) == []


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_is_no_cut(length: int) -> None:
    shots = [frame(40) for _ in range(30)]
    for n in range(length):
        shots[15 + n] = frame(220)
    assert cuts_of(shots) == []


def test_a_cut_among_the_last_pictures_is_found() -> None:
    assert cuts_of([frame(40) for _ in range(30)] + [frame(200)]) == [30 / 25]


def test_a_shot_has_its_least_length() -> None:
    shots = [frame(40 + 80 * (n // 5 % 2)) for n in range(60)]
    found = cuts_of(shots, least_seconds=Fraction(1))
    assert min(np.diff([0.0, *found])) >= 1.0


@pytest.mark.parametrize("form", ["gray", "yuv420p10le", "gbrp", "yuva420p", "rgba", "yuv444p", "pal8"])
def test_any_pixel_format_and_size_will_do(form: str) -> None:
    made = form if form != "pal8" else "rgb8"
    assert cuts_of([frame(40, 0, made) for _ in range(10)] + [frame(200, 0, made) for _ in range(10)],
                   least_seconds=Fraction(0)) == [10 / 25]  # fmt: skip
    assert cuts_of([frame(40, 0, "rgb24", (1, 1)) for _ in range(5)]) == []


def test_what_is_decided_never_gets_a_cut_later() -> None:
    detector, decided = ShotDetector(), Fraction(0)
    for n in range(60):
        for cut in detector.push(Fraction(n, 25), frame(40 + 90 * (n // 20))):
            assert cut >= decided
        decided = detector.decided or decided
    assert decided == Fraction(57, 25)


def test_segments_are_shots_with_a_longest_length(clip: MakeClip) -> None:
    path = clip("a.mp4", 12.0, rate=10, audio="aac", cut_at=(3.0, 4.5), grey=60)
    with SegmentReader(str(path), DecodeOptions(max_shot_seconds=Fraction(4))) as reader:
        segments = list(reader)
    assert [s.start_seconds for s in segments] == pytest.approx([0.0, 3.0, 4.5, 8.5], abs=0.01)
    assert segments[-1].end_seconds == pytest.approx(12.0, abs=0.1)
    assert all(len(s.frames) for s in segments)
    with SegmentReader(str(path), DecodeOptions(max_shot_seconds=Fraction(4)), first_segment=2) as reader:
        later = list(reader)
    assert [s.index for s in later] == [2, 3]
    assert np.array_equal(later[0].frames, segments[2].frames)


def test_sound_alone_is_cut_by_the_longest_length(clip: MakeClip) -> None:
    path = clip("a.wav", 9.0, video=None, audio="pcm_s16le")
    with SegmentReader(str(path), DecodeOptions(Windows(), max_shot_seconds=Fraction(4))) as reader:
        assert [s.start_seconds for s in reader] == [0.0, 4.0, 8.0]
