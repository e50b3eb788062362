"""The Ray placement: joins or starts a cluster and puts the journal, the shards and their stages on it as actors."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import ray
from ray import exceptions
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from streammm.building.decoding import num_decoders
from streammm.config import Config
from streammm.errors import ConfigError
from streammm.types import SourceReport
from streammm_workers.handle import FOLLOW, ActorHandle, Handle, Spawn, ThreadHandle
from streammm_workers.journal_actor import JOURNAL, JournalActor, JournalHandle
from streammm_workers.metrics import ShardLoad
from streammm_workers.observers import Observer
from streammm_workers.plan import Plan
from streammm_workers.sizes import slots

_LOOK_FOR_NODES_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ActorSpawn:
    """Makes the stages of a shard: threads inside it, or actors beside it in its placement group.

    Where encoders are threads, decode stages are too: decoding is in processes of its own anyway, and what it makes
    need not go through the object store then. Encoders that are threads share the GPUs of their shard, each on a stream
    of its own. The group holds the cores for all stages, and no actor asks for some of its own: how many there are may
    change.

    Ray starts a stage that dies anew. A decode stage has forgotten its readings then and its shard opens them again;
    an encode stage remembers nothing and may answer in any order, and its batcher repeats what was lost.
    """

    encoders_as_actors: bool
    gpus_per_encoder: float

    def __call__(self, kind: str, make: Callable[..., object], *args: Any) -> Handle:
        if kind == FOLLOW or not self.encoders_as_actors:
            return ThreadHandle(kind, make, *args)
        options: dict[str, Any] = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": 0}
        if kind.startswith("encode"):
            options["allow_out_of_order_execution"] = True
        if kind in ("encode-video", "encode-audio"):
            options["num_gpus"] = self.gpus_per_encoder
        return ActorHandle(ray.remote(make).options(**options).remote(*args))


class Cluster:
    """The shards of a run on the cluster at an address; ``local`` starts one on this machine and ends it afterwards.

    The first shard is made at once, and loads. Work begins with the first that finds room. Others join as the cluster
    has room for them: a node that is added while the run goes on gets work, and the shards of one that goes are made
    anew where there is room.

    Raises:
        ConfigError: there is no cluster at the address, or, by `run`, it has no room for the workers.
    """

    def __init__(self, config: Config, num_files: int, address: str) -> None:
        self._config = config
        self._groups: list[PlacementGroup] = []
        self._made: dict[PlacementGroup, Handle] = {}
        _connect(address)
        try:
            layout = _lay_out(config, _nodes(config.ray.start_timeout_seconds), num_files)
            self._layout = layout
            self._bundle = {"CPU": layout.decoders} | ({"GPU": layout.gpus} if layout.gpus else {})
            for _ in range(layout.num_shards):
                self._ask_for_room()
            self._shard_in(self._groups[0])
        except BaseException:
            self.close()
            raise

    async def run(self, plan: Plan, journal_arguments: tuple[str, ...], observer: Observer) -> None:
        """Does a plan."""
        from streammm_workers.driver import Driver  # while the shard loads

        journal = _make_journal(journal_arguments)
        driver = Driver(self._config, plan, journal, observer)
        await asyncio.to_thread(import_module, "streammm.journal.journal")  # for `plan.begin`, while the shard loads
        files = slots(self._config.engine, self._layout.decoders)
        placed = await _wait_for_room(self._groups, self._bundle, self._config.ray.start_timeout_seconds)
        waiting = [group for group in self._groups if group not in placed]

        async def grow() -> None:
            """Gives work to groups that find room later, and asks for one more group for each node that joins."""
            known = {node["NodeID"] for node in _alive()}
            while True:
                for node in _alive():
                    if node["NodeID"] not in known and self._config.ray.shards is None:
                        known.add(node["NodeID"])
                        waiting.append(self._ask_for_room())
                for group in list(waiting):
                    if _is_placed(group):
                        waiting.remove(group)
                        await driver.add_shard(self._shard_in(group), files)
                await asyncio.sleep(_LOOK_FOR_NODES_SECONDS)

        await driver.run([(self._shard_in(group), files) for group in placed], [grow])
        await journal.call("close")

    def close(self) -> None:
        """Gives the room back and leaves the cluster."""
        for group in self._groups:
            remove_placement_group(group)
        ray.shutdown()

    def _ask_for_room(self) -> PlacementGroup:
        self._groups.append(placement_group([self._bundle], strategy="STRICT_PACK"))
        return self._groups[-1]

    def _shard_in(self, group: PlacementGroup) -> Handle:
        """The shard of a group; it may be made before the group has its place."""
        if group not in self._made:
            self._made[group] = _make_shard(self._config, group, self._layout)
        return self._made[group]


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
    """How the work is laid out on a cluster: shards, and of each its first decode workers, its cores and its GPUs."""

    num_shards: int
    decoders: int
    cores: int
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
    return _Layout(num_shards, num_decoders(config, -(-num_sources // num_shards), cores), cores, gpus)


def _alive() -> list[dict[str, Any]]:
    """The nodes that can work."""
    found = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in found if node["Alive"] and node["Resources"].get("CPU")]


def _nodes(seconds: float) -> list[dict[str, float]]:
    """The resources of every node that can work; waits for the first to join."""
    deadline = time.monotonic() + seconds
    while not (nodes := _alive()):
        if time.monotonic() > deadline:
            raise ConfigError(f"no node of the cluster has a CPU to work with after {seconds:g} s")
        time.sleep(1.0)
    return [node["Resources"] for node in nodes]


def _is_placed(group: PlacementGroup) -> bool:
    return bool(placement_group_table(group)["state"] == "CREATED")


async def _wait_for_room(
    groups: Sequence[PlacementGroup], bundle: dict[str, float], seconds: float
) -> list[PlacementGroup]:
    """Waits until the first group has its place, and a moment for the others; returns those that have."""
    placed: list[PlacementGroup] = []
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not (placed := [group for group in groups if _is_placed(group)]):
                await asyncio.sleep(0.05)
    if placed and len(placed) < len(groups):
        await asyncio.sleep(1.0)
        placed = [group for group in groups if _is_placed(group)]
    if not placed:
        wanted = ", ".join(f"{amount:g} {name}" for name, amount in bundle.items())
        raise ConfigError(
            f"the cluster has no room for {wanted} after {seconds:g} s; "
            "set engine.decoders lower, or ray.start_timeout_seconds higher"
        )
    return placed


def _make_journal(arguments: Sequence[str]) -> JournalHandle:
    """The journal, beside the driver."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here}
    options |= {"name": JOURNAL}  # in the namespace of this run, which nobody else is in
    # Not in memory if it may have to start anew; commits may be repeated, they are fenced and add nothing twice.
    if not arguments:
        options |= {"max_restarts": 0, "max_task_retries": 0}
    return JournalHandle(ray.remote(JournalActor).options(**options).remote(*arguments))


