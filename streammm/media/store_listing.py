"""What lies in a store: directories searched in depth, patterns, and what lies beside a file.

S3 has no directories but prefixes, which may hold millions of keys: they are listed a page of a thousand at a time, in
the order of their keys. Of other stores a directory at a time is listed, as of a disk.
"""

from __future__ import annotations

import functools
import glob
import posixpath
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from fsspec import AbstractFileSystem
from fsspec.utils import glob_translate

from streammm.errors import ConfigError, SourceError
from streammm.media.address import public_name, scheme
from streammm.media.skipped import Skipped
from streammm.media.store import READ_SECONDS, connect, failure, wait_for

_CHECKSUMS = {"s3": "ETag", "s3a": "ETag", "gs": "md5Hash", "gcs": "md5Hash"}
"""What a store says of the bytes of a file, by scheme. An ETag of S3 is the same for equal bytes that were uploaded in
equal parts; others have no such thing, or one that also differs for equal bytes."""

_BY_PREFIX = ("gs", "gcs", "abfs", "abfss", "az")
"""Other stores in which a directory may be too large to be listed for what begins with a name."""

_Request: TypeAlias = "Callable[[AbstractFileSystem, str], Any]"


@dataclass(frozen=True, slots=True)
class Stored:
    """A file in a store.

    ``checksum`` is its size and what the store says of its bytes, None if it says nothing; ``folder`` is the directory
    that was searched when it was found.
    """

    source: str
    checksum: tuple[int, str] | None = None
    folder: str = ""


