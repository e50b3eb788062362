"""Subtitles and markers: what is in the files, what players make of them, and rows that are told twice."""

from __future__ import annotations

import os
from pathlib import Path

import av
import pytest

from streammm.sinks.tracks import Edl, Srt, Track, WebVtt, file_name
from tests.sinks.told import row, row_entry, rows

MUSIC, BIRD, NOTHING = (("music", 0.9),), (("bird", 0.8), ("dog", 0.3), ("cat", 0.01)), (("music", 0.01),)


def told(track: Track, *labels: tuple[tuple[str, float], ...], first: int = 0) -> Track:
    track.start(first, None, "run")
    for n, found in enumerate(labels, first):
        track.write([row_entry(row(segment=n, labels=found), n + 1)])
    track.close()
    return track


def cues(path: Path) -> list[tuple[float, float, str]]:
    """What FFmpeg, as players use it, reads in a file of subtitles."""
    with av.open(str(path)) as file:
        stream = file.streams.subtitles[0]
        found = []
        for packet in file.demux(stream):
            if packet.size:
                start, end = packet.pts * packet.time_base, (packet.pts + packet.duration) * packet.time_base
                found.append((float(start), float(end), bytes(packet).decode()))
        return found


@pytest.mark.parametrize("kind", [WebVtt, Srt])
def test_neighbours_in_which_the_same_was_found_are_one_cue(kind: type[Track], tmp_path: Path) -> None:
    told(kind("t", tmp_path), MUSIC, MUSIC, NOTHING, MUSIC, BIRD)
    path = tmp_path / f"a.mp4{kind.suffix}"
    assert cues(path) == [(0.0, 4.0, "music"), (6.0, 8.0, "music"), (8.0, 10.0, "bird, dog")]


def test_the_files_are_as_their_formats_say(tmp_path: Path) -> None:
    labels = (("a <b> & c --> d", 0.9),)
    for kind in (WebVtt, Srt, Edl):
        told(kind("t", tmp_path), labels, NOTHING, MUSIC)
    assert (tmp_path / "a.mp4.vtt").read_text() == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\na &lt;b&gt; &amp; c --&gt; d\n\n"
        "00:00:04.000 --> 00:00:06.000\nmusic\n\n"
    )
    assert (tmp_path / "a.mp4.srt").read_text() == (
        "1\n00:00:00,000 --> 00:00:02,000\na (b) & c --) d\n\n2\n00:00:04,000 --> 00:00:06,000\nmusic\n\n"
    )
    assert (tmp_path / "a.mp4.edl").read_text() == (
        "TITLE: a.mp4\nFCM: NON-DROP FRAME\n\n"
        "001  AX       V     C        00:00:00:00 00:00:02:00 00:00:00:00 00:00:02:00\n"
        " |C:ResolveColorBlue |M:a <b> & c --> d |D:50\n* LOC: 00:00:00:00 BLUE    a <b> & c --> d\n\n"
        "002  AX       V     C        00:00:04:00 00:00:06:00 00:00:04:00 00:00:06:00\n"
        " |C:ResolveColorBlue |M:music |D:50\n* LOC: 00:00:04:00 BLUE    music\n\n"
    )


def test_markers_lie_on_the_frames_of_the_timeline(tmp_path: Path) -> None:
    track = Edl("t", tmp_path, frames_per_second=29.97, timecode="01:00:00:00")
    told(track, *[NOTHING] * 1800, MUSIC)  # an hour, in which 29.97 pictures a second are 107,892
    start = (3600 * 30 + 107_892) // 30
    assert f" 0{start // 3600}:{start // 60 % 60:02d}:{start % 60:02d}:12 " in (tmp_path / "a.mp4.edl").read_text()


