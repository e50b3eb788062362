"""The page's API, and who is turned away from it: asked as browsers, strangers and programs ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from streammm.errors import ConfigError, StreammmError
from streammm.media.listing import ListingOptions
from streammm.types import SourceReport
from streammm.watch.app import _messages, make_app
from streammm.watch.cards import Cards
from streammm.watch.guard import Guard
from streammm.watch.serve import Page
from tests.report.conftest import row
from tests.watch.test_cards import SCORES, entry

TOKEN = "a-token-for-tests-123"  # noqa: S105
HOME = "http://127.0.0.1:8420"
JSON = {"content-type": "application/json"}


class FakeRun:
    """Notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []

    async def add(self, found: Sequence[Any]) -> Mapping[str, str]:
        self.asked.append(("add", list(found)))
        return {name: "todo" for name in found if isinstance(name, str) and "known" not in name}

    async def pause(self, name: str) -> None:
        self.asked.append(("pause", name))

    async def resume(self, name: str) -> None:
        raise StreammmError(f"{name} is not paused")

    async def remove(self, name: str) -> None:
        self.asked.append(("remove", name))

    def standing(self) -> Mapping[str, str]:
        return {"cam": "pausing" if ("pause", "cam") in self.asked else "working"}

    async def pictures(self) -> Mapping[str, bytes]:
        return {}


class Site:
    def __init__(self, token: str = "") -> None:
        self.cards, self.run = Cards(), FakeRun()
        self.cards.entries([entry(row("cam", 0, SCORES))])
        self.id = next(iter(self.cards)).id
        self._app = Guard(make_app(self.cards, self.run), {"127.0.0.1", "localhost"}, 8420, token)  # type: ignore[arg-type]

    def ask(self, method: str, path: str, at: str = HOME, **more: Any) -> httpx.Response:
        async def main() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url=at) as client:
                return await client.request(method, path, **more)

        return asyncio.run(main())

    def add(self, source: str, **more: Any) -> httpx.Response:
        return self.ask("POST", "/api/sources", json={"source": source}, **more)


def test_sources_are_listed_paused_and_removed() -> None:
    site = Site()
    (told,) = site.ask("GET", "/api/sources").json()
    assert (told["name"], told["segments"]) == ("cam", 1)
    one = site.ask("GET", f"/api/sources/{site.id}").json()
    assert one["rows"][0]["found"] == [["music", 0.8], ["car", 0.1]]
    paused = site.ask("POST", f"/api/sources/{site.id}/pause", headers=JSON)
    assert (paused.status_code, paused.json()["state"]) == (202, "pausing")
    assert site.ask("DELETE", f"/api/sources/{site.id}", headers=JSON).status_code == 202
    assert site.run.asked == [("pause", "cam"), ("remove", "cam")]
    refused = site.ask("POST", f"/api/sources/{site.id}/resume", headers=JSON)
    assert (refused.status_code, refused.json()["detail"]) == (409, "cam is not paused")
    assert site.ask("POST", "/api/sources/0000/pause", headers=JSON).status_code == 404


def test_sources_are_added_as_on_the_command_line(tmp_path: Path) -> None:
    site = Site()
    for name in ("b.mp4", "a.mp4", "known.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    told = site.add(str(tmp_path))
    assert told.status_code == 201
    assert told.json() == {
        "added": [str(tmp_path / "a.mp4"), str(tmp_path / "b.mp4")],
        "known": [str(tmp_path / "known.mp4")],
        "skipped": [],
    }
    told = site.add("rtsp://me:secret@host/live")
    assert told.json()["added"] == []  # FakeRun answers by what it was given
    assert site.run.asked[-1] == ("add", ["rtsp://me:secret@host/live"])
    assert "secret" not in told.text


@pytest.mark.parametrize("source", ["-", "rtsp://me:${HOME}@host/", "   ", "@no-such-list.csv"])
def test_what_cannot_be_added_is_refused_in_words(source: str) -> None:
    site = Site()
    told = site.add(source)
    assert (told.status_code, site.run.asked) == (409, [])
    assert len(told.json()["detail"]) > 10


@pytest.mark.parametrize("body", [{}, {"source": ""}, {"source": 7}, {"source": "x" * 5000}])
def test_what_is_no_question_is_refused(body: dict[str, Any]) -> None:
    assert Site().ask("POST", "/api/sources", json=body).status_code == 422


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example:8420"}, 421),  # a name that was rebound to this address
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1:9999"}, 421),
        ({"host": "127.0.0.1:8420@evil"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"content-type": "text/plain"}, 415),  # what a form of another site may send
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-length": "100000"}, 413),
        ({"transfer-encoding": "chunked"}, 411),
    ],
)
def test_other_sites_change_nothing(headers: dict[str, str], status: int) -> None:
    site = Site()
    told = site.ask("POST", "/api/sources", content=b'{"source": "a"}', headers={**JSON, **headers})
    assert (told.status_code, site.run.asked) == (status, [])


