"""What the live tests share: a clip with a flash and a beep each second, servers, and a way to follow a source."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streammm.media.cutting import Windows
from streammm.media.options import DecodeOptions, LiveOptions
from streammm.media.read import open_reader
from streammm.types import SAMPLE_RATE_HZ, Segment
from tests.live.servers import Rig

RATE = 25
PACKAGES = {
    "ffmpeg": "ffmpeg",
    "nginx": "nginx-light libnginx-mod-rtmp",
    "srt-live-transmit": "srt-tools",
}


@pytest.fixture(scope="session")
def programs() -> None:
    """The servers are installed; otherwise the test is skipped, or fails where nothing may be."""
    missing = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    gstreamer = ["/usr/bin/python3", "-c", "import gi; gi.require_version('GstRtspServer', '1.0')"]
    if not Path("/usr/bin/python3").exists() or subprocess.run(gstreamer, capture_output=True, check=False).returncode:
        missing.append("python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{base,good,bad,ugly}")
    if missing:
        reason = f"no servers to read from: apt-get install {' '.join(missing)}"
        (pytest.fail if os.environ.get("STREAMMM_NO_SKIP") else pytest.skip)(reason)


def write_sync_clip(path: Path, seconds: int, size: tuple[int, int] = (320, 180), codec: str = "libx264") -> Path:
    """Writes a clip that flashes and beeps for the first tenth of every second."""
    with av.open(str(path), "w") as out:
        options = {"preset": "ultrafast", "tune": "zerolatency"} if codec == "libx264" else {}
        picture = out.add_stream(codec, rate=RATE, options=options)
        picture.width, picture.height, picture.pix_fmt = *size, "yuv420p"
        picture.gop_size, picture.bit_rate = RATE, 400_000
        sound = out.add_stream("aac", rate=48_000)
        sound.layout = "mono"
        for n in range(seconds * RATE):
            dark = np.full((size[1], size[0], 3), 32 + n % RATE, np.uint8)
            dark[:, : n % RATE * 8] += 20
            level = np.full_like(dark, 235) if n % RATE < RATE // 10 else dark
            frame = av.VideoFrame.from_ndarray(level, "rgb24")
            frame.pts, frame.time_base = n, Fraction(1, RATE)
            out.mux(picture.encode(frame))
            at = np.arange(n * 1920, (n + 1) * 1920) / 48_000
            beep = np.where(at % 1 < 0.1, 0.7 * np.sin(2 * np.pi * 1000 * at), 0).astype(np.float32)
            heard = av.AudioFrame.from_ndarray(beep[None], format="fltp", layout="mono")
            heard.sample_rate, heard.pts, heard.time_base = 48_000, n * 1920, Fraction(1, 48_000)
            out.mux(sound.encode(heard))
        out.mux(picture.encode(None))
        out.mux(sound.encode(None))
    return path


@pytest.fixture(scope="session")
def sync_clip(tmp_path_factory: pytest.TempPathFactory, programs: None) -> Path:
    """Twenty seconds of flashes and beeps in MPEG-TS."""
    return write_sync_clip(tmp_path_factory.mktemp("clips") / "sync.ts", 20)


@pytest.fixture(scope="session")
def sync_mp4(tmp_path_factory: pytest.TempPathFactory, programs: None) -> Path:
    """The same in MP4, for what cannot loop MPEG-TS."""
    return write_sync_clip(tmp_path_factory.mktemp("clips") / "sync.mp4", 20)


@pytest.fixture
def rig(tmp_path: Path, programs: None) -> Iterator[Rig]:
    """Starts servers and ends them after the test."""
    servers = Rig(tmp_path)
    yield servers
    servers.close()


def options(max_seconds: float = 60.0, fps: int = RATE, **live: float) -> DecodeOptions:
    """Options under which each decoded picture is in the segments."""
    return DecodeOptions(
        windows=Windows(Fraction(2), Fraction(2), Fraction(fps)),
        crop=32,
        shorter_side=32,
        live=LiveOptions(max_seconds=max_seconds, **live),  # type: ignore[arg-type]
    )


class Follower:
    """Follows a source in a thread and keeps its segments, each with the time at which it came."""

    def __init__(self, url: str, how: DecodeOptions, pause_seconds: float = 0.0) -> None:
        self.segments: list[Segment] = []
        self.error: Exception | None = None
        self.reader = open_reader(url, how)
        self._pause_seconds = pause_seconds
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        try:
            for segment in self.reader:
                with self._changed:
                    self.segments.append(segment)
                    self._changed.notify_all()
                time.sleep(self._pause_seconds)
        except Exception as error:  # noqa: BLE001 - shown by the test that waits
            self.error = error

    def wait(self, num_more: int, seconds: float) -> list[Segment]:
        """Waits for more segments that are no outages, and gives all that came since."""
        first = len(self.segments)
        with self._changed:
            self._changed.wait_for(lambda: len(_real(self.segments[first:])) >= num_more or self.error, seconds)
        assert self.error is None, self.error
        found = self.segments[first:]
        assert len(_real(found)) >= num_more, f"{len(_real(found))} of {num_more} segments in {seconds} s: {found}"
        return found

    def close(self) -> None:
        self.reader.close()
        self._thread.join(timeout=10)
        assert not self._thread.is_alive()


def _real(segments: list[Segment]) -> list[Segment]:
    return [s for s in segments if not s.outage]


def sync_offsets(segments: list[Segment]) -> list[float]:
    """Seconds from each beep to its flash."""
    flashes, beeps = [], []
    was_bright, last_loud = True, -1.0
    for segment in _real(segments):
        for time_shown, frame in zip(segment.frame_seconds.tolist(), segment.frames, strict=True):
            is_bright = frame.mean() > 150
            if is_bright and not was_bright:
                flashes.append(time_shown)
            was_bright = is_bright
        for n in np.flatnonzero(np.abs(segment.waveform) > 0.3).tolist():
            at = segment.start_seconds + n / SAMPLE_RATE_HZ
            if at - last_loud > 0.5:
                beeps.append(at)
            last_loud = at
    nearest = [(flash, min(beeps, key=lambda beep: abs(beep - flash))) for flash in flashes if beeps]
    return [flash - beep for flash, beep in nearest if abs(flash - beep) < 0.5]


def assert_in_order(segments: list[Segment]) -> None:
    """Every index is there, as a segment or within an outage."""
    for one, other in itertools.pairwise(segments):
        if one.outage:
            assert other.start_seconds == one.end_seconds
        else:
            assert other.index == one.index + 1
