"""Runs what the containers of compose.yaml would run as plain processes of this machine: head, worker, then a run.

The commands are those of the file; only what a container provides is put in its place: the name of the head by this
machine's address, mounted paths by directories, port numbers by free ones. Linux only.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import compose

_NAMES = ("head", "worker", "run")
_START_SECONDS = 120.0
_RUN_SECONDS = 150.0
_METRICS_SECONDS = 30.0
_PR_SET_CHILD_SUBREAPER = 36


class LiveError(Exception):
    """A command of the file did not do what its container needs."""


def run(file: Path, clip: Path, scratch: Path) -> list[dict[str, Any]]:
    """Classifies a clip with the commands of ``file`` and returns the rows.

    Raises:
        LiveError: a service did not become healthy, took a wrong token, served no metrics, or the run failed.
    """
    shared = {"RAY_AUTH_TOKEN": secrets.token_hex(32), "GRAFANA_PASSWORD": "x", "RAY_PORT": _free_port()}
    with _own_processes():
        head, worker, driver = (_Node(file, name, shared | _own_ports(), clip, scratch) for name in _NAMES)
        head.start()
        head.wait_until_healthy()
        if head.is_healthy({"RAY_AUTH_TOKEN": secrets.token_hex(32)}):
            raise LiveError("the head answers whoever has no token")
        worker.start()
        worker.wait_until_healthy()
        driver.run()
        for node in (head, worker):
            node.check_is_running()
            node.check_metrics()
    results = next(iter(sorted(scratch.glob("run/runs/*/results.jsonl"))), None)
    if results is None:
        raise LiveError("the run left no results.jsonl below /runs")
    return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]


class _Node:
    """One service as processes, with its directories below ``scratch``."""

    def __init__(self, file: Path, name: str, variables: Mapping[str, str], clip: Path, scratch: Path) -> None:
        self._name = name
        self._service = compose.load(file, variables)["services"][name]
        self._places: dict[str, Path] = {}
        for mount in compose.mounts(self._service):
            place = clip if mount.target == "/media" else scratch / name / mount.target.strip("/")
            if place != clip:
                place.mkdir(parents=True)
            self._places[mount.target] = place
        self._log = scratch / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - commands of our own file
                self._here(compose.command(self._service)), env=self._environment(), stdout=log, stderr=log
            )

    def run(self) -> None:
        self.start()
        assert self._process is not None
        try:
            code = self._process.wait(_RUN_SECONDS)
        except subprocess.TimeoutExpired:
            code = -1
        if code:
            raise LiveError(f"{self._name} ended with {code}:\n{self._tail()}")

    def wait_until_healthy(self) -> None:
        end = time.monotonic() + _START_SECONDS
        while not self.is_healthy():
            self.check_is_running()
            if time.monotonic() > end:
                raise LiveError(f"{self._name} is not healthy after {_START_SECONDS:g} s:\n{self._tail()}")
            time.sleep(0.2)

    def check_is_running(self) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            raise LiveError(f"{self._name} ended with {self._process.returncode}:\n{self._tail()}")

    def check_metrics(self) -> None:
        """Ray's own metrics are where Prometheus is told that they are."""
        port = next(word for word in compose.command(self._service) if word.startswith("--metrics-export-port="))
        url = f"http://127.0.0.1:{port.partition('=')[2]}/metrics"
        end = time.monotonic() + _METRICS_SECONDS
        while time.monotonic() < end:
            with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
                if b"\nray_" in answer.read():
                    return
            time.sleep(0.5)
        raise LiveError(f"{self._name} serves no metrics at {url}:\n{self._tail()}")

    def is_healthy(self, environment: Mapping[str, str] | None = None) -> bool:
        try:
            check = subprocess.run(  # noqa: S603 - commands of our own file
                self._here(compose.health_command(self._service)),
                env=self._environment() | dict(environment or {}),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=15,
                check=False,
            )
        except subprocess.TimeoutExpired:  # Ray waits long for a head that is not listening yet
            return False
        return check.returncode == 0

    def _environment(self) -> dict[str, str]:
        """This process's variables without Ray's, then the image's and the service's."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        kept["PATH"] = f"{Path(sys.executable).parent}:{kept.get('PATH', '')}"
        image = {"OMP_WAIT_POLICY": "PASSIVE", "RAY_USAGE_STATS_ENABLED": "0"}
        return kept | image | self._service["environment"]

    def _here(self, words: list[str]) -> list[str]:
        return [self._word(word) for word in words]

    def _word(self, word: str) -> str:
        word = re.sub(r"\bhead:(?=\d)", "127.0.0.1:", word)
        for target, place in self._places.items():
            word = re.sub(rf"(?<![\w/.]){re.escape(target)}(?![\w.-])", str(place), word)
        return word

    def _tail(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")[-3000:]


def _own_ports() -> dict[str, str]:
    """What every container has for itself, and processes of one machine have to share out; and one CPU a worker."""
    names = ("RAY_NODE_PORT", "RAY_AGENT_PORT", "RAY_METRICS_PORT", "METRICS_PORT")
    return {name: _free_port() for name in names} | {"WORKER_CPUS": "1"}


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@contextmanager
def _own_processes() -> Iterator[None]:
    """Ends every process started inside, however it was orphaned since, and no other.

    As their subreaper this process, and not that with number 1, becomes the parent of what they leave behind.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    try:
        yield
    finally:
        deadline = time.monotonic() + 10
        while children := _children():
            stop = signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL
            for child in children:
                os.kill(child, stop)
            time.sleep(0.3)
            _reap()


def _children() -> list[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    return [int(child) for child in text.split()]


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
