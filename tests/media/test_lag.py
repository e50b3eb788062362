"""How far decoding is behind, by numbers: when pictures are left out, and when the source's own clock is off."""

import pytest

from streammm.media.lag import Lag
from streammm.media.options import LiveOptions


def follow(lag: Lag, start: float, seconds: float, behind: float, rate: float = 25.0) -> None:
    for n in range(round(seconds * rate)):
        now = start + n / rate
        lag.note(now, now - behind)


def test_pictures_are_left_out_by_lag_and_come_back() -> None:
    lag = Lag(LiveOptions())
    steps = []
    for start, behind in ((0, 0.2), (20, 1.9), (21, 2.5), (22, 5.5), (23, 3.0), (24, 1.0), (25, 0.6)):
        follow(lag, start, 1.0, behind)
        steps.append((lag.shed, lag.skips, lag.is_hopeless))
    assert [shed for shed, _, _ in steps] == ["none", "none", "nonref", "nonkey", "nonkey", "nonkey", "none"]
    assert {shed: skips for shed, skips, _ in steps} == {"none": "DEFAULT", "nonref": "NONREF", "nonkey": "NONKEY"}
    assert lag.num_steps == 3
    follow(lag, 30, 1.0, 10.5)
    assert lag.is_hopeless


def test_the_way_here_is_no_lag() -> None:
    lag = Lag(LiveOptions())
    follow(lag, 0, 60, 7.0)
    assert (lag.seconds, lag.shed, lag.least) == (pytest.approx(0.0), "none", pytest.approx(7.0))


@pytest.mark.parametrize("off", [50e-6, -50e-6])
def test_a_clock_that_is_off_is_mended_and_never_taken_for_lag(off: float) -> None:
    lag, mended, corrections = Lag(LiveOptions()), 0.0, 0
    for now in range(0, 5 * 24 * 3600, 2):  # five days at 50 parts in a million: over 20 s
        lag.note(now, now * (1 - off) + mended)
        assert lag.shed == "none"
        if drift := lag.drift(2.0):
            mended += drift
            corrections += 1
    assert corrections in (10, 11)
    assert abs(5 * 24 * 3600 * off - mended) < 2.2


def test_what_a_server_had_stored_is_no_drift() -> None:
    lag = Lag(LiveOptions())
    for n in range(100):
        lag.note(n * 0.01, n * 0.06)  # six seconds of media in one
    follow(lag, 1.0, 60.0, -5.0)
    assert lag.drift(2.0) == 0.0
    assert lag.least == pytest.approx(-5.0, abs=0.1)
