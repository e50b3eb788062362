"""The servers that are delivered to."""

from tests.sinks.conftest import broker, mosquitto, web_server

__all__ = ["broker", "mosquitto", "web_server"]
