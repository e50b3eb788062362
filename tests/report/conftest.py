"""Run directories with rows of known scores, made without encoders, and a browser to look at their reports."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from streammm.config import Config
from streammm.errors import SourceError
from streammm.events import EventTracker
from streammm.journal import Cursor, Entry, Journal
from streammm.types import Classification, Cue, LiveState, Modality, ModalityResult, Status

MakeRun = Callable[..., Path]


def row(
    source: str,
    segment: int,
    scores: Mapping[str, float],
    *,
    length: float = 2.0,
    alone: Mapping[Modality, Mapping[str, float]] | None = None,
    status: Mapping[Modality, Status] | None = None,
    said: Sequence[Cue] = (),
    outage: str = "",
    live: LiveState | None = None,
) -> Classification:
    """A row; picture and sound are there and say the same as both together, text is absent."""
    alone, status = alone or {}, {"audio": Status.OK, "text": Status.ABSENT, "video": Status.OK, **(status or {})}
    modalities = {
        m: ModalityResult(
            s,
            0.5 if s.usable else 0.0,
            _sorted(alone.get(m, scores if s.usable else {})),
            int(s.usable),
            cues=tuple(said) if m == "text" else (),
        )
        for m, s in status.items()
    }
    times = segment * length, (segment + 1) * length
    return Classification(
        source, segment, *times, _sorted(scores), 0.0, modalities, "model", 0.1, live=live, outage=outage
    )


def _sorted(scores: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple(sorted(scores.items(), key=lambda item: -item[1]))


def write_run(
    path: Path,
    rows: Mapping[str, Sequence[Classification]],
    *,
    given_up: Sequence[SourceError] = (),
    progress: Mapping[str, Any] | None = None,
    events: Sequence[Mapping[str, Any]] | None = None,
) -> Path:
    """A run directory as a run leaves it; events are those of scores from 0.5 on, until they are below 0.4."""
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(Config().to_yaml())
    journal = Journal(f"sqlite:///{path / 'journal.sqlite'}")
    journal.register([*rows, *(error.source for error in given_up)])
    for name, of_source in rows.items():
        lease = journal.lease(name)
        assert lease is not None
        entries = [Entry(name, r.segment, "row", json.dumps(r.to_json())) for r in of_source]
        told = _events(name, of_source) if events is None else [e for e in events if e["source"] == name]
        entries += [Entry(name, 0, "event", json.dumps(event), item=n) for n, event in enumerate(told)]
        journal.commit(name, lease.epoch, entries, Cursor(len(of_source), None, of_source[-1].end_seconds), True)
    for error in given_up:
        journal.quarantine(error)
    if progress is not None:
        journal.put_meta("progress", dict(progress))
    journal.close()
    return path


def _events(source: str, rows: Sequence[Classification]) -> list[dict[str, Any]]:
    labels = sorted({label for each in rows for label, _ in each.labels})
    tracker = EventTracker(source, labels)
    told = []
    for each in rows:
        scores = dict(each.labels)
        told += tracker.push(each.start_seconds, each.end_seconds, [scores.get(label, 0.0) for label in labels])
    return [event.to_json() for event in (*told, *tracker.flush())]


@pytest.fixture
def run_of(tmp_path: Path) -> MakeRun:
    """Makes a run directory in the test's own directory: ``run_of({"a.mp4": [row(...)]})``; see `write_run`."""
    return lambda rows, **more: write_run(tmp_path / "run", rows, **more)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; while it runs, playwright has an event loop in this thread, and others cannot start one."""
    chromium, has_playwright = shutil.which("chromium"), find_spec("playwright") is not None
    if chromium is None or not has_playwright:
        reason = "no chromium: make servers installs it" if has_playwright else "no playwright: pip install '.[dev]'"
        (pytest.fail if os.environ.get("STREAMMM_NO_SKIP") else pytest.skip)(reason)
    api = import_module("playwright.sync_api")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()


class Tab:
    """A page in the browser, opened from disk, that remembers what its console said."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        self._context = browser.new_context(offline=True, **context)
        self.page = self._context.new_page()
        self.console: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.resolve().as_uri())

    def close(self) -> None:
        self._context.close()


@pytest.fixture
def tab(browser: Any) -> Iterator[Callable[..., Tab]]:
    """Opens a page: ``tab(path, color_scheme="dark")``; whatever it had to say on its console fails the test."""
    opened: list[Tab] = []

    def make(path: Path, **context: Any) -> Tab:
        opened.append(Tab(browser, path, **context))
        return opened[-1]

    yield make
    said = [line for one in opened for line in one.console]
    for one in opened:
        one.close()
    assert said == []
