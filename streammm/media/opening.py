"""The one place that opens what is read: a file, or an address on the network."""

from __future__ import annotations

from collections.abc import Callable

from streammm.media.address import is_address
from streammm.media.network import Opened, open_network
from streammm.media.options import DecodeOptions
from streammm.media.source import open_media


def open_source(
    source: str,
    options: DecodeOptions,
    pipe_fd: int | None = None,
    on_wait: Callable[[], None] = lambda: None,
) -> Opened:
    """Opens a source for demuxing.

    Raises:
        SourceError: it cannot be opened.
    """
    if is_address(source):
        return open_network(source, options.network, options.max_pixels, pipe_fd, on_wait)
    return Opened(open_media(source, options.max_pixels, options.hardware), is_live=False, read_seconds=0.0)
