"""Which segment takes which label, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from streammm.training.annotations import Annotation
from streammm.training.segment_labels import segment_labels

WINDOWS = [(0, 2), (2, 4), (4, 6), (6, 7)]


def labelled(*spans: tuple, labels: str = "xy", multi_label: bool = False, windows: list = WINDOWS) -> tuple:
    """Targets as words, one a segment, with ? where nothing is known."""
    items = [Annotation("a", *span) for span in spans]
    found = segment_labels(items, windows, list(labels), multi_label)
    words = ["".join(label for label, on in zip(labels, row, strict=True) if on) or "-" for row in found.targets]
    weak = None if found.weak is None else "".join(k for k, on in zip(labels, found.weak, strict=True) if on)
    return [word if known else word + "?" for word, known in zip(words, found.known, strict=True)], weak


def test_a_segment_takes_a_label_that_covers_half_of_it() -> None:
    assert labelled((1.0, 4.9, "x"))[0] == ["x", "x", "-?", "-?"]
    assert labelled((1.0, 4.9, "x"), multi_label=True)[0] == ["x", "x", "-", "-"]
    assert labelled((1.3 + 1e-12, 4.3, "x"), windows=[(0.3, 2.3), (2.3, 4.3)])[0] == ["x", "x"]  # half but for rounding


def test_a_short_event_goes_to_the_segment_that_has_most_of_it() -> None:
    assert labelled((4.4, 4.5, "x"), multi_label=True)[0] == ["-", "-", "x", "-"]
    assert labelled((1.7, 2.6, "x"), multi_label=True)[0] == ["-", "x", "-", "-"]
    assert labelled((1.2, 2.8, "x"), multi_label=True)[0] == ["x", "-", "-", "-"]  # alike: the earlier
    # One that another already makes known is not moved.
    assert labelled((0.0, 2.0, "x"), (1.9, 2.05, "x"), multi_label=True)[0] == ["x", "-", "-", "-"]


def test_events_of_one_label_cover_together() -> None:
    assert labelled((0.0, 0.6, "x"), (0.5, 0.8, "x"), (1.6, 2.0, "x"), (2.0, 2.1, "y"), multi_label=True)[0][0] == "x"
    # The same time twice is no more time.
    assert labelled((2.0, 2.8, "x"), (2.1, 2.8, "x"), (2.8, 4.0, "y"))[0][1] == "y"


def test_of_several_the_one_that_covers_most() -> None:
    assert labelled((0.0, 1.0, "y"), (1.0, 2.0, "x"), (2.0, 3.2, "y"), (3.0, 4.0, "x"))[0][:2] == ["x", "y"]
    assert labelled((0.0, 1.0, "y"), (1.0, 2.0, "x"), multi_label=True)[0][0] == "xy"
    assert labelled((0.0, 2.0, "x"), (1.5, 1.8, "y"))[0][0] == "x"


def test_a_label_that_is_not_asked_for_takes_its_segments() -> None:
    assert labelled((0.0, 1.8, "other"), (1.8, 2.0, "x"), (2.0, 4.0, "x"))[0] == ["-?", "x", "-?", "-?"]
    assert labelled((0.0, 2.0, "other"), multi_label=True)[0] == ["-"] * 4
    assert labelled((0.0, 2.0, ""), (2.0, 4.0, "x"), multi_label=False)[0] == ["-?", "x", "-?", "-?"]


def test_weak_labels_are_known_of_the_source_only() -> None:
    assert labelled((None, None, "y")) == (["y?"] * 4, "y")
    assert labelled((None, None, "x"), (None, None, "y"), multi_label=True) == (["xy?"] * 4, "xy")
    assert labelled((None, None, "x"), (2.0, 4.0, "y")) == (["-?", "y", "-?", "-?"], "x")
    assert labelled((0.0, 2.0, "x"))[1] is None
    assert labelled((None, None, "other")) == (["-?"] * 4, None)


def test_a_source_with_nothing_in_it_is_known_where_labels_go_together() -> None:
    assert labelled((None, None, ""), multi_label=True) == (["-"] * 4, "")
    assert labelled((None, None, ""), multi_label=False) == (["-?"] * 4, None)
    assert labelled(multi_label=True) == (["-?"] * 4, None)


def test_overlapping_segments_each_judge_for_themselves() -> None:
    assert labelled((1.0, 3.0, "x"), windows=[(0, 2), (1, 3), (2, 4), (3, 5)])[0] == ["x", "x", "x", "-?"]


@pytest.mark.parametrize("multi_label", [False, True])
def test_shapes(multi_label: bool) -> None:
    found = segment_labels([Annotation("a", 0.0, 1.0, "x")], np.zeros((0, 2)), ["x", "y"], multi_label)
    assert (found.targets.shape, found.targets.dtype, found.known.dtype) == ((0, 2), np.float32, np.bool_)
