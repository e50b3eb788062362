"""Pieces of sound on one clock: joined, gaps left, overlaps dropped."""

from fractions import Fraction

import av
import numpy as np
import pytest

from streammm.media.sound import Downmix, SoundTrack

SECOND = 16_000


def ramp(first: int, count: int) -> np.ndarray:
    return np.arange(first, first + count, dtype=np.float32)


def read(track: SoundTrack, start: float, end: float) -> tuple[list[float], float]:
    wave, coverage = track.between(Fraction(start), Fraction(end))
    return wave.tolist(), coverage


@pytest.mark.parametrize("size", [1, 7, 1000, SECOND])
def test_the_waveform_does_not_depend_on_how_it_was_cut(size: int) -> None:
    track, whole = SoundTrack(), ramp(0, SECOND)
    for at in range(0, SECOND, size):
        track.push(Fraction(at, SECOND), whole[at : at + size])
    assert read(track, 0.25, 0.5) == (whole[4000:8000].tolist(), 1.0)
    assert track.level == 1


def test_jitter_below_40_ms_is_joined_without_a_seam() -> None:
    track = SoundTrack()
    track.push(Fraction(0), ramp(0, 1600))
    track.push(Fraction(120, 1000), ramp(1600, 1600))
    track.push(Fraction(180, 1000), ramp(3200, 1600))
    assert read(track, 0, 0.3) == (ramp(0, 4800).tolist(), 1.0)
    assert track.num_overlaps == 0


def test_a_gap_is_zeros_and_known_to_be_missing() -> None:
    track = SoundTrack()
    track.push(Fraction(0), np.ones(1600, np.float32))
    track.push(Fraction(3, 10), np.ones(1600, np.float32))
    wave, coverage = read(track, 0, 0.4)
    assert wave == [1.0] * 1600 + [0.0] * 3200 + [1.0] * 1600
    assert coverage == 0.5


def test_sound_that_comes_twice_is_taken_once() -> None:
    track = SoundTrack()
    track.push(Fraction(0), ramp(0, 3200))
    track.push(Fraction(1, 10), ramp(1600, 3200))
    assert read(track, 0, 0.3) == (ramp(0, 4800).tolist(), 1.0)
    assert track.num_overlaps == 1


def test_sound_before_the_start_is_left_out() -> None:
    track = SoundTrack()
    track.push(Fraction(-1, 10), ramp(0, 3200))
    assert read(track, 0, 0.1) == (ramp(1600, 1600).tolist(), 1.0)


def test_pieces_without_a_time_follow_the_last() -> None:
    track = SoundTrack()
    track.push(None, ramp(0, 100))
    track.push(None, ramp(100, 100))
    assert read(track, 0, 0.0125) == (ramp(0, 200).tolist(), 1.0)


def test_what_was_forgotten_takes_no_room() -> None:
    track = SoundTrack()
    for second in range(100):
        track.push(Fraction(second), ramp(0, SECOND))
        track.forget(Fraction(second))
    assert len(track._pieces) <= 2
    assert read(track, 97, 98)[1] == 0.0


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
@pytest.mark.parametrize("sample_format", ["fltp", "s16p"])
def test_one_channel_is_made_as_libswresample_makes_it(layout: str, sample_format: str) -> None:
    num_channels = av.AudioLayout(layout).nb_channels
    sound = np.random.default_rng(0).uniform(-1, 1, (num_channels, 1024))
    samples = sound.astype(np.float32) if sample_format == "fltp" else (sound * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(samples, format=sample_format, layout=layout)
    frame.sample_rate = 48_000
    (expected,) = av.AudioResampler("fltp", "mono", 48_000).resample(frame)
    np.testing.assert_array_equal(Downmix()(frame), expected.to_ndarray()[0])
