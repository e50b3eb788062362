"""Labels of published data sets, in the words that they come in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streammm.errors import ConfigError
from streammm.training.annotations import read_annotations
from tests.training.conftest import ReadLabels, table

ACTIVITYNET = {
    "version": "VERSION 1.3",
    "taxonomy": [],
    "database": {
        "sJFgo9H6zNo": {
            "duration": 25.2,
            "subset": "training",
            "resolution": "640x480",
            "url": "https://example.org/watch?v=sJFgo9H6zNo",
            "annotations": [{"segment": [0.01, 21.5], "label": "Fun sliding down"}, {"segment": [3, 3], "label": "x"}],
        },
        "V1zhqaGFY2A": {
            "duration": 9.0,
            "subset": "validation",
            "annotations": [{"segment": [], "label": "Beer pong"}],
        },
        "JDg--pjY5gg": {"duration": 9.0, "subset": "testing", "annotations": []},
        "notthere": {"duration": 9.0, "subset": "training", "annotations": [{"segment": [1, 2], "label": "y"}]},
    },
}


def test_activitynet(read: ReadLabels) -> None:
    found = read(json.dumps(ACTIVITYNET), "a.json", "v_sJFgo9H6zNo.mp4", "V1zhqaGFY2A.mkv")
    assert table(found) == [
        ("v_sJFgo9H6zNo.mp4", 0.01, 21.5, "Fun sliding down"),
        ("V1zhqaGFY2A.mkv", None, None, "Beer pong"),
    ]
    assert [a.split for a in found.items] == ["train", "validation"]
    assert found.notes == (
        "1 rows cover no time and are left out: x of sJFgo9H6zNo",
        "1 videos have no annotations and are left out: JDg--pjY5gg",
        f"1 labelled sources are not below {Path(found.items[0].source).parent}: notthere",
    )


def test_kinetics(read: ReadLabels) -> None:
    video = {"annotations": {"label": "juggling", "segment": [1.0, 11.0]}, "duration": 10.0, "subset": "validate"}
    assert table(read(json.dumps({"abc": video}), "a.json", "abc.mp4")) == [("abc.mp4", 1.0, 11.0, "juggling")]


AUDIOSET = """# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=4, num_segs=4, num_unique_labels=3, num_positive_labels=5
# YTID, start_seconds, end_seconds, positive_labels
--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"
--ZhevVpy1s, 50.000, 60.000, "/m/012xff"
--aE2O5G5WE, 0.000, 10.000, "/m/03fwl"
--aO5cdqSAg, 30.000, 40.000, "/m/09x0r"
"""


def test_audioset_of_whole_videos_and_of_pieces(read: ReadLabels, tmp_path: Path) -> None:
    files = ("--PJHxphWEs.mp4", "--ZhevVpy1s_50.000.wav", "Y--aE2O5G5WE.wav", "--aO5cdqSAg_30000_40000.flac")
    found = read(AUDIOSET, "eval_segments.csv", *files)
    assert table(found) == [
        ("--PJHxphWEs.mp4", 30.0, 40.0, "/m/09x0r"), ("--PJHxphWEs.mp4", 30.0, 40.0, "/t/dd00088"),
        (files[1], None, None, "/m/012xff"), (files[2], None, None, "/m/03fwl"), (files[3], None, None, "/m/09x0r"),
    ]  # fmt: skip
    assert found.notes[0].startswith("labels are AudioSet's ids")
    names = 'index,mid,display_name\n0,/m/09x0r,"Speech"\n1,/t/dd00088,"Gush"\n2,/m/012xff,"Toot, toot"\n3,/x,X\n'
    (tmp_path / "class_labels_indices.csv").write_text(names)
    found = read(AUDIOSET, "eval_segments.csv")
    assert found.labels == ("Speech", "Gush", "Toot, toot", "/m/03fwl")
    assert found.notes == ()


def test_audioset_strong(read: ReadLabels) -> None:
    text = "segment_id\tstart_time_seconds\tend_time_seconds\tlabel\nb0RFKhbpFJA_30000\t0.5\t10.0\t/m/03m9d0z\n"
    assert table(read(text, "strong.tsv", "b0RFKhbpFJA_30000.wav")) == [
        ("b0RFKhbpFJA_30000.wav", 0.5, 10.0, "/m/03m9d0z")]  # fmt: skip


def test_ave_with_its_splits(read: ReadLabels, tmp_path: Path) -> None:
    rows = ["Church bell&RUhOCu3LNXM&good&0&10", "Bark&OSRX&good&3&6", "Bark&OSRX&good&0&0"]
    text = "\n".join(["Category&VideoID&Quality&StartTime&EndTime", *rows])
    (tmp_path / "testSet.txt").write_text("Bark&OSRX&good&3&6\n")
    (tmp_path / "trainSet.txt").write_text("Church bell&RUhOCu3LNXM&good&0&10\n")
    found = read(text, "Annotations.txt", "AVE/RUhOCu3LNXM.mp4", "AVE/OSRX.mp4")
    assert table(found) == [("RUhOCu3LNXM.mp4", 0.0, 10.0, "Church bell"), ("OSRX.mp4", 3.0, 6.0, "Bark")]
    assert [a.split for a in found.items] == ["train", "test"]
    assert found.notes == ("1 rows cover no time and are left out: line 4",)
    assert table(read("Bark&OSRX&good&3&6\n", "trainSet.txt")) == [("OSRX.mp4", 3.0, 6.0, "Bark")]


@pytest.mark.parametrize(
    ("name", "folder", "num_items", "num_labels", "is_timed"),
    [
        ("avdigits/labels.csv", "avdigits", 1050, 10, False),
        ("avdigits/stream_segments.csv", "avdigits", 459, 11, True),
        ("drone_av/labels.csv", "drone_av", 40, 4, False),
        ("esc10/labels.csv", "esc10", 160, 10, False),
        ("esc10/labels.csv", ".", 160, 10, False),
    ],
)
@pytest.mark.shared_media
def test_shared_sets(
    shared_media: Path, name: str, folder: str, num_items: int, num_labels: int, is_timed: bool
) -> None:
    found = read_annotations(shared_media / name, shared_media / folder)
    assert (len(found.items), len(found.labels)) == (num_items, num_labels)
    assert all(Path(a.source).is_file() and (a.start_seconds is not None) == is_timed for a in found.items)
    assert found.num_overlaps == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ('{"database": 3}', "not a file of labels"),
        ("[]", "not a file of labels"),
        ("[" * 100_000, "not valid JSON"),
        ('{"database": {"a": {"subset": "x", "annotations": [{"label": "x", "segment": ["y"]}]}}}', "1 annotations"),
    ],
)
def test_json_that_is_none_of_them(read: ReadLabels, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(text, "a.json")
