"""What a run tells of itself while it goes: measured by the shards, added up by the driver, shown in three places.

A snapshot is plain JSON, so that it can lie in the journal for `streammm status`. The progress display, Prometheus in
one process and Ray's own metrics are all made from it; see `exporters`.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_WINDOW_SECONDS = 30.0
"""Rates are those of the last so many seconds."""

_IDLE_LOAD = 0.5
"""Where no stage is at work for more than this share of the time, none of them limits the run."""


@dataclass(slots=True)
class StageLoad:
    """What the workers of one stage have done, in all: seconds at work, segments, deaths; and what waits for them.

    ``cpu_seconds`` is what its processes have computed, where it has some of its own. ``device`` is where it computes.
    """

    num_workers: int
    busy_seconds: float = 0.0
    cpu_seconds: float = 0.0
    num_segments: int = 0
    num_deaths: int = 0
    num_waiting: int = 0
    batch_sizes: dict[int, int] = field(default_factory=dict)
    device: str = "cpu"

    def add(self, busy_seconds: float, num_segments: int, cpu_seconds: float = 0.0) -> None:
        """Notes a piece of work."""
        self.busy_seconds += busy_seconds
        self.cpu_seconds += cpu_seconds
        self.num_segments += num_segments


@dataclass(frozen=True, slots=True)
class ShardLoad:
    """The stages of a shard by name, how many sources it is at, and how it is laid out.

    ``sizes`` are named as the settings under ``engine`` that pin them. ``process_cpu_seconds`` is what the shard's own
    process has computed since it was ready, with all that runs in it as threads; by process, since shards may share
    one. ``decoder_bytes`` is the most memory that a decoding process had, ``num_cores`` what it may use of the machine.
    """

    stages: dict[str, StageLoad]
    num_sources: int
    sizes: dict[str, int] = field(default_factory=dict)
    process_cpu_seconds: dict[str, float] = field(default_factory=dict)
    decoder_bytes: int = 0
    num_cores: int = 0


def total(shards: Iterable[ShardLoad]) -> ShardLoad:
    """The loads of all shards together; of sizes, those of the largest."""
    stages: dict[str, StageLoad] = {}
    sizes: dict[str, int] = {}
    processes: dict[str, float] = {}
    num_sources = decoder_bytes = num_cores = 0
    for shard in shards:
        num_sources += shard.num_sources
        num_cores += shard.num_cores
        processes |= {key: max(cpu, processes.get(key, 0.0)) for key, cpu in shard.process_cpu_seconds.items()}
        decoder_bytes = max(decoder_bytes, shard.decoder_bytes)
        sizes |= {key: max(size, sizes.get(key, 0)) for key, size in shard.sizes.items()}
        for name, load in shard.stages.items():
            sum_ = stages.setdefault(name, StageLoad(0))
            sum_.num_workers += load.num_workers
            sum_.device = load.device
            sum_.add(load.busy_seconds, load.num_segments, load.cpu_seconds)
            sum_.num_deaths += load.num_deaths
            sum_.num_waiting += load.num_waiting
            sum_.batch_sizes = dict(Counter(sum_.batch_sizes) + Counter(load.batch_sizes))
    return ShardLoad(stages, num_sources, sizes, processes, decoder_bytes, num_cores)


@dataclass(slots=True)
class Progress:
    """How a run stands; counts are of this run of the program, except where they say otherwise.

    ``events`` are those that opened, by label. ``working_seconds`` is how long ago the first shard was ready.
    ``outlets`` is by name what `Delivery.state` says, and ``undelivered`` how many entries were left when the run
    ended. ``removed`` is what retention has removed, by kind, and ``num_not_removable`` what it would if sinks had it.
    """

    num_listed: int = 0
    is_listed: bool = False
    num_done: int = 0
    num_done_before: int = 0
    num_quarantined: int = 0
    num_skipped: int = 0
    num_paused: int = 0
    num_requeued: int = 0
    num_rows: int = 0
    num_shards: int = 0
    media_seconds: float = 0.0
    working_seconds: float = 0.0
    quarantined: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    lag_seconds: dict[str, float] = field(default_factory=dict)
    sinks_behind: dict[str, int] = field(default_factory=dict)
    outlets: dict[str, dict[str, Any]] = field(default_factory=dict)
    undelivered: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    num_not_removable: int = 0
    load: ShardLoad = field(default_factory=lambda: ShardLoad({}, 0))

    @property
    def num_ended(self) -> int:
        """Sources with which this run has nothing more to do."""
        return self.num_done + self.num_done_before + self.num_quarantined + self.num_skipped


class Rates:
    """Turns a sequence of `Progress` into rates of the last half minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float, float, int, dict[str, float]]] = deque()

    def snapshot(self, progress: Progress, now: float | None = None) -> dict[str, Any]:
        """The progress as plain JSON types, with rates, the share of time each stage is at work, and what limits."""
        now = time.monotonic() if now is None else now
        busy = {name: load.busy_seconds for name, load in progress.load.stages.items()}
        self._seen.append((now, progress.media_seconds, progress.num_rows, progress.num_ended, busy))
        while self._seen[0][0] < now - _WINDOW_SECONDS and len(self._seen) > 2:
            self._seen.popleft()
        then, media, rows, ended, busy_then = self._seen[0]
        seconds = max(now - then, 1e-9)
        stages = {
            name: {
                **asdict(load),
                "batch_sizes": {str(size): count for size, count in sorted(load.batch_sizes.items())},
                "load": max(0.0, busy[name] - busy_then.get(name, 0.0)) / seconds / max(1, load.num_workers),
            }
            for name, load in progress.load.stages.items()
        }
        found = {key: value for key, value in asdict(progress).items() if key != "load"}
        return {
            **found,
            "num_ended": progress.num_ended,
            "num_under_way": progress.load.num_sources,
            "sizes": progress.load.sizes,
            "process_cpu_seconds": sum(progress.load.process_cpu_seconds.values()),
            "decoder_bytes": progress.load.decoder_bytes,
            "num_cores": progress.load.num_cores,
            "media_seconds_per_second": (progress.media_seconds - media) / seconds,
            "segments_per_second": (progress.num_rows - rows) / seconds,
            "seconds_left": _seconds_left(progress, progress.num_ended - ended, seconds),
            "stages": stages,
            "limited_by": _limit(stages),
            "unix_seconds": time.time(),
        }


def _seconds_left(progress: Progress, num_ended: int, seconds: float) -> float | None:
    """From the sources that ended lately; None while the list goes on or nothing has ended."""
    if not progress.is_listed or num_ended <= 0:
        return None
    return (progress.num_listed - progress.num_ended) * seconds / num_ended


def _limit(stages: Mapping[str, Mapping[str, Any]]) -> str:
    """The stage that is at work for the largest share of the time."""
    busiest = max(stages, key=lambda name: stages[name]["load"], default="")
    return busiest if busiest and stages[busiest]["load"] >= _IDLE_LOAD else ""
