"""Takes lines out of files that were written: a file is written anew beside the old one and replaces it whole."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

_SET_ASIDE = r"\.\d{8}-\d{6}(-\d+)?"
"""What `files.set_aside` puts into a name."""


@runtime_checkable
class Forgets(Protocol):
    """An outlet that can take back what it was told of some sources."""

    def forget(self, sources: Collection[str], mark: Any, dry_run: bool = False) -> tuple[int, Any]:
        """Takes back all of some sources, also what other runs wrote there.

        Args:
            sources: their public names.
            mark: what `write` returned last.
            dry_run: only count.

        Returns:
            How many entries or files that are, and the mark in place of the old one.
        """


def rewrite(path: Path, pieces: Iterable[bytes]) -> int:
    """Puts other content in the place of a file's, whole or not at all; its size."""
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        beside.chmod(path.stat().st_mode & 0o777)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return size


def take_out(
    path: Path, records: Callable[[Path], Iterator[tuple[str, bytes]]], sources: Collection[str], dry_run: bool
) -> tuple[int, int]:
    """Takes the records of some sources out of a file, which stays as it is if there are none.

    Returns:
        How many there were, and its size.
    """
    count = sum(source in sources for source, _ in records(path))
    if not count or dry_run:
        return count, path.stat().st_size
    return count, rewrite(path, (piece for source, piece in records(path) if source not in sources))


def copies(path: Path) -> list[Path]:
    """What was set aside of a file."""
    if not path.parent.is_dir():
        return []
    pattern = re.compile(re.escape(path.stem) + _SET_ASIDE + re.escape(path.suffix))
    return sorted(one for one in path.parent.iterdir() if pattern.fullmatch(one.name))
