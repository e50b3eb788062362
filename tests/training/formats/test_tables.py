"""CSV and TSV under the headers and without the headers that people have."""

from __future__ import annotations

from pathlib import Path

import pytest

from streammm.errors import ConfigError
from streammm.training.annotations import read_annotations
from tests.training.conftest import ReadLabels, table


@pytest.mark.parametrize(
    "text",
    [
        "file,start,end,label\na.mp4,1.5,2,dog\n",
        "filename\tonset\toffset\tevent_label\na.mp4\t1.5\t2.0\tdog\n",
        "Video ID;Start Time;Duration;Class\na;1,5;0,5;dog\n",
        "youtube_id,time_start,time_end,label\na,1.5,2,dog\n",
        "segment_id\tstart_time_seconds\tend_time_seconds\tlabel\na\t1.5\t2\tdog\n",
        "label,uri,start_ms,end_ms\ndog,a.mp4,1500,2000\n",
        'path,start,end,category\n"/home/me/a.mp4",0:01.5,00:00:02.000,dog\n',
        "id , t_start , t_end , activity\r\na , 1.5 , 2 , dog\r\n",
        "\ufefffile,start,end,label\na.mp4,1.5,2,dog\n",
    ],
)
def test_usual_headers(read: ReadLabels, text: str) -> None:
    assert table(read(text, "labels.csv", "a.mp4")) == [("a.mp4", 1.5, 2.0, "dog")]


@pytest.mark.parametrize(
    "text", ["1.5\t2.0\tdog\n", "a.wav\t1.5\t2\tdog\n", "audio/a.wav\thome\t1.5\t2\tdog\n", "a.wav,1.5,2,dog\n"]
)
def test_lists_of_events_without_a_header(read: ReadLabels, text: str) -> None:
    assert table(read(text, "a.txt", "a.wav")) == [("a.wav", 1.5, 2.0, "dog")]


def test_weak_labels_have_no_times(read: ReadLabels) -> None:
    found = read("filename\tevent_labels\na.wav\tSpeech,Dog\n", "weak.tsv", "a.wav")
    assert table(found) == [("a.wav", None, None, "Speech"), ("a.wav", None, None, "Dog")]
    assert found.labels == ("Dog", "Speech")


def test_a_duration_without_a_start_is_that_of_the_source(read: ReadLabels) -> None:
    assert table(read("path,label,duration\na.wav,dog,5.0\n", "a.csv", "a.wav")) == [("a.wav", None, None, "dog")]


def test_frames_are_times_where_somebody_says_how_many_a_second(read: ReadLabels) -> None:
    text = "video,start_frame,end_frame,label\na,30,60,dog\n"
    assert table(read(text, "a.csv", "a.mp4", frame_rate_hz=20.0)) == [("a.mp4", 1.5, 3.0, "dog")]
    with pytest.raises(ConfigError, match="its times are frames"):
        read(text, "a.csv")


def test_splits_have_one_name_each(read: ReadLabels) -> None:
    text = "path,label,subset\na.wav,x,Training\nb.wav,x,val\nc.wav,x,TEST\nd.wav,x,fold3\ne.wav,x,\n"
    found = read(text, "a.csv", *(f"{n}.wav" for n in "abcde"))
    assert [a.split for a in found.items] == ["train", "validation", "test", "fold3", None]


def test_the_column_of_labels_can_be_named(read: ReadLabels) -> None:
    text = "path,label,audio_class,video_class\na.mp4,x,y,z\n"
    assert table(read(text, "a.csv", "a.mp4", layers=["audio_class"])) == [("a.mp4", None, None, "y")]
    assert [a.label for a in read(text, "a.csv", layers=["audio_class", "video_class"]).items] == ["y", "z"]
    with pytest.raises(ConfigError, match="no column 'sound'; there are path, label"):
        read(text, "a.csv", layers=["sound"])


def test_a_label_of_nothing_is_kept(read: ReadLabels) -> None:
    text = "filename\tonset\toffset\tevent_label\na.wav\t0\t1\tnone\nb.wav\t\t\t\n"
    found = read(text, "a.tsv", "a.wav", "b.wav")
    assert table(found) == [("a.wav", 0.0, 1.0, "none"), ("b.wav", None, None, "")]
    assert found.labels == ("none",)


def test_what_is_left_out_is_counted(read: ReadLabels) -> None:
    rows = ["a.wav,x,1,2,9", "a.wav,x,1,2,9", "a.wav,x,two,3,9", "a.wav,x,3,3,9", "a.wav,x,4,,9", ",x,1,2,9",
            "a.wav,x,1,inf,9", "a.wav,x,-1,1,9", "a.wav", "gone.wav,x,1,2,9"]  # fmt: skip
    found = read("path,label,start,end,mark\n" + "\n".join(rows), "a.csv", "a.wav")
    assert table(found) == [("a.wav", 1.0, 2.0, "x"), ("a.wav", 0.0, 1.0, "x")]
    assert [note.split(":")[0] for note in found.notes] == [
        "columns that are not used",
        "1 labels are there more than once and taken once",
        "1 rows have times that are no numbers and are left out",
        "2 rows cover no time and are left out",
        "1 rows have a start or an end only and are left out",
        "1 rows name no source and are left out",
        "1 rows begin before their source and are cut off",
        "1 rows are too short for a label and are left out",
        "1 labelled sources are not below " + found.notes[-1].split(" below ")[1].split(":")[0],
    ]
    assert "columns that are not used: mark" in found.notes
    assert found.notes[2].endswith(": row 3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,start,end\na.wav,1,2\n", "no column is known to hold a label; it has path, start, end"),
        ("label,start,end\nx,1,2\n", "no column is known to hold the source"),
        ("path,label,start_pts\na.wav,x,90000\n", "no column is known to hold the start"),
        ("path,label,end\na.wav,x,9\n", "no column is known to hold the start"),
        ("path,label\n", "it has no labels"),
        ("path,label,start,end\na.wav,x,y,z\n", "1 rows have times that are no numbers"),
        ("", "not a file of labels; what is read is CSV"),
        ("once upon a time, there was\n", "not a file of labels; what is read is CSV"),
    ],
)
def test_what_cannot_be_read_says_why(read: ReadLabels, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(text, "a.csv", "a.wav")


def test_what_is_not_text_says_so(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_bytes("path,label\na.wav,Geräusch\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="not text in UTF-8"):
        read_annotations(tmp_path / "b.csv", tmp_path)
