"""One file in a store: read by range in bounded memory, with the captions that lie beside it."""

from __future__ import annotations

import functools
import io
import posixpath
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from streammm.errors import SourceError
from streammm.media.address import public_name
from streammm.media.source import captions_of
from streammm.media.store import READ_SECONDS, connect, failure, wait_for
from streammm.media.store_listing import names_beside

_BLOCK_BYTES = 4 * 2**20
"""A request: some seconds of common video, which take a second to decode, for one wait of some 50 ms."""

_NUM_BLOCKS = 8
"""Blocks that are kept. One would do for what is read from start to end; but the index of a film may lie at its end,
and pictures and sound far apart: with a single read-ahead window each change between them is a request."""

_TAKES_NO_CACHE = ("smb",)
"""Drivers that read plainly and refuse to be told so."""


class StoreFile(io.RawIOBase):
    """A file in a store, which opens nothing but itself.

    Args:
        source: its address.
        read_seconds: how long nothing may come.
        on_wait: called every second while nothing comes.

    Attributes:
        name: the last part of its path; FFmpeg tells raw formats apart by the ending.

    Raises:
        SourceError: it cannot be opened; by any method, if it cannot be read.
    """

    def __init__(
        self, source: str, read_seconds: float = READ_SECONDS, on_wait: Callable[[], None] = lambda: None
    ) -> None:
        self._source = source
        self._read_seconds = read_seconds
        self._on_wait = on_wait
        self._at = 0
        self._is_open = False
        self.name = posixpath.basename(source)
        self._file, self.size_bytes = self._ask(self._open)
        self._is_open = True
        self._block = functools.lru_cache(_NUM_BLOCKS)(self._fetch)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self.size_bytes)[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at >= self.size_bytes:
            return 0
        number, start = divmod(self._at, _BLOCK_BYTES)
        data = self._block(number)[start : start + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed and self._is_open:
            self._block.cache_clear()
            with suppress(Exception):  # nothing was written, and it may be for a broken connection that it is closed
                self._file.close()
        super().close()

    def _open(self) -> tuple[Any, int]:
        fs, path = connect(self._source)
        fs.invalidate_cache()
        found = fs.info(path)
        if found["type"] == "directory":
            raise SourceError(public_name(self._source), "unreadable", "a directory; with / at its end it is searched")
        if (size_bytes := found.get("size")) is None:
            raise SourceError(public_name(self._source), "unreadable", "the store does not say how large it is")
        if size_bytes == 0:
            raise SourceError(public_name(self._source), "empty", "the file has zero bytes")
        plainly = {} if self._source.startswith(_TAKES_NO_CACHE) else {"cache_type": "none"}
        return fs.open(path, "rb", **plainly), size_bytes

    def _fetch(self, number: int) -> bytes:
        start = number * _BLOCK_BYTES
        count = min(_BLOCK_BYTES, self.size_bytes - start)
        data: bytes = self._ask(lambda: _read(self._file, start, count))
        if len(data) != count:
            detail = f"the store gave {len(data)} bytes where {count} were asked for: it may have changed meanwhile"
            raise SourceError(public_name(self._source), "unreachable", detail)
        return data

    def _ask(self, function: Callable[[], Any]) -> Any:
        try:
            return wait_for(function, self._read_seconds, self._on_wait)
        except Exception as error:
            self._is_open = False  # closing what does not answer would hang
            raise failure(error, self._source) from error


def _read(file: Any, start: int, count: int) -> bytes:
    """Bytes from a place on; fewer only at the end."""
    file.seek(start)
    parts = []
    while count > 0 and (part := file.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def captions_in_store(
    source: str, read_seconds: float = READ_SECONDS, on_wait: Callable[[], None] = lambda: None
) -> list[str]:
    """Addresses of the caption files beside a source, as `source.sidecars` finds them beside a local one.

    Raises:
        SourceError: the store does not say.
    """
    try:
        beside = wait_for(lambda: names_beside(source), read_seconds, on_wait)
    except Exception as error:
        raise failure(error, source) from error
    folder = source.removesuffix(posixpath.basename(source))
    return [folder + name for name in captions_of(posixpath.basename(source), beside)]
