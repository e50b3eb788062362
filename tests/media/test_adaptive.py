"""Where nothing changes the first picture stands for all; the same wherever reading starts, and live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streammm.building.identity import identity, model_name
from streammm.config import load
from streammm.media.adaptive import Stretches, is_alike, is_even
from streammm.media.decode import MediaDecoder
from streammm.media.options import DecodeOptions
from streammm.media.reader import SegmentReader
from streammm.types import Segment
from tests.conftest import MakeClip

RATE = 25
EXACT, ADAPTIVE = DecodeOptions(), DecodeOptions(mode="adaptive")


@dataclass
class Packet:
    """What is looked at of a packet."""

    pts: int | None
    size: int = 10
    is_keyframe: bool = False
    is_corrupt: bool = False
    time_base: Fraction = Fraction(1, 10)
    shows: int = 0


def key(pts: int, shows: int = 0) -> Packet:
    return Packet(pts, 1000, is_keyframe=True, shows=shows)


def thumbnail(packet: Packet) -> np.ndarray:
    return np.full((3, 18, 32), packet.shows, np.int16)


def cut(packets: Sequence[Packet], max_seconds: float = 20.0) -> list[tuple[list[int | None], bool]]:
    """The times of the packets of each stretch, and whether it is calm."""
    stretches = Stretches(thumbnail, 1.0, max_seconds)
    found = [stretch for packet in packets for stretch in stretches.push(packet)]
    return [([p.pts for p in s.packets], s.is_calm) for s in [*found, *stretches.flush()]]


def stretch(begin: int, *, shows: int = 0, count: int = 3) -> list[Packet]:
    return [key(begin, shows), *(Packet(begin + n) for n in range(1, count))]


def test_between_key_pictures_that_are_alike_nothing_changes() -> None:
    packets = [*stretch(0), *stretch(3, shows=1), *stretch(6, shows=9), *stretch(9, shows=9)]
    assert cut(packets) == [([0, 1, 2], True), ([3, 4, 5], False), ([6, 7, 8], True), ([9, 10, 11], False)]


def test_a_picture_that_takes_as_many_bytes_as_a_key_picture_is_a_change() -> None:
    for size, is_calm in ((500, True), (501, False)):
        before = stretch(0, count=6)
        before[3].size = size
        assert cut([*before, *stretch(6)])[0] == ([0, 1, 2, 3, 4, 5], is_calm)


def test_half_a_second_that_takes_more_bytes_than_others_is_a_change() -> None:
    packets = stretch(0, count=40)
    packets[2].size = packets[39].size = 100  # at the beginning and at the end it says nothing
    assert is_even(packets)
    for packet in packets[20:25]:
        packet.size = 14
    assert is_even(packets)
    packets[22].size = 15
    assert not is_even(packets)


def test_where_nothing_is_to_be_seen_small_packets_show_no_new_picture() -> None:
    packets = [Packet(0, 40, is_keyframe=True), *(Packet(n, 250 if n % 5 == 0 else 10) for n in range(1, 40))]
    assert is_even(packets)
    for packet in packets[5::5]:
        packet.size = 300
    assert not is_even(packets)


def test_a_change_at_one_point_counts() -> None:
    one = np.zeros((3, 18, 32), np.int16)
    other = one.copy()
    other[:, 3, 3] = 5
    assert is_alike(one, other, 1.0)
    other[:, 3, 3] = 6
    assert not is_alike(one, other, 1.0)
    assert not is_alike(one, None, 1.0)


def test_pictures_that_refer_to_what_came_before_a_key_picture_join_both_stretches() -> None:
    packets = [key(0), Packet(1), key(4), Packet(2), Packet(3), Packet(5), *stretch(6), *stretch(9)]
    assert cut(packets) == [
        ([0, 1, 4], False),
        ([2], False),
        ([3], False),
        ([5], False),
        ([6, 7, 8], True),
        ([9, 10, 11], False),
    ]


def test_what_has_no_time_or_is_damaged_or_has_key_pictures_only_is_decoded() -> None:
    damaged, timeless = stretch(0), stretch(0)
    damaged[2].is_corrupt = True
    timeless[2].pts = None
    for packets in (damaged, timeless, [key(0), key(1), key(2)]):
        assert not any(is_calm for _, is_calm in cut([*packets, key(3)]))


def test_a_long_stretch_is_not_waited_for() -> None:
    packets = [*stretch(0, count=40), *stretch(40)]
    assert cut(packets, 4.0)[0] == (list(range(40)), True)
    found = cut(packets, 2.0)
    assert found[0] == (list(range(22)), False)
    assert [times for times, _ in found[1:20]] == [[n] for n in range(22, 40)] + [[40, 41, 42]]


def odd_stream(seed: int) -> list[Packet]:
    """Stretches of any length, some of which leading pictures, missing times, damage and long gaps are in."""
    chance = np.random.default_rng(seed)
    packets, now = [], 0
    for _ in range(12):
        now += 1
        opened = key(now + 2, int(chance.choice([0, 0, 0, 30])))
        leading = [Packet(now), Packet(now + 1)] if chance.random() < 0.2 else []
        rest = [Packet(now + 3 + n) for n in range(chance.integers(6))]
        for packet in rest:
            if chance.random() < 0.05:
                packet.pts = None
            packet.is_corrupt = bool(chance.random() < 0.05)
        now += int(chance.choice([8, 8, 8, 60])) if chance.random() < 0.9 else -2
        packets += [opened, *leading, *rest]
    return packets


@pytest.mark.parametrize("seed", range(20))
def test_every_packet_comes_out_once_and_is_judged_the_same_wherever_reading_starts(seed: int) -> None:
    packets = odd_stream(seed)

    def judged(packets: Sequence[Packet]) -> list[tuple[int, bool]]:
        stretches = Stretches(thumbnail, 1.0, 3.0)
        found = [s for packet in packets for s in stretches.push(packet)] + list(stretches.flush())
        return [(id(packet), s.is_calm) for s in found for packet in s.packets]

    whole = judged(packets)
    assert [name for name, _ in whole] == [id(packet) for packet in packets]
    for n, packet in enumerate(packets):
        if packet.is_keyframe:
            assert judged(packets[n:]) == whole[n:]


# --- with media


def write_scene(
    path: Path,
    seconds: float = 12.0,
    *,
    moves: Sequence[tuple[float, float]] = (),
    codec: str = "libx264",
    gop: int = RATE,
    options: dict[str, str] | None = None,
) -> Path:
    """A still picture with a little noise, across which a bright square moves for a while."""
    chance = np.random.default_rng(1)
    still = np.kron(chance.integers(40, 160, (12, 16, 3)), np.ones((8, 8, 1))).astype(np.int16)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=RATE, options=options or {})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.gop_size, stream.bit_rate = gop, 1_000_000
        for n in range(round(seconds * RATE)):
            picture = still + chance.integers(-2, 3, still.shape)
            for start, end in moves:
                if start <= n / RATE < end:
                    left = round((n / RATE - start) / (end - start) * 80)
                    picture[30:70, left : left + 48] = 250
            frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), "rgb24")
            frame.pts, frame.time_base = n, Fraction(1, RATE)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def read(path: Path, options: DecodeOptions, first: int = 0) -> list[Segment]:
    with SegmentReader(str(path), options, first) as reader:
        return list(reader)


def assert_same(found: Sequence[Segment], expected: Sequence[Segment]) -> None:
    assert [s.index for s in found] == [s.index for s in expected]
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(one.frame_seconds, other.frame_seconds)
        assert np.array_equal(one.frames, other.frames)
        assert (one.status, one.coverage, one.num_errors) == (other.status, other.coverage, other.num_errors)


@pytest.fixture
def num_decoded(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many pictures were decoded since it was last asked."""
    count = 0
    push = MediaDecoder._push_picture

    def counted(self: MediaDecoder, frame: av.VideoFrame) -> object:
        nonlocal count
        count += 1
        return push(self, frame)

    def taken() -> int:
        nonlocal count
        before, count = count, 0
        return before

    monkeypatch.setattr(MediaDecoder, "_push_picture", counted)
    return taken


