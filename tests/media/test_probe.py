"""Probes of clips whose properties are known."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from streammm.errors import SourceError
from streammm.media.look import probe
from streammm.media.options import DecodeOptions
from streammm.media.probe import Probe, probe_container
from streammm.media.reader import SegmentReader
from streammm.media.source import open_media
from tests.conftest import MakeClip

OPTIONS = DecodeOptions()


def test_an_ordinary_clip_needs_no_advice(clip: MakeClip) -> None:
    found = probe(str(clip("a.mp4", 5.0, rate=25)), OPTIONS)
    assert (found.num_segments, found.num_errors, found.advice) == (3, 0, ())
    assert found.rate_hz == found.least_rate_hz == found.most_rate_hz == pytest.approx(25.0)
    assert [(s.kind, s.codec, s.use) for s in found.streams] == [("video", "h264", "used"), ("audio", "aac", "used")]
    assert found.found_seconds == pytest.approx(5.0, abs=0.05)
    assert Probe.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_what_is_odd_is_said(clip: MakeClip) -> None:
    late = probe(str(clip("late.mkv", 5.0, audio_start=1.2)), OPTIONS)
    assert late.offset_seconds == pytest.approx(1.2, abs=0.03)
    assert any("sound starts 1.18 s" in line for line in late.advice)
    assert "no sound" in probe(str(clip("dumb.mp4", 2.0, audio=None)), OPTIONS).advice
    blind = probe(str(clip("blind.wav", 2.0, video=None, audio="pcm_s16le")), OPTIONS)
    assert any("no picture" in line for line in blind.advice)
    short = probe(str(clip("short.mp4", 6.0, audio_seconds=1.0)), OPTIONS)
    assert any("audio ends at 1.0 s of 6.0 s" in line for line in short.advice)
    gap = probe(str(clip("gap.mkv", 4.0, gap_seconds=5.0)), OPTIONS)
    assert any("a gap of 5.1 s" in line for line in gap.advice)
    captioned = clip("talk.mp4", 2.0)
    captioned.with_name("talk.en.srt").write_text("1\n00:00:00,500 --> 00:00:01,000\nHello\n")
    assert probe(str(captioned), OPTIONS).captions_beside == ("talk.en.srt",)


def test_a_file_that_is_cut_short_is_damaged(clip: MakeClip) -> None:
    path = clip("a.mkv", 9.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = probe(str(path), OPTIONS)
    assert any(line.startswith("cut short: it says that it has 9.0 s") for line in found.advice)


def test_the_command_has_a_table_for_people_and_lines_for_programs(clip: MakeClip, streammm: Callable) -> None:
    clip("a.mp4", 5.0)
    done = streammm("probe", "a.mp4")
    assert done.returncode == 0, done.stderr
    assert "3 segments" in done.stdout
    done = streammm("probe", "--json", "--deep", "a.mp4", "missing.mp4")
    assert done.returncode == 1
    one, two = map(json.loads, done.stdout.splitlines())
    assert (one["num_segments"], one["source"]) == (3, "a.mp4")
    assert two == {"source": "missing.mp4", "reason": "missing", "detail": "no such file or directory"}


@pytest.mark.shared_media
def test_the_expected_segments_are_those_that_come(shared_media: Path) -> None:
    different = {}
    for path in sorted((shared_media / "media").rglob("*.*")):
        if path.parent.name in ("text", "grid") or path.name.startswith("long_"):
            continue
        try:
            with open_media(str(path), OPTIONS.max_pixels) as container:
                look = probe_container(container, "a", length_seconds=2, hop_seconds=2, decode_seconds=0)
            expected = look.num_segments
            with SegmentReader(str(path), OPTIONS) as reader:
                found = len(list(reader))
        except SourceError:
            continue
        if expected != found:
            different[path.name] = (expected, found)
    assert different == {}
