"""What the engine itself costs and how it scales, with decoders and encoders that do nothing but take their time.

    python benchmarks/scale.py [--most 10000] [--nodes 1,2,4] [--repeats 3] [--quick] [--json FILE]

First, CPU milliseconds a source and a segment for growing numbers of sources, in one process with a journal on disk.
What a source costs beyond its segments must stay flat: nothing may be looked through again for each of them.

Then segments a second on clusters of one machine with so many Ray nodes of one CPU each. The encoders sleep, as a shard
does that waits for its GPU, so that many nodes fit on few cores; `CPU busy` says whether the cores were the limit. Each
node is given as much work. Segments carry no pictures and no sound, which stay on the node that decoded them anyway.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
from figures import Result
from stubs import StubSpawn, stub_stage

from streammm.config import load
from streammm.journal import Entry
from streammm_workers import cluster, engine, here

SEGMENTS_OF_MANY = 5
"""Segments of a source, where there are many sources."""

SEGMENTS_ON_NODES = 40
SOURCES_A_NODE = 20


class Counter:
    """An observer that notes when the first and the last rows came, and what the machine had done by then."""

    def __init__(self) -> None:
        self.num_rows = 0
        self.moments: list[tuple[float, int, float, float]] = []

    def entries(self, entries: Sequence[Entry]) -> None:
        self.num_rows += sum(entry.kind == "row" for entry in entries)
        times = psutil.cpu_times()
        del self.moments[1:]
        self.moments.append((time.perf_counter(), self.num_rows, sum(times), times.idle + times.iowait))

    def failed(self, error: Exception) -> None:
        raise error

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: None

    def rate(self) -> tuple[float, float]:
        """Segments a second from the first rows to the last, and the share of the time that the cores were busy."""
        (since, rows_before, all_before, idle_before), (until, rows, all_, idle) = self.moments
        return (rows - rows_before) / (until - since), 1 - (idle - idle_before) / (all_ - all_before)


def many_sources(num_sources: int, folder: Path) -> tuple[float, float]:
    """CPU and wall seconds of a run in this process."""
    config = load(settings=["engine.sources_in_flight=16", "engine.decoders=2"])
    sources = (f"{n}:{SEGMENTS_OF_MANY}" for n in range(num_sources))
    place = engine.Place((f"sqlite:///{folder}/{num_sources}.sqlite",))
    cpu, wall = time.process_time(), time.perf_counter()
    engine.run(config, sources, Counter(), None, place)
    return time.process_time() - cpu, time.perf_counter() - wall


def on_nodes(num_nodes: int, folder: Path) -> tuple[float, float]:
    """Segments a second on so many nodes, and how busy the cores were."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(num_nodes):
            nodes.add_node(num_cpus=1, object_store_memory=100_000_000)
        config = load(settings=["engine.sources_in_flight=4", "engine.decoders=1", "ray.encoders=threads"])
        sources = [f"{n}:{SEGMENTS_ON_NODES}" for n in range(num_nodes * SOURCES_A_NODE)]
        counter = Counter()
        engine.run(config, sources, counter, nodes.address, engine.Place((f"sqlite:///{folder}/on{num_nodes}.sqlite",)))
        assert counter.num_rows == len(sources) * SEGMENTS_ON_NODES
        return counter.rate()
    finally:
        nodes.shutdown()


def print_many(most: int, repeats: int, folder: Path, result: Result) -> None:
    """The table of many sources."""
    here.ThreadHandle = stub_stage  # type: ignore[assignment,misc]
    many_sources(100, folder)  # what is imported and made once
    counts = [n for n in (100, 1_000, 10_000, 100_000) if n <= most]
    cpu: dict[int, list[float]] = defaultdict(list)
    rates: dict[int, list[float]] = defaultdict(list)
    for _, num_sources in itertools.product(range(repeats), counts):
        (folder / f"{num_sources}.sqlite").unlink(missing_ok=True)
        cpu_seconds, wall_seconds = many_sources(num_sources, folder)
        cpu[num_sources].append(1000 * cpu_seconds / num_sources)
        rates[num_sources].append(num_sources / wall_seconds)
    print(f"{'sources':>8}{'segments':>10}{'CPU ms/source':>22}{'of the least many':>22}{'sources/s':>18}")
    for n in counts:
        ratios = [one / few for one, few in zip(cpu[n], cpu[counts[0]], strict=True)]
        cells = (
            result.add(f"{n} sources/CPU", "ms a source", cpu[n]),
            result.add(f"{n} sources/CPU of {counts[0]} sources'", "", ratios),
            result.add(f"{n} sources/rate", "sources/s", rates[n], "more"),
        )
        print(f"{n:8}{n * SEGMENTS_OF_MANY:10}{cells[0]!s:>22}{cells[1]!s:>22}{cells[2]!s:>18}", flush=True)


def print_nodes(counts: Sequence[int], folder: Path, result: Result) -> None:
    """The table of nodes."""
    os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    logging.getLogger("ray").setLevel(logging.ERROR)
    cluster.ActorSpawn = StubSpawn  # type: ignore[misc]
    print(f"\n{'nodes':>8} {'segments/s':>11} {'of one node':>12} {'efficiency':>11} {'CPU busy':>9}")
    alone = 0.0
    for num_nodes in counts:
        rate, busy = on_nodes(num_nodes, folder)
        alone = alone or rate / num_nodes
        times = rate / alone
        result.add(f"{num_nodes} nodes/rate", "segments/s", [rate], "more")
        result.add(f"{num_nodes} nodes/efficiency", "", [times / num_nodes], "more")
        print(f"{num_nodes:8} {rate:11.1f} {times:12.2f} {times / num_nodes:11.3f} {busy:9.0%}", flush=True)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=10_000, help="sources of the last line; 0 leaves the table out")
    parser.add_argument("--nodes", default="1,2,4", help="numbers of nodes, the first is what the others are held to")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="at most 1,000 sources and two nodes: a minute")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.most, arguments.nodes = min(arguments.most, 1_000), "1,2" if arguments.nodes else ""
    result = Result("scale")
    with tempfile.TemporaryDirectory() as folder:
        if arguments.most:
            print_many(arguments.most, arguments.repeats, Path(folder), result)
        if arguments.nodes:
            print_nodes([int(count) for count in arguments.nodes.split(",")], Path(folder), result)
    result.write(arguments.json)


if __name__ == "__main__":
    main()
