"""Rows on an event loop: the same, never too many, and nothing is left running when the consumer goes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

import streammm
from streammm import pipeline
from streammm.config import Config, load
from streammm.encoders.isolation import encode_isolated
from streammm.errors import ConfigError, SourceError
from tests.conftest import MakeClip

SILENT = load(labels=(), settings=["fusion.weights={text: 0, video: 0}"])
"""Only sound is looked at, and nothing looked for: what starts quickest."""


NO_ENCODER = "encoders.video=nonsense"


def children() -> set[int]:
    found = psutil.Process().children(recursive=True)
    return {child.pid for child in found if child.is_running() and child.status() != psutil.STATUS_ZOMBIE}


@contextlib.contextmanager
def leaves_nothing():
    """What is started inside has ended at the end: decoding processes at once, threads too."""
    before, threads = children(), {t for t in threading.enumerate() if t.name.startswith("streammm")}
    yield
    assert {t for t in threading.enumerate() if t.name.startswith("streammm")} <= threads
    deadline = time.monotonic() + 10  # an ended process is seen by others a little later
    while children() - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not children() - before


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many segments were given to encoders."""
    found: list[int] = []

    def count(encoder, segments):
        found.extend(segment.index for segment in segments)
        return encode_isolated(encoder, segments)

    monkeypatch.setattr(pipeline, "encode_isolated", count)
    return found


async def first(rows: AsyncIterator[object]) -> object:
    return await anext(rows)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_port:
        any_port.bind(("127.0.0.1", 0))
        return int(any_port.getsockname()[1])


def test_rows_are_those_of_classify(clip: MakeClip) -> None:
    path = clip("a.mp4", 9.0, clicks=[1.0])

    async def rows() -> list[str]:
        return [row.id async for row in streammm.aclassify(path, ["music", "speech"])]

    with leaves_nothing():
        found = asyncio.run(rows())
    assert found == [row.id for row in streammm.classify(path, ["music", "speech"])]
    assert len(found) == 5


def test_the_loop_goes_on_meanwhile(long_clip: Path) -> None:
    async def main() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        beside = asyncio.create_task(tick())
        async with contextlib.aclosing(streammm.aclassify(long_clip, config=SILENT)) as rows:
            await anext(rows)
        beside.cancel()
        return ticks

    with leaves_nothing():
        assert asyncio.run(main()) >= 10


def test_a_consumer_that_is_slow_holds_the_work_back(long_clip: Path, counted: list[int]) -> None:
    async def main() -> None:
        config = Config.model_validate({**SILENT.model_dump(), "engine": {"chunk_segments": 2}})
        async with contextlib.aclosing(streammm.aclassify(long_clip, config=config, ahead=3)) as rows:
            await anext(rows)
            await asyncio.sleep(2.0)
            # one was taken, three wait, and those of the chunk that the next one is from are encoded
            assert 4 <= len(counted) <= 4 + 2
            await anext(rows)

    with leaves_nothing():
        asyncio.run(main())


@pytest.mark.parametrize("how", ["break", "cancel", "error"])
def test_whoever_leaves_early_leaves_nothing_behind(long_clip: Path, how: str) -> None:
    async def consume(started: asyncio.Event) -> None:
        async with contextlib.aclosing(streammm.aclassify(long_clip, config=SILENT)) as rows:
            async for _ in rows:
                started.set()
                if how == "break":
                    break
                if how == "error":
                    raise ZeroDivisionError

    async def main() -> None:
        started = asyncio.Event()
        task = asyncio.create_task(consume(started))
        await started.wait()
        if how == "cancel":
            task.cancel()
        await task

    wanted = {"break": contextlib.nullcontext(), "cancel": pytest.raises(asyncio.CancelledError)}
    with leaves_nothing(), wanted.get(how) or pytest.raises(ZeroDivisionError):
        asyncio.run(main())


def test_a_live_source_that_says_nothing_is_left_at_once() -> None:
    async def main() -> float:
        task = asyncio.create_task(first(streammm.aclassify(f"udp://127.0.0.1:{free_port()}", config=SILENT)))
        await asyncio.sleep(3.0)
        assert not task.done()
        left = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - left

    with leaves_nothing():
        assert asyncio.run(main()) < SILENT.live.connect_seconds


def test_several_sources_are_classified_at_once(clip: MakeClip) -> None:
    paths = [clip("a.mp4", 4.0), clip("b.mp4", 6.0)]

    async def rows(path: Path) -> int:
        return len([row async for row in streammm.aclassify(path, config=SILENT)])

    async def main() -> list[int]:
        return list(await asyncio.gather(*map(rows, paths)))

    with leaves_nothing():
        assert asyncio.run(main()) == [2, 3]


def test_mistakes_are_raised_where_rows_are_awaited(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(os.urandom(999))
    with leaves_nothing():
        with pytest.raises(SourceError, match="broken"):
            asyncio.run(first(streammm.aclassify(tmp_path / "broken.mp4", config=SILENT)))
        with pytest.raises(ConfigError, match=r"encoders\.video"):
            asyncio.run(first(streammm.aclassify(tmp_path / "broken.mp4", config=load(settings=[NO_ENCODER]))))
        with pytest.raises(ValueError, match="at least 1, got 0"):
            asyncio.run(first(streammm.aclassify(tmp_path / "broken.mp4", ahead=0)))
