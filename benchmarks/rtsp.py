"""A camera for benchmarks: a clip, played in a loop at its own speed, from an RTSP server on loopback under many names.

The packets of the clip go out unchanged, so nothing is encoded; server and publisher are those of the tests.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from pipeline import make_media

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests are no package that is installed

from tests.live.servers import Rig, free_port  # noqa: E402


class Camera:
    """Publisher and server; to be closed.

    Args:
        clip: what is shown, H.264 and AAC.
        folder: for what the programs say.
    """

    def __init__(self, clip: Path, folder: Path) -> None:
        self._rig = Rig(folder)
        udp = free_port(socket.SOCK_DGRAM)
        self.server, self._address = self._rig.rtsp(udp)
        self.publisher = self._rig.publish_udp(clip, udp)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._rig.close()

    def addresses(self, count: int) -> list[str]:
        """So many sources, all of which are the same stream."""
        return [f"{self._address}?camera={n}" for n in range(count)]

    def cpu_seconds(self) -> float:
        """What both programs have used since they were started."""
        times = [psutil.Process(program.pid).cpu_times() for program in (self.server, self.publisher)]
        return sum(each.user + each.system for each in times)


def make_clip(clip: Path, folder: Path, seconds: float = 60.0) -> Path:
    """What a camera shows: the clip as H.264 at 360p, a key picture each two seconds, with AAC; looped if it is short."""
    return make_media(clip, folder, "360p", seconds, key_frames=50)
