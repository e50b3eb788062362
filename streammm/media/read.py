"""The front door of this package: any source -> its segments, decoded in a process that can be limited and ended."""

from __future__ import annotations

import os
import time
from urllib.parse import urlsplit

from streammm.errors import SourceError
from streammm.media.address import ALWAYS_LIVE, is_file, public_name, scheme
from streammm.media.isolated import IsolatedReader
from streammm.media.live import LiveReader
from streammm.media.options import DecodeOptions
from streammm.media.process import ProcessPool
from streammm.types import Segment


def open_reader(
    source: str, options: DecodeOptions, first_segment: int = 0, pool: ProcessPool | None = None
) -> IsolatedReader | LiveReader:
    """Opens a file, also one in a store, an address or, as ``-``, standard input.

    Args:
        source: what to read.
        options: how to decode and cut.
        first_segment: index of the first segment to hand out.
        pool: where decoding processes come from; by default they are started for this reading.

    Raises:
        SourceError: it cannot be read. A live source says so when it is read, since it may still come.
    """
    pool = pool or ProcessPool(options.limits)
    if is_file(source):
        return IsolatedReader(source, options, first_segment, pool)
    if scheme(source) in ALWAYS_LIVE:
        return _follow(source, options, first_segment, pool)
    reader = _open(source, options, first_segment, pool)
    if not reader.is_live:
        return reader
    reader.close()
    return _follow(source, options, first_segment, pool)


def _open(source: str, options: DecodeOptions, first_segment: int, pool: ProcessPool) -> IsolatedReader:
    """Opens what may turn out to be live; a playlist that is not there yet is waited for as a live source is."""
    deadline = time.monotonic() + options.live.connect_seconds
    while True:
        pipe_fd = os.dup(0) if scheme(source) == "pipe" else None
        try:
            return IsolatedReader(source, options, first_segment, pool, pipe_fd)
        except SourceError as error:
            is_playlist = urlsplit(source).path.endswith(".m3u8")
            if not is_playlist or error.reason != "unreachable" or time.monotonic() > deadline:
                raise
            time.sleep(options.live.first_backoff_seconds)
        finally:
            if pipe_fd is not None:
                os.close(pipe_fd)


def _follow(source: str, options: DecodeOptions, first_segment: int, pool: ProcessPool) -> LiveReader:
    if options.max_shot_seconds is not None:
        detail = "a live source is cut at equal windows, so that its segments follow the clock; not into shots"
        raise SourceError(public_name(source), "unsupported", detail)
    return LiveReader(source, options, first_segment, pool)


def read_first(source: str, options: DecodeOptions, most: int) -> list[Segment]:
    """The first segments of a source, at most so many.

    Raises:
        SourceError: it cannot be read.
    """
    found: list[Segment] = []
    with open_reader(source, options) as reader:
        is_last = False
        while not is_last and len(found) < most:
            some, is_last = reader.read(most - len(found))
            found += some
    return found