STREAMS = {
    "x264.mp4": {},
    "x264.ts": {"gop": 50},
    "zerolatency.mkv": {"options": {"tune": "zerolatency", "crf": "30"}},
    "vp8.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "0"}},
    "mpeg4.mp4": {"codec": "mpeg4"},
}


@pytest.mark.parametrize("name", STREAMS)
def test_what_is_still_is_decoded_once_and_what_moves_is_decoded_whole(
    tmp_path: Path, name: str, num_decoded: Callable[[], int]
) -> None:
    path = write_scene(tmp_path / name, moves=[(4.1, 6.9)], **STREAMS[name])
    exact, num_exact = read(path, EXACT), num_decoded()
    found, num_found = read(path, ADAPTIVE), num_decoded()
    assert num_found < 0.75 * num_exact
    assert [s.amounts["video"] for s in found] == [4] * 6
    moving = np.concatenate([s.frame_seconds for s in exact[2:3]])
    assert np.array_equal(np.concatenate([s.frame_seconds for s in found[2:3]]), moving)
    assert np.array_equal(found[2].frames, exact[2].frames)
    for one, other in zip(found, exact, strict=True):
        assert (other.frame_seconds - one.frame_seconds).min() >= 0
        assert np.abs(one.frames.astype(int) - other.frames).mean() < 3
    assert len(set(found[0].frame_seconds)) < 4  # the time of a picture is its own, not that of the instant


