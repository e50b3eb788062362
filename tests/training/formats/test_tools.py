"""What annotation tools write: ELAN, VIA and Label Studio."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import copy

import pytest

from streammm.errors import ConfigError
from tests.training.conftest import ReadLabels, table
from tests.training.formats.test_datasets import ACTIVITYNET

EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-05-01T10:00:00+01:00" FORMAT="3.0" VERSION="3.0">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/Users/me/talk%20one.mp4" MIME_TYPE="video/mp4"
      RELATIVE_MEDIA_URL="./talk%20one.mp4"/>
  </HEADER>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1000"/>
    <TIME_SLOT TIME_SLOT_ID="ts2"/>
    <TIME_SLOT TIME_SLOT_ID="ts3"/>
    <TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="4000"/>
  </TIME_ORDER>
  <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="gesture">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts4">
      <ANNOTATION_VALUE>wave &amp; nod</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="laughs">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
      <ANNOTATION_VALUE></ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="meaning" TIER_ID="meaning" PARENT_REF="gesture">
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a3" ANNOTATION_REF="a1">
      <ANNOTATION_VALUE>hello</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a4" ANNOTATION_REF="a9">
      <ANNOTATION_VALUE>lost</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
  </TIER>
</ANNOTATION_DOCUMENT>
"""


def test_elan(read: ReadLabels) -> None:
    found = read(EAF, "a.eaf", "talk one.mp4")
    assert table(found) == [
        ("talk one.mp4", 1.0, 4.0, "wave & nod"), ("talk one.mp4", 2.0, 3.0, "laughs"),
        ("talk one.mp4", 1.0, 4.0, "hello")]  # fmt: skip
    assert found.num_overlaps == 2
    assert found.notes == (
        "labels of all tiers of a.eaf are taken together: gesture, laughs, meaning",
        "1 annotations have no times and are left out: a4 on meaning",
    )


def test_elan_by_tier_by_its_own_name_and_from_its_origin(read: ReadLabels) -> None:
    assert table(read(EAF, "a.eaf", "talk one.mp4", layers=["meaning"])) == [("talk one.mp4", 1.0, 4.0, "hello")]
    with pytest.raises(ConfigError, match="no tier 'x'; there are gesture, laughs, meaning"):
        read(EAF, "a.eaf", layers=["x"])
    other = EAF.replace('MIME_TYPE="video/mp4"', 'TIME_ORIGIN="500"').replace("talk%20one", "elsewhere")
    assert table(read(other, "b.eaf", "b.mp4", layers=["gesture"])) == [("b.mp4", 1.5, 4.5, "wave & nod")]


def test_elan_with_a_document_type_is_refused_before_anything_is_expanded(read: ReadLabels, tmp_path) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    bomb = EAF.replace("<ANNOTATION_DOCUMENT", f'<!DOCTYPE x [<!ENTITY e0 "ha">{entities}]><ANNOTATION_DOCUMENT', 1)
    (tmp_path / "secret").write_text("secret")
    outside = EAF.replace(
        "<ANNOTATION_DOCUMENT", f'<!DOCTYPE x [<!ENTITY e11 SYSTEM "file://{tmp_path}/secret">]><ANNOTATION_DOCUMENT', 1
    )
    for text in (bomb, outside):
        with pytest.raises(ConfigError, match="declares a document type"):
            read(text.replace("wave &amp; nod", "&e11;"), "a.eaf", "talk one.mp4")
    with pytest.raises(ConfigError, match="mismatched tag"):
        read(EAF.replace("</TIER>", "", 1), "a.eaf")


VIA = {
    "project": {"pid": "__VIA_PROJECT_ID__", "vid_list": ["1", "2"]},
    "config": {},
    "attribute": {
        "1": {"aname": "TEMPORAL-SEGMENTS", "anchor_id": "FILE1_Z2_XY0", "type": 1, "options": {}},
        "2": {"aname": "mood", "anchor_id": "FILE1_Z0_XY0", "type": 4, "options": {"0": "sad", "1": "glad"}},
    },
    "file": {
        "1": {"fid": "1", "fname": "a.mp4", "type": 4, "loc": 1, "src": ""},
        "2": {"fid": "2", "fname": "https://example.org/x/b.mp4", "type": 4, "loc": 2, "src": ""},
    },
    "view": {"1": {"fid_list": ["1"]}, "2": {"fid_list": ["2"]}},
    "metadata": {
        "1_a": {"vid": "1", "flg": 0, "z": [1.25, 2.5], "xy": [], "av": {"1": "wave"}},
        "1_b": {"vid": "1", "flg": 0, "z": [], "xy": [], "av": {"2": "1"}},
        "2_a": {"vid": "2", "flg": 0, "z": [0, 1], "xy": [], "av": {"1": "nod", "2": "0,1"}},
        "2_b": {"vid": "2", "flg": 0, "z": [0.5], "xy": [2, 1, 1, 9, 9], "av": {"1": "box"}},
        "2_c": {"vid": "2", "flg": 0, "z": [0.5, 0.75], "xy": [], "av": {}},
    },
}


def test_via_project(read: ReadLabels) -> None:
    found = read(json.dumps(VIA), "a.json", "a.mp4", "b.mp4")
    assert table(found) == [
        ("a.mp4", 1.25, 2.5, "wave"), ("a.mp4", None, None, "glad"), ("b.mp4", 0.0, 1.0, "nod"),
        ("b.mp4", 0.0, 1.0, "sad"), ("b.mp4", 0.0, 1.0, "glad")]  # fmt: skip
    assert found.labels == ("sad", "glad", "nod", "wave")
    assert found.notes == (
        "1 marks are of a picture, not of a stretch of time, and are left out: 2_b",
        "1 marks have no value and are left out: 2_c",
    )
    assert read(json.dumps(VIA), "a.json", layers=["mood"]).labels == ("sad", "glad")
    broken = VIA | {"view": {}}
    with pytest.raises(ConfigError, match="'1_a' of its metadata is not complete"):
        read(json.dumps(broken), "a.json")


