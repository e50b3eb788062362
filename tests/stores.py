"""An S3 server on loopback: moto, behind a gate that writes down what is asked for and can refuse, fail or stall."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

DENIED = b"""<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"""


@dataclass(slots=True)
class Request:
    """One request; ``num_bytes`` is what its answer held."""

    method: str
    path: str
    query: str
    num_bytes: int = 0


class S3:
    """The server; each test takes a bucket of its own.

    Attributes:
        requests: what was asked for, in order.
        gate: called with each request before it is answered; what it returns is the answer, None lets it pass.
    """

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self._numbers = itertools.count()
        self.url = f"http://127.0.0.1:{self._server.port}"
        self.requests: list[Request] = []
        self.gate: Callable[[Request], tuple[int, bytes] | None] = lambda request: None
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()

    def bucket(self, client: Any) -> Bucket:
        name = f"films-{next(self._numbers)}"
        client.create_bucket(Bucket=name)
        self.requests.clear()
        self.gate = lambda request: None
        return Bucket(self, client, name)

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"])
        self.requests.append(request)
        if (answer := self.gate(request)) is not None:
            status, body = answer
            start_response(f"{status} Gate", [("Content-Length", str(len(body))), ("Content-Type", "text/xml")])
            return [] if request.method == "HEAD" else [body]
        return self._counted(request, self._app(environ, start_response))

    def _counted(self, request: Request, parts: Iterable[bytes]) -> Iterator[bytes]:
        for part in parts:
            request.num_bytes += len(part)
            yield part


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket on the server."""

    server: S3
    client: Any
    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    def put(self, key: str, content: bytes | Path) -> str:
        """Stores something; its address."""
        body = content.read_bytes() if isinstance(content, Path) else content
        self.client.put_object(Bucket=self.name, Key=key, Body=body)
        return f"{self.url}/{key}"

    def asked(self, method: str, words: str = "") -> list[Request]:
        """The requests so far with some words in their path or query."""
        return [r for r in self.server.requests if r.method == method and words in f"{r.path}?{r.query}"]


def client(url: str) -> Any:
    """A client of the server, for tests to fill it."""
    secrets = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    return boto3.client("s3", endpoint_url=url, region_name="us-east-1", **secrets)


def stalled(until: threading.Event, words: str, method: str = "GET") -> Callable[[Request], None]:
    """A gate before which requests with some words in their path wait."""

    def gate(request: Request) -> None:
        if request.method == method and words in request.path:
            with suppress(TimeoutError):
                until.wait(60)

    return gate
