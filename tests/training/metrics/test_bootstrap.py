"""Intervals: against the known spread of a mean, with sources drawn whole."""

from __future__ import annotations

import numpy as np
import pytest

from streammm.training.metrics.bootstrap import bootstrap


def mean_of(values: np.ndarray):
    return lambda rows: float(values[rows].mean())


def test_of_single_rows_it_is_the_normal_interval_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    found = bootstrap(mean_of(values), range(400), num_draws=2000)
    half = 1.96 * values.std() / 20
    assert found.value == values.mean()
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), abs=0.03)


def test_sources_are_drawn_whole() -> None:
    of_source = np.random.default_rng(1).normal(0, 1, 40)
    values, groups = np.repeat(of_source, 50), np.repeat(np.arange(40), 50)
    whole = bootstrap(mean_of(values), groups, num_draws=500)
    alone = bootstrap(mean_of(of_source), range(40), num_draws=500)
    assert (whole.low, whole.high) == pytest.approx((alone.low, alone.high))  # fifty like rows say no more than one
    sizes = []
    bootstrap(lambda rows: sizes.append(sorted(np.bincount(groups[rows]) % 50)[-1]) or 0.0, groups, num_draws=20)
    assert set(sizes) == {0}


def test_the_seed_decides_and_names_will_do_for_sources() -> None:
    values = np.random.default_rng(2).normal(size=60)
    groups = [f"clip{n % 7}.mp4" for n in range(60)]
    first = bootstrap(mean_of(values), groups, num_draws=50)
    assert bootstrap(mean_of(values), groups, num_draws=50) == first
    assert bootstrap(mean_of(values), np.array(groups), num_draws=50) == first
    assert bootstrap(mean_of(values), groups, num_draws=50, seed=1) != first


def test_one_source_has_no_interval_and_undefined_draws_are_left_out() -> None:
    assert np.isnan(bootstrap(mean_of(np.arange(5.0)), ["a"] * 5).high)
    found = bootstrap(lambda rows: 1.0 if 0 in rows else float("nan"), range(5), num_draws=100)
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)
    assert np.isnan(bootstrap(lambda rows: float("nan"), range(5), num_draws=10).low)
