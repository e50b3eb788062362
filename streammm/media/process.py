"""Decoding processes, seen from their owner: started, asked, watched, killed, and used again for the next source."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from streammm.errors import DecodeError, SourceError, StreammmError
from streammm.media import wire
from streammm.media.options import DecodeOptions, Limits
from streammm.types import Segment

_MAIN = "from streammm.media.child import main; main()"
_MAX_IDLE = 8


class DecoderDiedError(StreammmError):
    """A decoding process crashed, hung or said nonsense, and is gone; ``segments`` came before that."""

    def __init__(self, how: str, segments: Sequence[Segment] = ()) -> None:
        super().__init__(how)
        self.segments = list(segments)


@dataclass(slots=True)
class Usage:
    """What decoding processes have used: CPU seconds of all of them, and the most memory that one of them had."""

    cpu_seconds: float = 0.0
    peak_bytes: int = 0


class DecodeProcess:
    """One decoding process; asked by one thread at a time, killed by any.

    Args:
        limits: what it may use.
        pipe_fd: a descriptor of this process that it inherits, for a source that is a pipe.
        usage: what it uses is added up here.
    """

    def __init__(self, limits: Limits, pipe_fd: int | None = None, usage: Usage | None = None) -> None:
        self._limits = limits
        self._usage = usage or Usage()
        self._cpu_seconds = 0.0
        self._is_killed = False
        self._socket, theirs = socket.socketpair()
        fds = [theirs.fileno(), *([] if pipe_fd is None else [pipe_fd])]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        arguments = [str(theirs.fileno()), str(limits.memory_bytes), str(os.getpid())]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-c", _MAIN, *arguments],
            pass_fds=fds,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        theirs.close()

    def ask(self, request: str, options: DecodeOptions | None = None, **arguments: Any) -> dict[str, Any]:
        """Makes a request that is answered without segments; see `ask_for_segments` for the errors."""
        return self.ask_for_segments(request, options, **arguments)[1]

    def ask_for_segments(
        self, request: str, options: DecodeOptions | None = None, **arguments: Any
    ) -> tuple[list[Segment], dict[str, Any]]:
        """Makes a request and waits for the answer, and the segments that come before it.

        Raises:
            SourceError: what the request came to.
            DecoderDiedError: the process died, hung or said nonsense; it is gone then.
        """
        segments: list[Segment] = []
        try:
            payload = [] if options is None else [np.frombuffer(pickle.dumps(options), np.uint8)]
            self._socket.settimeout(self._limits.progress_seconds)
            wire.send(self._socket, {"do": request, **arguments}, payload)
            deadline = time.monotonic() + self._limits.segment_seconds
            while True:
                message, arrays = wire.receive(self._socket)
                if "segment" in message:
                    segments.append(wire.to_segment(message["segment"], arrays))
                    deadline = time.monotonic() + self._limits.segment_seconds
                elif "ping" not in message:
                    self._note_usage(message)
                    _raise_error(message)
                    return segments, message
                elif time.monotonic() > deadline:
                    how = f"it read for {self._limits.segment_seconds:g} s without coming to another segment"
                    raise self._died(how, segments)
        except TimeoutError:
            how = f"it said nothing for {self._limits.progress_seconds:g} s and was ended"
            raise self._died(how, segments) from None
        except wire.ProtocolError as error:
            raise self._died(f"it sent {error}", segments) from error
        except (EOFError, OSError):
            raise self._died(self._how_it_ended(), segments) from None

    def kill(self) -> None:
        """Ends the process at once; a thread that waits for its answer is woken."""
        self._is_killed = True
        self._process.kill()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # closed when nobody holds it any more
        self._process.wait()

    @property
    def is_alive(self) -> bool:
        """True while it can be asked."""
        return not self._is_killed and self._process.poll() is None

    def _note_usage(self, answer: dict[str, Any]) -> None:
        try:
            cpu_seconds, peak_bytes = map(float, answer.pop("used"))
        except (KeyError, TypeError, ValueError) as error:
            raise wire.ProtocolError("an answer that does not say what was used for it") from error
        self._usage.cpu_seconds += cpu_seconds - self._cpu_seconds
        self._usage.peak_bytes = max(self._usage.peak_bytes, int(peak_bytes))
        self._cpu_seconds = cpu_seconds

    def _died(self, how: str, segments: Sequence[Segment]) -> DecoderDiedError:
        self.kill()
        return DecoderDiedError(how, segments)

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "it closed its end"
        if code >= 0:
            return f"it ended with code {code}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"it was ended by {name}"


def _raise_error(message: Mapping[str, Any]) -> None:
    if "error" in message:
        source, reason, detail = (str(part) for part in message["error"])
        raise (DecodeError if reason == "undecodable" else SourceError)(source, reason, detail)


class ProcessPool:
    """Hands out decoding processes and takes back those that can be used again."""

    def __init__(self, limits: Limits) -> None:
        self.usage = Usage()
        self._limits = limits
        self._idle: list[DecodeProcess] = []
        self._lock = threading.Lock()
        self._is_closed = False

    def prepare(self) -> None:
        """Starts a process before it is needed: it takes a while to come up."""
        self.give_back(DecodeProcess(self._limits, usage=self.usage))

    def take(self) -> DecodeProcess:
        """An idle process, or a new one."""
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.is_alive:
                    return process
        return DecodeProcess(self._limits, usage=self.usage)

    def give_back(self, process: DecodeProcess) -> None:
        """Takes a process whose source is closed."""
        with self._lock:
            if process.is_alive and not self._is_closed and len(self._idle) < _MAX_IDLE:
                self._idle.append(process)
                return
        process.kill()

    def close(self) -> None:
        """Ends all idle processes; those that are out are ended when they come back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for process in idle:
            process.kill()
