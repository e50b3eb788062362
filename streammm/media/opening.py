"""The one place that opens what is read: a file, one in a store, or an address on the network."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from streammm.media.address import in_store, is_address, public_name
from streammm.media.network import Opened, open_network
from streammm.media.options import DecodeOptions
from streammm.media.source import open_media, open_media_file, sidecars


def open_source(
    source: str,
    options: DecodeOptions,
    pipe_fd: int | None = None,
    on_wait: Callable[[], None] = lambda: None,
) -> Opened:
    """Opens a source for demuxing.

    Raises:
        SourceError: it cannot be opened; or later, by what reads a file in a store, that it does not answer.
    """
    if in_store(source):
        return _open_stored(source, options, on_wait)
    if is_address(source):
        return open_network(source, options.network, options.max_pixels, pipe_fd, on_wait)
    return Opened(open_media(source, options.max_pixels, options.hardware), is_live=False, read_seconds=0.0)


def captions_beside(source: str, options: DecodeOptions, on_wait: Callable[[], None] = lambda: None) -> list[str]:
    """Caption files of a source, as sources; the first is the one to use.

    Raises:
        SourceError: a store does not say; ``unauthorised`` where it does not allow to list what is in it.
    """
    if in_store(source):
        from streammm.media.store import READ_SECONDS
        from streammm.media.store_file import captions_in_store

        return captions_in_store(source, options.network.read_seconds or READ_SECONDS, on_wait)
    return [] if is_address(source) else sidecars(source)


def _open_stored(source: str, options: DecodeOptions, on_wait: Callable[[], None]) -> Opened:
    from streammm.media.store import READ_SECONDS  # it takes long to import, and few need it
    from streammm.media.store_file import StoreFile

    with ExitStack() as behind:
        file = StoreFile(source, options.network.read_seconds or READ_SECONDS, on_wait)
        behind.callback(file.close)
        container = open_media_file(file, public_name(source), options.max_pixels, options.hardware)
        return Opened(container, is_live=False, read_seconds=0.0, behind=behind.pop_all())
