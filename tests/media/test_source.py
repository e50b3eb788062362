"""The captions that belong to a file."""

from pathlib import Path

from streammm.media.source import sidecars


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
    assert [Path(p).name for p in sidecars(str(tmp_path / "talk.mp4"))] == ["talk.srt", "talk.vtt", "talk.en.srt"]
    assert sidecars(str(tmp_path / "talk.srt")) == [str(tmp_path / "talk.vtt"), str(tmp_path / "talk.en.srt")]
    assert sidecars("none/talk.mp4") == []
