"""What the engine itself costs, with decoders and encoders that do nothing: python benchmarks/scale.py [--most N]

Prints CPU milliseconds a source and a segment for growing numbers of sources, in one process with a journal on disk.
What a source costs beyond its segments must stay flat: nothing may be looked through again for each of them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from streammm.config import load
from streammm.encoders.isolation import Encoded
from streammm.types import MODALITIES, Embeddings, Segment, Status
from streammm_workers import engine
from streammm_workers.decode import Chunk, DecodeWorker
from streammm_workers.encode import EncodeWorker
from streammm_workers.handle import DirectHandle, Handle, ThreadHandle

SEGMENTS = 5


class StubDecoder:
    """Hands out segments without pictures or sound."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def open(self, ticket: str, source: str, first_segment: int) -> None:
        self._next[ticket] = first_segment

    def next(self, ticket: str, num_segments: int) -> tuple[Chunk, list[Segment], list[Segment]]:
        first = self._next[ticket]
        last = min(SEGMENTS, first + num_segments)
        self._next[ticket] = last
        found = [_segment(ticket.partition(":")[2], n) for n in range(first, last)]
        return Chunk(found, last == SEGMENTS, 0, ""), found, found

    def close(self, ticket: str) -> None:
        self._next.pop(ticket, None)


class StubEncoder(EncodeWorker):
    """Answers with tags at random; only labels are read by a real model, once."""

    def encode(self, *chunks: list[Segment]) -> list[Encoded]:
        num_tags = {"audio": 521, "video": 1000}.get(self._modality, 0)
        found = []
        for chunk in chunks:
            tags = np.full((len(chunk), num_tags), 0.01, np.float32)
            vectors = np.zeros((len(chunk), 384), np.float32)
            made = Embeddings(self._modality, vectors, tags, np.ones(len(chunk), np.bool_))
            found.append(Encoded(made, {}))
        return found


def _segment(source: str, index: int) -> Segment:
    status = {m: Status.ABSENT if m == "text" else Status.OK for m in MODALITIES}
    return Segment(
        source,
        index,
        2.0 * index,
        2.0 * index + 2.0,
        np.zeros((0, 1, 1, 3), np.uint8),
        np.zeros(0),
        np.zeros(0, np.float32),
        (),
        status,
        decoded_unix_seconds=time.time(),
    )


def stub_stage(kind: str, make: Callable[..., object], *args: Any) -> Handle:
    """Puts a stub in the place of a stage."""
    if make is DecodeWorker:
        return DirectHandle(StubDecoder())
    if make is EncodeWorker:
        return DirectHandle(StubEncoder(*args))
    return ThreadHandle(kind, make, *args)


class Silent:
    """An observer that looks at nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: None


def measure(num_sources: int, folder: Path) -> tuple[float, float]:
    """CPU and wall seconds of a run."""
    config = load(settings=["engine.sources_in_flight=16", "engine.decoders=2"], labels="music,speech,car,dog")

    def sources() -> Iterator[str]:
        yield from (f"source{n}" for n in range(num_sources))

    place = engine.Place((f"sqlite:///{folder}/{num_sources}.sqlite",))
    engine.ThreadHandle = stub_stage  # type: ignore[assignment,misc]
    cpu, wall = time.process_time(), time.perf_counter()
    engine.run(config, sources(), Silent(), None, place)  # type: ignore[arg-type]
    return time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--most", type=int, default=10_000, help="sources of the last line")
    most = parser.parse_args().most
    with tempfile.TemporaryDirectory() as folder:
        start_cpu, _ = measure(1, Path(folder))  # loading the model that reads the labels
        print(f"{'sources':>8} {'segments':>9} {'CPU ms/source':>14} {'CPU ms/segment':>15} {'sources/s':>10}")
        for num_sources in (n for n in (10, 100, 1_000, 10_000, 100_000) if n <= most):
            cpu, wall = measure(num_sources, Path(folder))
            cpu = max(0.0, cpu - start_cpu)
            segments = num_sources * SEGMENTS
            print(
                f"{num_sources:8} {segments:9} {1000 * cpu / num_sources:14.2f} {1000 * cpu / segments:15.3f} "
                f"{num_sources / wall:10.0f}"
            )


if __name__ == "__main__":
    main()
