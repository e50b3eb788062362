"""The Ray placement: joins or starts a cluster and puts the journal, the shards and their stages on it as actors."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import exceptions
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from streammm.build import num_decoders
from streammm.config import Config
from streammm.errors import ConfigError
from streammm.journal import Journal
from streammm_workers.driver import Observer, drive, slots
from streammm_workers.handle import FOLLOW, ActorHandle, Handle, ThreadHandle
from streammm_workers.shard import Shard


@dataclass(frozen=True, slots=True)
class ActorSpawn:
    """Makes the stages of a shard: as actors beside it, in its placement group, and its encoders as configured.

    Ray starts a stage that dies anew. A decode stage has forgotten its readings then and its shard opens them again;
    an encode stage remembers nothing, so Ray may repeat its calls and answer them in any order.
    """

    encoders_as_actors: bool
    gpus_per_encoder: float

    def __call__(self, kind: str, make: Callable[..., object], *args: Any) -> Handle:
        if kind == FOLLOW or (kind.startswith("encode") and not self.encoders_as_actors):
            return ThreadHandle(kind, make, *args)
        options: dict[str, Any] = {"num_cpus": 1, "max_restarts": -1, "max_task_retries": 0}
        if kind.startswith("encode"):
            options |= {"num_cpus": 0, "max_task_retries": 2, "allow_out_of_order_execution": True}
        if kind in ("encode-video", "encode-audio"):
            options["num_gpus"] = self.gpus_per_encoder
        return ActorHandle(ray.remote(make).options(**options).remote(*args))


async def run(config: Config, sources: Sequence[str], observer: Observer, address: str) -> None:
    """Does all sources on the cluster at ``address``; ``local`` starts one on this machine and ends it afterwards.

    Raises:
        ConfigError: there is no cluster at the address, or it has no room for the workers.
    """
    _connect(address)
    groups: list[PlacementGroup] = []
    try:
        timeout_seconds = config.ray.start_timeout_seconds
        layout = _lay_out(config, await _nodes(timeout_seconds), len(sources))
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        journal = ActorHandle(ray.remote(Journal).options(num_cpus=0, scheduling_strategy=here).remote())
        bundle = {"CPU": layout.decoders} | ({"GPU": layout.gpus} if layout.gpus else {})
        groups = [placement_group([bundle], strategy="STRICT_PACK") for _ in range(layout.num_shards)]
        await _wait_for_room(groups, bundle, timeout_seconds)
        shards = [_make_shard(config, group, journal, layout) for group in groups]
        await drive(config, sources, shards, journal, slots(config, layout.decoders, sources), observer)
    finally:
        for group in groups:
            remove_placement_group(group)
        ray.shutdown()


def _connect(address: str) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        if address == "local":
            os.environ.setdefault("RAY_worker_niceness", "0")  # else its workers give way to everything else
            ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        else:
            _knock(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except exceptions.AuthenticationError as error:
        raise ConfigError(f"the Ray cluster at {address!r} wants another token (RAY_AUTH_TOKEN): {error}") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"no Ray cluster can be reached at {address!r}: {error}. This machine must be a node of it: "
            "ray start --address=ADDRESS --num-cpus=0 makes it one that does no work"
        ) from error


def _knock(address: str) -> None:
    """Sees whether anything listens at an address: Ray itself would try for many minutes."""
    host, separator, port = address.rpartition("//")[2].rpartition(":")
    if separator:
        socket.create_connection((host, int(port)), timeout=10).close()


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the work is laid out on a cluster: shards, and of each its decode workers and GPUs."""

    num_shards: int
    decoders: int
    gpus: float


def _lay_out(config: Config, nodes: Sequence[dict[str, float]], num_sources: int) -> _Layout:
    """A shard a GPU, or a node where there are none, and the cores of a node divided among its shards."""
    gpus = config.ray.gpus_per_shard
    if gpus is None:
        gpus = 1.0 if any(node.get("GPU") for node in nodes) else 0.0
    hosts = [node for node in nodes if node.get("GPU", 0.0) >= gpus] or list(nodes)
    by_gpu = sum(int(node.get("GPU", 0.0) / gpus) for node in hosts) if gpus else 0
    num_shards = config.ray.shards or max(1, by_gpu or len(hosts))
    shards_per_node = -(-num_shards // len(hosts))
    cores = max(1, int(min(node["CPU"] for node in hosts)) // shards_per_node)
    return _Layout(num_shards, num_decoders(config, -(-num_sources // num_shards), cores), gpus)


async def _nodes(seconds: float) -> list[dict[str, float]]:
    """The resources of every node that can work; waits for the first to join."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = ray.nodes()  # type: ignore[no-untyped-call]
                if nodes := [n["Resources"] for n in found if n["Alive"] and n["Resources"].get("CPU")]:
                    return nodes
                await asyncio.sleep(1.0)
    except TimeoutError:
        raise ConfigError(f"no node of the cluster has a CPU to work with after {seconds:g} s") from None


async def _wait_for_room(groups: Sequence[PlacementGroup], bundle: dict[str, float], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            for group in groups:
                await group.ready()
    except TimeoutError:
        wanted = ", ".join(f"{amount:g} {name}" for name, amount in bundle.items())
        raise ConfigError(
            f"the cluster has no room for {len(groups)} x ({wanted}) after {seconds:g} s; "
            "set ray.shards or engine.decoders lower, or ray.start_timeout_seconds higher"
        ) from None


def _make_shard(config: Config, group: PlacementGroup, journal: Handle, layout: _Layout) -> Handle:
    beside = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
    as_actors = layout.gpus > 0 if config.ray.encoders == "auto" else config.ray.encoders == "actors"
    actor = (
        ray.remote(Shard)
        .options(num_cpus=0, max_restarts=-1, max_concurrency=1000, scheduling_strategy=beside)
        .remote(config, ActorSpawn(as_actors, layout.gpus / 2), journal, layout.decoders)
    )
    return ActorHandle(actor)
