"""A file in, segments out: counts, times, frames and samples of clips whose content is known."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streammm.errors import DecodeError, SourceError
from streammm.media.cutting import Windows
from streammm.media.options import DecodeOptions
from streammm.media.reader import SegmentReader
from streammm.types import SAMPLE_RATE_HZ, Segment, Status
from tests.conftest import GREY_STEP, MakeClip


def read(path: Path, first: int = 0, **windows: float) -> list[Segment]:
    options = DecodeOptions(windows=Windows(**{key: Fraction(str(value)) for key, value in windows.items()}))
    with SegmentReader(str(path), options, first) as reader:
        return list(reader)


def frame_numbers(segment: Segment) -> list[int]:
    return [round(float(frame.mean()) / GREY_STEP) for frame in segment.frames]


def click_seconds(segments: list[Segment]) -> list[float]:
    """Onsets of what is far louder than the tone."""
    wave = np.concatenate([s.waveform for s in segments])
    loud = np.flatnonzero(np.abs(wave) > 0.5)
    onsets = loud[np.diff(loud, prepend=-SAMPLE_RATE_HZ) > SAMPLE_RATE_HZ // 10]
    return (onsets / SAMPLE_RATE_HZ).tolist()


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("a.mp4", {}),
        ("a.mkv", {}),
        ("a.ts", {"audio": "mp2"}),
        ("a.mov", {"audio": "pcm_s16le"}),
        ("a.flv", {}),
        ("a.webm", {"video": "libvpx", "audio": "libopus"}),
        ("a.avi", {"video": "mpeg4", "audio": "pcm_s16le"}),
    ],
)
def test_times_frames_and_samples_are_exact(clip: MakeClip, name: str, codecs: dict[str, str]) -> None:
    segments = read(clip(name, 5.0, clicks=[1.0, 2.5, 4.2], **codecs))

    assert [(s.index, s.start_seconds) for s in segments] == [(0, 0.0), (1, 2.0), (2, 4.0)]
    assert [s.end_seconds for s in segments[:2]] == [2.0, 4.0]
    assert segments[2].end_seconds == pytest.approx(5.0, abs=0.1)  # codecs pad sound by a frame or two
    # The frame shown at .25, .75, 1.25 ... of a clip with a frame every 0.1 s is number 2, 7, 12 ...; times are of
    # its start. Timestamps of containers that count milliseconds or 1/90000 s are that far from 0.1 s.
    assert [frame_numbers(s) for s in segments] == [[2, 7, 12, 17], [22, 27, 32, 37], [42, 47]]
    assert segments[0].frame_seconds == pytest.approx([0.2, 0.7, 1.2, 1.7], abs=0.03)
    assert [len(s.waveform) for s in segments[:2]] == [32_000, 32_000]
    assert click_seconds(segments) == pytest.approx([1.0, 2.5, 4.2], abs=0.03)
    assert all(s.coverage["audio"] > 0.95 for s in segments)
    assert all(s.status == {"audio": Status.OK, "text": Status.ABSENT, "video": Status.OK} for s in segments)


def test_pictures_are_scaled_and_cropped_for_the_encoder(clip: MakeClip) -> None:
    (segment,) = read(clip("a.mp4", 1.0, size=(320, 96)))
    assert segment.frames.shape == (2, 224, 224, 3)


def test_a_clip_of_whole_windows_has_no_segment_of_codec_padding(clip: MakeClip) -> None:
    segments = read(clip("a.mp4", 4.0))
    assert [(s.start_seconds, s.end_seconds) for s in segments] == [(0.0, 2.0), (2.0, 4.0)]


def test_a_clip_shorter_than_a_sampling_interval_still_has_its_picture(clip: MakeClip) -> None:
    (segment,) = read(clip("a.mp4", 0.2, audio=None))
    assert (segment.end_seconds, frame_numbers(segment)) == (0.2, [1])


@pytest.mark.parametrize("first", [1, 2])
def test_starting_at_a_segment_gives_the_segments_of_a_reading_from_the_start(clip: MakeClip, first: int) -> None:
    path = clip("a.mp4", 5.0, clicks=[2.5])
    whole, rest = read(path)[first:], read(path, first)
    assert [s.index for s in rest] == [s.index for s in whole]
    for one, other in zip(rest, whole, strict=True):
        assert np.array_equal(one.frames, other.frames)
        assert np.array_equal(one.waveform, other.waveform)


def test_segments_may_overlap(clip: MakeClip) -> None:
    segments = read(clip("a.mp4", 5.0), length_seconds=2, hop_seconds=1)
    assert [(s.start_seconds, s.end_seconds) for s in segments] == [(0.0, 2.0), (1.0, 3.0), (2.0, 4.0), (3.0, 5.0)]
    assert [frame_numbers(s) for s in segments] == [
        [2, 7, 12, 17],
        [12, 17, 22, 27],
        [22, 27, 32, 37],
        [32, 37, 42, 47],
    ]


def test_length_and_rate_can_be_set(clip: MakeClip) -> None:
    segments = read(clip("a.mp4", 3.0), length_seconds=1.5, hop_seconds=1.5, frames_per_second=4)
    assert [(s.start_seconds, len(s.frames), len(s.waveform)) for s in segments] == [(0, 6, 24_000), (1.5, 6, 24_000)]


def test_video_without_sound(clip: MakeClip) -> None:
    segments = read(clip("a.mp4", 3.0, audio=None))
    assert [len(s.frames) for s in segments] == [4, 2]
    assert {s.status["audio"] for s in segments} == {Status.ABSENT}
    assert {len(s.waveform) for s in segments} == {0}


def test_sound_without_video(clip: MakeClip) -> None:
    segments = read(clip("a.wav", 3.0, video=None, audio="pcm_s16le", clicks=[2.5]))
    assert [(len(s.frames), len(s.waveform)) for s in segments] == [(0, 32_000), (0, 16_000)]
    assert {s.status["video"] for s in segments} == {Status.ABSENT}
    assert click_seconds(segments) == pytest.approx([2.5], abs=0.001)


def test_sound_that_ends_early_is_absent_afterwards(clip: MakeClip) -> None:
    segments = read(clip("a.mp4", 6.0, audio_seconds=1.0))
    assert [s.status["audio"] for s in segments] == [Status.OK, Status.ABSENT, Status.ABSENT]
    assert segments[0].coverage["audio"] == pytest.approx(0.5, abs=0.05)
    assert [len(s.frames) for s in segments] == [4, 4, 4]


def test_video_that_starts_late_keeps_its_time(clip: MakeClip) -> None:
    segments = read(clip("a.mkv", 2.0, audio_seconds=3.0, video_start=1.0))
    assert segments[0].frame_seconds.tolist() == pytest.approx([1.2, 1.7])
    assert frame_numbers(segments[0]) == [2, 7]


def test_silence_and_black_are_said_to_be_so(clip: MakeClip) -> None:
    (segment,) = read(clip("a.mp4", 2.0, grey=0, loudness=0.0))
    assert (segment.status["video"], segment.status["audio"]) == (Status.BLACK, Status.SILENT)


def test_embedded_captions_are_in_the_segments_they_overlap(clip: MakeClip) -> None:
    segments = read(clip("a.mkv", 6.0, cues=[(0.5, 2.5, "a dog"), (4.0, 5.0, "barks")]))
    assert [s.text for s in segments] == ["a dog", "a dog", "barks"]
    assert [s.status["text"] for s in segments] == [Status.OK] * 3


def test_captions_beside_the_file_are_read(clip: MakeClip) -> None:
    path = clip("talk.mp4", 4.0)
    path.with_name("talk.en.srt").write_text("1\n00:00:02,500 --> 00:00:03,000\n<i>Hello</i>\nthere\n")
    assert [s.text for s in read(path)] == ["", "Hello there"]


def test_a_file_cut_short_gives_the_segments_before_the_cut(clip: MakeClip) -> None:
    path = clip("a.mkv", 6.0)
    whole = read(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with SegmentReader(str(path), DecodeOptions()) as reader:
        kept = list(reader)
        assert reader.num_errors >= 1
        assert "and says that it has 6.0" in reader.last_error
    assert 1 <= len(kept) < len(whole)
    assert np.array_equal(kept[0].frames, whole[0].frames)


def test_damage_in_the_middle_costs_its_own_stretch_only(clip: MakeClip) -> None:
    path = clip("a.ts", 8.0, audio=None, rate=25, size=(320, 240))
    data = bytearray(path.read_bytes())
    whole = read(path)
    middle = len(data) // 2
    data[middle : middle + 188 * 8] = bytes(188 * 8)
    path.write_bytes(data)
    kept = read(path)
    assert [s.index for s in kept] == [s.index for s in whole]
    assert np.array_equal(kept[0].frames, whole[0].frames)
    assert np.array_equal(kept[3].frames, whole[3].frames)
    assert any(s.status["video"] == Status.DAMAGED for s in kept[1:3])


@pytest.mark.parametrize(
    ("content", "reason", "detail"),
    [
        (b"", "empty", "zero bytes"),
        (b"not a film at all\n" * 50, "not-media", "cannot be opened"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n/etc/passwd\n", "refused", "playlist"),
        (b"ffconcat version 1.0\nfile 'other.mp4'\n", "refused", "playlist"),
    ],
)
def test_what_is_not_media_is_an_error_in_words(tmp_path: Path, content: bytes, reason: str, detail: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=detail) as caught:
        read(path)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("name", "reason"), [("missing.mp4", "missing"), (".", "unreadable"), ("gopher://h/x", "unsupported")]
)
def test_what_is_no_file_is_an_error_in_words(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(SourceError) as caught:
        SegmentReader(name if "://" in name else str(tmp_path / name), DecodeOptions())
    assert caught.value.reason == reason


def test_a_picture_with_too_many_pixels_is_refused_and_counted(clip: MakeClip) -> None:
    path = clip("a.mp4", 1.0, size=(640, 480), audio=None)
    with SegmentReader(str(path), DecodeOptions(max_pixels=640 * 479)) as reader, pytest.raises(DecodeError):
        list(reader)


def test_weeks_of_timestamps_do_not_move_a_segment(clip: MakeClip) -> None:
    early, late = (
        clip("a.ts", 3.0, clicks=[1.0]),
        clip("b.ts", 3.0, clicks=[1.0], options={"output_ts_offset": "95000"}),
    )
    for one, other in zip(read(early), read(late), strict=True):
        assert np.array_equal(one.frames, other.frames)
        assert np.array_equal(one.waveform, other.waveform)


def test_recordings_joined_end_to_end_are_both_there(clip: MakeClip, tmp_path: Path) -> None:
    one, two = clip("a.ts", 4.0, clicks=[1.0]), clip("b.ts", 4.0, clicks=[3.0])
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one.read_bytes() + two.read_bytes())
    segments = read(joined)
    assert segments[-1].end_seconds == pytest.approx(8.0, abs=0.2)
    assert click_seconds(segments) == pytest.approx([1.0, 7.0], abs=0.1)


def test_a_file_that_claims_hours_is_cut_as_it_is_asked_for(clip: MakeClip) -> None:
    path = clip("a.mkv", 2.0, audio=None, video_start=0.0, gap_seconds=3000.0)
    with SegmentReader(str(path), DecodeOptions()) as reader:
        segments = iter(reader)
        assert [next(segments).index for _ in range(5)] == [0, 1, 2, 3, 4]


def test_a_name_with_a_colon_and_a_pattern_are_just_names(clip: MakeClip, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    clip("plain.mp4", 1.0).rename("12:30:00.mp4")
    assert len(read(Path("12:30:00.mp4"))) == 1
    clip("f1.mp4", 1.0)
    Path("f%d.mp4").write_bytes(b"x" * 99)
    with pytest.raises(SourceError, match="cannot be opened"):
        read(Path("f%d.mp4"))


def test_a_late_start_keeps_nothing_of_the_sound_before(clip: MakeClip) -> None:
    path = clip("a.wav", 60.0, video=None, audio="pcm_s16le")
    with SegmentReader(str(path), DecodeOptions(), first_segment=29) as reader:
        (segment,) = reader
        assert segment.start_seconds == 58.0
        assert len(reader._decoder.segmenter.sound._pieces) < 60
