"""What comes through a pipe, from standard input or a bridge: read with a time-out, which FFmpeg's own pipes lack."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable


class PipeReader:
    """A file object for FFmpeg that cannot seek.

    Args:
        fd: descriptor to read; stays the caller's.
        timeout_seconds: how long nothing may come; None for ever.
        on_wait: called every second while nothing comes.
    """

    def __init__(
        self, fd: int, timeout_seconds: float | None = None, on_wait: Callable[[], None] = lambda: None
    ) -> None:
        self._fd = fd
        self._timeout_seconds = timeout_seconds
        self._on_wait = on_wait

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; none at the end.

        Raises:
            TimeoutError: nothing came in time.
        """
        started = time.monotonic()
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        while not poll.poll(1000):
            if self._timeout_seconds is not None and time.monotonic() - started > self._timeout_seconds:
                raise TimeoutError(f"nothing came for {self._timeout_seconds:g} s")
            self._on_wait()
        return os.read(self._fd, size)