VIA_NEW = """# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)
# SHAPE_ID = {"POINT":1,"RECTANGLE":2}
# ATTRIBUTE = {"1":{"aname":"what","anchor_id":"FILE1_Z2_XY0","type":4,"options":{"0":"wave","1":"nod"}}}
# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata
"1_h","[""a.mp4""]",0,"[1.25,2.5]","[]","{""1"":""0""}"
"1_i","[""a.mp4""]",0,"[1.25]","[2,1,1,9,9]","{""1"":""0""}"
"1_j","[""a.mp4""]",0
"""

VIA_OLD = """# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)
# CSV_HEADER = metadata_id, file_list, temporal_segment_start, temporal_segment_end, metadata
"1_h","[""a.mp4""]",1.25,2.5,"{""TEMPORAL-SEGMENTS"":""wave""}"
"""


def test_via_tables(read: ReadLabels) -> None:
    found = read(VIA_NEW, "a.csv", "a.mp4")
    assert table(found) == [("a.mp4", 1.25, 2.5, "wave")]
    assert [note.split(" and ")[0] for note in found.notes] == [
        "1 marks are of a picture, not of a stretch of time,", "1 rows are not as VIA writes them"]  # fmt: skip
    assert table(read(VIA_OLD, "a.csv")) == [("a.mp4", 1.25, 2.5, "wave")]
    with pytest.raises(ConfigError, match="no columns file_list and metadata but image"):
        read("# CSV_HEADER = image,box\n", "a.csv")


def result(name: str, **value: object) -> dict:
    return {"from_name": name, "to_name": "media", "type": "labels", "value": value}


STUDIO = [
    {
        "id": 1,
        "data": {"audio": "/data/upload/3/0a1b2c3d-talk.mp3", "split": "val"},
        "annotations": [
            {"id": 5, "was_cancelled": True, "result": [result("label", start=0, end=1, labels=["skipped"])]},
            {"id": 6, "was_cancelled": False, "result": [result("label", start=0, end=1, labels=["first"])]},
            {
                "id": 7,
                "ground_truth": True,
                "result": [
                    result("label", start=1.5, end=2.25, channel=0, labels=["speech", "music"]),
                    result("mood", choices=["calm"]),
                    {"from_name": "text", "type": "textarea", "value": {"start": 1, "end": 2, "text": ["hello"]}},
                ],
            },
        ],
    },
    {"id": 2, "data": {"video": "/data/local-files/?d=clips/walk.mp4"}, "annotations": []},
]


def test_label_studio(read: ReadLabels) -> None:
    found = read(json.dumps(STUDIO), "a.json", "talk.mp3", "clips/walk.mp4")
    assert table(found) == [
        ("talk.mp3", 1.5, 2.25, "speech"),
        ("talk.mp3", 1.5, 2.25, "music"),
        ("talk.mp3", None, None, "calm"),
    ]
    assert {a.split for a in found.items} == {"validation"}
    assert found.notes == (
        "1 annotations of a task by others are left out: 6",
        "1 results are no labels and are left out: textarea of task 1",
        "1 tasks have no labels and are left out: task 2",
    )
    assert table(read(json.dumps(STUDIO), "a.json", layers=["mood"])) == [("talk.mp3", None, None, "calm")]


def test_label_studio_ranges_are_frames_from_one(read: ReadLabels) -> None:
    ranges = result("timeline", ranges=[{"start": 1, "end": 25}, {"start": 51, "end": 51}], timelinelabels=["walk"])
    tasks = [STUDIO[1] | {"annotations": [{"id": 1, "result": [ranges]}]}]
    found = read(json.dumps(tasks), "a.json", "clips/walk.mp4", frame_rate_hz=25.0)
    assert table(found) == [("walk.mp4", 0.0, 1.0, "walk"), ("walk.mp4", 2.0, 2.04, "walk")]
    with pytest.raises(ConfigError, match="its times are frames"):
        read(json.dumps(tasks), "a.json")


@pytest.mark.parametrize(
    ("data", "name"),
    [(VIA, "a.json"), (STUDIO, "b.json"), (ACTIVITYNET, "c.json")],
    ids=["via", "studio", "activitynet"],
)
def test_damaged_json_is_read_or_refused_in_words(read: ReadLabels, data: object, name: str) -> None:
    """Every value in turn is replaced by some that cannot be meant."""
    files = ("a.mp4", "b.mp4", "talk.mp3", "clips/walk.mp4", "v_sJFgo9H6zNo.mp4")
    places = list(places_in(data))
    num_refused = 0
    for place in places:
        for wrong in (None, 7, "x", [], {"x": None}):
            try:
                read(json.dumps(replaced(data, place, wrong)), name, *files)
            except ConfigError:
                num_refused += 1
    assert len(places) > 20
    assert num_refused > 20


def places_in(data: object, place: tuple = ()) -> Iterator[tuple]:
    yield place
    for key in data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ():
        yield from places_in(data[key], (*place, key))


def replaced(data: object, place: tuple, value: object) -> object:
    if not place:
        return value
    copied = copy(data)
    copied[place[0]] = replaced(data[place[0]], place[1:], value)
    return copied
