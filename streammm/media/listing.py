"""What a user names -> sources, one by one: directories, patterns and lists are read only as far as they are needed."""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from streammm.errors import ConfigError, SourceError
from streammm.media.address import in_store, is_address, public_name
from streammm.media.skipped import Skipped
from streammm.media.store import READ_SECONDS, check_driver
from streammm.media.store_file import StoreFile
from streammm.media.store_listing import Stored, StoreListing

MEDIA_SUFFIXES = frozenset(
    ".3g2 .3gp .aac .ac3 .aif .aiff .amr .asf .avi .caf .dv .eac3 .f4v .flac .flv .gxf .h264 .hevc .ivf .m2ts .m2v "
    ".m4a .m4b .m4v .mj2 .mka .mkv .mov .mp2 .mp3 .mp4 .mpe .mpeg .mpg .mts .mxf .nut .oga .ogg .ogm .ogv .opus .qt "
    ".rm .rmvb .spx .ts .tta .vob .wav .webm .wma .wmv .wv .y4m".split()
)
"""A directory is searched for files with these suffixes; a file that is named is opened whatever its suffix."""

_COLUMNS = ("source", "path", "file", "uri", "url", "filename")
"""Names by which the column with the sources is known, where none is named."""

_SAMPLE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class ListingOptions:
    """What of a directory is a source, which sources are the same, and how long a store may take to answer."""

    suffixes: frozenset[str] = MEDIA_SUFFIXES
    deduplicate: Literal["path", "content"] = "path"
    read_seconds: float = READ_SECONDS


def list_sources(names: Iterable[str], options: ListingOptions | None = None) -> Iterator[str | Skipped]:
    """Lists the sources that are meant, each once.

    Args:
        names: files, addresses, directories (searched in depth, in sorted order), patterns, and lists: ``@FILE`` with
            a source a line, ``@FILE.csv`` or ``@FILE.parquet``, with ``:COLUMN`` where it is not called one of
            `_COLUMNS`. Paths in a list are taken as those on a command line. All of them may lie in a store, such as
            ``s3://bucket/films/``, ``s3://bucket/*.mp4`` or ``@s3://bucket/list.csv:COLUMN``; a directory there ends
            with ``/``, or has no ending. A name that matches nothing is passed on as it is: opening it says what is
            wrong with it.
        options: what to leave out. With ``deduplicate="content"`` files on disk are compared, and files in a store
            whose store tells a checksum of them (see `store_listing`); they are not read for it.

    Raises:
        ConfigError: a list cannot be read, or the driver of a store is not installed.
    """
    options = options or ListingOptions()
    listed = _Listed(options.suffixes)
    same_file = _SameFile()
    same_content = _SameContent()
    same_checksum: dict[tuple[int, str], str] = {}
    for name in names:
        for item in _matches(name, options):
            if isinstance(item, Skipped):
                listed.note_gap()
                yield item
                continue
            source = item if isinstance(item, str) else item.source
            if not listed.is_new(source, "" if isinstance(item, str) else item.folder):
                continue
            first = None
            if isinstance(item, Stored):
                if item.checksum is not None and options.deduplicate == "content":
                    first = same_checksum.setdefault(item.checksum, source)
                    first = None if first == source else first
            elif not is_address(source):
                first = same_file.first(source)
                if first is None and options.deduplicate == "content":
                    first = same_content.first(source)
            yield source if first is None else Skipped(source, "duplicate", f"the same as {first}")


def _matches(name: str, options: ListingOptions) -> Iterator[str | Stored | Skipped]:
    if name.startswith("@") and len(name) > 1 and not os.path.exists(name):
        for entry in _read_list(name[1:], options.read_seconds):
            yield from _matches(entry, options) if not entry.startswith("@") else [entry]
    elif in_store(name):
        yield from _in_store(name, options)
    elif is_address(name):
        yield name
    elif os.path.isdir(name):
        yield from _walk(name, options.suffixes)
    elif not os.path.exists(name) and glob.has_magic(name):
        yield from _glob(name)
    else:
        yield name


def _in_store(name: str, options: ListingOptions) -> Iterator[str | Stored | Skipped]:
    check_driver(name)
    listing = StoreListing(name, options.read_seconds)
    is_matched = False
    try:
        if listing.is_directory():
            yield from listing.walk(options.suffixes)
            return
        if not listing.is_pattern():
            yield listing.stored() if options.deduplicate == "content" else name
            return
        for item in listing.match():
            is_matched = True
            yield item
    except SourceError as error:
        if error.reason != "missing":
            yield Skipped(public_name(name), "unreadable", f"it cannot be listed: {error.detail}")
            return
    if not is_matched:
        yield name


def _walk(folder: str, suffixes: frozenset[str]) -> Iterator[str | Skipped]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield Skipped(folder, "unreadable", f"the directory cannot be listed: {error.strerror or error}")
        return
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, suffixes)
        elif Path(entry.name).suffix.lower() in suffixes and entry.is_file():
            yield str(Path(entry.path))


def _glob(pattern: str) -> Iterator[str]:
    """In sorted order, except where ``**`` may go through a whole tree: then as they are found."""
    found: Iterable[str] = glob.iglob(pattern, recursive=True)
    if "**" not in pattern:
        found = sorted(found)
    is_empty = True
    for path in found:
        if os.path.isfile(path):
            is_empty = False
            yield path
    if is_empty:
        yield pattern


