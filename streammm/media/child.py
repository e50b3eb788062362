"""The decoding process: opens what its owner names, under limits, and hands segments over when it is asked.

Started by `process.DecodeProcess`, which talks to it over a socket and kills it when it says nothing for too long.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import os
import pickle
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path, PurePath
from typing import Any

from streammm.errors import SourceError
from streammm.media import wire
from streammm.media.address import public_name, redact
from streammm.media.connection import LiveConnection
from streammm.media.opening import captions_beside, open_source
from streammm.media.options import DecodeOptions, Limits
from streammm.media.reader import SegmentReader
from streammm.types import Segment

_PING_SECONDS = 1.0
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


def main() -> None:
    """Serves one owner until it goes away."""
    owner = socket.socket(fileno=int(sys.argv[1]))
    limit(Limits(memory_bytes=int(sys.argv[2])), owner_pid=int(sys.argv[3]))
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _Server(owner).serve()


def limit(limits: Limits, owner_pid: int) -> None:
    """Takes from this process what decoding does not need: memory without bound, writing files, outliving its owner."""
    resource.setrlimit(resource.RLIMIT_DATA, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the owner, who ends this process in good order
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != owner_pid:
            sys.exit()


def peak_bytes() -> int:
    """The most memory this process has had. What getrusage says of it on Linux may be its parent's."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class _Server:
    """Answers the owner's requests, one after another."""

    def __init__(self, owner: socket.socket) -> None:
        self._owner = owner
        self._reader: SegmentReader | None = None
        self._segments: Iterator[Segment] = iter(())
        self._live: LiveConnection | None = None
        self._last_word = 0.0

    def serve(self) -> None:
        gc.freeze()  # what is there by now is not looked through again
        while True:
            request, arrays = wire.receive(self._owner)
            try:
                getattr(self, "_do_" + request.pop("do"))(arrays, **request)
            except SourceError as error:
                self._answer(error=[error.source, error.reason, error.detail])
            except MemoryError:
                self._answer(error=["", "too-much-memory", "needs more memory than decode.memory_mb allows"])
            except (EOFError, BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:  # noqa: BLE001 - whatever a decoder throws ends its source, in words
                self._answer(error=["", "undecodable", redact(f"{type(error).__name__}: {error}")])

    def _do_open(self, arrays: list[Any], source: str, first_segment: int, pipe_fd: int | None) -> None:
        options = self._options(arrays)
        self._do_close()
        self._reader = SegmentReader(source, options, first_segment, on_progress=self._ping, pipe_fd=pipe_fd)
        self._segments = iter(self._reader)
        self._answer(is_live=self._reader.is_live)

    def _do_follow(
        self, arrays: list[Any], source: str, first_segment: int, zero: float | None, patience_seconds: float
    ) -> None:
        options = self._options(arrays)
        self._do_close()
        self._live = LiveConnection(source, options, first_segment, zero, patience_seconds)
        while not self._live.is_open(wait_seconds=_PING_SECONDS):
            self._say(ping=True)
        self._answer(zero=self._live.zero, read_seconds=self._live.read_seconds)

    def _do_next(self, arrays: list[Any], count: int) -> None:
        if self._live is not None:
            segments, state = self._live.take(count, wait_seconds=_PING_SECONDS)
            for segment in segments:
                self._hand_over(segment)
            self._answer(**state)
            return
        assert self._reader is not None
        num_segments = 0
        for segment in itertools.islice(self._segments, count):
            self._hand_over(segment)
            num_segments += 1
        is_last = num_segments < count
        self._answer(is_last=is_last, num_errors=self._reader.num_errors, last_error=redact(self._reader.last_error))

    def _do_probe(self, arrays: list[Any], source: str, **arguments: Any) -> None:
        from streammm.media.probe import probe_container

        options = self._options(arrays)
        notes = []
        try:
            captions = [PurePath(name).name for name in captions_beside(source, options, self._ping)]
        except SourceError as error:
            if error.reason != "unauthorised":
                raise
            captions = []
            notes.append(f"captions beside it cannot be looked for: {error.detail}")
        with closing(open_source(source, options, on_wait=self._ping)) as opened:
            found = probe_container(
                opened.container,
                public_name(source),
                is_live=opened.is_live,
                captions_beside=tuple(captions),
                source_filter=options.filter,
                notes=notes,
                **arguments,
            )
        self._answer(probe=found.to_json())

    def _do_close(self, arrays: object = None) -> None:
        self._segments = iter(())
        if self._reader is not None:
            self._reader.close()
            self._reader = None
            gc.collect()  # readers are in cycles: codecs, with their threads, would stay for dozens of sources
        if arrays is not None:
            self._answer()

    def _options(self, arrays: list[Any]) -> DecodeOptions:
        """What the owner sent: trusted, and the only thing that is unpickled."""
        options: DecodeOptions = pickle.loads(arrays[0].tobytes())  # noqa: S301
        return options

    def _hand_over(self, segment: Segment) -> None:
        plain, arrays = wire.from_segment(segment)
        wire.send(self._owner, {"segment": plain}, arrays)
        self._last_word = time.monotonic()

    def _ping(self) -> None:
        """Tells the owner now and then that reading goes on."""
        if time.monotonic() - self._last_word > _PING_SECONDS:
            self._say(ping=True)

    def _answer(self, **message: Any) -> None:
        """Ends a request; says what this process has used by now."""
        self._say(**message, used=[time.process_time(), peak_bytes()])

    def _say(self, **message: Any) -> None:
        wire.send(self._owner, message)
        self._last_word = time.monotonic()
