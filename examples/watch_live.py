"""Several live sources at once on one event loop: a line whenever something begins, until Ctrl-C.

    python examples/watch_live.py "glass breaking" rtsp://camera-1/live rtsp://camera-2/live

Files do as well, which end.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing, suppress

import streammm
from streammm.config import load

BEGINS, ENDS = 0.5, 0.25
CONFIG = load(settings=["segment.length_seconds=1", "fusion.smoothing_seconds=0.5"])


async def watch(source: str, label: str) -> None:
    """Says when a label begins and ends to hold, and when the source is away."""
    holds = False
    async with aclosing(streammm.aclassify(source, [label, "silence"], CONFIG)) as rows:
        async for row in rows:
            if row.outage:
                print(f"{source}: nothing for {row.end_seconds - row.start_seconds:.0f} s: {row.outage}", flush=True)
                continue
            score = dict(row.labels)[label]
            if holds != (score >= (ENDS if holds else BEGINS)):
                holds = not holds
                print(f"{source}: {row.start_seconds:.0f} s: {label} {'begins' if holds else 'ends'}", flush=True)


async def main(label: str, *sources: str) -> None:
    async with asyncio.TaskGroup() as group:
        for source in sources:
            group.create_task(watch(source, label))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
