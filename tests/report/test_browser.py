"""Reports in a headless Chromium, opened from disk and without a network: what they show, and what a click does."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streammm.errors import SourceError
from streammm.report.write import write_report
from streammm.types import Cue, LiveState, Status
from tests.conftest import MakeClip
from tests.report.conftest import MakeRun, Tab, row

OpenTab = Callable[..., Tab]

EVIL = "<script>alert(1)</script>"
EVIL_LABEL = "</script><img src=x onerror=alert(2)>\"'"
PHONE = {"width": 390, "height": 844}


def media_path(run: Path) -> Path:
    return run.parent / "clip.mp4"


@pytest.fixture
def run(run_of: MakeRun, clip: MakeClip) -> Path:
    """A run of one clip that is there, with music, a damaged stretch and captions."""
    name = str(clip("clip.mp4", 12.0, clicks=[3.0]))
    rows = []
    for n in range(6):
        scores = {"music": 0.8 if n in (1, 2) else 0.1, "car": 0.3 + 0.05 * n, EVIL_LABEL: 0.2}
        status = {"video": Status.DAMAGED if n == 4 else Status.OK, "text": Status.OK if n == 1 else Status.ABSENT}
        said = [Cue(2.5, 3.5, "here it comes")] if n == 1 else []
        rows.append(row(name, n, scores, status=status, said=said))
    return run_of({name: rows}, given_up=[SourceError("broken.mp4", "not-media", "it is a text")])


def at_share(page: Any, share: float) -> tuple[float, float]:
    """Where on the screen a share of the timeline is."""
    page.locator("[data-hue=heard] .lane").first.scroll_into_view_if_needed()
    lane = page.locator(".ruler .lane").bounding_box()
    heard = page.locator("[data-hue=heard] .lane").first.bounding_box()
    return lane["x"] + share * lane["width"], heard["y"] + 5


def until(page: Any, expression: str) -> None:
    """Waits until something holds. Asked from outside: the page's own policy lets nothing be evaluated in it."""
    deadline = time.monotonic() + 20
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(50)


def overflow(page: Any) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def told(page: Any) -> str:
    return str(page.locator(".now").inner_text())


def test_everything_is_there(run: Path, tab: OpenTab) -> None:
    page = tab(write_report(run).path).page
    groups = page.locator(".group").evaluate_all("all => all.map(one => one.dataset.hue)")
    assert groups == ["film", "wave", "events", "found", "seen", "heard", "said"]
    assert page.locator("[data-hue=found] .label").all_inner_texts() == ["music", "car", EVIL_LABEL]
    assert page.locator("[data-hue=events] .mark.event").count() == 2  # music; car from 0.5 on
    assert page.locator(".events li").all_inner_texts()[0].split("\n") == ["0:02 \u2013 0:06", "music", "0.80"]
    damaged = page.locator("[data-hue=seen] .mark.damaged").first
    lane = page.locator(".ruler .lane").bounding_box()
    box = damaged.bounding_box()
    assert (box["x"] - lane["x"]) / lane["width"] == pytest.approx(8 / 12, abs=0.01)
    assert box["width"] / lane["width"] == pytest.approx(2 / 12, abs=0.01)
    assert page.locator("[data-hue=wave] path").get_attribute("d").startswith("M")
    words = page.locator("#run").inner_text()
    assert "broken.mp4" in words
    assert "not-media" in words
    assert page.title() == "run"


def test_a_click_seeks_and_says_what_is_there(run: Path, tab: OpenTab) -> None:
    page = tab(write_report(run).path).page
    until(page, "document.querySelector('video').readyState > 0")
    page.mouse.click(*at_share(page, 3.0 / 12))
    until(page, "Math.abs(document.querySelector('video').currentTime - 3) < 0.1")
    until(page, "!document.querySelector('video').seeking")
    assert page.evaluate("document.querySelector('video').error") is None
    assert "0:02 \u2013 0:04" in told(page)
    assert "music" in told(page)
    assert "here it comes" in told(page)
    page.locator(".events button", has_text="car").click()
    until(page, "Math.abs(document.querySelector('video').currentTime - 8) < 0.1")
    assert "damaged" in told(page)


def test_playing_moves_the_cursor(run: Path, tab: OpenTab) -> None:
    page = tab(write_report(run).path).page
    until(page, "document.querySelector('video').readyState > 0")
    before = page.locator(".cursor").bounding_box()["x"]
    page.evaluate("document.querySelector('video').muted = true")
    page.locator(".plot").focus()
    page.keyboard.press(" ")
    until(page, "document.querySelector('video').currentTime > 1")
    page.keyboard.press(" ")
    assert page.evaluate("document.querySelector('video').paused")
    assert page.locator(".cursor").bounding_box()["x"] > before + 20


