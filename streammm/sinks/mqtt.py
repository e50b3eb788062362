"""Entries as messages to an MQTT broker (version 5), at least once: each is acknowledged before the next batch."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, MQTTErrorCode, MQTTMessageInfo, MQTTProtocolVersion
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from streammm.errors import ConfigError
from streammm.journal import Entry
from streammm.sinks.base import KINDS, UnreachableError, Written, data_of, entry_id

_PERMANENT = frozenset({0x95, 0x99})  # packet too large, payload format invalid
_HEAD_BYTES = 512
"""Of a packet, besides the topic and the payload, at most."""


class Mqtt:
    """Publishes to ``TOPIC/KIND`` with QoS 1; the id and the kind are user properties of the message.

    Args:
        name: of its cursor.
        url: ``mqtt://HOST:1883/TOPIC`` or ``mqtts://[USER:PASSWORD@]HOST:8883/TOPIC``.
        kinds: what it is told.
        timeout_seconds: how long connecting, or acknowledging a batch, may take.

    Raises:
        ConfigError: the address cannot be meant.
    """

    batch_entries = 100
    linger_seconds = 0.0

    def __init__(self, name: str, url: str, kinds: tuple[str, ...] = KINDS, timeout_seconds: float = 30.0) -> None:
        self.name = name
        self.kinds = kinds
        self._timeout_seconds = timeout_seconds
        parts = urlsplit(url)
        self._is_secure = parts.scheme == "mqtts"
        self._topic = unquote(parts.path.strip("/"))
        if not parts.hostname or not self._topic or {"#", "+"} & set(url):
            raise ConfigError(f"{name}: the address has the form mqtt://HOST:1883/TOPIC")
        if parts.username and not self._is_secure:
            raise ConfigError(f"{name}: a password is only sent over TLS: write mqtts://")
        self._host, self._port = parts.hostname, parts.port or (8883 if self._is_secure else 1883)
        self._user = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        self._client: Client | None = None
        self._answered = threading.Event()
        self._max_bytes: int | None = None
        self._answer = ""
        self._reasons: dict[int, ReasonCode] = {}

    def start(self, position: int, mark: Any, run: str) -> int:
        client = self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        client.connect_timeout = self._timeout_seconds
        client.max_inflight_messages_set(self.batch_entries)
        if self._is_secure:
            client.tls_set()
        if self._user is not None:
            client.username_pw_set(*self._user)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        self._answered.clear()
        self._answer = ""
        client.connect(self._host, self._port)
        client.loop_start()
        if not self._answered.wait(self._timeout_seconds):
            raise UnreachableError("the broker does not answer")
        if self._answer:
            raise UnreachableError(self._answer)
        return position

    def write(self, entries: Sequence[Entry]) -> Written:
        assert self._client is not None
        refused: dict[int, str] = {}
        sent: list[tuple[Entry, MQTTMessageInfo]] = []
        self._reasons.clear()
        for entry in entries:
            payload = entry.text.encode()
            if self._max_bytes is not None and len(payload) + len(self._topic) + _HEAD_BYTES > self._max_bytes:
                refused[entry.position] = f"larger than the {self._max_bytes} bytes that the broker takes"
                continue
            info = self._client.publish(f"{self._topic}/{entry.kind}", payload, qos=1, properties=_properties(entry))
            if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                raise UnreachableError(str(info.rc))
            sent.append((entry, info))
        deadline = time.monotonic() + self._timeout_seconds
        for entry, info in sent:
            info.wait_for_publish(max(0.0, deadline - time.monotonic()))
            if not info.is_published():
                raise UnreachableError("the broker does not acknowledge")
            reason = self._reasons.get(info.mid)
            if reason is not None and reason.is_failure:
                if reason.value not in _PERMANENT:
                    raise UnreachableError(f"the broker does not take it: {reason}")
                refused[entry.position] = str(reason)
        return Written(refused=refused)

    def close(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None

    def _on_connect(self, client: Client, data: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        self._answer = f"the broker refuses: {reason}" if reason.is_failure else ""
        self._max_bytes = getattr(properties, "MaximumPacketSize", None)
        self._answered.set()

    def _on_publish(self, client: Client, data: Any, mid: int, reason: ReasonCode, properties: Any) -> None:
        self._reasons[mid] = reason


def _properties(entry: Entry) -> Properties:
    found = Properties(PacketTypes.PUBLISH)
    found.ContentType = "application/json"
    found.UserProperty = [("id", entry_id(entry, data_of(entry))), ("kind", entry.kind)]
    return found
