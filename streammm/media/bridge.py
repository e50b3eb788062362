"""Sources that PyAV's FFmpeg was built without - SRT, DASH, cameras - through an ffmpeg program, packets unchanged."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import threading
from collections import deque

from streammm.errors import SourceError
from streammm.media.address import redact, scheme

_PR_SET_PDEATHSIG = 1

_PROTOCOLS = {
    "srt": "srt,udp",
    "http": "http,tcp",
}


_QUIET = ("-nostdin", "-hide_banner", "-loglevel", "error")
_OUTPUT = ("-map", "0:v:0?", "-map", "0:a:0?", "-c", "copy", "-f", "nut", "-flush_packets", "1", "pipe:1")


class Bridge:
    """An ffmpeg process that reads a source and writes its packets to a pipe as NUT.

    Args:
        url: the source, with its secrets in it.
        name: the source as it may be shown.
        proxy: address of the proxy through which it reads http.

    Raises:
        SourceError: ffmpeg is not installed.
    """

    def __init__(self, url: str, name: str, proxy: str | None = None) -> None:
        program = shutil.which("ffmpeg")
        if program is None:
            detail = (
                f"{scheme(url)} is read through the ffmpeg program, which is not installed: "
                "install the package ffmpeg (apt-get install ffmpeg, or brew install ffmpeg)"
            )
            raise SourceError(name, "needs-ffmpeg", detail)
        self._process = subprocess.Popen(  # noqa: S603 - a fixed program, the address is one argument
            [program, *_QUIET, *_input(url), *_OUTPUT],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "http_proxy": proxy, "no_proxy": ""} if proxy else None,
            preexec_fn=_die_with_parent,
        )
        assert self._process.stdout is not None
        self.fd = self._process.stdout.fileno()
        self._said: deque[str] = deque(maxlen=20)
        self._listener = threading.Thread(target=self._listen, name="streammm-bridge", daemon=True)
        self._listener.start()

    def why(self) -> str:
        """What ffmpeg said last, without secrets."""
        self.stop()
        self._listener.join(timeout=5)
        return redact(self._said[-1]) if self._said else "it ended"

    def _listen(self) -> None:
        """Keeps the last of what ffmpeg says, however much that is."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if text := line.decode(errors="replace").strip():
                self._said.append(text)

    def stop(self) -> None:
        """Ends ffmpeg; it keeps nothing that would be lost."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Ends ffmpeg and frees its pipes."""
        self.stop()
        self._listener.join(timeout=5)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()


def _input(url: str) -> list[str]:
    kind = scheme(url)
    if kind == "v4l2":
        return ["-f", "v4l2", "-i", url.removeprefix("v4l2://")]
    options = ["-protocol_whitelist", f"{_PROTOCOLS[kind]},pipe", "-fflags", "nobuffer"]
    return [*options, "-probesize", "1000000", "-analyzeduration", "1000000", "-i", url]


def _die_with_parent() -> None:
    """In the new process: it ends when the thread that started it does."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
