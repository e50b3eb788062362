"""What waits to be done: every source is given out once, and takers go when nothing can come any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from streammm_workers.todo import Todo


def run(act: Callable[[Todo, asyncio.Event], Awaitable[None]], stays_open: bool = False) -> None:
    async def main() -> None:
        stop = asyncio.Event()
        async with asyncio.timeout(10):
            await act(Todo(stop, stays_open), stop)

    asyncio.run(main())


async def settled() -> None:
    """Lets all tasks go as far as they can."""
    for _ in range(20):
        await asyncio.sleep(0)


def test_live_sources_come_first_and_those_put_back_as_it_is_said() -> None:
    async def act(todo: Todo, stop: asyncio.Event) -> None:
        await todo.add([], ["a", "b"])
        await todo.add(["rtsp://x", "rtsp://y"], ["c"])
        assert [await todo.next() for _ in range(3)] == ["rtsp://x", "rtsp://y", "a"]
        todo.put_back("a")
        todo.put_back("rtsp://x", is_first=True)
        assert list(todo.first(9)) == ["rtsp://x", "b", "c", "a"]

    run(act)


def test_a_taker_waits_for_what_another_may_hand_back_and_goes_when_it_does_not() -> None:
    async def act(todo: Todo, stop: asyncio.Event) -> None:
        await todo.add([], ["a"])
        await todo.end_list()
        assert await todo.next() == "a"
        second, third = (asyncio.create_task(todo.next()) for _ in range(2))
        await settled()
        assert not second.done()
        assert not third.done()
        todo.put_back("a")
        await todo.let_go()
        assert await second == "a"
        await settled()
        assert not third.done()
        await todo.let_go()
        assert await third is None
        assert todo.is_done()

    run(act)


@pytest.mark.parametrize("stays_open", [False, True])
def test_a_run_is_done_when_all_is_unless_it_stays_open_until_it_is_stopped(stays_open: bool) -> None:
    async def act(todo: Todo, stop: asyncio.Event) -> None:
        assert not todo.is_done()  # more may be listed
        await todo.end_list()
        assert todo.is_done() is not stays_open
        stop.set()
        assert todo.is_done()
        await todo.add([], ["a"])
        assert await todo.next() is None

    run(act, stays_open)


def test_what_is_paused_or_held_keeps_a_run_from_its_end() -> None:
    async def act(todo: Todo, stop: asyncio.Event) -> None:
        await todo.end_list()
        ended = asyncio.create_task(todo.wait_until_done(5.0))
        todo.pause("a", "a")
        async with todo.held():
            await todo.resume("a")
            assert todo.find("a") == "a"
            todo.take_out("a", has_taker=False)
            await settled()
            assert not todo.is_done()
            assert not ended.done()
        await ended
        assert todo.is_done()

    run(act)


def test_the_taker_of_one_that_is_taken_out_goes() -> None:
    async def act(todo: Todo, stop: asyncio.Event) -> None:
        await todo.add(["rtsp://x"], ["a"])
        todo.take_out("rtsp://x", has_taker=True)
        assert [await todo.next(), await todo.next()] == [None, "a"]

    run(act)


def test_listing_waits_while_more_than_enough_are_there() -> None:
    async def act(todo: Todo, stop: asyncio.Event) -> None:
        await todo.add([], [str(n) for n in range(4096)])
        listing = asyncio.create_task(todo.wait_for_room())
        await settled()
        assert not listing.done()
        assert await todo.next() == "0"
        await listing

    run(act)
