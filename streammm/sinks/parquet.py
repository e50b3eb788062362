"""Entries as Parquet: a directory a kind, part files that appear whole or not at all, here or in a store.

A part is named after the run and the positions in its journal that it holds. What a run wrote and did not note is
deleted when it goes on, so that every entry is in one part.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from urllib.parse import quote

import pyarrow as pa
from fsspec import AbstractFileSystem
from pyarrow import parquet
from pydantic import BaseModel

from streammm.journal import Entry
from streammm.media.address import is_address
from streammm.media.store import check_driver, connect
from streammm.schema import FORMS
from streammm.sinks.base import KINDS, Written, data_of

_DIRECTORIES = {"row": "rows", "event": "events", "quarantine": "quarantine"}
_WHOLE_OR_NOT = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss"})
"""Stores in which an object is there once all of it is: a second name and a rename would be a copy."""

_NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_PART = re.compile(r"part-([0-9a-f]+)-(\d+)-(\d+)\.parquet")


class Parquet:
    """Writes part files.

    Args:
        name: of its cursor.
        directory: a path, or an address such as ``s3://bucket/rows``.
        kinds: what it is told.
        partition_by: ``none``; ``date``: a directory a day, of live sources, by the wall's clock (UTC); ``source``.
        batch_entries: the most entries of a part.
        linger_seconds: fewer are written after this time.

    Raises:
        ConfigError: the driver of the store is not installed.
    """

    def __init__(
        self,
        name: str,
        directory: str,
        kinds: tuple[str, ...] = KINDS,
        partition_by: Literal["none", "date", "source"] = "none",
        batch_entries: int = 20_000,
        linger_seconds: float = 60.0,
    ) -> None:
        self.name = name
        self.kinds = kinds
        self.batch_entries = batch_entries
        self.linger_seconds = linger_seconds
        self._directory = directory
        self._partition_by = partition_by
        self._scheme = check_driver(directory) if is_address(directory) else ""
        self._run = ""

    def start(self, position: int, mark: Any, run: str) -> int:
        self._run = run
        if not self._scheme:
            Path(self._directory).mkdir(parents=True, exist_ok=True)
            for path in Path(self._directory).glob("**/*part-*.parquet*"):
                if self._is_beyond(path.name, 0 if path.name.startswith(".") else position):
                    path.unlink()
            return position
        store, root = self._store()
        for path in store.find(root):
            if self._is_beyond(path, position):
                store.rm_file(path)
        return position

    def write(self, entries: Sequence[Entry]) -> Written:
        parts: dict[str, list[dict[str, Any]]] = {}
        for entry in entries:
            data = data_of(entry)
            parts.setdefault(_DIRECTORIES[entry.kind] + self._partition(entry, data), []).append(data)
        name = f"part-{self._run}-{entries[0].position:012d}-{entries[-1].position:012d}.parquet"
        made = {f"{folder}/{name}": self._part(folder, rows) for folder, rows in parts.items()}
        for path, content in made.items():
            self._put(path, content)
        return Written()

    def close(self) -> None:
        """Nothing is kept open."""

    def _part(self, folder: str, rows: list[dict[str, Any]]) -> bytes:
        kind = next(k for k, directory in _DIRECTORIES.items() if directory == folder.partition("/")[0])
        buffer = io.BytesIO()
        table = pa.Table.from_pylist(rows, _schema(FORMS[kind], without=self._partition_by))
        parquet.write_table(table, buffer, compression="zstd")
        return buffer.getvalue()

    def _is_beyond(self, path: str, position: int) -> bool:
        """Whether a part of this run holds what comes after a position."""
        found = _PART.search(path)
        return found is not None and found[1] == self._run and int(found[3]) > position

    def _partition(self, entry: Entry, data: Mapping[str, Any]) -> str:
        if self._partition_by == "source":
            return f"/source={quote(entry.source, safe='')}"
        if self._partition_by == "date":
            start = (data.get("live") or {}).get("start")
            return f"/date={start[:10] if start else _NO_PARTITION}"
        return ""

    def _put(self, path: str, content: bytes) -> None:
        if not self._scheme:
            _put_file(Path(self._directory) / path, content)
            return
        store, root = self._store()
        target = f"{root.rstrip('/')}/{path}"
        if self._scheme in _WHOLE_OR_NOT:
            store.pipe_file(target, content)
            return
        folder, _, name = target.rpartition("/")
        store.makedirs(folder, exist_ok=True)
        store.pipe_file(f"{folder}/.{name}", content)
        store.mv(f"{folder}/.{name}", target)

    def _store(self) -> tuple[AbstractFileSystem, str]:
        store, root = connect(self._directory)
        store.invalidate_cache()
        return store, root


def _put_file(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}")
    with hidden.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    hidden.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # so that a power cut leaves the name as well
    finally:
        os.close(folder)


def _schema(form: type[BaseModel], without: str) -> pa.Schema:
    """The columns of a form; one that is in the names of the directories is not in the files."""
    return pa.schema([field for field in _fields(form) if field.name != without])


def _fields(form: type[BaseModel]) -> list[pa.Field]:
    return [pa.field(info.alias or name, _type(info.annotation)) for name, info in form.model_fields.items()]


def _type(annotation: Any) -> pa.DataType:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin in (Union, UnionType):
        return _type(next(a for a in arguments if a is not NoneType))
    if origin is list:
        return pa.list_(_type(arguments[0]))
    if origin is Literal:
        return _type(type(arguments[0]))
    if issubclass(annotation, BaseModel):
        return pa.struct(_fields(annotation))
    return {str: pa.string(), int: pa.int64(), float: pa.float64()}[annotation]
