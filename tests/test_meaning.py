"""Real clips, real models: what is seen, heard and said is what is there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import streammm
import streammm.types
from streammm.errors import SourceError
from streammm.media.options import DecodeOptions
from streammm.media.reader import SegmentReader
from streammm.types import Classification, Modality, Status


def rows(path: Path, labels: Sequence[str]) -> list[Classification]:
    return list(streammm.classify(path, labels))


def mean(found: Sequence[Classification], label: str, modality: Modality | None = None) -> float:
    """Mean score of a label over the rows, fused or of one modality alone."""
    scores = [dict(row.labels if modality is None else row.modalities[modality].labels) for row in found]
    return sum(score.get(label, 0.0) for score in scores) / len(scores)


@pytest.mark.parametrize("name", ["rabbit320.mp4", "rabbit320.webm", "bbb_5s_51.mp4"])
def test_a_rabbit_is_rather_a_rabbit_than_a_car(shared_media: Path, name: str) -> None:
    found = rows(shared_media / "media" / "real" / name, ["rabbit", "car"])
    assert all(row.labels[0][0] == "rabbit" for row in found)
    assert mean(found, "rabbit", "video") > 2 * mean(found, "car", "video")


@pytest.mark.parametrize("name", ["bbaf2n.mpg", "lrwp9a.mpg", "swwp2s_id2.mpg"])
def test_a_talk_is_speech_and_not_music(shared_media: Path, name: str) -> None:
    found = rows(shared_media / "media" / "grid" / name, ["speech", "music", "dog barking"])
    assert all(row.labels[0][0] == "speech" for row in found)
    assert mean(found, "speech") > 0.7
    assert mean(found, "music") < 0.05


def test_a_silent_film_with_a_band_is_music(shared_media: Path) -> None:
    found = rows(shared_media / "media" / "real" / "chaplin_mp3inmp4.mp4", ["speech", "music", "dog barking"])
    assert mean(found, "music") > 0.7 > 0.1 > mean(found, "speech")


def test_a_shuttle_flies_in_the_picture_alone(shared_media: Path) -> None:
    found = rows(shared_media / "media" / "real" / "shuttle_noaudio.webm", ["aircraft", "dog", "music", "kitchen"])
    assert mean(found, "aircraft") > 0.5
    assert {row.modalities["video"].weight for row in found} == {1.0}


def test_explosions_are_heard_where_they_are(shared_media: Path) -> None:
    found = rows(shared_media / "media" / "real" / "tears_of_steel_70s.webm", ["explosion", "music", "speech"])
    loudest = max(found, key=lambda row: dict(row.labels)["explosion"])
    assert dict(loudest.labels)["explosion"] > 0.5
    assert 62 <= loudest.start_seconds <= 68


def test_silence_and_black_are_said_to_be_so_and_claim_nothing(shared_media: Path) -> None:
    found = rows(shared_media / "media" / "odd" / "silent_black_10s.mp4", ["speech", "music", "night sky"])
    assert len(found) == 5
    for row in found:
        assert row.modalities["video"].status == Status.BLACK
        assert row.modalities["audio"].status == Status.SILENT
        assert row.other == pytest.approx(1.0)


def test_what_is_said_counts(shared_media: Path) -> None:
    path = shared_media / "media" / "odd" / "nasa_two_video_two_audio_two_subs.mp4"
    found = rows(path, ["space telescope", "cooking", "football"])
    assert "Webb" in read(path)[0].text
    assert mean(found[:4], "space telescope", "text") > 10 * mean(found[:4], "cooking", "text")
    assert found[1].labels[0][0] == "space telescope"


def read(path: Path) -> list[streammm.types.Segment]:
    with SegmentReader(str(path), DecodeOptions()) as reader:
        return list(reader)


def decodable(path: Path) -> bool:
    try:
        return bool(read(path))
    except SourceError:
        return False


def test_every_file_is_read_or_refused_in_words(shared_media: Path) -> None:
    folders = ("audio", "bad", "codec", "grid", "odd", "real", "subs")
    files = [f for name in folders for f in sorted((shared_media / "media" / name).iterdir())]
    media = [f for f in files if f.suffix not in (".srt", ".csv", ".align") and f.name != "long_6min_180p60_av1.mp4"]
    assert len(media) > 60
    assert sorted(f.name for f in media if not decodable(f)) == [
        "broken.ogg",
        "empty.mp4",
        "fragment_without_init.mp4",
        "text.mp4",
    ]


@pytest.mark.parametrize(
    ("name", "num_segments", "end_seconds"),
    [
        ("real/rabbit320.mp4", 4, 7.8),
        ("real/rabbit320.webm", 4, 7.8),
        ("real/bbb_5s_51.mp4", 3, 5.312),
        ("real/hls_seg0.ts", 3, 6.0),
        ("odd/hls_seg1_start6s.ts", 3, 6.0),
        ("odd/audio_only_60s.mp4", 30, 60.0),
        ("odd/video_only_60s.mp4", 30, 60.0),
        ("codec/vp9_47s_noaudio.mp4", 24, 47.447),
        ("codec/raw_annexb.h264", 1, 1.84),
        ("bad/truncated_60pct.mp4", 3, 4.667),
        ("subs/srt_only.mkv", 5, 8.901),
    ],
)
def test_real_files_have_the_segments_they_should(
    shared_media: Path, name: str, num_segments: int, end_seconds: float
) -> None:
    segments = read(shared_media / "media" / name)
    assert (len(segments), [s.index for s in segments]) == (num_segments, list(range(num_segments)))
    assert segments[-1].end_seconds == pytest.approx(end_seconds, abs=0.02)
