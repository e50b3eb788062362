"""The servers that sinks deliver to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sinks.servers import Broker, Mosquitto, WebServer, closing


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with closing(Broker(tmp_path)) as server:
        yield server


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with closing(Mosquitto(tmp_path)) as server:
        yield server


@pytest.fixture
def web_server() -> Iterator[WebServer]:
    with closing(WebServer()) as server:
        yield server
