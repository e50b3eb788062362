"""Clips with known content, made here: grey level counts frames, a click marks a time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streammm.media import store
from tests.postgres import Postgres
from tests.stores import S3, Bucket, client

# Ray reads these once in a process: every cluster that tests start, whichever comes first, is of the same mind.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", "0" * 64)

GREY_STEP = 4
"""Frame n of a made clip is grey level GREY_STEP * (n % 60) all over."""

LONG_SECONDS = 600
"""A run over `long_clip` is still going on when it is interrupted."""

MakeClip = Callable[..., Path]


def write_clip(
    path: Path,
    seconds: float = 5.0,
    *,
    rate: int = 10,
    size: tuple[int, int] = (64, 48),
    video: str | None = "libx264",
    audio: str | None = "aac",
    audio_seconds: float | None = None,
    video_start: float = 0.0,
    clicks: Sequence[float] = (),
    cues: Sequence[tuple[float, float, str]] = (),
    grey: int | None = None,
    loudness: float = 0.1,
    gap_seconds: float = 0.0,
    cut_at: Sequence[float] = (),
    flashes: Sequence[float] = (),
    audio_start: float = 0.0,
    options: dict[str, str] | None = None,
) -> Path:
    """Writes a clip: grey frames that count, a 440 Hz tone with full-scale clicks at given times, captions."""
    with av.open(str(path), "w", options=options or {}) as out:
        streams = []
        if video:
            picture = out.add_stream(video, rate=rate, options={"crf": "4"} if video == "libx264" else {})
            picture.width, picture.height, picture.pix_fmt = *size, "yuv420p"
            picture.gop_size, picture.bit_rate = rate, 4_000_000
            streams.append(_pictures(picture, seconds, rate, video_start, grey, gap_seconds, cut_at, flashes))
        if audio:
            sound = out.add_stream(audio, rate=48_000 if audio == "libopus" else 44_100)
            sound.layout = "mono"
            streams.append(_sound(sound, audio_seconds or seconds, clicks, loudness, audio_start))
        if cues:
            streams.append(_captions(out, path.with_suffix(".cues.srt"), cues))
        packets = [packet for stream in streams for packet in stream]
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            out.mux(packet)
    return path


def _pictures(stream, seconds, rate, start, grey, gap, cut_at, flashes):
    for n in range(round(seconds * rate)):
        level = GREY_STEP * (n % 60) if grey is None else grey
        level += 80 * (sum(n >= cut * rate for cut in cut_at) % 2)
        if any(0 <= n - round(flash * rate) < 3 for flash in flashes):
            level = 235
        frame = av.VideoFrame.from_ndarray(np.full((stream.height, stream.width, 3), level, np.uint8), "rgb24")
        late = gap if n >= seconds * rate / 2 else 0.0
        frame.pts, frame.time_base = n + round((start + late) * rate), Fraction(1, rate)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _sound(stream, seconds, clicks, loudness, start):
    rate = stream.rate
    count = round(seconds * rate)
    wave = loudness * np.sin(2 * np.pi * 440 * np.arange(count) / rate)
    for click in clicks:
        at = round(click * rate)
        wave[at : at + rate // 200] = 0.95
    samples = wave.astype(np.float32)
    for at in range(0, count, 1024):
        frame = av.AudioFrame.from_ndarray(samples[None, at : at + 1024], format="fltp", layout="mono")
        frame.rate, frame.pts, frame.time_base = rate, at + round(start * rate), Fraction(1, rate)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _captions(out, path, cues):
    path.write_text("".join(f"{n}\n{_stamp(a)} --> {_stamp(b)}\n{text}\n\n" for n, (a, b, text) in enumerate(cues, 1)))
    with av.open(str(path)) as file:
        stream = out.add_stream_from_template(file.streams[0])
        packets = [packet for packet in file.demux() if packet.size]
    path.unlink()
    for packet in packets:
        packet.stream = stream
    return packets


def _stamp(seconds):
    return f"00:00:{seconds:06.3f}".replace(".", ",")


@pytest.fixture
def clip(tmp_path: Path) -> MakeClip:
    """Makes a clip in the test's own directory: ``clip("a.mp4", 5, clicks=[1.0])``; see `write_clip`."""
    return lambda name, *args, **kwargs: write_clip(tmp_path / name, *args, **kwargs)


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip for runs that are interrupted, made once."""
    return write_clip(tmp_path_factory.mktemp("long") / "long.mp4", LONG_SECONDS, rate=4)


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """The folder of real, odd and damaged files that STREAMMM_MEDIA names."""
    named = os.environ.get("STREAMMM_MEDIA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "media"
    if not (folder / "media").is_dir():
        reason = "no shared media: STREAMMM_MEDIA names no folder of test media"
        (pytest.fail if os.environ.get("STREAMMM_NO_SKIP") else pytest.skip)(reason)
    return folder


@pytest.fixture
def streammm(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line in a process of its own, in the test's own directory."""

    def run(*arguments: object, **kwargs: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from streammm.cli import main; main()", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False, **kwargs)

    return run


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    server = S3()
    yield server
    server.close()


@pytest.fixture
def bucket(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket on a server on loopback, which the environment names to all that is started."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    store._connected.clear()  # what is connected goes to the server of an earlier test
    return s3_server.bucket(client(s3_server.url))


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.close()
