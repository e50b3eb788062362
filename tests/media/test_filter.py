"""Sources that are left out for what they are: asked once, when they are opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import streammm
from streammm.config import load
from streammm.errors import ConfigError, SourceError
from streammm.media import look
from streammm.media.filter import SourceFilter
from streammm.media.options import DecodeOptions
from streammm.media.reader import SegmentReader
from tests.conftest import MakeClip


def options(**wanted: Any) -> DecodeOptions:
    return DecodeOptions(filter=SourceFilter(**wanted))


@pytest.mark.parametrize(
    ("wanted", "clip_has", "words"),
    [
        ({"min_seconds": 4.0}, {}, ""),
        ({"min_seconds": 5.0}, {}, "it has 4.0 s, less than sources.min_seconds, 5"),
        ({"max_seconds": 5.0}, {}, ""),
        ({"max_seconds": 3.0}, {}, "it has 4.0 s, more than sources.max_seconds, 3"),
        ({"require": ("video", "audio")}, {}, ""),
        ({"require": ("video", "audio")}, {"audio": None}, "it has no audio, which sources.require asks for"),
        ({"require": ("video", "text")}, {"video": None}, "it has no text and no video, which"),
        ({"require": ("text",)}, {"cues": [(0.0, 1.0, "hello")]}, ""),
    ],
)
def test_a_file_passes_or_is_left_out(
    clip: MakeClip, wanted: dict[str, Any], clip_has: Mapping[str, Any], words: str
) -> None:
    path = clip("a.mkv", 4.0, **clip_has)
    advice = look.probe(str(path), options(**wanted)).advice
    if not words:
        with SegmentReader(str(path), options(**wanted)) as reader:
            assert len(list(reader)) == 2
        assert not any("would be left out" in line for line in advice)
        return
    with pytest.raises(SourceError, match=words) as error:
        SegmentReader(str(path), options(**wanted))
    assert error.value.reason == "filtered"
    assert advice[0].startswith(f"would be left out: {words}")


def test_captions_beside_a_file_are_text(clip: MakeClip, tmp_path: Path) -> None:
    path = clip("a.mp4", 2.0)
    (tmp_path / "a.srt").write_text("1\n00:00:00,500 --> 00:00:01,500\nhello\n")
    SegmentReader(str(path), options(require=("text",))).close()


def test_a_length_that_is_not_told_passes(clip: MakeClip) -> None:
    path = clip("a.h264", 4.0, audio=None)
    for wanted in ({"min_seconds": 100.0}, {"max_seconds": 1.0}):
        with SegmentReader(str(path), options(**wanted)) as reader:
            assert len(list(reader)) == 2


def test_what_was_begun_is_finished(clip: MakeClip) -> None:
    path = clip("a.mp4", 4.0)
    with SegmentReader(str(path), options(min_seconds=100.0), first_segment=1) as reader:
        assert [segment.index for segment in reader] == [1]


def test_python_is_told_as_by_an_error(clip: MakeClip) -> None:
    rows = streammm.classify(clip("a.mp4", 2.0), config=load(settings=["sources.require=[text]"]))
    with pytest.raises(SourceError, match="it has no text") as error:
        next(rows)
    assert error.value.reason == "filtered"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("sources={min_seconds: 5, max_seconds: 4}", "min_seconds 5.0 must not exceed max_seconds 4.0"),
        ("sources.min_seconds=0", "greater than 0"),
        ("sources.require=[smell]", "'audio', 'text' or 'video'"),
    ],
)
def test_a_filter_that_nothing_passes_is_a_mistake(setting: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(settings=[setting])
