"""Flashes and beeps at known moments: sound and picture are together in every container, wherever reading starts."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streammm.media.cutting import Windows
from streammm.media.decode import MediaDecoder
from streammm.media.options import DecodeOptions
from streammm.media.reader import SegmentReader
from streammm.types import SAMPLE_RATE_HZ, Segment
from tests.conftest import MakeClip

RATE = 25
EVERY_PICTURE = DecodeOptions(windows=Windows(Fraction(2), Fraction(2), Fraction(RATE)), crop=16, shorter_side=16)
FLASHES = [1.0, 2.6, 3.4, 6.2, 27.8, 33.0]

CONTAINERS = {
    "mp4": ({}, 0.005),
    "mov": ({"audio": "pcm_s16le"}, 0.005),
    "ts": ({}, 0.005),
    "mkv": ({}, 0.005),
    "flv": ({}, 0.005),
    "webm": ({"video": "libvpx", "audio": "libopus"}, 0.020),
    "avi": ({"video": "mpeg4", "audio": "libmp3lame"}, 0.020),
}


def read(path: Path, first: int = 0, options: DecodeOptions = EVERY_PICTURE) -> list[Segment]:
    with SegmentReader(str(path), options, first) as reader:
        return list(reader)


def flash_seconds(segments: list[Segment]) -> list[float]:
    """When the picture turns bright."""
    times = np.concatenate([s.frame_seconds for s in segments])
    bright = np.concatenate([s.frames.mean((1, 2, 3)) for s in segments]) > 150
    return times[bright & ~np.roll(bright, 1)].tolist()


def beep_seconds(segments: list[Segment]) -> list[float]:
    """When the sound turns loud."""
    wave = np.concatenate([s.waveform for s in segments])
    loud = np.flatnonzero(np.abs(wave) > 0.5)
    return (loud[np.diff(loud, prepend=-SAMPLE_RATE_HZ) > SAMPLE_RATE_HZ // 10] / SAMPLE_RATE_HZ).tolist()


def make(clip: MakeClip, suffix: str, seconds: float = 8.0) -> Path:
    flashes = [at for at in FLASHES if at < seconds]
    return clip(f"a.{suffix}", seconds, rate=RATE, clicks=flashes, flashes=flashes, grey=20, **CONTAINERS[suffix][0])


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_flash_and_beep_are_at_the_same_time(clip: MakeClip, suffix: str) -> None:
    segments = read(make(clip, suffix))
    flashes, beeps = flash_seconds(segments), beep_seconds(segments)
    assert len(flashes) == len(beeps) == 4
    assert np.abs(np.subtract(flashes, beeps)).max() <= CONTAINERS[suffix][1]


def test_sound_that_starts_late_is_in_its_place_and_the_offset_is_told(clip: MakeClip) -> None:
    path = clip("a.mkv", 6.0, rate=RATE, audio_start=1.2, clicks=[2.0], flashes=[2.0 + 1.2], grey=20)
    segments = read(path)
    assert segments[0].offset_seconds == pytest.approx(1.2, abs=0.03)
    assert segments[0].coverage["audio"] == pytest.approx(0.4, abs=0.03)
    (flash,), (beep,) = flash_seconds(segments), beep_seconds(segments)
    assert flash == pytest.approx(3.2, abs=0.01)
    assert abs(flash - beep) < 0.03  # AAC's priming is not marked where it does not start at zero


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_wherever_reading_starts_the_segments_are_the_same(
    clip: MakeClip, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(clip, suffix, 36.0)
    whole = read(path)
    assert len(whole) == 18
    num_pictures = 0
    push = MediaDecoder._push_picture

    def count(self: MediaDecoder, frame: object) -> object:
        nonlocal num_pictures
        num_pictures += 1
        return push(self, frame)

    monkeypatch.setattr(MediaDecoder, "_push_picture", count)
    for first in (1, 9, 10, 15, 17):
        num_pictures = 0
        rest = read(path, first)
        assert [s.index for s in rest] == list(range(first, 18))
        for one, other in zip(rest, whole[first:], strict=True):
            assert np.array_equal(one.frames, other.frames)
            assert np.array_equal(one.frame_seconds, other.frame_seconds)
            assert np.array_equal(one.waveform, other.waveform), (first, one.index)
            assert (one.status, one.coverage) == (other.status, other.coverage)
        assert num_pictures <= RATE * (2 * (18 - first) + 4)  # not from the start: key pictures are a second apart


def test_captions_that_began_before_are_there_wherever_reading_starts(clip: MakeClip) -> None:
    path = clip("a.mkv", 12.0, cues=[(0.5, 9.0, "a long caption"), (7.0, 8.0, "barks")])
    whole = read(path)
    for first in (1, 3, 5):
        assert [s.text for s in read(path, first)] == [s.text for s in whole[first:]]


def test_overlapping_windows_and_a_sparse_rate_start_anywhere_too(clip: MakeClip) -> None:
    options = DecodeOptions(windows=Windows(Fraction(3), Fraction(3, 2), Fraction(1, 2)))
    path = make(clip, "mp4", 36.0)
    whole = read(path, options=options)
    for first in (2, 11, 20):
        for one, other in zip(read(path, first, options), whole[first:], strict=True):
            assert np.array_equal(one.frames, other.frames)
            assert np.array_equal(one.waveform, other.waveform)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("frames_per_second", [2, 7])
def test_pictures_that_cannot_matter_are_left_out_and_nothing_changes(
    clip: MakeClip, suffix: str, frames_per_second: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clip(f"a.{suffix}", 6.0, rate=RATE)
    options = DecodeOptions(windows=Windows(frames_per_second=Fraction(frames_per_second)))
    decoded = []
    push = MediaDecoder._push_picture
    monkeypatch.setattr(
        MediaDecoder, "_push_picture", lambda self, frame: (decoded.append(frame.pts), push(self, frame))[1]
    )
    some, num_some = read(path, options=options), len(decoded)
    monkeypatch.setattr("streammm.media.selection._LEAVES_OUT", frozenset())
    every = read(path, options=options)
    assert num_some < len(decoded) - num_some == 150
    for one, other in zip(some, every, strict=True):
        assert np.array_equal(one.frames, other.frames)
        assert np.array_equal(one.frame_seconds, other.frame_seconds)


@pytest.mark.parametrize(("mode", "latest"), [("fast", 0.3), ("keyframes", 1.0)])
def test_faster_modes_show_earlier_pictures(clip: MakeClip, mode: str, latest: float) -> None:
    path = clip("a.mp4", 6.0, rate=RATE)
    exact = read(path, options=DecodeOptions())
    quick = read(path, options=DecodeOptions(mode=mode))
    assert [s.index for s in quick] == [s.index for s in exact]
    early = np.concatenate([a.frame_seconds - b.frame_seconds for a, b in zip(exact, quick, strict=True)])
    assert early.min() >= 0
    assert early.max() <= latest
    assert (early > 0).any()


def test_hardware_that_is_not_there_leaves_the_processor_to_decode(clip: MakeClip) -> None:
    path = clip("a.mp4", 4.0)
    with SegmentReader(str(path), DecodeOptions(hardware="cuda")) as reader:
        found = list(reader)
    assert all(
        np.array_equal(a.frames, b.frames) for a, b in zip(found, read(path, options=DecodeOptions()), strict=True)
    )
