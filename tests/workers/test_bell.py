"""What wakes the readers of the journal."""

from __future__ import annotations

import asyncio

from streammm_workers.bell import Bell, rung


def test_all_who_wait_are_woken_and_what_was_rung_meanwhile_is_heard() -> None:
    async def main() -> list[bool]:
        bell = Bell()
        heard = [bell.next, bell.next]
        waiting = [asyncio.create_task(rung(event, 60)) for event in heard]
        await asyncio.sleep(0)
        bell.ring()
        await asyncio.gather(*waiting)
        before = bell.next
        bell.ring()
        await rung(before, 60)
        await rung(bell.next, 0.01)
        return [event.is_set() for event in (*heard, before, bell.next)]

    assert asyncio.run(asyncio.wait_for(main(), 20)) == [True, True, True, False]
