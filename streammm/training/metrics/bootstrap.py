"""How sure a figure is, judged by drawing other sources from those that there are."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure, and where it lies with the given confidence; NaN where there is one source only or nothing defined."""

    value: float
    low: float
    high: float


def bootstrap(
    figure: Callable[[npt.NDArray[np.intp]], float],
    groups: Sequence[Hashable] | npt.NDArray[np.generic],
    *,
    num_draws: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """The percentile interval of a figure when sources are drawn with replacement, all rows of a source at once.

    Segments of one source are much alike, so that drawing them one by one would feign certainty. B. Efron, "Bootstrap
    methods: another look at the jackknife", 1979; for groups, A. C. Davison and D. V. Hinkley, "Bootstrap methods and
    their application", 1997, section 3.8.

    Args:
        figure: takes the indices of rows, int [n], with repetitions, and gives the figure over them. A draw for which
            it is NaN is left out.
        groups: of each row, the source that it belongs to.
        num_draws: how many times sources are drawn.
        seed: the same seed draws the same.
        confidence: the share of draws within the interval.
    """
    of_group: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups.tolist() if isinstance(groups, np.ndarray) else groups):
        of_group.setdefault(group, []).append(row)
    rows = [np.array(members, np.intp) for members in of_group.values()]
    value = float(figure(np.arange(len(groups))))
    if len(rows) < 2:
        return Interval(value, float("nan"), float("nan"))
    draw = np.random.default_rng(seed)
    drawn = np.array(
        [figure(np.concatenate([rows[i] for i in draw.integers(0, len(rows), len(rows))])) for _ in range(num_draws)],
        np.float64,
    )
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Interval(value, float("nan"), float("nan"))
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(value, float(low), float(high))
