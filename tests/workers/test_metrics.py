"""What a run tells of itself: rates, loads, what limits it, and the same as metrics and on the dashboard."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from streammm.errors import ConfigError
from streammm.sinks.progress import as_line
from streammm_workers.exporters import Exporter
from streammm_workers.metrics import Progress, Rates, ShardLoad, StageLoad, total

DASHBOARD = Path(__file__).parents[2] / "docker" / "grafana" / "streammm.json"


def load(busy_seconds: float, num_segments: int) -> ShardLoad:
    decode = StageLoad(2, busy_seconds, busy_seconds / 4, num_segments, num_deaths=1)
    video = StageLoad(
        1, busy_seconds / 10, num_segments=num_segments, num_waiting=3, batch_sizes={1: 2, 16: num_segments}
    )
    return ShardLoad(
        {"decode": decode, "video": video}, 4, {"decoders": 2, "batch_segments": 16}, {"a:1": busy_seconds}
    )


OUTLET = {"behind": 9, "delivered": 8, "refused": 2, "last_refusal": "large", "failures": 3, "error": "refused"}


def progress(seconds: float) -> Progress:
    """Ten media seconds a second, from ten sources a second; decoders at work for 90 % of the time."""
    return Progress(
        num_listed=100,
        is_listed=True,
        num_done=round(seconds),
        num_quarantined=1,
        num_rows=round(5 * seconds),
        media_seconds=10 * seconds,
        quarantined={"missing": 1},
        lag_seconds={"rtsp://a": 0.25},
        sinks_behind={"files": 7},
        outlets={"kafka://a/t": OUTLET},
        load=load(1.8 * seconds, round(5 * seconds)),
    )


def test_rates_are_those_of_the_last_half_minute() -> None:
    rates = Rates()
    rates.snapshot(Progress(), now=0.0)
    for second in range(1, 41):
        found = rates.snapshot(progress(second), now=float(second))
    assert found["media_seconds_per_second"] == pytest.approx(10.0)
    assert found["segments_per_second"] == pytest.approx(5.0)
    assert found["stages"]["decode"]["load"] == pytest.approx(0.9)
    assert found["limited_by"] == "decode"
    assert found["seconds_left"] == pytest.approx((100 - 41) / 1.0)
    assert json.loads(json.dumps(found)) == found
    line = as_line(found)
    for words in (
        "kafka://a/t 9 behind: refused",
        "41/100 sources",
        "1 quarantined",
        "0:00:59 left",
        "10.0 media seconds",
        "limited by decode",
    ):
        assert words in line


def test_nothing_limits_a_run_that_waits() -> None:
    rates = Rates()
    rates.snapshot(Progress(), now=0.0)
    idle = Progress(load=ShardLoad({"decode": StageLoad(2, 0.1)}, 1))
    found = rates.snapshot(idle, now=10.0)
    assert (found["limited_by"], found["seconds_left"]) == ("", None)


def test_loads_of_shards_add_up() -> None:
    found = total([load(1.0, 3), load(2.0, 4)])
    assert found.num_sources == 8
    assert found.stages["decode"] == StageLoad(4, 3.0, 0.75, 7, num_deaths=2)
    assert (found.sizes, found.process_cpu_seconds) == ({"decoders": 2, "batch_segments": 16}, {"a:1": 2.0})
    assert found.stages["video"].batch_sizes == {1: 4, 16: 7}


def exposed() -> str:
    class Silent:
        def progress(self, snapshot: dict) -> None:
            """Not looked at here."""

    exporter = Exporter(Silent())
    exporter.progress(Rates().snapshot(progress(10.0), now=10.0))
    registry = CollectorRegistry()
    registry.register(exporter)
    return generate_latest(registry).decode()


def test_metrics_say_what_the_snapshot_says() -> None:
    values = dict(line.rsplit(" ", 1) for line in exposed().splitlines() if not line.startswith("#"))
    assert float(values["streammm_segments_total"]) == 50
    assert float(values['streammm_sources_quarantined_total{reason="missing"}']) == 1
    assert float(values['streammm_stage_busy_seconds_total{stage="decode"}']) == pytest.approx(18.0)
    assert float(values['streammm_live_lag_seconds{source="rtsp://a"}']) == 0.25
    found = {name: values[f'streammm_sink_{name}{{sink="kafka://a/t"}}'] for name in ("behind", "down", "refused")}
    assert {name: float(value) for name, value in found.items()} == {"behind": 9, "down": 1, "refused": 2}
    assert float(values['streammm_sink_delivered_total{sink="kafka://a/t"}']) == 8
    buckets = [float(values[f'streammm_batch_size_bucket{{le="{top}",stage="video"}}']) for top in (1, 8, 16, "+Inf")]
    assert buckets == [2, 2, 52, 52]


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    names = {line.partition("{")[0].partition(" ")[0] for line in exposed().splitlines() if not line.startswith("#")}
    used = set()
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            used |= set(re.findall(r"streammm_\w+", target["expr"]))
    assert used <= names
    shown = {re.sub("_(bucket|count|sum|created)$", "", name) for name in used}
    missing = {re.sub("_(bucket|count|sum|created)$", "", name) for name in names} - shown
    assert missing == {
        "streammm_sources_listed",
        "streammm_sources_skipped_total",
        "streammm_stage_workers",
        "streammm_stage_cpu_seconds_total",
    }
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_a_port_that_is_taken_is_a_mistake() -> None:
    class Silent:
        pass

    with Exporter(Silent(), "0") as first:
        port = first._server.server_port
        with pytest.raises(ConfigError, match="cannot be listened on"):
            Exporter(Silent(), f"127.0.0.1:{port}")
