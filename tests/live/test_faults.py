"""What goes wrong with live sources for weeks, in a minute each: every fault is survived, counted and shown."""

import socket
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from streammm.types import Segment, Status
from tests.live.conftest import Follower, assert_in_order, options, sync_offsets, write_sync_clip
from tests.live.servers import LossyProxy, Rig, free_port

pytestmark = pytest.mark.live


class Soak:
    """Follows a source for a minute beside the other tests, and looks at the decoding process every five seconds."""

    def __init__(self, rig: Rig, clip: Path) -> None:
        udp = free_port(socket.SOCK_DGRAM)
        rig.publish_udp(clip, udp)
        self._follower = Follower(f"udp://127.0.0.1:{udp}", options(max_seconds=1000.0))
        self._samples: list[tuple[int, int, int]] = []
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        self._follower.wait(5, 60)
        for _ in range(12):
            time.sleep(5)
            self._follower.segments.clear()
            process = psutil.Process(self._follower.reader._process._process.pid)
            self._samples.append((process.memory_info().rss, process.num_threads(), process.num_fds()))
        self._follower.close()

    def wait(self) -> tuple[list[int], int, int]:
        self._thread.join(timeout=150)
        sizes, threads, files = zip(*self._samples, strict=True)
        assert len(sizes) == 12
        return list(sizes), threads[-1], files[-1]


@pytest.fixture(scope="module", autouse=True)
def soak(programs: None, sync_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soak]:
    rig = Rig(tmp_path_factory.mktemp("soak"))
    yield Soak(rig, sync_clip)
    rig.close()


@pytest.fixture(scope="module", autouse=True)
def beside(programs: None, sync_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future]]:
    """Faults that are mostly waited for, begun with the first test; each has a test that looks how it went."""
    faults = {fault.__name__: fault for fault in (other_times, too_slow)}
    rigs = {name: Rig(tmp_path_factory.mktemp(name)) for name in faults}
    with ThreadPoolExecutor(len(faults)) as pool:
        yield {name: pool.submit(fault, rigs[name], sync_clip) for name, fault in faults.items()}
    for rig in rigs.values():
        rig.close()


def assert_in_sync(segments: list[Segment], at_least: int) -> None:
    offsets = sync_offsets(segments)
    assert len(offsets) >= at_least
    assert abs(statistics.median(offsets)) < 0.033


def assert_on_the_walls_clock(segments: list[Segment], within_seconds: float = 2.5) -> None:
    """The index of a segment says when it was, whatever happened in between."""
    starts = [s.live.start_unix_seconds - s.start_seconds for s in segments if not s.outage]
    assert max(starts) - min(starts) < within_seconds


def test_a_server_that_is_killed_and_comes_back(rig: Rig, sync_clip: Path) -> None:
    udp = free_port(socket.SOCK_DGRAM)
    server, url = rig.rtsp(udp)
    rig.publish_udp(sync_clip, udp)
    follower = Follower(url, options())
    follower.wait(2, 30)
    server.kill()
    time.sleep(5)
    server.start()
    after = follower.wait(4, 40)
    follower.close()
    outages = [s for s in follower.segments if s.outage]
    assert outages
    assert all(s.status["video"] == Status.ABSENT and not len(s.frames) for s in outages)
    assert 4 <= sum(s.end_seconds - s.start_seconds for s in outages) <= 30
    assert after[-1].live.num_reconnects >= 1
    assert after[-1].live.outage_seconds == sum(s.end_seconds - s.start_seconds for s in outages)
    assert_in_order(follower.segments)
    assert_on_the_walls_clock(follower.segments)
    assert_in_sync([s for s in after if not s.outage][1:], at_least=3)


def test_a_publisher_that_freezes(rig: Rig, sync_clip: Path) -> None:
    udp = free_port(socket.SOCK_DGRAM)
    publisher = rig.publish_udp(sync_clip, udp)
    follower = Follower(f"udp://127.0.0.1:{udp}", options())
    follower.wait(2, 30)
    publisher.freeze()
    time.sleep(9)
    publisher.thaw()
    follower.wait(3, 40)
    follower.close()
    assert any(s.outage for s in follower.segments)
    assert_in_order(follower.segments)
    assert_on_the_walls_clock(follower.segments, within_seconds=11)  # it sends what it has missed, all at once


