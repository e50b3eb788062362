"""A real Prometheus asks a real run: every graph of the dashboard has something to show, every alert is understood."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.live.servers import Rig, free_port

DOCKER = Path(__file__).parents[2] / "docker"

pytestmark = pytest.mark.live


@pytest.fixture
def prometheus(rig: Rig, tmp_path: Path) -> tuple[str, int]:
    """Prometheus with the project's own configuration but for whom it asks: its address and the port of the run."""
    if shutil.which("prometheus") is None:
        reason = "no Prometheus: apt-get install prometheus"
        (pytest.fail if os.environ.get("STREAMMM_NO_SKIP") else pytest.skip)(reason)
    own, run = free_port(), free_port()
    config = yaml.safe_load((DOCKER / "prometheus/prometheus.yaml").read_text())
    config["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DOCKER / "prometheus" / name) for name in config["rule_files"]]
    config["scrape_configs"] = [{"job_name": "streammm", "static_configs": [{"targets": [f"127.0.0.1:{run}"]}]}]
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(config))
    options = {
        "config.file": tmp_path / "prometheus.yaml",
        "storage.tsdb.path": tmp_path / "metrics",
        "web.listen-address": f"127.0.0.1:{own}",
    }
    rig.run("prometheus", ["prometheus", *(f"--{name}={value}" for name, value in options.items())], own)
    return f"http://127.0.0.1:{own}/api/v1", run


def ask(address: str, path: str, **query: str) -> Any:
    url = f"{address}/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own server
        return json.load(answer)["data"]


def test_every_graph_has_data(rig: Rig, sync_clip: Path, prometheus: tuple[str, int], tmp_path: Path) -> None:
    address, port = prometheus
    dashboard = json.loads((DOCKER / "grafana/streammm.json").read_text())
    wanted = {
        target["expr"] for panel in dashboard["panels"] for target in panel["targets"] if "ray_" not in target["expr"]
    }
    assert len(wanted) > 15
    udp = free_port()
    rig.publish_udp(sync_clip, udp)
    (tmp_path / "broken.mp4").write_bytes(b"not a film" * 100)
    sources = [f"udp://127.0.0.1:{udp}", sync_clip, tmp_path / "broken.mp4"]
    streammm = Path(sys.executable).with_name("streammm")
    sink = ["--to", f"csv:{tmp_path}/rows.csv"]
    rig.run("run", [streammm, "run", "--metrics", port, *sink, "--out", tmp_path / "run", *sources], port)
    end = time.monotonic() + 60
    while empty := {query for query in wanted if not has_data(address, query)}:
        assert time.monotonic() < end, empty
        time.sleep(1.0)
    rules = [rule for group in ask(address, "rules")["groups"] for rule in group["rules"]]
    assert {(rule["health"], rule.get("lastError")) for rule in rules} == {("ok", None)}
    assert len(rules) == 6


def has_data(address: str, query: str) -> bool:
    values = [float(series["value"][1]) for series in ask(address, "query", query=query)["result"]]
    return any(math.isfinite(value) for value in values)
