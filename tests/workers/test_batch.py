"""Micro-batching: every chunk gets its own result, sources take turns, failures reach those they belong to."""

import asyncio

import pytest

from streammm_workers.batch import Batcher
from streammm_workers.sizes import BatchSize


class Recorder:
    """An encode stage that notes its batches and can be held."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, ...]] = []
        self.gate = asyncio.Event()
        self.fails = False

    async def call(
        self, method: str, *chunks: str, num_returns: int = 1, limit_seconds: float | None = None
    ) -> list[str]:
        self.batches.append(chunks)
        await self.gate.wait()
        if self.fails:
            raise ArithmeticError("broken")
        return [chunk.upper() for chunk in chunks]

    def close(self) -> None:
        """Nothing to end."""


def test_every_chunk_gets_its_own_result() -> None:
    async def scenario() -> list[str]:
        stage = Recorder()
        batcher = Batcher(stage, BatchSize(2), depth=1)
        results = [batcher.put(source, f"{source}{n}", 1) for n in range(3) for source in "ab"]
        stage.gate.set()
        return await asyncio.gather(*results)

    assert asyncio.run(scenario()) == ["A0", "B0", "A1", "B1", "A2", "B2"]


def test_a_source_that_floods_delays_the_others_by_one_chunk() -> None:
    async def scenario() -> list[tuple[str, ...]]:
        stage = Recorder()
        batcher = Batcher(stage, BatchSize(2), depth=1)
        results = [batcher.put("flood", f"f{n}", 1) for n in range(5)] + [batcher.put("calm", "c0", 1)]
        stage.gate.set()
        await asyncio.gather(*results)
        return stage.batches

    assert asyncio.run(scenario()) == [("f0",), ("f1", "c0"), ("f2", "f3"), ("f4",)]


def test_no_more_batches_are_under_way_than_the_depth() -> None:
    async def scenario() -> int:
        stage = Recorder()
        batcher = Batcher(stage, BatchSize(1), depth=2)
        results = [batcher.put("a", f"a{n}", 1) for n in range(6)]
        await asyncio.sleep(0.01)
        under_way = len(stage.batches)
        stage.gate.set()
        await asyncio.gather(*results)
        return under_way

    assert asyncio.run(scenario()) == 2


def test_a_failed_batch_fails_its_chunks_and_the_next_goes_on() -> None:
    async def scenario() -> str:
        stage = Recorder()
        stage.gate.set()
        batcher = Batcher(stage, BatchSize(8))
        stage.fails = True
        with pytest.raises(ArithmeticError, match="broken"):
            await batcher.put("a", "a0", 1)
        stage.fails = False
        return await batcher.put("a", "a1", 1)

    assert asyncio.run(scenario()) == "A1"
