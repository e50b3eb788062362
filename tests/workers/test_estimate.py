"""What a short run cost, scaled up: numbers that can be worked out by hand, and what is not known is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from streammm.config import Config
from streammm.errors import ConfigError
from streammm_workers.estimate import Costs, costs_of, estimate
from tests.conftest import write_clip

COSTS = Costs(
    media_seconds=100.0,
    decode_cpu_seconds=0.03,
    other_cpu_seconds=0.01,
    gpu_seconds=None,
    row_bytes=1000.0,
    journal_bytes=1500.0,
    media_bytes=50_000.0,
    computing_share=0.8,
    memory_bytes=1e8,
)


def test_cores_divide_the_time() -> None:
    found = estimate(COSTS, 1000.0, cores=10, nodes=2)
    assert found.cpu_hours == pytest.approx(40.0)
    assert found.busy_seconds == pytest.approx(40.0 * 3600 / 20)
    assert found.measured_seconds == pytest.approx(40.0 * 3600 / 20 / 0.8)
    assert (found.limited_by, found.gpu_hours) == ("cpu", None)
    assert (found.row_bytes, found.journal_bytes) == pytest.approx((3.6e9, 5.4e9))
    assert found.read_bytes_per_second == pytest.approx(50_000 * 3.6e6 / 7200)
    assert found.node_memory_bytes == pytest.approx(1e9)


def test_a_day_to_end_by_says_how_many_nodes() -> None:
    assert estimate(COSTS, 48_000.0, cores=10, days=1.0).nodes == 10  # 1920 core hours are 2400 at 80 %
    assert estimate(COSTS, 48_001.0, cores=10, days=1.0).nodes == 11


def test_what_is_slower_limits() -> None:
    costs = replace(COSTS, gpu_seconds=0.02)
    assert estimate(costs, 1.0, cores=1, gpus=1.0).limited_by == "cpu"
    found = estimate(costs, 1.0, cores=10, gpus=0.5)
    assert (found.limited_by, found.gpu_hours) == ("gpu", pytest.approx(0.02))
    assert found.busy_seconds == found.measured_seconds == pytest.approx(3600 * 0.02 / 0.5)
    with pytest.raises(ConfigError, match="measured on a GPU"):
        estimate(costs, 1.0, cores=10)


def snapshot(device: str) -> dict:
    encoder = {"cpu_seconds": 2.0, "busy_seconds": 5.0, "device": device}
    return {
        "media_seconds": 100.0,
        "working_seconds": 10.0,
        "num_cores": 2,
        "process_cpu_seconds": 4.0,
        "decoder_bytes": 1000,
        "sizes": {"chunks_in_flight": 3},
        "stages": {"decode": {"cpu_seconds": 6.0}, "video": encoder, "audio": encoder},
    }


@pytest.mark.parametrize(("device", "gpu_seconds"), [("cpu", None), ("cuda:0", 0.1)])
def test_costs_are_what_the_run_said(tmp_path: Path, device: str, gpu_seconds: float | None) -> None:
    (tmp_path / "results.jsonl").write_bytes(b"x" * 400)
    (tmp_path / "journal.sqlite").write_bytes(b"x" * 600)
    (tmp_path / "a.mp4").write_bytes(b"x" * 5000)
    status = {"progress": snapshot(device), "media_seconds": 200.0}
    done = {str(tmp_path / "a.mp4"): 50.0, "s3://bucket/b.mp4": 50.0}
    found = costs_of(tmp_path, Config(), status, done, segment_bytes=10)
    assert found == Costs(100.0, 0.06, 0.08, gpu_seconds, 2.0, 3.0, 100.0, 0.7, 2000.0 + 2 * 4 * 8 * 10)


def test_too_little_is_nothing_to_go_by(tmp_path: Path) -> None:
    short = {"progress": {**snapshot("cpu"), "media_seconds": 5.0}, "media_seconds": 5.0}
    for status in (short, {"progress": None, "media_seconds": 0.0}):
        with pytest.raises(ConfigError, match="too little to go by"):
            costs_of(tmp_path, Config(), status, {}, 10)


def test_a_run_is_planned_from_one_that_was_made(tmp_path: Path, streammm) -> None:
    write_clip(tmp_path / "a.mp4", 14.0)
    assert streammm("run", "a.mp4", "--out", "sample").returncode == 0
    done = streammm("plan", "sample", "--hours", "1000", "--cores", "4", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["costs"]["media_seconds"] == 14.0
    assert found["costs"]["decode_cpu_seconds"] > 0
    assert found["costs"]["media_bytes"] == pytest.approx((tmp_path / "a.mp4").stat().st_size / 14.0)
    used = found["costs"]["decode_cpu_seconds"] + found["costs"]["other_cpu_seconds"]
    assert found["estimate"]["cpu_hours"] == pytest.approx(1000 * used)
    text = streammm("plan", "sample", "--hours", "1000", "--cores", "4", "--gpus", "1").stdout
    for words in ("1,000 hours of media on 1 node of 4 cores and 1 GPU:", "wall time", "what GPUs would take off"):
        assert words in " ".join(text.split())
    assert streammm("plan", "nothing", "--hours", "1").returncode == 2
