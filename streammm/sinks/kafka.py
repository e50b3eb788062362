"""Entries as messages of a Kafka topic, each with its id as the key: a repetition has the same key.

confluent-kafka: its librdkafka repeats without doubling or reordering within a connection (an idempotent producer), and
is what brokers are tested against.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from confluent_kafka import KafkaError, KafkaException, Producer

from streammm.errors import ConfigError
from streammm.journal import Entry
from streammm.sinks.base import KINDS, UnreachableError, Written, data_of, entry_id

_PERMANENT = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG})
"""What a broker will not take, however often it is asked."""

_QUERY = {"mechanism": "sasl.mechanism", "ca_file": "ssl.ca.location"}

_quiet = logging.getLogger("streammm.kafka")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False  # it reports every try to connect; the last error is told by us


class Kafka:
    """Writes to a topic; acknowledged by all replicas.

    Args:
        name: of its cursor.
        url: ``kafka://HOST:PORT[,HOST:PORT]/TOPIC``, or ``kafkas://`` with TLS and, where it names a user, SASL;
            ``?mechanism=SCRAM-SHA-512`` and ``?ca_file=PATH`` say how.
        kinds: what it is told.
        timeout_seconds: how long a batch may take before it counts as not delivered.

    Raises:
        ConfigError: the address cannot be meant.
    """

    batch_entries = 1000
    linger_seconds = 0.0

    def __init__(self, name: str, url: str, kinds: tuple[str, ...] = KINDS, timeout_seconds: float = 30.0) -> None:
        self.name = name
        self.kinds = kinds
        self._timeout_seconds = timeout_seconds
        parts = urlsplit(url)
        user_info, _, hosts = parts.netloc.rpartition("@")
        self._topic = parts.path.strip("/")
        if not hosts or not self._topic or "/" in self._topic:
            raise ConfigError(f"{name}: the address has the form kafka://HOST:9092/TOPIC")
        self._settings: dict[str, Any] = {
            "bootstrap.servers": hosts,
            "client.id": "streammm",
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "linger.ms": 5,
            "message.timeout.ms": round(timeout_seconds * 1000),
            "socket.timeout.ms": round(min(timeout_seconds, 60.0) * 1000),
            "reconnect.backoff.max.ms": 2000,
            "error_cb": self._note,
        }
        if parts.scheme == "kafkas":
            self._settings["security.protocol"] = "SASL_SSL" if user_info else "SSL"
        elif user_info:
            raise ConfigError(f"{name}: a password is only sent over TLS: write kafkas://")
        if user_info:
            user, _, password = user_info.partition(":")
            self._settings |= {"sasl.username": unquote(user), "sasl.password": unquote(password)}
            self._settings["sasl.mechanism"] = "PLAIN"
        for key, value in parse_qsl(parts.query):
            if key not in _QUERY:
                raise ConfigError(f"{name}: {key} is not known here; {' and '.join(_QUERY)} are")
            self._settings[_QUERY[key]] = value
        self._producer: Producer | None = None
        self._last_error = ""

    def start(self, position: int, mark: Any, run: str) -> int:
        try:
            self._producer = Producer(self._settings, logger=_quiet)
        except KafkaException as error:
            raise UnreachableError(error.args[0].str()) from error
        return position

    def write(self, entries: Sequence[Entry]) -> Written:
        assert self._producer is not None
        failures: dict[int, KafkaError] = {}
        refused: dict[int, str] = {}
        deadline = time.monotonic() + self._timeout_seconds
        for entry in entries:
            self._produce(entry, failures, refused, deadline)
        # Each message ends with a report by then, of its delivery or of its time being over.
        if self._producer.flush(self._timeout_seconds + 5.0):
            raise UnreachableError(self._last_error or "the broker does not answer")
        for position, error in failures.items():
            if error.code() not in _PERMANENT:
                raise UnreachableError(self._last_error or error.str())
            refused[position] = error.str()
        self._last_error = ""
        return Written(refused=refused)

    def close(self) -> None:
        if self._producer is not None:
            self._producer.purge()  # what was not acknowledged is sent again by the next one
            self._producer.flush(1.0)
            self._producer = None

    def _produce(self, entry: Entry, failures: dict[int, KafkaError], refused: dict[int, str], deadline: float) -> None:
        def report(error: KafkaError | None, message: Any) -> None:
            if error is not None:
                failures[entry.position] = error

        assert self._producer is not None
        data = data_of(entry)
        headers: list[tuple[str, str | bytes | None]] = [("kind", entry.kind), ("schema", str(data.get("schema", "")))]
        while True:
            try:
                self._producer.produce(
                    self._topic, entry.text.encode(), entry_id(entry, data), headers=headers, on_delivery=report
                )
            except BufferError:  # the queue is full; what is in it goes out meanwhile
                if time.monotonic() > deadline:
                    raise UnreachableError(self._last_error or "the broker is too slow") from None
                self._producer.poll(0.1)
            except KafkaException as error:
                if error.args[0].code() not in _PERMANENT:
                    raise UnreachableError(error.args[0].str()) from error
                refused[entry.position] = error.args[0].str()
                return
            else:
                self._producer.poll(0)
                return

    def _note(self, error: KafkaError) -> None:
        self._last_error = error.str()