def _read_list(name: str, read_seconds: float) -> Iterator[str]:
    path, column = _column_of(name)
    suffix = Path(path).suffix.lower()
    if column and suffix not in (".csv", ".parquet"):
        raise ConfigError(f"the list {path} has no columns; only .csv and .parquet have")
    read = {".csv": _read_csv, ".parquet": _read_parquet}.get(suffix)
    try:
        with _open_list(path, read_seconds) as file:
            yield from _read_lines(file) if read is None else read(path, file, column)
    except (OSError, SourceError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "detail", None) or error
        raise ConfigError(f"the list {path} cannot be read: {reason}") from error


def _open_list(path: str, read_seconds: float) -> IO[bytes]:
    if not in_store(path):
        return Path(path).open("rb")
    check_driver(path)
    return io.BufferedReader(StoreFile(path, read_seconds))


def _column_of(name: str) -> tuple[str, str]:
    path, separator, column = name.rpartition(":")
    if not separator or os.path.exists(name) or "/" in column:  # s3://bucket/list.csv has no column
        return name, ""
    return path, column


def _read_lines(file: IO[bytes]) -> Iterator[str]:
    yield from filter(None, (line.strip() for line in _text(file, "utf-8")))


def _read_csv(path: str, file: IO[bytes], column: str) -> Iterator[str]:
    rows = csv.DictReader(_text(file, "utf-8-sig", newline=""))
    chosen = _choose(path, rows.fieldnames or (), column)
    for row in rows:
        if source := (row[chosen] or "").strip():
            yield source


def _text(file: IO[bytes], encoding: str, newline: str | None = None) -> io.TextIOWrapper:
    return io.TextIOWrapper(file, encoding=encoding, errors="surrogateescape", newline=newline)


def _read_parquet(path: str, file: IO[bytes], column: str) -> Iterator[str]:
    try:
        from pyarrow import parquet
        from pyarrow.lib import ArrowException
    except ImportError as error:
        raise ConfigError(f'the list {path} needs pyarrow: pip install "streammm[parquet]"') from error
    try:
        with parquet.ParquetFile(file) as table:
            chosen = _choose(path, table.schema_arrow.names, column)
            for batch in table.iter_batches(columns=[chosen]):
                yield from (str(value) for value in batch.column(0).to_pylist() if value)
    except ArrowException as error:
        raise ConfigError(f"the list {path} cannot be read: {error}") from error


def _choose(path: str, columns: Sequence[str], wanted: str) -> str:
    if wanted in columns:
        return wanted
    if not wanted:
        if len(columns) == 1:
            return columns[0]
        if known := [name for name in _COLUMNS if name in columns]:
            return known[0]
    what = f"no column {wanted!r}" if wanted else "no column that is known to hold sources"
    raise ConfigError(f"the list {path} has {what}; it has {', '.join(columns) or 'none'}: write @{path}:COLUMN")


class _Listed:
    """The names that were listed. Of a directory in a store only its own is kept: it may hold millions."""

    def __init__(self, suffixes: frozenset[str]) -> None:
        self._suffixes = suffixes
        self._names: set[str] = set()
        self._searched: tuple[str, ...] = ()
        self._folder = ""
        self._is_whole = True

    def is_new(self, source: str, folder: str) -> bool:
        """Whether a name was not listed before, and notes it; ``folder`` is what is searched now, if anything is."""
        if folder != self._folder:
            if self._folder and self._is_whole:
                self._searched += (self._folder + "/",)
            self._folder, self._is_whole = folder, True
        if source in self._names:
            return False
        if source.startswith(self._searched) and Path(source).suffix.lower() in self._suffixes:
            return False
        if not folder:
            self._names.add(source)
        return True

    def note_gap(self) -> None:
        """Something in what is searched could not be listed: its names may be given again."""
        self._is_whole = False


class _SameFile:
    """Finds files that are named by more than one path."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def first(self, path: str) -> str | None:
        """The path by which the same file was listed before."""
        found = self._seen.setdefault(os.path.realpath(path), path)
        return None if found == path else found


@dataclass(slots=True)
class _File:
    path: str
    hashes: dict[int | None, str] = field(default_factory=dict)

    def digest(self, num_bytes: int | None) -> str:
        """SHA-256 of the first bytes, or of all."""
        if num_bytes not in self.hashes:
            with Path(self.path).open("rb") as file:
                if num_bytes is None:
                    self.hashes[num_bytes] = hashlib.file_digest(file, "sha256").hexdigest()
                else:
                    self.hashes[num_bytes] = hashlib.sha256(file.read(num_bytes)).hexdigest()
        return self.hashes[num_bytes]


class _SameContent:
    """Finds files with the same bytes: of equal size, then of equal beginning, and only then they are read in full."""

    def __init__(self) -> None:
        self._by_size: dict[int, list[_File]] = {}

    def first(self, path: str) -> str | None:
        """A file that was listed before and has the same content; a file that cannot be read has none."""
        file = _File(path)
        try:
            others = self._by_size.setdefault(Path(path).stat().st_size, [])
            for other in others:
                if all(file.digest(length) == other.digest(length) for length in (_SAMPLE_BYTES, None)):
                    return other.path
        except OSError:
            return None
        others.append(file)
        return None
