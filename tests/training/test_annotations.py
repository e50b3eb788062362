"""From names to files, from files to one table."""

from __future__ import annotations

from pathlib import Path

import pytest

from streammm.errors import ConfigError
from streammm.training.annotations import Annotation, Annotations, read_annotations
from streammm.training.media_files import MediaFiles
from tests.training.conftest import ReadLabels, table, touch


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.mp4", "a.mp4"),
        ("a", "a.mp4"),
        ("x/b.mp4", "x/b.mp4"),
        ("y/b", "y/b.mp4"),
        ("/home/me/set/y/b.mp4", "y/b.mp4"),
        ("C:\\data\\x\\b.mp4", "x/b.mp4"),
        ("file:///mnt/two%20words.wav", "z/two words.wav"),
        ("https://example.org/z/two%20words.wav?token=1", "z/two words.wav"),
        ("../../z/two words", "z/two words.wav"),
        ("c.wav", "z/c.flac"),
        ("d", "d.mp4"),
        ("v1.2", "v1.2.mp4"),
        ("v1.3", None),
        ("c.2021", None),
        ("e", None),
        ("../outside.mp4", None),
        ("", None),
    ],
)
def test_names_lead_to_files(media: Path, name: str, found: str | None) -> None:
    touch(media, "a.mp4", "a.srt", "a.jpg", "x/b.mp4", "y/b.mp4", "z/two words.wav", "z/c.flac", "d.mp4", "sub/d.mp4")
    touch(media, "v1.2.mp4", ".hidden/e.mp4", ".e.mp4", "../outside.mp4")
    assert MediaFiles(media).find(name) == (None if found is None else str(media / found))


def test_a_name_that_could_be_two_files_is_an_error(media: Path) -> None:
    touch(media, "x/b.mp4", "y/b.mp4", "c.mp4", "c.wav")
    with pytest.raises(ConfigError, match=r"'b\.mp4' could be x/b\.mp4 or y/b\.mp4"):
        MediaFiles(media).find("b.mp4")
    with pytest.raises(ConfigError, match=r"'c' could be c\.mp4 or c\.wav"):
        MediaFiles(media).find("c")
    assert MediaFiles(media / "c.wav").find("c") == str(media / "c.wav")
    with pytest.raises(ConfigError, match="no such folder"):
        MediaFiles(media / "nowhere")


def test_missing_media_are_counted_and_all_missing_is_an_error(read: ReadLabels) -> None:
    rows = "".join(f"{n}.wav,x\n{n}.wav,y\n" for n in range(6))
    with pytest.raises(ConfigError, match=r"none of its 6 sources is below .*: 0\.wav, 1\.wav, 2\.wav, \.\.\."):
        read("path,label\n" + rows, "a.csv")
    found = read("path,label\n" + rows, "a.csv", "3.wav")
    assert table(found) == [("3.wav", None, None, "x"), ("3.wav", None, None, "y")]
    assert found.notes[0].startswith("5 labelled sources are not below")


def test_a_folder_of_labels_is_read_as_one(tmp_path: Path, media: Path) -> None:
    folder = tmp_path / "labels"
    touch(folder, "notes.md")
    touch(media, "a.wav", "b.wav")
    (folder / "a.txt").write_text("0\t1\tdog\n")
    (folder / "b.txt").write_text("2\t3\tcat\n")
    (folder / "readme.txt").write_text("Labelled in spring.\n")
    found = read_annotations(folder, media)
    assert table(found) == [("a.wav", 0.0, 1.0, "dog"), ("b.wav", 2.0, 3.0, "cat")]
    assert found.labels == ("cat", "dog")
    assert [note.split(",")[0] for note in found.notes] == [
        f"1 files hold no labels: {folder / 'readme.txt'}: not a file of labels; what is read is CSV or TSV with a "
        "column for the source and one for the label"
    ]
    (folder / "a.txt").unlink(), (folder / "b.txt").unlink()
    with pytest.raises(ConfigError, match="no file in it holds labels"):
        read_annotations(folder, media)
    with pytest.raises(ConfigError, match="No such file"):
        read_annotations(tmp_path / "gone.csv", media)


def test_folders_may_be_the_labels(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    touch(folder, "dog/1.ogg", "dog/more/2.ogg", "cat/1.ogg", "cat/1.srt", "loose.mp4", "readme.txt")
    found = read_annotations(folder, folder)
    assert [(Path(a.source).relative_to(folder).as_posix(), a.label, a.split) for a in found.items] == [
        ("cat/1.ogg", "cat", None),
        ("dog/1.ogg", "dog", None),
        ("dog/more/2.ogg", "dog", None),
    ]
    assert found.notes == ("1 files are in no folder of a label and are left out: loose.mp4",)
    parted = tmp_path / "parted"
    touch(parted, "train/dog/1.ogg", "val/dog/1.ogg", "test/cat/1.ogg")
    found = read_annotations(parted, parted)
    assert [(a.label, a.split) for a in found.items] == [("cat", "test"), ("dog", "train"), ("dog", "validation")]


def annotations(*items: tuple) -> Annotations:
    made = tuple(Annotation(*item) for item in items)
    return Annotations(made, tuple(sorted({item.label for item in made})))


def test_overlaps_of_other_labels_are_counted() -> None:
    assert annotations(("a", 0, 2, "x"), ("a", 2, 4, "y"), ("b", 1, 3, "y"), ("a", 3, 5, "y")).num_overlaps == 0
    assert annotations(("a", 0, 9, "x"), ("a", 2, 4, "y"), ("a", 5, 6, "z")).num_overlaps == 2
    assert annotations(("a", None, None, "x"), ("a", None, None, "y"), ("b", None, None, "y")).num_overlaps == 1


def test_what_lies_behind_the_end_of_a_source_is_noted() -> None:
    found = annotations(
        ("a", 0, 10.5, "x"), ("a", 8, 15, "y"), ("a", 10, 12, "z"), ("b", 50, 60, "z"), ("a", None, None, "w")
    )
    cut = found.within({"a": 10.0})
    assert table(cut) == [("a", 0, 10.0, "x"), ("a", 8, 10.0, "y"), ("b", 50, 60, "z"), ("a", None, None, "w")]
    assert cut.notes == (
        "1 labels end over a second after the end of their source and are cut off: y at 8 s of a, which lasts 10 s",
        "1 labels begin after the end of their source and are left out: z at 10 s of a, which lasts 10 s",
    )


@pytest.mark.parametrize("times", [(1.0, None), (None, 1.0), (1.0, 1.0), (2.0, 1.0)])
def test_times_that_cannot_be_meant_are_errors(times: tuple) -> None:
    with pytest.raises(ValueError, match="a label"):
        Annotation("a", *times, "x")
