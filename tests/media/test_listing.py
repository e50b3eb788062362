"""What a user names -> sources: in order, each once, and only as far as they are needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from streammm.errors import ConfigError
from streammm.media import listing
from streammm.media.listing import ListingOptions, list_sources
from streammm.media.skipped import Skipped


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.mp4", "a.MKV", "deep/c.wav", "notes.txt", "b.srt", "[x].mp4"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["."], ["[x].mp4", "a.MKV", "b.mp4", "deep/c.wav"]),
        (["b.mp4", "notes.txt"], ["b.mp4", "notes.txt"]),
        (["*.mp4"], ["[x].mp4", "b.mp4"]),
        (["**/*.wav"], ["deep/c.wav"]),
        (["[x].mp4"], ["[x].mp4"]),
        (["b.mp4", "b.mp4", "."], ["b.mp4", "[x].mp4", "a.MKV", "deep/c.wav"]),
        (["none.mp4", "*.none"], ["none.mp4", "*.none"]),
    ],
)
def test_names_become_files_each_once(folder: Path, names: list[str], found: list[str]) -> None:
    assert list(list_sources(names)) == found


def test_a_directory_is_listed_as_far_as_it_is_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(50):
        (folder / f"z{n:02}").mkdir()
        (folder / f"z{n:02}" / "a.mp4").touch()
    scanned: list[str] = []
    real = os.scandir
    monkeypatch.setattr(listing.os, "scandir", lambda path: scanned.append(str(path)) or real(path))
    found = list_sources(["."])
    assert list(islice(found, 5)) == ["[x].mp4", "a.MKV", "b.mp4", "deep/c.wav", "z00/a.mp4"]
    assert scanned == [".", "./deep", "./z00"]
    assert len(list(found)) == 49


def test_ten_thousand_sources_of_a_list_are_read_one_by_one(folder: Path) -> None:
    (folder / "list.txt").write_text("".join(f"{n}.mp4\n" for n in range(10_000)))
    found = list_sources(["@list.txt"])
    assert next(found) == "0.mp4"
    assert len(list(found)) == 9_999


def write_parquet(path: Path, **columns: list[str]) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(columns), path)


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("@l.txt", "b.mp4\n\n  none.mp4 \nrtsp://camera/1\n", ["b.mp4", "none.mp4", "rtsp://camera/1"]),
        ("@l.txt", "deep\n*.mp4\n", ["deep/c.wav", "[x].mp4", "b.mp4"]),
        ("@l.csv", "id,path\n1,b.mp4\n2,\n3,x.mp4\n", ["b.mp4", "x.mp4"]),
        ("@l.csv:clip", "path,clip\nno.mp4,b.mp4\n", ["b.mp4"]),
        ("@l.csv", "\ufeffwhatever\nb.mp4\n", ["b.mp4"]),
    ],
)
def test_lists_name_sources(folder: Path, name: str, text: str, found: list[str]) -> None:
    (folder / name[1:].partition(":")[0]).write_text(text)
    assert list(list_sources([name])) == found


def test_parquet_names_sources(folder: Path) -> None:
    write_parquet(folder / "l.parquet", label=["x", "y"], uri=["b.mp4", "x.mp4"])
    assert list(list_sources(["@l.parquet"])) == ["b.mp4", "x.mp4"]
    assert list(list_sources(["@l.parquet:label"])) == ["x", "y"]


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        ("@none.txt", lambda p: None, "none.txt cannot be read: No such file"),
        ("@l.csv", lambda p: p.write_text("a,b\n1,2\n"), "it has a, b: write @l.csv:COLUMN"),
        ("@l.csv:c", lambda p: p.write_text("a,b\n1,2\n"), "no column 'c'; it has a, b"),
        ("@l.txt:c", lambda p: p.write_text("a\n"), "has no columns"),
        ("@l.parquet", lambda p: p.write_text("nonsense"), "cannot be read"),
    ],
)
def test_a_list_that_cannot_be_read_is_a_mistake(
    folder: Path, name: str, write: Callable[[Path], object], words: str
) -> None:
    write(folder / name[1:].partition(":")[0])
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        list(list_sources([name]))


def test_one_file_by_two_paths_is_done_once_and_said(folder: Path) -> None:
    (folder / "link.mp4").symlink_to("b.mp4")
    assert list(list_sources(["b.mp4", "./b.mp4", "link.mp4"])) == [
        "b.mp4",
        Skipped("./b.mp4", "duplicate", "the same as b.mp4"),
        Skipped("link.mp4", "duplicate", "the same as b.mp4"),
    ]


def test_equal_bytes_are_done_once_where_that_is_asked_for(folder: Path) -> None:
    beginning = os.urandom(1 << 17)
    for name, end in {"p.mp4": b"x", "q.mp4": b"y", "r.mp4": b"x"}.items():
        (folder / name).write_bytes(beginning + end)
    names = ["p.mp4", "q.mp4", "r.mp4", "none.mp4"]
    assert list(list_sources(names)) == names
    assert list(list_sources(names, ListingOptions(deduplicate="content"))) == [
        "p.mp4",
        "q.mp4",
        Skipped("r.mp4", "duplicate", "the same as p.mp4"),
        "none.mp4",
    ]


def test_other_endings_can_be_taken(folder: Path) -> None:
    assert list(list_sources(["."], ListingOptions(frozenset({".txt"})))) == ["notes.txt"]


def test_a_directory_that_cannot_be_listed_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def closed(path: str) -> object:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(listing.os, "scandir", closed)
    skipped = Skipped("./deep", "unreadable", "the directory cannot be listed: Permission denied")
    assert list(list_sources(["."])) == ["[x].mp4", "a.MKV", "b.mp4", skipped]
