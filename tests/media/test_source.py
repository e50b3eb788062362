"""What a user names -> files, and the captions that belong to them."""

from pathlib import Path

import pytest

from streammm.media.source import expand, sidecars


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
    assert list(expand(names)) == found


def test_captions_belong_to_the_file_of_their_name(tmp_path: Path) -> None:
    for name in (
        "talk.mp4",
        "talk.vtt",
        "talk.en.srt",
        "talk.srt",
        "talk.a.b.srt",
        "talks.srt",
        "talk2.srt",
        "talk.txt",
    ):
        (tmp_path / name).touch()
    assert [p.name for p in sidecars(str(tmp_path / "talk.mp4"))] == ["talk.srt", "talk.vtt", "talk.en.srt"]
    assert sidecars(str(tmp_path / "talk.srt")) == [tmp_path / "talk.vtt", tmp_path / "talk.en.srt"]
    assert sidecars("none/talk.mp4") == []