def test_the_page_itself_may_change_things() -> None:
    site = Site()
    same = {"origin": HOME, "sec-fetch-site": "same-origin"}
    assert site.add("a.mp4", headers=same).status_code == 201
    assert site.add("a.mp4", headers={**same, "origin": "https://behind.example"}).status_code == 201  # a proxy's
    assert site.ask("GET", "/", headers={"host": "localhost:8420"}).status_code == 200


def test_other_sites_read_nothing_and_may_only_link_to_the_page() -> None:
    site = Site()
    site.cards.show({"cam": b"jpeg"})
    embedded = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
    assert site.ask("GET", f"/api/sources/{site.id}/picture").content == b"jpeg"
    assert site.ask("GET", f"/api/sources/{site.id}/picture", headers=embedded).status_code == 403
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    answer = site.ask("GET", "/", headers=link)
    assert answer.status_code == 200
    frame = {**link, "sec-fetch-dest": "iframe"}
    assert site.ask("GET", "/", headers=frame).status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_with_a_token_nothing_is_told_without_it() -> None:
    site = Site(TOKEN)
    for path in ("/", "/api/sources", "/api/stream", "/openapi.json", "/assets/watch.js", "/?token=wrong-token-here"):
        told = site.ask("GET", path)
        assert (told.status_code, "cam" in told.text) == (401, False), path
    assert site.add("a.mp4").status_code == 401
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert site.ask("GET", "/api/sources", headers=bearer).status_code == 200
    assert site.ask("GET", "/api/sources", headers={"authorization": f"Bearer {TOKEN}x"}).status_code == 401
    assert site.add("a.mp4", headers=bearer).status_code == 201


def test_the_printed_link_leaves_a_cookie_that_scripts_and_other_sites_do_not_get() -> None:
    site = Site(TOKEN)
    opened = site.ask("GET", f"/?token={TOKEN}")
    cookie = opened.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "cam" not in opened.text
    told = site.ask("GET", "/api/sources", headers={"cookie": cookie.partition(";")[0]})
    assert told.status_code == 200


def test_addresses_of_the_network_are_taken_where_there_is_a_token_and_names_are_not() -> None:
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert Site(TOKEN).ask("GET", "/api/run", at="http://192.0.2.7:8420", headers=bearer).status_code == 200
    assert Site(TOKEN).ask("GET", "/api/run", at="http://evil.example:8420", headers=bearer).status_code == 421
    assert Site().ask("GET", "/api/run", at="http://192.0.2.7:8420").status_code == 421


def test_the_api_is_described_and_its_page_loads_nothing_from_elsewhere() -> None:
    site = Site()
    api = site.ask("GET", "/openapi.json").json()
    assert api["openapi"].startswith("3.")
    assert {"get", "post"} <= set(api["paths"]["/api/sources"])
    assert {"/api/stream", "/api/sources/{id_}/pause", "/api/sources/{id_}/resume"} <= set(api["paths"])
    docs = site.ask("GET", "/docs").text
    assert "/api/sources/{id_}/pause" in docs
    assert "https://" not in docs


def test_the_stream_begins_with_everything_and_goes_on_with_what_is_new() -> None:
    cards = Cards()
    cards.entries([entry(row("cam", 0, SCORES))])

    async def main() -> list[str]:
        messages = _messages(cards)
        told = [await anext(messages)]
        cards.entries([entry(row("cam", 1, SCORES))])
        told.append(await anext(messages))
        cards.finished(SourceReport("cam", 2, 4.0, 0, "", 0))
        cards.close()
        told += [message async for message in messages]
        return told

    first, second, third, last = asyncio.run(main())
    found = [json.loads(text.partition("data: ")[2]) for text in (first, second, third)]
    assert [len(one["cards"][0]["rows"]) for one in found] == [1, 1, 0]
    assert [one["first"] for one in found] == [True, False, False]
    assert found[1]["cards"][0]["rows"][0]["start"] == 2.0
    assert found[2]["cards"][0]["state"] == "done"
    assert last.startswith("event: over")


def page(address: str) -> Page:
    return Page(address, Cards(), ListingOptions(), with_pictures=True)


def test_beyond_this_machine_there_is_always_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMMM_TOKEN", raising=False)
    here, everywhere = page("0"), page("0.0.0.0:0")
    assert here.link.startswith("http://127.0.0.1:")
    assert here.token == ""
    assert len(everywhere.token) >= 32
    assert everywhere.link.endswith(f"/?token={everywhere.token}")
    monkeypatch.setenv("STREAMMM_TOKEN", TOKEN)
    chosen = page("0")
    assert chosen.token == TOKEN
    for one in (here, everywhere, chosen):
        one.close()


@pytest.mark.parametrize("token", ["short", "with a blank in it, and long", "ünïcode-and-long-enough"])
def test_a_token_that_can_be_guessed_is_refused(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("STREAMMM_TOKEN", token)
    with pytest.raises(ConfigError, match="STREAMMM_TOKEN"):
        page("0")


def test_where_it_cannot_listen_is_said() -> None:
    taken = page("0")
    port = taken.link.rstrip("/").rpartition(":")[2]
    for address, words in ((port, "cannot listen"), ("there", "HOST:PORT"), ("host.invalid:1", "cannot listen")):
        with pytest.raises(ConfigError, match=words):
            page(address)
    taken.close()
