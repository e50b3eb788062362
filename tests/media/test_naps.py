"""When the reader of a live source sleeps."""

from __future__ import annotations

from streammm.media.naps import Naps


def naps(*delays: float, num_bytes: int = 0, lag: float = 2.0, waited: float = 0.01) -> Naps:
    made = Naps(0.0, lag)
    made.note(num_bytes, 0.01)
    for n, delay in enumerate(delays):
        made.complete(2.0 * (n + 1) + delay, 2.0 * (n + 1))
    made.note(0, waited)
    return made


def test_nobody_sleeps_before_it_is_known_how_late_segments_are() -> None:
    assert naps().seconds(2.5, 4.0) == 0
    assert naps(0.2).seconds(2.5, 4.0) == 0
    assert naps(0.2, 0.2).seconds(4.5, 6.0) == 0.5


def test_a_nap_is_not_taken_for_a_lag() -> None:
    assert naps(0.2, 0.2, lag=0.4).seconds(4.5, 6.0) == 0.1


def test_nobody_sleeps_with_packets_left_to_read() -> None:
    assert naps(0.2, 0.2, waited=0.001).seconds(4.5, 6.0) == 0


def test_the_reader_is_awake_when_the_next_segment_is_due() -> None:
    known = naps(0.3, 0.2)
    assert round(known.seconds(6.05, 6.0), 6) == 0.12
    assert known.seconds(6.16, 6.0) == 0
    assert known.seconds(7.0, 6.0) == 0


def test_a_packet_that_was_there_already_had_come_earlier() -> None:
    known = naps(0.9, 0.9)
    for n in range(3, 9):
        known.note(0, 0.0)
        due = 2.0 * n + min(0.9, 0.9 - 0.1 * (n - 3))
        known.complete(due, 2.0 * n)
    known.note(0, 0.01)
    assert round(known.seconds(18.0, 18.0), 6) == 0.27  # 0.9 - 6 * 0.1 - 0.03


def test_no_more_piles_up_than_a_connection_has_room_for() -> None:
    a_second_of_it = naps(0.2, 0.2, num_bytes=4 * 512 * 1024)
    assert a_second_of_it.seconds(4.0, 6.0) == 0.125
    assert naps(0.2, 0.2, num_bytes=4 * 8 * 1024 * 1024).seconds(4.0, 6.0) == 0
