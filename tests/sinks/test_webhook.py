"""Webhooks: signed, known again by their keys, tried again as asked, and one bad entry keeps nobody else out."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

import pytest

from streammm.errors import ConfigError
from streammm.sinks.base import UnreachableError
from streammm.sinks.webhook import Webhook
from streammm.types import SCHEMA_VERSION
from tests.live.servers import free_port
from tests.sinks.servers import WebServer
from tests.sinks.told import event_entry, quarantined, row, rows


def opened(server: WebServer, **options: object) -> Webhook:
    hook = Webhook("h", server.url, timeout_seconds=10.0, **options)  # type: ignore[arg-type]
    hook.start(0, None, "abc0")
    return hook


def test_a_post_holds_the_entries_with_their_ids(web_server: WebServer) -> None:
    opened(web_server).write([*rows(0, 2), event_entry(3), quarantined(4)])
    ((headers, body),) = web_server.posts
    told = json.loads(body)
    assert (told["schema"], told["run"]) == (SCHEMA_VERSION, "abc0")
    assert [entry["kind"] for entry in told["entries"]] == ["row", "row", "event", "quarantine"]
    assert told["entries"][1] == {"kind": "row", "id": row(segment=1).id, "data": row(segment=1).to_json()}
    assert len({entry["id"] for entry in told["entries"]}) == 4
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == headers["webhook-id"]
    assert "webhook-signature" not in headers


def test_a_batch_that_is_sent_again_is_known_by_its_key(web_server: WebServer) -> None:
    for entries in (rows(0, 2), rows(0, 2), rows(0, 3)):
        opened(web_server).write(entries)
    keys = [headers["idempotency-key"] for headers, _ in web_server.posts]
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(("secret", "key"), [("s3cret", b"s3cret"), ("whsec_" + "AAECAw==", bytes(range(4)))])
def test_a_receiver_can_check_who_sent_it(web_server: WebServer, secret: str, key: bytes) -> None:
    opened(web_server, secret=secret).write(rows(0, 1))
    ((headers, body),) = web_server.posts
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_what_is_not_taken_is_set_aside_alone(web_server: WebServer, status: int) -> None:
    bad = row(segment=5).id.encode()
    web_server.answer = lambda headers, body: (status if bad in body else 204, {})
    written = opened(web_server).write(rows(0, 9))
    assert {p: words[:22] for p, words in written.refused.items()} == {6: f"the server answers {status}"}
    taken = [body for _, body in web_server.posts if bad not in body]
    segments = [entry["data"]["segment"] for body in taken for entry in json.loads(body)["entries"]]
    assert segments == [0, 1, 2, 3, 4, 6, 7, 8]


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (500, {}, 0.0),
        (503, {"retry-after": "120"}, 120.0),
        (429, {"retry-after": "99999"}, 3600.0),
        (503, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        (503, {"retry-after": "soon"}, 0.0),
        (401, {}, 0.0),
        (404, {}, 0.0),
        (409, {}, 0.0),
    ],
)
def test_what_the_server_is_to_blame_for_is_tried_again(
    web_server: WebServer, status: int, headers: dict[str, str], seconds: float
) -> None:
    web_server.answer = lambda *_: (status, headers)
    with pytest.raises(UnreachableError, match=f"the server answers {status}") as caught:
        opened(web_server).write(rows(0, 3))
    assert caught.value.retry_seconds == seconds
    assert len(web_server.posts) == 1


def test_no_redirect_is_followed(web_server: WebServer) -> None:
    other = WebServer()
    web_server.answer = lambda *_: (307, {"location": other.url})
    with pytest.raises(UnreachableError, match=r"307 Temporary Redirect to 127\.0\.0\.1"):
        opened(web_server).write(rows(0, 1))
    assert other.posts == []
    other.close()


def test_a_server_that_is_away_is_told_as_such() -> None:
    hook = Webhook("h", f"http://127.0.0.1:{free_port()}/", timeout_seconds=5.0)
    hook.start(0, None, "abc0")
    with pytest.raises(UnreachableError, match="refused"):
        hook.write(rows(0, 1))


def test_a_secret_that_cannot_be_read_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="not base64"):
        Webhook("h", "http://localhost/", secret="whsec_!")  # noqa: S106
