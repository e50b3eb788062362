"""Timelines from rows with known scores: every segment, merged segments, trouble, and their bounds."""

import numpy as np
import pytest

from streammm.report.timeline import MAX_COLUMNS, MAX_LABELS, Timeline, TimelineBuilder
from streammm.types import Classification, Cue, LiveState, Status
from tests.report.conftest import row


def timeline(rows: list[Classification], num_segments: int | None = None) -> Timeline:
    builder = TimelineBuilder(len(rows) if num_segments is None else num_segments)
    for each in rows:
        builder.push(each)
    return builder.finish()


def scores(made: Timeline, track: str) -> dict[str, list[float]]:
    return {label: [round(int(v) / 255, 2) for v in values] for label, values in made.tracks[track].rows}


def test_each_segment_is_a_column_of_each_track() -> None:
    made = timeline(
        [
            row("a", 0, {"music": 0.8, "car": 0.1}, alone={"video": {"car": 0.5}}),
            row("a", 1, {"music": 0.2, "car": 0.6}, alone={"audio": {"music": 0.4}}),
        ]
    )
    assert (made.starts, made.ends, made.segments_a_column) == ((0.0, 2.0), (2.0, 4.0), 1)
    assert scores(made, "found") == {"music": [0.8, 0.2], "car": [0.1, 0.6]}
    assert scores(made, "seen") == {"car": [0.5, 0.6], "music": [0.0, 0.2]}
    assert scores(made, "heard") == {"music": [0.8, 0.4], "car": [0.1, 0.0]}
    assert made.tracks["said"].is_empty
    assert made.tracks["seen"].weights.tolist() == [128, 128]
    assert made.peaks() == [("music", pytest.approx(0.8, abs=0.002)), ("car", pytest.approx(0.6, abs=0.002))]


def test_segments_share_columns_with_their_highest_score_and_worst_status() -> None:
    num = 2 * MAX_COLUMNS + 1
    rows = [row("a", n, {"music": 0.9 if n == 301 else 0.1}) for n in range(num)]
    rows[600] = row("a", 600, {"music": 0.1}, status={"video": Status.DAMAGED})
    made = timeline(rows)
    assert made.segments_a_column == 3
    assert len(made.starts) == -(-num // 3) <= MAX_COLUMNS
    values = scores(made, "found")["music"]
    assert [n for n, value in enumerate(values) if value == 0.9] == [100]
    assert made.starts[100], made.ends[100] == (600.0, 606.0)
    assert made.tracks["seen"].status == "." * 200 + "d" + "." * (len(made.starts) - 201)
    assert made.trouble == ["damaged"]


def test_it_has_room_where_a_live_source_goes_on_while_it_is_read() -> None:
    made = timeline([row("a", n, {f"label {n % 40}": 0.5}) for n in range(50)], num_segments=10)
    assert len(made.starts) == 50
    assert all(len(values) == 50 for _, values in made.tracks["found"].rows)


def test_labels_are_bounded_and_counted() -> None:
    made = timeline([row("a", 0, {f"label {n:02}": n / 100 for n in range(40)})])
    found = made.tracks["found"]
    assert [label for label, _ in found.rows] == [f"label {n}" for n in range(39, 39 - MAX_LABELS, -1)]
    assert found.num_more == 38 - MAX_LABELS  # those of 0.00 and 0.01 are not drawn at all


def test_an_outage_is_told_once_with_its_reason_and_the_time_of_the_wall() -> None:
    live = LiveState(start_unix_seconds=1_000_010.0, lag_seconds=0.1)
    absent = dict.fromkeys(("audio", "text", "video"), Status.ABSENT)
    rows = [
        row("cam", 5, {"car": 0.7}, live=live),
        row("cam", 6, {}, status=absent, outage="connection refused"),
        row("cam", 7, {}, status=absent, outage="connection refused"),
        row("cam", 8, {"car": 0.7}),
    ]
    made = timeline(rows)
    assert made.outages == ((12.0, 16.0, "connection refused"),)
    assert made.tracks["heard"].status == ".oo."
    assert made.trouble == ["outage"]
    assert made.wall_seconds == 1_000_000.0


def test_a_quarantined_segment_leaves_its_place_empty() -> None:
    made = timeline([row("a", 0, {"car": 0.5}), row("a", 3, {"car": 0.5})], num_segments=4)
    assert (made.starts, made.ends) == ((0.0, 6.0), (2.0, 8.0))


def test_what_is_said_is_there_once_and_bounded() -> None:
    cue = Cue(1.0, 3.0, "good morning")
    text = {"text": Status.OK}
    rows = [row("a", n, {"speech": 0.5}, said=[cue], status=text) for n in (0, 1)]
    rows.append(row("a", 2, {"speech": 0.5}, said=[Cue(4.0, 5.0, "x" * 200_000)], status=text))
    made = timeline(rows)
    assert made.said == ((1.0, 3.0, "good morning"),)
    assert made.num_not_shown == 1


def test_json_holds_scores_as_bytes() -> None:
    track = timeline([row("a", 0, {"music": 1.0}), row("a", 1, {"music": 0.0})]).to_json()["tracks"]["found"]
    assert track["rows"] == [{"label": "music", "scores": "/wA="}]
    assert np.frombuffer(b"\xff\x00", np.uint8).tolist() == [255, 0]
