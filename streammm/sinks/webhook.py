"""Entries posted to a web server in batches, signed as standardwebhooks.com says, at least once.

A batch that is sent again is the same to the byte and has the same key, by which the receiver knows it. The answers
that blame what was sent (400, 413, 415, 422) part a batch in halves until the entry that is not taken stands alone.
All other failures are the server's: they are tried again, whatever they say.
"""

from __future__ import annotations

import base64
import binascii
import email.utils
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from typing import Any

import httpx

from streammm.errors import ConfigError
from streammm.journal import Entry
from streammm.sinks.base import KINDS, UnreachableError, Written, data_of, entry_id
from streammm.types import SCHEMA_VERSION

_NOT_TO_ITS_TASTE = frozenset({400, 413, 415, 422})
_MAX_RETRY_SECONDS = 3600.0


class Webhook:
    """Posts ``{"schema": 2, "run": ..., "entries": [{"kind": ..., "id": ..., "data": ...}, ...]}``.

    Args:
        name: of its cursor.
        url: where to; redirects are not followed.
        kinds: what it is told.
        secret: to sign with, as it is or after ``whsec_`` in base64; without one nothing is signed.
        batch_entries: the most entries of a request.
        linger_seconds: fewer are sent after this time.
        timeout_seconds: how long connecting, and every pause in an answer, may take.

    Raises:
        ConfigError: the secret cannot be read.
    """

    def __init__(
        self,
        name: str,
        url: str,
        kinds: tuple[str, ...] = KINDS,
        secret: str = "",
        batch_entries: int = 100,
        linger_seconds: float = 1.0,
        timeout_seconds: float = 30.0,
    ) -> None:
        self.name = name
        self.kinds = kinds
        self.batch_entries = batch_entries
        self.linger_seconds = linger_seconds
        self._url = url
        self._timeout_seconds = timeout_seconds
        try:
            httpx.URL(url)
            is_coded = secret.startswith("whsec_")
            self._secret = base64.b64decode(secret[6:], validate=True) if is_coded else secret.encode()
        except binascii.Error as error:
            raise ConfigError(f"{name}: what follows whsec_ in the secret is not base64") from error
        except httpx.InvalidURL as error:
            raise ConfigError(f"{name}: {error}") from error
        self._client: httpx.Client | None = None
        self._run = ""

    def start(self, position: int, mark: Any, run: str) -> int:
        self._client = httpx.Client(timeout=self._timeout_seconds, follow_redirects=False)
        self._run = run
        return position

    def write(self, entries: Sequence[Entry]) -> Written:
        refused: dict[int, str] = {}
        self._send(entries, refused)
        return Written(refused=refused)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _send(self, entries: Sequence[Entry], refused: dict[int, str]) -> None:
        answer = self._post(entries)
        if answer.is_success:
            return
        if answer.status_code not in _NOT_TO_ITS_TASTE:
            where = f" to {httpx.URL(answer.headers.get('location', '')).host}" if answer.is_redirect else ""
            words = f"{answer.status_code} {answer.reason_phrase}{where}".strip()
            raise UnreachableError(f"the server answers {words}", _retry_seconds(answer))
        if len(entries) == 1:
            refused[entries[0].position] = f"the server answers {answer.status_code} {answer.reason_phrase}".strip()
            return
        middle = len(entries) // 2
        self._send(entries[:middle], refused)
        self._send(entries[middle:], refused)

    def _post(self, entries: Sequence[Entry]) -> httpx.Response:
        assert self._client is not None
        found = [(entry, data_of(entry)) for entry in entries]
        told = [{"kind": entry.kind, "id": entry_id(entry, data), "data": data} for entry, data in found]
        body = json.dumps({"schema": SCHEMA_VERSION, "run": self._run, "entries": told}, ensure_ascii=False).encode()
        key = hashlib.sha256(body).hexdigest()[:32]
        stamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "streammm",
            "Idempotency-Key": key,
            "webhook-id": key,
            "webhook-timestamp": stamp,
        }
        if self._secret:
            headers["webhook-signature"] = signature(self._secret, key, stamp, body)
        try:
            return self._client.post(self._url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnreachableError(str(error) or type(error).__name__) from error


def signature(secret: bytes, key: str, stamp: str, body: bytes) -> str:
    """The value of ``webhook-signature``: version 1, HMAC-SHA256 over id, timestamp and body."""
    signed = f"{key}.{stamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


def _retry_seconds(answer: httpx.Response) -> float:
    """How long the server asks to be left alone: a number of seconds or a date, an hour at most."""
    text = answer.headers.get("retry-after", "")
    try:
        seconds = float(text) if text.isdigit() else email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError:
        return 0.0
    return min(_MAX_RETRY_SECONDS, max(0.0, seconds))