def test_five_percent_loss(rig: Rig, sync_clip: Path) -> None:
    udp = free_port(socket.SOCK_DGRAM)
    proxy = LossyProxy(udp, 0.05)
    rig.publish_udp(sync_clip, proxy.port)
    follower = Follower(f"udp://127.0.0.1:{udp}", options())
    segments = follower.wait(8, 60)
    follower.close()
    assert proxy.num_lost > 5
    assert_in_order(follower.segments)
    assert any(Status.DAMAGED in s.status.values() for s in segments)
    assert statistics.mean(s.coverage["video"] for s in segments) > 0.5
    assert_in_sync(segments, at_least=4)


def other_times(rig: Rig, sync_clip: Path) -> None:
    udp = free_port(socket.SOCK_DGRAM)
    follower = Follower(f"udp://127.0.0.1:{udp}", options(connect_seconds=60.0))
    for n, offset in enumerate((0, 1000, 0)):
        publisher = rig.publish_udp(sync_clip, udp, "-output_ts_offset", offset, name=f"publisher-{n}")
        segments = [s for s in follower.wait(5, 40) if not s.outage]
        publisher.kill()
        assert_in_sync(segments[2:], at_least=3)
    follower.close()
    assert segments[-1].live.num_jumps >= 2
    assert_in_order(follower.segments)
    assert_on_the_walls_clock(follower.segments)


def test_another_codec_and_size_in_mid_stream(rig: Rig, sync_clip: Path, tmp_path: Path) -> None:
    other = write_sync_clip(tmp_path / "other.ts", 20, size=(640, 360), codec="mpeg2video")
    udp = free_port(socket.SOCK_DGRAM)
    first = rig.publish_udp(sync_clip, udp)
    follower = Follower(f"udp://127.0.0.1:{udp}", options())
    follower.wait(2, 30)
    first.kill()
    rig.publish_udp(other, udp, name="other")
    deadline = time.monotonic() + 60
    segments = follower.wait(1, 40)
    while len([s for s in segments if s.coverage["video"] > 0.9 and s.live.num_reopens]) < 4:
        assert time.monotonic() < deadline, [(s.index, s.coverage, s.outage, s.live) for s in segments]
        segments += follower.wait(1, 40)
    follower.close()
    assert segments[-1].live.num_reopens >= 1
    assert_in_order(follower.segments)
    assert_in_sync(segments[-4:], at_least=3)


def too_slow(rig: Rig, sync_clip: Path) -> None:
    udp = free_port(socket.SOCK_DGRAM)
    rig.publish_udp(sync_clip, udp)
    follower = Follower(f"udp://127.0.0.1:{udp}", options(), pause_seconds=4.0)
    follower.wait(5, 60)
    follower.close()
    last = [s for s in follower.segments if not s.outage][-1]
    assert last.live.num_dropped_segments >= 2
    assert last.live.lag_seconds < 12
    assert any("too slow" in s.outage for s in follower.segments)
    assert_in_order(follower.segments)


def test_decoding_that_falls_behind_leaves_pictures_out_and_catches_up(rig: Rig, sync_mp4: Path) -> None:
    publish_to, _ = rig.nginx()
    rig.publish(sync_mp4, "flv", publish_to)
    follower = Follower(publish_to, options())
    follower.wait(2, 30)
    decoder = psutil.Process(follower.reader._process._process.pid)
    decoder.suspend()
    time.sleep(4)
    decoder.resume()
    follower.wait(7, 40)
    follower.close()
    last = [s for s in follower.segments if not s.outage][-1]
    assert last.live.num_shed_steps >= 2
    assert last.live.shed == "none"
    assert last.live.lag_seconds < 5
    assert_in_order(follower.segments)
    assert_in_sync(follower.segments[-3:], at_least=2)


def test_an_encoder_that_restarts_with_other_times(beside: dict[str, Future]) -> None:
    beside["other_times"].result(timeout=120)


def test_whoever_takes_the_segments_is_too_slow(beside: dict[str, Future]) -> None:
    beside["too_slow"].result(timeout=120)


def test_a_minute_takes_no_more_memory(soak: Soak) -> None:
    sizes, num_threads, num_files = soak.wait()
    assert max(sizes[6:]) - sizes[0] < 40 * 2**20, sizes
    assert num_threads < 30
    assert num_files < 40