def test_keys_step_and_zoom(run: Path, tab: OpenTab) -> None:
    page = tab(write_report(run).path).page
    plot = page.locator(".plot")
    plot.focus()
    for key, seconds in (("ArrowRight", "2.00"), ("End", "10.00"), ("ArrowLeft", "8.00"), ("Home", "0.00")):
        page.keyboard.press(key)
        assert plot.get_attribute("aria-valuenow") == seconds
    page.keyboard.press("+")
    view = page.locator("[data-hue=found] svg").first.get_attribute("viewBox")
    assert view == "0 0 6 1"
    page.keyboard.press("End")  # out of sight: it is followed
    assert page.locator("[data-hue=found] svg").first.get_attribute("viewBox") == "6 0 6 1"
    page.keyboard.press("0")
    assert page.locator("[data-hue=found] svg").first.get_attribute("viewBox") == "0 0 12 1"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.type") == "search"


def test_pictures_show_under_the_pointer(run: Path, tab: OpenTab) -> None:
    page = tab(write_report(run).path).page
    page.mouse.move(*at_share(page, 0.5))
    assert page.locator(".peek").is_visible()
    assert "0:06" in page.locator(".peek").inner_text()
    image = page.locator(".peek i").evaluate("one => getComputedStyle(one).backgroundImage")
    assert image.startswith('url("data:image/webp')
    assert (
        page.evaluate(
            "url => new Promise(done => { const image = new Image(); image.onload = () => "
            "done(image.naturalWidth); image.src = url; })",
            image[5:-2],
        )
        == 8 * 160
    )


def test_labels_are_filtered(run: Path, tab: OpenTab) -> None:
    page = tab(write_report(run).path).page
    page.fill(".search", "mus")
    assert page.locator("[data-hue=found] .label").all_inner_texts() == ["music"]
    assert page.locator(".events li").count() == 1
    page.fill(".search", "")
    page.locator(".chip", has_text="car").click()
    assert page.locator("[data-hue=heard] .label").all_inner_texts() == ["car"]
    assert page.locator(".chip[aria-pressed=true]").count() == 1


def test_names_and_labels_are_text(run_of: MakeRun, tab: OpenTab) -> None:
    name = f"films/{EVIL}.mp4"
    error = SourceError(EVIL, EVIL_LABEL, EVIL)
    made = run_of({name: [row(name, 0, {EVIL_LABEL: 0.9})], "b.mp4": [row("b.mp4", 0, {"car": 0.6})]}, given_up=[error])
    page = tab(write_report(made).path).page
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    assert page.locator(".sources a").first.inner_text() == name
    page.locator(".sources a").first.click()
    assert page.locator("h1:visible").inner_text() == name
    assert page.locator(".chip:visible", has_text=EVIL_LABEL).count() == 1
    assert page.locator("img").count() == 0
    assert "was not found as" in page.locator(".player .note").inner_text()


def test_both_themes_and_the_button_between_them(run: Path, tab: OpenTab) -> None:
    path = write_report(run).path

    def paper(page: Any) -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light, dark = tab(path, color_scheme="light").page, tab(path, color_scheme="dark").page
    assert (paper(light), paper(dark)) == ("rgb(255, 255, 255)", "rgb(19, 19, 22)")
    light.locator("#theme").click()
    assert paper(light) == "rgb(19, 19, 22)"
    light.reload()
    assert paper(light) == "rgb(19, 19, 22)"  # it is remembered
    for page in (light, dark):
        assert contrast(page, "body", "color") >= 7
        assert contrast(page, ".facts", "color") >= 4.5
        for hue in ("seen", "heard", "said"):
            assert contrast(page, f"[data-hue={hue}] b", "color") >= 3.8


def contrast(page: Any, selector: str, name: str) -> float:
    """Of something to the page's background, by WCAG 2.2."""
    colours = page.evaluate(
        "([selector, name]) => [getComputedStyle(document.querySelector(selector))[name], "
        "getComputedStyle(document.body).backgroundColor]",
        [selector, name],
    )
    one, other = sorted(_luminance([int(v) for v in c[4:-1].split(",")]) for c in colours)
    return (other + 0.05) / (one + 0.05)


