"""Cameras for benchmarks: a clip, played at its own speed by an RTSP server on loopback under as many names as wanted.

The packets of the clip go out unchanged, so nothing is encoded.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from clips import make_media

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests are no package that is installed

from tests.live.servers import Server, free_port

_SERVER = Path(__file__).with_name("rtsp_server.py")


class Cameras:
    """The server; to be closed.

    Args:
        clip: what is shown, see `make_clip`.
        folder: for what the server says.
    """

    def __init__(self, clip: Path, folder: Path) -> None:
        port = free_port()
        self.server = Server("rtsp", folder, ["/usr/bin/python3", _SERVER, port, clip], port)
        self._address = f"rtsp://127.0.0.1:{port}/live"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.server.kill()

    def addresses(self, count: int) -> list[str]:
        """So many sources, all of which show the same."""
        return [f"{self._address}?camera={n}" for n in range(count)]

    def cpu_seconds(self) -> float:
        """What the server has used since it was started."""
        times = psutil.Process(self.server.pid).cpu_times()
        return times.user + times.system


def make_clip(clip: Path, folder: Path, minutes: float, seconds: float = 60.0) -> Path:
    """What a camera shows: the clip's first seconds as H.264 at 360p, with key pictures every two seconds, and AAC.

    They are repeated for so many minutes; after that the stream ends, and clients have to connect again.
    """
    short, long = make_media(clip, folder, "360p", seconds, key_seconds=2.0), folder / "camera.mp4"
    if (ffmpeg := shutil.which("ffmpeg")) is None:
        raise SystemExit("the program ffmpeg is needed")
    repeat = [
        ffmpeg,
        "-v",
        "error",
        "-y",
        "-stream_loop",
        "-1",
        "-i",
        short,
        "-t",
        str(60 * minutes),
        "-c",
        "copy",
        long,
    ]
    subprocess.run(repeat, check=True)
    return long
