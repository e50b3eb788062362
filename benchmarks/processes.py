"""What a command costs with all its descendants: CPU seconds by what each process is, and memory."""

from __future__ import annotations

import itertools
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall seconds, CPU seconds by role of the process, and peak memory in MiB (shared pages counted once)."""

    wall_seconds: float
    cpu_by_role: Counter[str]
    peak_mib: float

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds of all processes."""
        return self.cpu_by_role.total()


def measure(command: Sequence[str], server: psutil.Process | None = None) -> Cost:
    """Runs a command to its end and looks at its process tree meanwhile; Ray's daemons are in it where it starts them.

    A process is last seen up to 0.2 s before it ends. Costs of a short and a long run have that in common, so their
    difference is free of it. A server that runs already and works for the command is counted with it.
    """
    earlier = {key: cpu for _, key, cpu in _seen(server)}
    started, peak = time.perf_counter(), 0.0
    cpu: dict[tuple[int, float], float] = {}
    roles: dict[tuple[int, float], str] = {}
    with tempfile.TemporaryFile() as said:  # a pipe that nobody reads fills up, and whoever writes to it waits
        process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        try:
            while process.poll() is None:
                memory = 0.0
                for each, key, seconds in itertools.chain(_seen(process), _seen(server)):
                    try:
                        role = "driver" if each.pid == process.pid else _role(each.cmdline())
                        roles[key] = roles.get(key, role) if role in ("ray idle", "ended") else role
                        cpu[key] = seconds - earlier.get(key, 0.0)
                        memory += each.memory_full_info().pss / 2**20
                    except psutil.Error:
                        continue
                peak = max(peak, memory)
                time.sleep(_LOOK_SECONDS)
        finally:  # also where this is interrupted
            if process.poll() is None:
                process.kill()
        if process.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{said.read().decode(errors='replace')}")
    by_role: Counter[str] = Counter()
    for key, seconds in cpu.items():
        by_role[roles[key]] += seconds  # type: ignore[assignment]
    return Cost(time.perf_counter() - started, by_role, peak)


def cpu_seconds(process: psutil.Process) -> float:
    """What a process that still runs has used, with all that it started."""
    total = 0.0
    for each in _tree(process):
        try:
            times = each.cpu_times()
        except psutil.Error:
            continue
        ended = times.children_user + times.children_system if each is process else 0.0
        total += times.user + times.system + ended
    return total


def _seen(root: psutil.Process | None) -> Iterator[tuple[psutil.Process, tuple[int, float], float]]:
    """The processes of a tree that are there, each with what tells it from others, and its CPU seconds so far."""
    for each in _tree(root) if root is not None else ():
        try:
            times = each.cpu_times()
            yield each, (each.pid, each.create_time()), times.user + times.system
        except psutil.Error:
            continue


def _tree(process: psutil.Process) -> Iterator[psutil.Process]:
    yield process
    try:
        yield from process.children(recursive=True)
    except psutil.Error:
        return


def _role(words: Sequence[str]) -> str:
    """What a process is for, by its command line."""
    line = " ".join(words)
    if "streammm.media.child" in line:
        return "decoding processes"
    if line.startswith("ray::"):
        name = line.removeprefix("ray::").split()[0].partition(".")[0].partition(":")[0]
        return "ray idle" if name == "IDLE" else name
    program = Path(words[0]).name if words else "ended"
    if program in ("raylet", "gcs_server"):  # whose arguments name all the others
        return program
    for word, role in (("agent", "ray agents"), ("monitor", "ray monitors"), ("dashboard", "ray dashboard")):
        if word in line and "ray" in line:
            return role
    return program