def _luminance(rgb: list[int]) -> float:
    linear = [v / 255 / 12.92 if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4 for v in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_it_fits_a_phone(run: Path, tab: OpenTab) -> None:
    page = tab(write_report(run).path, viewport=PHONE, has_touch=True).page
    assert overflow(page) <= 0
    assert page.locator("video").bounding_box()["width"] >= 340
    page.touchscreen.tap(*at_share(page, 0.25))
    until(page, "Math.abs(document.querySelector('video').currentTime - 3) < 0.2")


def test_a_list_of_sources_fits_a_phone(run_of: MakeRun, tab: OpenTab) -> None:
    names = ["a" * 120 + ".mp4", "b.mp4"]
    made = run_of({name: [row(name, 0, {"a very long label of many words indeed": 0.9})] for name in names})
    page = tab(write_report(made).path, viewport=PHONE).page
    assert overflow(page) <= 0
    page.locator(".sources a").first.click()
    page.wait_for_selector(".plot")
    assert overflow(page) <= 0


def test_a_live_source_shows_outages_by_the_clock(run_of: MakeRun, tab: OpenTab) -> None:
    absent = dict.fromkeys(("audio", "text", "video"), Status.ABSENT)
    live = [LiveState(start_unix_seconds=1_700_000_000.0 + 2 * n, lag_seconds=0.1) for n in range(4)]
    name = "rtsp://camera/live"
    rows = [row(name, n, {"car": 0.7}, live=live[n]) for n in (0, 1)]
    rows += [row(name, 2, {}, status=absent, outage="connection refused", live=live[2])]
    rows += [row(name, 3, {"car": 0.7}, live=live[3])]
    page = tab(write_report(run_of({name: rows})).path, timezone_id="UTC").page
    page.mouse.click(*at_share(page, 5 / 8))
    assert "22:13:24 \u2013 22:13:26" in told(page)
    assert "connection refused" in told(page)
    assert page.locator("[data-hue=heard] .mark.outage").count() == 1
    assert "It was live" in page.locator(".player .note").inner_text()


def test_a_file_that_has_gone_is_told_and_another_can_be_chosen(run: Path, tab: OpenTab) -> None:
    path = write_report(run).path
    moved = media_path(run).rename(media_path(run).with_name("moved.mp4"))
    opened = tab(path)
    page = opened.page
    until(page, "document.querySelector('.note').textContent.includes('cannot be played')")
    page.locator("input[type=file]").set_input_files(str(moved))
    until(page, "document.querySelector('video').readyState > 0")
    page.mouse.click(*at_share(page, 0.5))
    until(page, "Math.abs(document.querySelector('video').currentTime - 6) < 0.1")
    opened.console.clear()  # the browser itself complains of the missing file


def test_nothing_is_asked_of_a_network(run: Path, tab: OpenTab) -> None:
    opened = tab(write_report(run).path)
    until(opened.page, "document.querySelector('video').readyState > 0")
    assert {url.split(":")[0] for url in opened.requests} <= {"file", "data"}


def test_1500_sources_open_and_filter_at_once(run_of: MakeRun, tab: OpenTab) -> None:
    names = [f"films/{n:04}.mp4" for n in range(1500)]
    made = run_of({name: [row(name, 0, {"music": 0.6, f"label {n % 7}": 0.5})] for n, name in enumerate(names)})
    page = tab(write_report(made, previews=False).path).page
    assert page.locator(".sources tbody tr").count() == 100
    assert page.locator("[role=status]").inner_text() == "1,500 sources"
    took = page.evaluate(
        "() => { const field = document.querySelector('.search'); field.value = '123';"
        "const before = performance.now(); field.dispatchEvent(new Event('input'));"
        "document.body.offsetHeight; return performance.now() - before; }"
    )
    assert took < 2000
    assert page.locator(".sources a").all_inner_texts() == [name for name in names if "123" in name]
    page.fill(".search", "")
    page.locator(".chip", has_text="label 3").click()
    assert page.locator("[role=status]").inner_text() == f"{len(names[3::7])} of 1,500 sources"
    page.locator(".sources a").first.click()
    page.wait_for_selector(".plot")
    assert page.locator("h1").inner_text() == "films/0003.mp4"
    page.locator(".back").click()
    page.wait_for_selector(".sources")


@pytest.mark.shared_media
def test_a_run_of_a_real_clip(shared_media: Path, clip: MakeClip, tmp_path: Path, tab: OpenTab) -> None:
    real = shared_media / "media" / "real" / "toy_frog.mp4"
    made = clip("made.mp4", 6.0)
    main = [sys.executable, "-c", "from streammm.cli import main; main()"]
    labels = ["--labels", "music,speech,frog,toy"]
    for arguments in (["run", str(real), str(made), *labels, "--out", "run"], ["report", "run", "-o", "page.html"]):
        done = subprocess.run(
            [*main, *arguments], cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
    assert "2 sources; the report is in page.html" in done.stdout
    rows = [json.loads(line) for line in (tmp_path / "run" / "results.jsonl").read_text().splitlines()]
    page = tab(tmp_path / "page.html").page
    page.locator(".sources a", has_text="toy_frog.mp4").click()
    until(page, "document.querySelector('video').readyState > 0")
    assert page.evaluate("document.querySelector('video').videoWidth") > 0
    page.mouse.click(*at_share(page, 0.5))
    until(page, "document.querySelector('video').currentTime > 3")
    (middle,) = [r for r in rows if r["source"] == str(real) and r["start_seconds"] <= 4.1 < r["end_seconds"]]
    best = middle["modalities"]["audio"]["labels"][0]
    if best["score"] > 0.05:
        assert f"{best['score']:.2f}" in told(page)
    assert page.locator("[data-hue=film] i").count() > 3
