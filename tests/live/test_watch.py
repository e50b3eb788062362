"""The page of a run in a real browser, over a real RTSP stream: what it shows, what it does, who is kept out."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import write_clip
from tests.live.servers import Rig, free_port
from tests.report.conftest import browser  # noqa: F401 - a fixture

pytestmark = pytest.mark.live

PHONE = {"width": 390, "height": 844}


class Watch:
    """`streammm watch` in a process of its own."""

    def __init__(self, folder: Path, *arguments: object, **environment: str) -> None:
        command = [sys.executable, "-c", "from streammm.cli import main; main()", "watch", *map(str, arguments)]
        self._said = (folder / "watch.log").open("w+")
        self.process = subprocess.Popen(
            [*command, "--listen", "0"],
            stdin=subprocess.DEVNULL,
            stderr=self._said,
            stdout=self._said,
            cwd=folder,
            env={**os.environ, **environment},
        )
        until(lambda: "watch at http" in self.said(), self.said)
        self.link = re.search(r"watch at (\S+)", self.said())[1]  # type: ignore[index]
        until(lambda: self.process.poll() is not None or self._answers(), self.said)
        assert self.process.poll() is None, self.said()

    def said(self) -> str:
        return Path(self._said.name).read_text()

    def _answers(self) -> bool:
        try:
            return httpx.get(self.link, timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(timeout=60)
        finally:
            self.process.kill()
            self._said.close()


def until(holds: Callable[[], object], says: Callable[[], object] = lambda: "", seconds: float = 90.0) -> None:
    """Waits until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, says()
        time.sleep(0.1)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[..., Watch]]:
    started: list[Watch] = []

    def start(*arguments: object, **environment: str) -> Watch:
        started.append(Watch(tmp_path, *arguments, **environment))
        return started[-1]

    yield start
    for one in started:
        one.end()


def open_page(browser: Any, link: str, **context: Any) -> tuple[Any, list[str]]:  # noqa: F811
    """A page, and what its console says, which must be nothing: a script or style that the policy stops, an error."""
    page = browser.new_context(**context).new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(link)
    return page, said


def num_segments(card: Any) -> int:
    found = re.match(r"(\d+) segment", card.locator(".facts").inner_text())
    return int(found[1]) if found else 0


def test_a_stream_is_watched_paused_resumed_and_removed_and_files_are_added(
    rig: Rig,
    sync_clip: Path,
    browser: Any,  # noqa: F811
    watch: Callable[..., Watch],
    tmp_path: Path,
) -> None:
    udp = free_port()
    server, url = rig.rtsp(udp)
    rig.publish_udp(sync_clip, udp)
    run = watch(url.replace("rtsp://", "rtsp://me:secret@"))
    page, said = open_page(browser, run.link)
    card = page.locator(".card").first
    badge = card.locator(".badge")
    until(lambda: badge.inner_text() == "live", run.said)
    until(lambda: num_segments(card) >= 2, run.said)
    assert "secret" not in page.content()
    assert "***@127.0.0.1" in card.locator("h2").inner_text()
    assert re.search(r"lag \d+\.\d s · \d+ dropped · 0 reconnects", card.locator(".facts").inner_text())
    until(lambda: card.locator("img.picture").evaluate("one => one.naturalWidth") == 224, run.said)
    assert card.locator(".voices [data-hue=heard]").count() == 1

    card.get_by_role("button", name="Pause").click()
    until(lambda: badge.inner_text() == "paused", run.said)
    before = num_segments(card)
    time.sleep(5)
    assert num_segments(card) == before
    card.focus()
    page.keyboard.press("p")  # resumes
    until(lambda: num_segments(card) >= before + 2, run.said)
    assert badge.inner_text() == "live"

    film = write_clip(tmp_path / "film.mp4", 4.0)
    page.keyboard.press("/")
    page.keyboard.type(str(film))
    page.keyboard.press("Enter")
    second = page.locator(".card").nth(1)
    until(lambda: second.locator(".badge").inner_text() == "done", run.said)
    assert num_segments(second) == 2
    page.locator("#source").fill(str(tmp_path / "<b>nothing</b>.mp4"))
    page.get_by_role("button", name="Add source").click()
    third = page.locator(".card").nth(2)
    until(lambda: third.locator(".badge").inner_text() == "given up", run.said)
    assert third.locator("h2").inner_text().endswith("<b>nothing</b>.mp4") or "/b>.mp4" in third.inner_text()
    assert "no such file" in third.locator(".detail").inner_text()
    page.locator("#source").fill("-")
    page.get_by_role("button", name="Add source").click()
    until(lambda: "standard input" in page.locator("#said").inner_text(), run.said)
    said[:] = [line for line in said if "409" not in line]  # the browser's own word for that answer

    server.kill()
    until(lambda: badge.inner_text() == "no connection", run.said)
    server.start()
    until(lambda: badge.inner_text() == "live", run.said)
    assert re.search(r"[1-9]\d* reconnect", card.locator(".facts").inner_text())

    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    card.get_by_role("button", name="Remove").click()
    card.get_by_role("button", name="Remove it?").click()
    until(lambda: badge.inner_text() == "removed", run.said)
    assert run.end() == 0
    until(lambda: "The run has ended" in page.locator("#said").inner_text(), run.said)
    assert said == []


ATTACK = """<!doctype html><img id="seen" src="{home}/assets/icon.svg"><script>
const ask = (more) => fetch("{home}/api/sources", {{ method: "POST", body: '{{"source": "/evil.mp4"}}', ...more }})
  .then(() => "answered", () => "refused");
(async () => {{
  const tries = [ask({{ mode: "no-cors" }}), ask({{ headers: {{ "Content-Type": "application/json" }} }}),
    fetch("{home}/api/sources").then(() => "answered", () => "refused")];
  document.title = (await Promise.all(tries)).join(" ");
}})();
</script>"""


def test_another_site_in_the_same_browser_changes_and_reads_nothing(
    browser: Any,  # noqa: F811
    watch: Callable[..., Watch],
    tmp_path: Path,
) -> None:
    run = watch()
    home = run.link.rstrip("/")
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text(ATTACK.format(home=home))
    other = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(site)))
    threading.Thread(target=other.serve_forever, daemon=True).start()
    try:
        page, _ = open_page(browser, f"http://127.0.0.1:{other.server_port}/")
        until(lambda: "refused" in page.title())
        assert page.title().split()[1:] == ["refused", "refused"]
        assert page.evaluate("document.getElementById('seen').naturalWidth") == 0
    finally:
        other.shutdown()
    assert httpx.get(f"{home}/api/sources").json() == []
    page, said = open_page(browser, home)
    until(lambda: page.locator("#empty").is_visible())
    assert said == []


def test_the_page_opens_by_the_link_with_the_token_alone(
    browser: Any,  # noqa: F811
    watch: Callable[..., Watch],
) -> None:
    run = watch(STREAMMM_TOKEN="a-token-for-tests-123")  # noqa: S106
    home = run.link.partition("?")[0]
    page, _ = open_page(browser, home)
    assert "Open the link" in page.inner_text("body")
    page.goto(run.link)
    until(lambda: page.locator("#add").count() == 1)
    until(lambda: page.locator("#empty").is_visible())
    assert page.url == home
    assert page.evaluate("document.cookie") == ""
    page.goto(home)
    until(lambda: page.locator("#empty").is_visible())
    assert httpx.get(f"{home}api/sources").status_code == 401
