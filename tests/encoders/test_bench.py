"""What is measured of the ways to run an encoder, and what is said of the one that is taken."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import pytest
from rich.console import Console

from streammm.building.decoding import decode_options
from streammm.cli.bench_table import render
from streammm.config import Config
from streammm.encoders.bench import Way, bench
from streammm.encoders.check_input import check_segments
from streammm.encoders.trial import Place, precision_for
from streammm.media.read import read_first
from tests.conftest import MakeClip

ON_CPU = Place("auto", "cpu")


def test_every_way_is_measured_and_one_of_them_is_taken() -> None:
    told: list[str] = []
    segments = {"audio": check_segments("audio", 4), "text": check_segments("text", 4)}
    ways = list(bench({"audio": "yamnet", "text": "minilm"}, ON_CPU, segments, 1, told.append))
    for modality in ("audio", "text"):
        found = [way for way in ways if way.modality == modality]
        assert [(w.runtime, w.precision) for w in found[:2]] == [("torch", "fp32"), ("torch", "bf16")]
        assert found[0].cosine == pytest.approx(1.0, abs=1e-6)
        assert found[0].top1 == (1.0 if modality == "audio" else None)
        assert all(0.99 < way.cosine < 1.00001 and way.seconds_per_item > 1e-5 for way in found)
        taken = [(way.runtime, way.precision) for way in found if way.verdict == "taken"]
        expected = "fp32" if modality == "text" else precision_for({"audio": "yamnet"}, ON_CPU)
        assert taken == [("openvino", expected)]
    assert told[0] == "yamnet on torch in fp32"


def test_the_table_says_why_in_eighty_columns() -> None:
    way = Way("video", "efficientnet_lite0", "openvino", "cpu", "fp32", 0.5, 0.011, 1.0, 1.0, "taken")
    other = Way("video", "efficientnet_lite0", "openvino", "cpu", "bf16", 0.5, 0.006, 0.946, 0.875, "agrees to 0.946")
    out = io.StringIO()
    for part in render([way, other]):
        Console(file=out, width=80).print(part)
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert lines[0] == "efficientnet_lite0, an item is a picture".split()
    assert lines[2] == ["openvino", "fp32", "11.00", "91", "0.50", "1.00000", "100.0%", "taken"]
    assert lines[3][:7] == ["openvino", "bf16", "6.00", "167", "0.50", "0.94600", "87.5%"]


def test_the_command_takes_a_clip(clip: MakeClip, streammm: Callable) -> None:
    path = clip("a.mp4", 4, rate=4)
    made = streammm("models", "--bench", "--media", path, "--json", "--set", "fusion.weights={video: 0}", "--labels=x")
    assert made.returncode == 2  # there is no such option
    made = streammm("models", "--bench", "--media", path, "--json", "--set", "fusion.weights={video: 0}")
    assert made.returncode == 0, made.stderr
    ways = [json.loads(line) for line in made.stdout.splitlines()]
    assert {way["modality"] for way in ways} == {"audio"}  # it has no text
    assert sum(way["verdict"] == "taken" for way in ways) == 1
    made = streammm("models", "--media", path)
    assert made.returncode == 2
    assert "are for --bench" in made.stderr


def test_the_first_segments_are_read_and_no_more(clip: MakeClip) -> None:
    path = str(clip("a.mp4", 10, rate=4))
    assert [segment.index for segment in read_first(path, decode_options(Config()), 3)] == [0, 1, 2]
    assert len(read_first(path, decode_options(Config()), 100)) == 5
