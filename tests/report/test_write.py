"""What is written: one file or many, nothing that could run but our own scripts, and errors in words."""

import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from streammm.errors import ConfigError, SourceError, StreammmError
from streammm.journal import Journal
from streammm.report import write
from streammm.report.write import MAX_SOURCES_A_FILE, write_report
from tests.conftest import MakeClip
from tests.report.conftest import MakeRun, row

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"

PROGRESS = {
    "media_seconds": 120.0,
    "working_seconds": 10.0,
    "unix_seconds": 1.0,
    "stages": {
        "decode": {"busy_seconds": 8.0, "num_workers": 2, "num_segments": 60},
        "video": {"busy_seconds": 7.5, "num_workers": 1, "num_segments": 60},
    },
}


class Parsed(HTMLParser):
    """The elements of a page and the text of its scripts."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and self.scripts and not self.scripts[-1][1]:
            self.scripts[-1] = (self.scripts[-1][0], data)
        else:
            self.text += data

    def block(self, name: str) -> Any:
        (text,) = [text for attributes, text in self.scripts if attributes.get("id") == name]
        return json.loads(text)


def test_a_file_holds_rows_events_and_the_run(run_of: MakeRun) -> None:
    rows = [row("a.mp4", n, {"music": score, "car": 0.2}) for n, score in enumerate((0.1, 0.7, 0.45, 0.6, 0.3))]
    error = SourceError("b.mp4", "not-media", "cannot be opened")
    written = write_report(run_of({"a.mp4": rows}, given_up=[error], progress=PROGRESS))
    assert (written.path.name, written.num_pages, written.num_sources) == ("report.html", 1, 1)
    assert written.num_bytes == written.path.stat().st_size
    page = Parsed(written.path)
    source = page.block("source-1")
    assert source["events"] == [{"label": "music", "start": 2.0, "end": 8.0, "peak": 0.7}]
    assert source["timeline"]["starts"] == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert [r["label"] for r in source["timeline"]["tracks"]["found"]["rows"]] == ["music", "car"]
    assert "not found as a.mp4" in source["media"]["why"]
    words = " ".join(page.text.split())
    for told in ("1 done", "1 quarantined", "0:10", "12.0\u00d7", "see at work 75% of the time", "not-media b.mp4"):
        assert told.replace(" ", "") in words.replace(" ", ""), told


def test_events_are_shown_as_they_stood_last_and_the_weakest_are_counted(run_of: MakeRun) -> None:
    def event(n: int, state: str, end: float) -> dict[str, Any]:
        times = {"start_seconds": 2.0 * n, "end_seconds": end}
        return {"id": str(n), "source": "a.mp4", "label": "music", "state": state, "peak_score": 0.5 + n / 1e4, **times}

    told = [event(n, state, 2.0 * n + length) for n in range(503) for state, length in (("open", 1.0), ("close", 1.5))]
    run = run_of({"a.mp4": [row("a.mp4", 0, {"music": 0.9})]}, events=told)
    source = Parsed(write_report(run).path).block("source-1")
    assert source["events"][0] == {"label": "music", "start": 6.0, "end": 7.5, "peak": 0.5}
    assert (len(source["events"]), source["eventsMore"]) == (500, 3)


def test_what_names_and_labels_say_cannot_run(run_of: MakeRun) -> None:
    error = SourceError(EVIL, EVIL, EVIL)
    run = run_of({f"x/{EVIL}.mp4": [row(f"x/{EVIL}.mp4", 0, {EVIL: 0.9})], "b.mp4": [row("b.mp4", 0, {"car": 0.9})]})
    journal = Journal(f"sqlite:///{run / 'journal.sqlite'}")
    journal.register([EVIL])
    journal.quarantine(error)
    journal.close()
    page = Parsed(write_report(run).path)
    assert page.block("source-1")["events"][0]["label"] == EVIL
    assert page.block("list")[0]["name"] == f"x/{EVIL}.mp4"
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert len([1 for attributes, _ in page.scripts if "type" not in attributes]) == 2
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on") or a == "style"]
    assert page.text.count(EVIL) == 3  # source, reason and detail, as text


def test_only_its_own_scripts_are_allowed(run_of: MakeRun) -> None:
    page = Parsed(write_report(run_of({"a.mp4": [row("a.mp4", 0, {"car": 0.9})]})).path)
    (policy,) = [a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a]
    assert policy is not None
    allowed = re.search(r"script-src ([^;]*);", policy)
    assert allowed is not None
    ours = [text for attributes, text in page.scripts if "type" not in attributes]
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in ours]
    assert allowed[1].split() == hashes
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "unsafe" not in policy


def test_the_page_loads_nothing(run_of: MakeRun) -> None:
    page = Parsed(write_report(run_of({"a.mp4": [row("a.mp4", 0, {"car": 0.9})]})).path)
    assert not [(tag, a) for tag, a in page.tags if a.get("src") or tag == "link"]


def test_media_is_linked_and_previewed(run_of: MakeRun, clip: MakeClip, tmp_path: Path) -> None:
    clip("a.mp4", 4.0)
    run = run_of({"films/a.mp4": [row("films/a.mp4", 0, {"car": 0.9}), row("films/a.mp4", 1, {"car": 0.9})]})
    written = write_report(run, media=tmp_path)
    source = Parsed(written.path).block("source-1")
    assert source["media"] == {"src": "../a.mp4", "kind": "video"}
    assert source["preview"]["pictures"]["count"] == 8
    assert base64.b64decode(source["preview"]["pictures"]["webp"])[8:12] == b"WEBP"
    assert written.without_media == 0
    bare = write_report(run, media=tmp_path, previews=False)
    assert Parsed(bare.path).block("source-1")["preview"] == {}
    assert bare.num_bytes < written.num_bytes


def test_media_that_cannot_be_read_is_told_and_shown_without(run_of: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing" * 99)
    written = write_report(run_of({"a.mp4": [row("a.mp4", 0, {"car": 0.9})]}), media=tmp_path)
    assert [error.reason for error in written.unreadable] == ["not-media"]
    assert Parsed(written.path).block("source-1")["preview"] == {}


def test_many_sources_have_pages_of_their_own(run_of: MakeRun) -> None:
    names = [f"{n:02}.mp4" for n in range(MAX_SOURCES_A_FILE + 1)]
    run = run_of({name: [row(name, 0, {"car": 0.9})] for name in names})
    stale = run / "report_sources" / "00099.html"
    stale.parent.mkdir()
    stale.write_text("of an earlier report")
    written = write_report(run)
    assert written.num_pages == len(names) + 1
    pages = sorted(path.name for path in (run / "report_sources").iterdir())
    assert pages == [f"{n:05}.html" for n in range(1, len(names) + 1)]
    index = Parsed(written.path)
    assert [(e["name"], e["href"]) for e in index.block("list")][:1] == [("00.mp4", "report_sources/00001.html")]
    assert index.block("pages") == []
    one = Parsed(run / "report_sources" / "00003.html")
    assert one.block("source-3")["name"] == "02.mp4"
    assert ("a", {"class": "back", "href": "../report.html"}) in one.tags


def test_a_folder_has_an_index_however_few_there_are(run_of: MakeRun, tmp_path: Path) -> None:
    written = write_report(run_of({"a.mp4": [row("a.mp4", 0, {"car": 0.9})]}), tmp_path / "site")
    assert written.path == tmp_path / "site" / "index.html"
    assert (tmp_path / "site" / "index_sources" / "00001.html").exists()
    assert Parsed(written.path).block("list")[0]["href"] == "index_sources/00001.html"


def test_what_has_no_page_is_counted(run_of: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "MAX_SOURCES", 2)
    written = write_report(run_of({f"{n}.mp4": [row(f"{n}.mp4", 0, {"car": 0.9})] for n in range(5)}))
    assert (written.num_sources, written.num_left_out) == (2, 3)
    assert "3 more sources are in the results" in html.unescape(written.path.read_text())


def test_rows_that_are_none_are_an_error(run_of: MakeRun) -> None:
    run = run_of({"a.mp4": [row("a.mp4", 0, {"car": 0.9})]})
    journal = Journal(f"sqlite:///{run / 'journal.sqlite'}")
    with journal._begin() as connection:
        connection.exec_driver_sql("UPDATE entries SET text = '{}'")
    journal.close()
    with pytest.raises(StreammmError, match=r"segment 0 of a\.mp4 is not a row"):
        write_report(run)
    assert not (run / "report.html").exists()


def test_no_run_and_nowhere_to_write_are_errors(run_of: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no run"):
        write_report(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StreammmError, match="cannot write"):
        write_report(run_of({"a.mp4": [row("a.mp4", 0, {"car": 0.9})]}), tmp_path / "file" / "report.html")