@pytest.mark.parametrize("name", STREAMS)
def test_wherever_reading_starts_the_same_is_decided(tmp_path: Path, name: str) -> None:
    path = write_scene(tmp_path / name, 30.0, moves=[(14.1, 16.9)], **STREAMS[name])
    whole = read(path, ADAPTIVE)
    for first in (1, 6, 7, 8, 9, 13):
        assert_same(read(path, ADAPTIVE, first), whole[first:])


@pytest.mark.parametrize(
    "options",
    [
        {"x264-params": "open-gop=1:keyint=24:min-keyint=24:scenecut=0:bframes=3:b-adapt=0"},
        {"x264-params": "keyint=1"},
        {"x264-params": "intra-refresh=1:keyint=25"},
        {"x264-params": "keyint=infinite:scenecut=0"},
    ],
    ids=["open", "key pictures only", "intra refresh", "one key picture"],
)
def test_streams_that_cannot_be_cut_are_read_as_exact(tmp_path: Path, options: dict[str, str]) -> None:
    path = write_scene(tmp_path / "a.mp4", options=options)
    assert_same(read(path, ADAPTIVE), read(path, EXACT))


def test_sound_stays_where_it_is(clip: MakeClip) -> None:
    path = clip("a.mp4", 8.0, rate=RATE, grey=100, clicks=[3.0])
    exact, found = read(path, EXACT), read(path, ADAPTIVE)
    assert found[0].frame_seconds.tolist() == [0, 0, 1, 1]  # key pictures are a second apart
    for one, other in zip(found, exact, strict=True):
        assert np.array_equal(one.waveform, other.waveform)


def test_damage_ends_nothing(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.ts", moves=[(4.1, 6.9)])
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path.write_bytes(content)
    found = read(path, ADAPTIVE)
    assert [s.index for s in found] == [s.index for s in read(path, EXACT)]
    assert_same(read(path, ADAPTIVE, 1), found[1:])


def test_a_live_source_shows_what_a_file_shows(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.mp4", moves=[(4.1, 6.9)], options={"tune": "zerolatency"})
    with av.open(str(path)) as container:
        decoder = MediaDecoder(container, "live", ADAPTIVE, now=lambda: 0.0)
        found = []
        for packet in container.demux(decoder.streams):
            decoder.clock.place(packet)
            found += decoder.push(packet)
        found += decoder.flush()
    expected = read(path, ADAPTIVE)
    assert any(len(set(s.frame_seconds)) < 4 for s in expected)
    assert_same(found, expected)


def test_what_is_held_when_a_connection_ends_is_not_lost(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.mp4", 9.88, options={"tune": "zerolatency"})
    with av.open(str(path)) as container:
        decoder = MediaDecoder(container, "live", ADAPTIVE, now=lambda: 0.0)
        found = []
        for packet in container.demux(decoder.streams):
            decoder.clock.place(packet)
            found += decoder.push(packet) if packet.size else []
        found += decoder.flush()
    assert found[-1].end_seconds == pytest.approx(9.88)
    assert found[-1].frame_seconds.tolist()[2:] == [9.24, 9.72]


def test_shots_need_every_picture(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "a.mp4")
    shots = {"max_shot_seconds": Fraction(5)}
    assert_same(read(path, replace(ADAPTIVE, **shots)), read(path, replace(EXACT, **shots)))


def test_how_alike_pictures_must_be_belongs_to_a_run_only_where_it_is_used() -> None:
    one, other = load(), load(settings=["decode.max_difference=2"])
    assert (identity(one), model_name(one)) == (identity(other), model_name(other))
    one, other = (load(settings=["decode.mode=adaptive", f"decode.max_difference={n}"]) for n in (1, 2))
    assert identity(one)["decode.max_difference"] == 1
    assert model_name(one) != model_name(other)
