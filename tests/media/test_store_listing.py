"""What lies in a bucket -> sources: in order, each once, and a page at a time."""

from __future__ import annotations

import threading
from itertools import islice
from pathlib import Path

import pytest

from streammm.errors import ConfigError
from streammm.media.listing import ListingOptions, list_sources
from streammm.media.skipped import Skipped
from tests.media.test_listing import write_parquet
from tests.stores import DENIED, Bucket, Request, stalled

CONTENT = ListingOptions(deduplicate="content")


@pytest.fixture
def films(bucket: Bucket) -> Bucket:
    for key in ("b.mp4", "a.MKV", "deep/c.wav", "deep/er/d.mp4", "notes.txt", "b.srt", "[x].mp4", "day 1/é+%.mp4"):
        bucket.put(key, key.encode())
    return bucket


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["/"], ["[x].mp4", "a.MKV", "b.mp4", "day 1/é+%.mp4", "deep/c.wav", "deep/er/d.mp4"]),
        ([""], ["[x].mp4", "a.MKV", "b.mp4", "day 1/é+%.mp4", "deep/c.wav", "deep/er/d.mp4"]),
        (["/deep/", "/deep/c.wav", "/deep"], ["deep/c.wav", "deep/er/d.mp4"]),
        (["/b.mp4", "/notes.txt", "/b.mp4"], ["b.mp4", "notes.txt"]),
        (["/*.mp4"], ["[x].mp4", "b.mp4"]),
        (["/*/*.mp4"], ["day 1/é+%.mp4"]),
        (["/**/*.[mw]*"], ["[x].mp4", "b.mp4", "day 1/é+%.mp4", "deep/c.wav", "deep/er/d.mp4"]),
        (["/[x].mp4"], ["[x].mp4"]),
        (["/none.mp4", "/*.none", "/none/"], ["none.mp4", "*.none", "none/"]),
    ],
)
def test_names_become_files_each_once(films: Bucket, names: list[str], found: list[str]) -> None:
    assert list(list_sources([films.url + name for name in names])) == [f"{films.url}/{name}" for name in found]


def test_a_bucket_is_listed_as_far_as_it_is_needed(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "10")
    names = [f"{bucket.url}/films/{n:02}.mp4" for n in range(35)]
    for name in names:
        bucket.put(name.removeprefix(f"{bucket.url}/"), b"x")
    found = list_sources([f"{bucket.url}/films/", names[3], f"{bucket.url}/films/*1.mp4"])
    assert list(islice(found, 10)) == names[:10]
    assert len(bucket.asked("GET", "list-type=2")) == 1
    assert list(islice(found, 1)) == names[10:11]
    assert len(bucket.asked("GET", "list-type=2")) == 2
    assert list(found) == names[11:]


def test_a_named_file_costs_no_request(bucket: Bucket) -> None:
    names = [f"{bucket.url}/{n}.mp4" for n in range(1000)]
    assert list(list_sources(names)) == names
    assert not bucket.server.requests


def test_a_page_that_is_refused_is_said_and_nothing_is_lost(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    for n in range(4):
        bucket.put(f"films/{n}.mp4", b"x")
    bucket.server.gate = lambda request: (403, DENIED) if "continuation-token" in request.query else None
    folder = f"{bucket.url}/films/"
    found = list(list_sources([folder, f"{folder}3.mp4"]))
    assert found[:2] == [f"{folder}0.mp4", f"{folder}1.mp4"]
    assert isinstance(found[2], Skipped)
    assert (found[2].source, found[2].reason) == (folder, "unreadable")
    assert "it cannot be listed: the store does not allow it: " in found[2].detail
    assert found[3:] == [f"{folder}3.mp4"]


def test_a_store_that_stalls_is_not_waited_for(films: Bucket) -> None:
    until = threading.Event()
    films.server.gate = stalled(until, films.name)
    try:
        (found,) = list_sources([f"{films.url}/"], ListingOptions(read_seconds=1.0))
    finally:
        until.set()
    assert isinstance(found, Skipped)
    assert found.detail == "it cannot be listed: the store does not answer: nothing came for 1 s"


def test_lists_may_lie_in_a_store(films: Bucket, tmp_path: Path) -> None:
    films.put("lists/l.txt", f"{films.url}/b.mp4\n\n{films.url}/deep/\nlocal.mp4\n".encode())
    films.put("lists/l.csv", f"path,clip\nno.mp4,{films.url}/b.mp4\n".encode())
    write_parquet(tmp_path / "l.parquet", label=["x"], uri=[f"{films.url}/b.mp4"])
    films.put("lists/l.parquet", tmp_path / "l.parquet")
    files = [f"{films.url}/{name}" for name in ("b.mp4", "deep/c.wav", "deep/er/d.mp4")]
    assert list(list_sources([f"@{films.url}/lists/l.txt"])) == [*files, "local.mp4"]
    assert list(list_sources([f"@{films.url}/lists/l.csv:clip"])) == files[:1]
    assert list(list_sources([f"@{films.url}/lists/l.csv"])) == ["no.mp4"]
    assert list(list_sources([f"@{films.url}/lists/l.parquet"])) == files[:1]
    with pytest.raises(ConfigError, match=r"none.csv cannot be read: nothing of that name is in the store"):
        list(list_sources([f"@{films.url}/lists/none.csv"]))


def test_equal_bytes_are_done_once_where_that_is_asked_for(bucket: Bucket) -> None:
    files = [bucket.put(key, b"x") for key in ("a/1.mp4", "a/2.mp4", "b.mp4")]
    other = bucket.put("a/3.mp4", b"y")
    folder = f"{bucket.url}/a/"
    missing = f"{bucket.url}/none.mp4"
    assert list(list_sources([folder, files[2]])) == [*files[:2], other, files[2]]
    assert list(list_sources([folder, files[2], missing], CONTENT)) == [
        files[0],
        Skipped(files[1], "duplicate", f"the same as {files[0]}"),
        other,
        Skipped(files[2], "duplicate", f"the same as {files[0]}"),
        missing,
    ]
    assert not [r for r in bucket.asked("GET") if r.path.endswith(".mp4")]


def test_a_pattern_that_is_none_is_a_mistake(bucket: Bucket) -> None:
    with pytest.raises(ConfigError, match="can only be an entire path component"):
        list(list_sources([f"{bucket.url}/films/**.mp4"]))


def test_a_passing_fault_costs_nothing(films: Bucket) -> None:
    faults = iter([True, True, False])

    def gate(request: Request) -> tuple[int, bytes] | None:
        return (500, b"<Error><Code>InternalError</Code></Error>") if next(faults, False) else None

    films.server.gate = gate
    assert len(list(list_sources([f"{films.url}/"]))) == 6
