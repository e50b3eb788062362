"""The memory is a filter in real seconds: known answers of a first-order low-pass."""

from __future__ import annotations

import math

import numpy as np
import pytest

from streammm.fusion.temporal import ExponentialMemory, State

NOTHING_KNOWN = 0.1


def run(
    memory: ExponentialMemory, segments: list[tuple[float, float, float, float]], state: State | None = None
) -> tuple[float, State]:
    """The score after segments (start, end, score, evidence) of one source and one label."""
    state = memory.init_state(1, 1) if state is None else state
    smoothed = np.zeros((1, 1), np.float32)
    for start, end, score, evidence in segments:
        given = np.array([[score]], np.float32), np.array([evidence], np.float32)
        smoothed, state = memory(*given, np.array([start], np.float64), np.array([end], np.float64), state)
    return smoothed.item(), state


def test_first_segment_keeps_nearly_all_of_its_score():
    score, _ = run(ExponentialMemory(2.0), [(0, 2, 0.8, 1)])
    known = 1 - math.exp(-1)
    assert score == pytest.approx(0.8 * known * (1 + NOTHING_KNOWN) / (known + NOTHING_KNOWN), abs=1e-6)
    assert score > 0.94 * 0.8


def test_gap_decays_exactly():
    memory = ExponentialMemory(2.0)
    _, before = run(memory, [(0, 2, 1.0, 1)])
    score, _ = run(memory, [(9, 10, 0.0, 0)], before)
    known = (1 - math.exp(-1)) * math.exp(-8 / 2)
    assert score == pytest.approx(known * (1 + NOTHING_KNOWN) / (known + NOTHING_KNOWN), abs=1e-6)


def test_without_evidence_a_gap_and_a_silent_segment_are_the_same():
    memory = ExponentialMemory(2.0)
    gap, _ = run(memory, [(0, 2, 1.0, 1), (9, 10, 0.3, 1)])
    silence, _ = run(memory, [(0, 2, 1.0, 1), (2, 5, 0.0, 0), (5, 9, 0.0, 0), (9, 10, 0.3, 1)])
    assert gap == pytest.approx(silence, abs=1e-6)


def test_ten_silent_seconds_leave_nearly_nothing():
    silence = [(2.0 * i, 2.0 * i + 2, 0.0, 0.0) for i in range(1, 6)]
    score, _ = run(ExponentialMemory(1.5), [(0, 2, 1.0, 1), *silence])
    assert 0 < score < 0.02


@pytest.mark.parametrize("origin", [0.0, 1.7e9])
def test_how_time_is_cut_does_not_matter(origin: float):
    memory = ExponentialMemory(1.5)
    whole, _ = run(memory, [(origin, origin + 4, 0.2, 1), (origin + 4, origin + 6, 0.9, 1)])
    fine = [(origin + i / 4, origin + (i + 1) / 4, 0.2 if i < 16 else 0.9, 1.0) for i in range(24)]
    cut, _ = run(memory, fine)
    assert cut == pytest.approx(whole, abs=1e-6)


def test_overlapping_windows_count_only_what_is_new():
    memory = ExponentialMemory(1.5)
    overlapping, _ = run(memory, [(0, 2, 0.1, 1), (1, 3, 0.9, 1)])
    apart, _ = run(memory, [(0, 2, 0.1, 1), (2, 3, 0.9, 1)])
    assert overlapping == pytest.approx(apart, abs=1e-7)


def test_large_clock_gives_the_same_numbers():
    memory = ExponentialMemory(1.5)
    times = [(0.0, 0.04), (0.04, 1.24), (3.5, 3.75)]
    near, _ = run(memory, [(a, b, 0.6, 1) for a, b in times])
    far, _ = run(memory, [(a + 1.7e9, b + 1.7e9, 0.6, 1) for a, b in times])
    assert far == pytest.approx(near, abs=1e-5)


def test_clock_set_back_does_not_stop_the_memory():
    score, state = run(ExponentialMemory(1.0), [(100, 104, 0.0, 1), (0, 4, 1.0, 1)])
    assert score > 0.95
    assert state["end_seconds"].item() == 4


def test_zero_smoothing_passes_each_segment_through():
    score, _ = run(ExponentialMemory(0.0), [(0, 2, 0.9, 1), (2, 4, 0.25, 1)])
    assert score == pytest.approx(0.25)


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_impossible_time_constant_is_refused(seconds: float):
    with pytest.raises(ValueError, match="smoothing_seconds"):
        ExponentialMemory(seconds)