class StoreListing:
    """Lists what an address means.

    Args:
        address: of a file, a directory or, with ``*``, ``?`` or ``[]``, of a pattern.
        read_seconds: how long the store may take for a request.

    Raises:
        ConfigError: by any method, if its driver is not installed.
        SourceError: by any method, if the store does not say.
    """

    def __init__(self, address: str, read_seconds: float = READ_SECONDS) -> None:
        self._address = address
        self._read_seconds = read_seconds
        self._kind = scheme(address)

    def is_directory(self) -> bool:
        """Whether to search it: it ends with ``/``, or its name has no ending and the store says so."""
        if self._address.endswith("/"):
            return True
        if PurePosixPath(self._address).suffix or _has_pattern(self._address):
            return False  # a list may name a million files: a request for each of them would take hours
        try:
            return bool(self._ask(lambda fs, path: fs.isdir(path)))
        except SourceError:
            return False  # opening it says what is wrong with it

    def is_pattern(self) -> bool:
        """Whether it is to be matched; a file that has a pattern for its name is not."""
        return _has_pattern(self._address) and not self._ask(lambda fs, path: fs.exists(path))

    def stored(self) -> Stored:
        """The file itself, with what the store says of its bytes."""
        try:
            return self._stored(self._address, self._ask(lambda fs, path: fs.info(path)))
        except SourceError:
            return Stored(self._address)

    def walk(self, suffixes: Collection[str]) -> Iterator[Stored | Skipped]:
        """The files below a directory that end so; raises where there is nothing at all."""
        folder = self._address.rstrip("/")
        return self._walk_keys(folder, suffixes) if self._is_s3 else self._walk_folder(folder, suffixes, is_top=True)

    def match(self) -> Iterator[Stored]:
        """The files that a pattern fits.

        Raises:
            ConfigError: it is no pattern.
        """
        start = re.search(r"[*?\[]", self._address)
        assert start is not None
        head, tail = self._address[: start.start()], self._address[start.start() :]
        try:
            pattern = re.compile(glob_translate(self._address))
        except ValueError as error:
            raise ConfigError(f"the pattern {public_name(self._address)}: {error}") from error
        if self._is_s3:
            for source, key in self._keys(head, delimiter="" if "/" in tail else "/"):
                if pattern.match(source):
                    yield self._stored(source, key)
            return
        folder = head[: head.rindex("/") + 1]
        root = self._ask(lambda fs, _: fs._strip_protocol(folder)).rstrip("/") + "/"
        found: Mapping[str, Any] = self._ask(lambda fs, path: fs.glob(path, detail=True))
        for path in sorted(found):
            if found[path]["type"] != "directory":
                yield self._stored(folder + path.removeprefix(root), found[path])

    @property
    def _is_s3(self) -> bool:
        return self._kind in ("s3", "s3a")

    def _walk_keys(self, folder: str, suffixes: Collection[str]) -> Iterator[Stored]:
        is_empty = True
        for source, key in self._keys(folder + "/"):
            is_empty = False
            if PurePosixPath(source).suffix.lower() in suffixes:
                yield self._stored(source, key, folder)
        if is_empty:
            raise failure(FileNotFoundError(), self._address)

    def _keys(self, prefix: str, delimiter: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Address and description of each key that begins so."""
        root = f"{self._kind}://{self._ask(lambda fs, _: fs.split_path(prefix)[0])}/"
        more: dict[str, str] = {}
        while True:
            page = self._ask(functools.partial(_page, prefix=prefix, delimiter=delimiter, **more))
            for key in page.get("Contents", ()):
                yield root + key["Key"], key
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _walk_folder(self, folder: str, suffixes: Collection[str], is_top: bool = False) -> Iterator[Stored | Skipped]:
        try:
            entries = self._ask(lambda fs, _: _list(fs, folder))
        except SourceError as error:
            if is_top:
                raise
            yield Skipped(public_name(folder), "unreadable", f"the directory cannot be listed: {error.detail}")
            return
        for entry in sorted(entries, key=lambda entry: str(entry["name"])):
            source = f"{folder}/{posixpath.basename(entry['name'].rstrip('/'))}"
            if entry["type"] == "directory":
                yield from self._walk_folder(source, suffixes)
            elif PurePosixPath(source).suffix.lower() in suffixes:
                yield self._stored(source, entry, self._address.rstrip("/"))

    def _stored(self, source: str, found: Mapping[str, Any], folder: str = "") -> Stored:
        checksum = found.get(_CHECKSUMS.get(self._kind, ""))
        size = found.get("size", found.get("Size"))
        return Stored(source, (int(size), str(checksum)) if checksum and size is not None else None, folder)

    def _ask(self, request: _Request) -> Any:
        try:
            return wait_for(lambda: request(*connect(self._address)), self._read_seconds)
        except ConfigError:
            raise
        except Exception as error:
            raise failure(error, self._address) from error


def names_beside(source: str) -> list[str]:
    """The names beside a file: at least those that begin with its own without the ending.

    Raises:
        Exception: whatever the driver says.
    """
    fs, path = connect(source)
    kind = scheme(source)
    folder, name = posixpath.split(path)
    stem = posixpath.splitext(name)[0] + "."
    if kind in ("s3", "s3a"):
        page = _page(fs, path, prefix=f"{folder}/{stem}", delimiter="/")
        return [posixpath.basename(key["Key"]) for key in page.get("Contents", ())]
    if kind in _BY_PREFIX:
        found = [other for other in fs.find(folder, prefix=stem) if posixpath.dirname(other) == folder]
    else:
        found = fs.ls(folder, detail=False)
    return [posixpath.basename(other) for other in found]


def _page(fs: AbstractFileSystem, path: str, *, prefix: str, delimiter: str, **more: str) -> Mapping[str, Any]:
    bucket, key, _ = fs.split_path(prefix)
    page: Mapping[str, Any] = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=key, Delimiter=delimiter, **more)
    return page


def _list(fs: AbstractFileSystem, folder: str) -> list[dict[str, Any]]:
    path = fs._strip_protocol(folder + "/")
    fs.invalidate_cache()  # it would keep what it lists
    entries: list[dict[str, Any]] = fs.ls(path, detail=True)
    if len(entries) == 1 and entries[0]["type"] != "directory" and entries[0]["name"].rstrip("/") == path.rstrip("/"):
        raise NotADirectoryError(20, "it is a file")
    fs.invalidate_cache()
    return entries


def _has_pattern(address: str) -> bool:
    return glob.has_magic(address.partition("://")[2])