class ShardActor:
    """A shard on Ray, imported only where it works: whoever makes one need not wait for that.

    It finds the journal by its name, since a reference among the arguments of an actor may be lost.
    """

    def __init__(self, config: Config, spawn: Spawn, num_decoders: int, cores: int) -> None:
        from streammm_workers.shard import Shard

        self._shard = Shard(config, spawn, JournalHandle(), num_decoders, cores)

    async def start(self) -> None:
        await self._shard.start()

    async def run(self, source: str) -> SourceReport | None:
        return await self._shard.run(source)

    async def drain(self) -> None:
        await self._shard.drain()

    async def drain_source(self, name: str) -> None:
        await self._shard.drain_source(name)

    def pictures(self) -> dict[str, bytes]:
        return self._shard.pictures()

    def load(self) -> ShardLoad:
        return self._shard.load()


def _make_shard(config: Config, group: PlacementGroup, layout: _Layout) -> Handle:
    beside = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
    as_actors = layout.gpus > 0 if config.ray.encoders == "auto" else config.ray.encoders == "actors"
    gpus = 0.0 if as_actors else layout.gpus
    actor = (
        ray.remote(ShardActor)
        .options(num_cpus=0, num_gpus=gpus, max_restarts=-1, max_concurrency=1000, scheduling_strategy=beside)
        .remote(config, ActorSpawn(as_actors, layout.gpus / 2), layout.decoders, layout.cores)
    )
    return ActorHandle(actor)
