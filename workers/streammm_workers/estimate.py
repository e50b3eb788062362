"""What a large run will take, from what a short one took: costs of a media second, times what is to be done.

A run keeps its costs in its journal: CPU seconds of its decoding processes and of its shards' processes, seconds at
work of encoders on GPUs, the size of what it wrote. None of it depends on how busy the machine was otherwise, except
how much of the time its cores computed, which is told beside the estimate that assumes they always do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streammm.config import Config
from streammm.errors import ConfigError
from streammm_workers.bounds import payload_bound_bytes

_LEAST_MEDIA_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Costs:
    """What a media second cost in a run; ``gpu_seconds`` is None where the encoders ran on a CPU.

    ``computing_share`` is the share of the time in which the run's cores computed; ``memory_bytes`` is of a decode
    worker: two sources' decoding processes and their share of the payload.
    """

    media_seconds: float
    decode_cpu_seconds: float
    other_cpu_seconds: float
    gpu_seconds: float | None
    row_bytes: float
    journal_bytes: float | None
    media_bytes: float | None
    computing_share: float
    memory_bytes: float

    @property
    def cpu_seconds(self) -> float:
        """All CPU seconds of a media second."""
        return self.decode_cpu_seconds + self.other_cpu_seconds


def costs_of(
    path: Path, config: Config, status: Mapping[str, Any], done: Mapping[str, float], segment_bytes: int
) -> Costs:
    """The costs that a run directory tells of.

    Args:
        path: the directory.
        config: its configuration.
        status: see `run_directory.status_of`.
        done: sources that were done, each with its seconds of media.
        segment_bytes: of pictures and sound; see `bounds.segment_bytes`.

    Raises:
        ConfigError: it tells of none, or of too little to go by.
    """
    progress = status["progress"] or {}
    media_seconds = progress.get("media_seconds", 0.0)
    if media_seconds < _LEAST_MEDIA_SECONDS or not progress["stages"].get("decode", {}).get("cpu_seconds"):
        raise ConfigError(
            f"the last run in {path} did {media_seconds:.0f} s of media, which is too little to go by; measure one of "
            "some minutes: streammm run SOURCE... --out DIR, with --fresh where it was done before"
        )
    stages, sizes = progress["stages"], progress["sizes"]
    decode_cpu = stages["decode"]["cpu_seconds"]
    encoders = {name: stage for name, stage in stages.items() if name != "decode"}
    other_cpu = progress["process_cpu_seconds"] + sum(stage["cpu_seconds"] for stage in encoders.values())
    on_gpu = [stage["busy_seconds"] for stage in encoders.values() if stage["device"] != "cpu"]
    payload = payload_bound_bytes(2, sizes["chunks_in_flight"], config.engine.chunk_segments, segment_bytes)
    total_media_seconds = max(status["media_seconds"], media_seconds)
    return Costs(
        media_seconds,
        decode_cpu / media_seconds,
        other_cpu / media_seconds,
        sum(on_gpu) / media_seconds if on_gpu else None,
        _size(path / "results.jsonl") / total_media_seconds,
        None if config.output.journal else _size(path / "journal.sqlite") / total_media_seconds,
        _media_bytes_per_second(done),
        min(1.0, (decode_cpu + other_cpu) / max(1e-9, progress["working_seconds"] * progress["num_cores"])),
        2.0 * progress["decoder_bytes"] + payload,
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _media_bytes_per_second(done: Mapping[str, float]) -> float | None:
    """The mean rate of the files that were done, as far as they are files of this machine."""
    num_bytes, seconds = 0, 0.0
    for name, media_seconds in done.items():
        if (path := Path(name)).is_file() and media_seconds:
            num_bytes += path.stat().st_size
            seconds += media_seconds
    return num_bytes / seconds if seconds else None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What so many hours of media take on a number of nodes.

    ``busy_seconds`` is the wall time if what limits always computes, ``measured_seconds`` if it does so as much as in
    the measured run. ``limited_by`` is ``cpu`` or ``gpu``.
    """

    hours: float
    nodes: int
    cpu_hours: float
    gpu_hours: float | None
    busy_seconds: float
    measured_seconds: float
    limited_by: str
    row_bytes: float
    journal_bytes: float | None
    read_bytes_per_second: float | None
    node_memory_bytes: float


def estimate(
    costs: Costs, hours: float, *, cores: int, gpus: float = 0.0, nodes: int = 1, days: float | None = None
) -> Estimate:
    """Scales costs up.

    Args:
        costs: of a media second.
        hours: of media.
        cores: of each node.
        gpus: of each node; where the costs were measured on a CPU they change nothing.
        nodes: how many there are.
        days: in which it has to be done; as many nodes as that takes are reckoned with, instead of ``nodes``.

    Raises:
        ConfigError: the costs are of GPUs, and there are to be none.
    """
    media_seconds = 3600.0 * hours
    by_cpu = media_seconds * costs.cpu_seconds / cores
    by_gpu = 0.0
    if costs.gpu_seconds is not None:
        if not gpus:
            raise ConfigError("the run was measured on a GPU: say how many a node has, or measure one on a CPU")
        by_gpu = media_seconds * costs.gpu_seconds / gpus
    on_one_node = max(by_cpu, by_gpu)
    measured_on_one = max(by_cpu / max(costs.computing_share, 1e-3), by_gpu)
    if days is not None:
        nodes = max(1, math.ceil(measured_on_one / (86_400.0 * days)))
    return Estimate(
        hours=hours,
        nodes=nodes,
        cpu_hours=hours * costs.cpu_seconds,
        gpu_hours=None if costs.gpu_seconds is None else hours * costs.gpu_seconds,
        busy_seconds=on_one_node / nodes,
        measured_seconds=measured_on_one / nodes,
        limited_by="gpu" if by_gpu > by_cpu else "cpu",
        row_bytes=media_seconds * costs.row_bytes,
        journal_bytes=None if costs.journal_bytes is None else media_seconds * costs.journal_bytes,
        read_bytes_per_second=(
            None if costs.media_bytes is None else media_seconds * costs.media_bytes / (on_one_node / nodes)
        ),
        node_memory_bytes=cores * costs.memory_bytes,
    )