@pytest.mark.parametrize("kind", [WebVtt, Srt, Edl])
@pytest.mark.parametrize("repeated_from", range(6))
def test_rows_that_are_told_again_are_in_it_once(kind: type[Track], repeated_from: int, tmp_path: Path) -> None:
    labels = [MUSIC, MUSIC, BIRD, NOTHING, BIRD, BIRD]
    told(kind("t", tmp_path / "once"), *labels, MUSIC)
    told(kind("t", tmp_path / "twice"), *labels)
    told(kind("t", tmp_path / "twice"), *labels[repeated_from:], MUSIC, first=repeated_from)
    name = f"a.mp4{kind.suffix}"
    assert (tmp_path / "twice" / name).read_text() == (tmp_path / "once" / name).read_text()


@pytest.mark.parametrize("kind", [WebVtt, Srt, Edl])
def test_a_file_does_not_depend_on_how_rows_come(kind: type[Track], tmp_path: Path) -> None:
    found = [*rows(0, 3), *rows(3, 5, labels=BIRD), *rows(5, 9)]
    for name, pieces in {"all": [found], "each": [[e] for e in found], "two": [found[:4], found[4:]]}.items():
        track = kind("t", tmp_path / name)
        track.start(0, None, "run")
        for piece in pieces:
            track.write(piece)
    texts = {(tmp_path / name / f"a.mp4{kind.suffix}").read_text() for name in ("all", "each", "two")}
    assert len(texts) == 1


@pytest.mark.parametrize("kind", [WebVtt, Srt, Edl])
def test_overlapping_segments_do_not_lie_over_each_other(kind: type[Track], tmp_path: Path) -> None:
    track = kind("t", tmp_path)
    track.start(0, None, "run")
    for n, found in enumerate((MUSIC, BIRD, BIRD)):
        track.write([row_entry(row(segment=n, labels=found, start_seconds=float(n), end_seconds=n + 2.0), n + 1)])
    path = tmp_path / f"a.mp4{kind.suffix}"
    if kind is Edl:
        assert "00:00:00:00 00:00:01:00" in path.read_text()
        assert "00:00:01:00 00:00:04:00" in path.read_text()
    else:
        assert cues(path) == [(0.0, 1.0, "music"), (1.0, 4.0, "bird, dog")]


def test_an_outage_is_shown(tmp_path: Path) -> None:
    track = WebVtt("t", tmp_path)
    track.start(0, None, "run")
    track.write([row_entry(row("rtsp://a/live", labels=(), outage="nothing for 2 s"), 1)])
    (path,) = tmp_path.rglob("*.vtt")
    assert cues(path) == [(0.0, 2.0, "(nothing for 2 s)")]


def test_a_torn_end_is_written_over(tmp_path: Path) -> None:
    told(WebVtt("t", tmp_path), MUSIC, BIRD)
    path = tmp_path / "a.mp4.vtt"
    whole = path.read_text()
    path.write_text(whole[:-9])
    told(WebVtt("t", tmp_path), BIRD, first=1)
    assert path.read_text() == whole


@pytest.mark.parametrize(
    "source",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "a/../../b",
        "rtsp://u:***@h/x?y=1",
        "x" * 5000,
        "ü" * 300,
        "a\nb",
        ".",
        "con:",
    ],
)
def test_no_source_leads_out_of_the_directory(source: str, tmp_path: Path) -> None:
    track = WebVtt("t", tmp_path / "out")
    track.start(0, None, "run")
    assert track.write([row_entry(row(source), 1)]).refused == {}
    (path,) = (p for p in tmp_path.rglob("*") if p.is_file())
    assert path.is_relative_to(tmp_path / "out")
    assert file_name(source, ".vtt") != file_name(source + "?", ".vtt")


def test_a_name_that_no_file_can_have_is_set_aside(tmp_path: Path) -> None:
    track = WebVtt("t", tmp_path)
    track.start(0, None, "run")
    os.mkdir(tmp_path / "a.mp4.vtt")  # noqa: PTH102
    written = track.write([*rows(0, 2), row_entry(row("b.mp4"), 3)])
    assert sorted(written.refused) == [1, 2]
    assert (tmp_path / "b.mp4.vtt").exists()
