"""Kafka and MQTT: what a consumer sees, and what a broker does not take."""

from __future__ import annotations

from pathlib import Path

import pytest

from streammm.errors import ConfigError
from streammm.sinks.base import Outlet, UnreachableError
from streammm.sinks.kafka import Kafka
from streammm.sinks.mqtt import Mqtt
from streammm.types import SCHEMA_VERSION
from tests.live.servers import free_port
from tests.sinks.servers import Broker, Mosquitto, closing, eventually
from tests.sinks.told import event_entry, quarantined, row, row_entry, rows


def test_a_kafka_message_has_the_id_as_its_key(broker: Broker) -> None:
    sink = Kafka("k", broker.url, timeout_seconds=20.0)
    sink.start(0, None, "run")
    assert sink.write([*rows(0, 30), event_entry(31), quarantined(32)]).refused == {}
    sink.close()
    found = {key: (headers, data) for key, headers, data in broker.received()}
    assert len(found) == 32
    for n in range(30):
        assert found[row(segment=n).id] == ({"kind": "row", "schema": str(SCHEMA_VERSION)}, row(segment=n).to_json())
    assert sorted(headers["kind"] for headers, _ in found.values()) == ["event", "quarantine"] + 30 * ["row"]


def test_a_kafka_message_that_is_too_large_is_set_aside(broker: Broker) -> None:
    sink = Kafka("k", broker.url, timeout_seconds=20.0)
    sink.start(0, None, "run")
    written = sink.write([*rows(0, 1), row_entry(row(model="m" * 2_000_000), 2), *rows(2, 3)])
    assert list(written.refused) == [2]
    assert "large" in written.refused[2]
    sink.close()
    assert sorted(data["segment"] for _, _, data in broker.received()) == [0, 2]


def test_an_mqtt_message_says_its_id_and_kind(mosquitto: Mosquitto) -> None:
    sink = Mqtt("m", mosquitto.url, timeout_seconds=20.0)
    sink.start(0, None, "run")
    assert sink.write([*rows(0, 3), event_entry(4)]).refused == {}
    sink.close()
    eventually(lambda: len(mosquitto.received()) == 4)
    assert mosquitto.received()[:3] == [
        ("videos/row", {"id": row(segment=n).id, "kind": "row"}, row(segment=n).to_json()) for n in range(3)
    ]
    assert mosquitto.received()[3][0] == "videos/event"


def test_an_mqtt_message_that_is_too_large_is_set_aside(tmp_path: Path) -> None:
    with closing(Mosquitto(tmp_path, "allow_anonymous true\nmax_packet_size 20000\n")) as server:
        sink = Mqtt("m", server.url, timeout_seconds=20.0)
        sink.start(0, None, "run")
        written = sink.write([*rows(0, 1), row_entry(row(model="m" * 30_000), 2), *rows(2, 3)])
        assert written.refused == {2: "larger than the 20000 bytes that the broker takes"}
        sink.close()
        eventually(lambda: len(server.received()) == 2)


def test_a_broker_that_lets_nobody_in_is_told_as_such(tmp_path: Path) -> None:
    with closing(Mosquitto(tmp_path, "allow_anonymous false\n", is_heard=False)) as server:
        sink = Mqtt("m", server.url, timeout_seconds=20.0)
        with pytest.raises(UnreachableError, match="the broker refuses: Not authorized"):
            sink.start(0, None, "run")
        sink.close()


def test_a_broker_that_is_away_is_told_as_such() -> None:
    kafka = Kafka("k", f"kafka://127.0.0.1:{free_port()}/t", timeout_seconds=2.0)
    kafka.start(0, None, "run")
    with pytest.raises(UnreachableError, match=r"refused|transport failure|brokers are down"):
        kafka.write(rows(0, 1))
    kafka.close()
    mqtt = Mqtt("m", f"mqtt://127.0.0.1:{free_port()}/t", timeout_seconds=2.0)
    with pytest.raises(OSError, match="refused"):
        mqtt.start(0, None, "run")
    mqtt.close()


@pytest.mark.parametrize(
    ("kind", "address", "words"),
    [
        (Kafka, "kafka://host:9092", "has the form"),
        (Kafka, "kafka://host:9092/a/b", "has the form"),
        (Kafka, "kafka://me:pw@host:9092/t", "only sent over TLS"),
        (Kafka, "kafka://host:9092/t?plugin.library.paths=x", "is not known here"),
        (Mqtt, "mqtt://host", "has the form"),
        (Mqtt, "mqtt://host/a/#", "has the form"),
        (Mqtt, "mqtt://me:pw@host/t", "only sent over TLS"),
    ],
)
def test_an_address_that_cannot_be_meant_is_a_mistake(kind: type[Outlet], address: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        kind("s", address)  # type: ignore[call-arg]
