"""Alerts given to a program of the user's, a call each: JSON on its standard input, and the main things as variables.

There is no shell, and nothing that comes from media becomes an argument. A program that ends with 75 (EX_TEMPFAIL of
sysexits.h) is called again later; any other failure stands, and is counted and shown.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from streammm.errors import ConfigError
from streammm.journal import Entry
from streammm.sinks.base import UnreachableError, Written, data_of

_TRY_AGAIN = 75
_TOLD_BYTES = 500
"""So much of the end of what a program complains is shown."""


class Command:
    """Calls a program for each alert.

    Args:
        name: of what calls it.
        arguments: the program and what it is given.
        timeout_seconds: how long it may take; then it is ended, with all that it has started.

    Raises:
        ConfigError: there is no such program.
    """

    kinds: tuple[str, ...] = ("alert",)
    batch_entries = 1
    linger_seconds = 0.0

    def __init__(self, name: str, arguments: Sequence[str], timeout_seconds: float = 30.0) -> None:
        self.name = name
        self._timeout_seconds = timeout_seconds
        program = shutil.which(arguments[0])
        if program is None:
            raise ConfigError(f"command: there is no program {arguments[0]!r}")
        self._arguments = [program, *arguments[1:]]

    def start(self, position: int, mark: Any, run: str) -> int:
        return position

    def write(self, entries: Sequence[Entry]) -> Written:
        failures = {entry.position: self._call(entry) for entry in entries}
        return Written(refused={position: failure for position, failure in failures.items() if failure})

    def close(self) -> None:
        """Nothing to let go of."""

    def _call(self, entry: Entry) -> str:
        """Runs the program to its end; what went wrong, or nothing."""
        environment = {**os.environ, **_variables(data_of(entry))}
        with tempfile.TemporaryFile() as complaints:
            try:
                process = subprocess.Popen(  # noqa: S603 - the user's own program, without a shell
                    self._arguments,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=complaints,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                raise UnreachableError(f"{self._arguments[0]}: {error.strerror or error}") from error
            with process:
                try:
                    process.communicate(entry.text.encode() + b"\n", self._timeout_seconds)
                except subprocess.TimeoutExpired:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    return f"it did not end in {self._timeout_seconds:g} s, and was ended"
            size = complaints.seek(0, os.SEEK_END)
            complaints.seek(max(0, size - _TOLD_BYTES))
            last = complaints.read().decode(errors="replace").strip().rpartition("\n")[2]
        code = process.returncode
        failure = "" if code == 0 else f"it ended with {code}" + (f": {last}" if last else "")
        if code == _TRY_AGAIN:
            raise UnreachableError(failure)
        return failure


def _variables(alert: Mapping[str, Any]) -> dict[str, str]:
    """What a short script wants to know, without reading JSON."""
    event = alert["event"]
    found = {
        "ID": alert["id"],
        "ALERT": alert["alert"],
        "SOURCE": event["source"],
        "LABEL": event["label"],
        "SCORE": event["score"],
        "START_SECONDS": event["start_seconds"],
        "HELD_SECONDS": alert["held_seconds"],
        "TIME": event.get("live", {}).get("start", ""),
    }
    return {f"STREAMMM_{name}": _plain(str(value)) for name, value in found.items()}


def _plain(text: str) -> str:
    """Without what a variable cannot hold."""
    return text.encode(errors="replace").decode().replace("\0", "?")
