"""How large a shard's parts are: what is set is kept, what is not is found out in the first seconds of work.

Rows never depend on these sizes. A shard starts with what its cores suggest and looks about once a second at what its
stages did. Where cores have room although no encoder is short of time, something is waited for: if readers wait until
their chunks are committed, a source may have more chunks under way; if not, sources are slow to come, and more of them
are decoded at once. After ten seconds of work that stays as it is. Where an encoder always has a full batch waiting,
larger ones are tried, and kept if a segment costs less in them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import psutil

from streammm.config.engine import EngineConfig

_TRIAL_SECONDS = 10.0
_LOOK_SECONDS = 1.0
_BUSY_CORES = 0.8
"""Cores that compute for a larger share of the time have no room, be it for this run or for something else."""

_BUSY_ENCODER = 0.9
_WAITING_SHARE = 0.1
"""Decoders that wait for room for more than this share of their time have too little."""

_DECODERS_PER_CORE = 4
_FIRST_CHUNKS, _MOST_CHUNKS = 3, 6
_FIRST_BATCH, _MOST_BATCH = 16, 128
_WORTHWHILE = 0.95
_BATCHES_A_TRIAL = 8


def num_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def slots(config: EngineConfig, decoders: int) -> int:
    """Files a shard works on at once; addresses that may be live come on top, since a live stream waits for nobody."""
    return config.sources_in_flight or 2 * decoders


@dataclass(frozen=True, slots=True)
class Sizes:
    """Decode workers; files and chunks of each source under way at once."""

    decoders: int
    sources_in_flight: int
    chunks_in_flight: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What a shard has done by a time, in all: each value grows from one look to the next.

    ``cpu_seconds`` is of the shard's process and its decoders', ``idle_seconds`` of all cores of the machine,
    ``encoder_seconds`` how long the busiest encoder was
    at work, ``window_seconds`` how long readers waited for room for another chunk. ``num_files`` is how many files
    are under way now, and ``decoder_bytes`` the most memory a decoding process had.
    """

    at_seconds: float
    cpu_seconds: float
    idle_seconds: float
    encoder_seconds: float
    window_seconds: float
    num_files: int
    decoder_bytes: int


class Sizing:
    """Finds the sizes of one shard.

    Args:
        engine: what is set.
        decoders: how many decode workers to begin with.
        cores: that the shard may use.
    """

    def __init__(self, engine: EngineConfig, decoders: int, cores: int) -> None:
        self.sizes = Sizes(decoders, slots(engine, decoders), engine.chunks_in_flight or _FIRST_CHUNKS)
        self._engine = engine
        self._cores = cores
        self._first: Measured | None = None
        self._last: Measured | None = None

    @property
    def most_chunks(self) -> int:
        """So many chunks of a source may ever be under way."""
        return self._engine.chunks_in_flight or _MOST_CHUNKS

    def is_due(self, now: float) -> bool:
        """Whether it is time for another look."""
        if self._first is None or self._last is None:
            return True
        return now - self._last.at_seconds >= _LOOK_SECONDS and now - self._first.at_seconds <= _TRIAL_SECONDS

    def look(self, found: Measured) -> Sizes:
        """Takes what was measured; returns the sizes from now on, which never shrink."""
        if self._first is None or self._last is None:
            self._first = self._last = found
            return self.sizes
        before, self._last = self._last, found
        seconds = found.at_seconds - before.at_seconds
        encoder = (found.encoder_seconds - before.encoder_seconds) / seconds
        ours = (found.cpu_seconds - before.cpu_seconds) / seconds / self._cores
        machine = 1 - (found.idle_seconds - before.idle_seconds) / seconds / (psutil.cpu_count() or 1)
        if encoder < _BUSY_ENCODER and max(ours, machine) < _BUSY_CORES:
            waited = (found.window_seconds - before.window_seconds) / seconds
            if waited > _WAITING_SHARE * max(1, found.num_files):
                self._add_chunks()
            elif found.num_files >= self.sizes.sources_in_flight:
                self._add_decoders(found.decoder_bytes)
        return self.sizes

    def _add_chunks(self) -> None:
        self.sizes = replace(self.sizes, chunks_in_flight=min(self.most_chunks, self.sizes.chunks_in_flight + 1))

    def _add_decoders(self, decoder_bytes: int) -> None:
        """Half as many more, as long as half of the memory that is free stays so: each has two sources' processes."""
        if self._engine.decoders is not None or self._engine.sources_in_flight is not None:
            return
        free_bytes = psutil.virtual_memory().available
        more = min(max(1, self.sizes.decoders // 2), free_bytes // 2 // max(1, 2 * decoder_bytes))
        decoders = min(_DECODERS_PER_CORE * self._cores, self.sizes.decoders + more)
        if decoders > self.sizes.decoders:
            self.sizes = replace(self.sizes, decoders=decoders, sources_in_flight=2 * decoders)


class BatchSize:
    """How many segments an encoder is given at once: doubled as long as that makes a segment cheaper.

    Args:
        pinned: the size that is set, None for finding out.
    """

    def __init__(self, pinned: int | None = None) -> None:
        self.limit = pinned or _FIRST_BATCH
        self._is_settled = pinned is not None
        self._cost: float | None = None  # seconds a segment at half the limit
        self._num_batches = 0
        self._began = (0.0, 0)

    def note(self, busy_seconds: float, num_segments: int, is_full: bool) -> None:
        """Takes the end of a batch.

        Args:
            busy_seconds: how long the encoder has been at work, in all.
            num_segments: how many segments it has done, in all.
            is_full: whether this batch was closed because it was full, and not for want of segments.
        """
        if self._is_settled:
            return
        if not is_full:
            self._num_batches = 0
            return
        self._num_batches += 1
        if self._num_batches == 1:
            self._began = (busy_seconds, num_segments)
        elif self._num_batches > _BATCHES_A_TRIAL:
            cost = (busy_seconds - self._began[0]) / max(1, num_segments - self._began[1])
            self._num_batches = 0
            if self._cost is not None and cost > _WORTHWHILE * self._cost:
                self.limit //= 2
                self._is_settled = True
            elif self.limit == _MOST_BATCH:
                self._is_settled = True
            else:
                self._cost = cost
                self.limit *= 2
