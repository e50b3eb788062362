"""Packets of a video stream in, the same packets out with the word whether their picture can be sampled at all.

A picture that no other picture refers to, and during which no sampling instant falls, need not be decoded: the
decoder may leave it out, and what is sampled stays the same to the last bit. To know when a picture ends, some packets
of a file are held back until all that are shown before have been seen. Those of a live source are not: a picture ends,
at the latest, where one begins that has been seen already, and of one after which none is shown yet it is not known.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import av

_MAX_HELD = 64
"""Codecs reorder over 16 pictures at most; a stream that seems to reorder further is decoded whole."""


class LookAhead:
    """Holds packets back until their picture's time on the screen is known.

    Args:
        is_sampled: pts of a picture and of the next one -> whether an instant falls between them.
    """

    def __init__(self, is_sampled: Callable[[int, int], bool]) -> None:
        self._is_sampled = is_sampled
        self._held: deque[tuple[int, av.Packet[Any]]] = deque()
        self._pts: list[int] = []

    def push(self, packet: av.Packet[Any]) -> Iterator[tuple[av.Packet[Any], bool]]:
        """Takes the next packet in decoding order; gives those that are decided, each with whether it is needed."""
        if packet.pts is None or packet.dts is None or len(self._held) >= _MAX_HELD:
            yield from self.flush()
            yield packet, True
            return
        self._held.append((packet.pts, packet))
        insort(self._pts, packet.pts)
        while self._held:
            pts, head = self._held[0]
            after = bisect_right(self._pts, pts)
            # Nothing that comes later is shown before its own decoding time.
            if after == len(self._pts) or self._pts[after] > packet.dts:
                break
            self._held.popleft()
            yield head, self._is_sampled(pts, self._pts[after])
        useless = min([packet.dts, *(pts for pts, _ in self._held)])
        del self._pts[: bisect_right(self._pts, useless)]

    def flush(self) -> Iterator[tuple[av.Packet[Any], bool]]:
        """Gives all packets that are held; all are needed, since nothing is known of what follows."""
        while self._held:
            yield self._held.popleft()[1], True
        self._pts.clear()


class Glance:
    """Says at once what can be said of a packet; some pictures are called needed that are not, never the reverse.

    Args:
        is_sampled: pts of a picture and of the next one -> whether an instant falls between them.
    """

    def __init__(self, is_sampled: Callable[[int, int], bool]) -> None:
        self._is_sampled = is_sampled
        self._pts: list[int] = []

    def push(self, packet: av.Packet[Any]) -> Iterator[tuple[av.Packet[Any], bool]]:
        """Takes the next packet in decoding order and gives it back, with whether it is needed."""
        pts, dts = packet.pts, packet.dts
        if pts is None or dts is None:
            yield packet, True
            return
        after = bisect_right(self._pts, pts)
        yield packet, after == len(self._pts) or self._is_sampled(pts, self._pts[after])
        insort(self._pts, pts)
        # Nothing that comes later is shown before this packet's decoding time.
        del self._pts[: max(bisect_right(self._pts, dts), len(self._pts) - _MAX_HELD)]

    def flush(self) -> Iterator[tuple[av.Packet[Any], bool]]:
        """Nothing is held."""
        self._pts.clear()
        return iter(())
