"""A run directory -> its report: one file, or where there are many sources a list of them and a page for each."""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from streammm.config import Config
from streammm.errors import SourceError, StreammmError
from streammm.journal import DONE, QUARANTINED, TODO
from streammm.media.options import Limits
from streammm.media.process import ProcessPool
from streammm.report.page import render
from streammm.report.preview import Preview, find_media, preview
from streammm.report.run_facts import facts_of
from streammm.report.source_page import SourcePage, media_of, read_source
from streammm.run_directory import is_held, journal_of

MAX_SOURCES_A_FILE = 20
"""With more sources each has a page of its own, so that no file grows without bound."""

MAX_SOURCES = 10_000
"""So many sources have pages; the report says how many have not."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: the page to open, pages in all with their bytes, and media that could not be shown."""

    path: Path
    num_pages: int
    num_bytes: int
    num_sources: int
    num_left_out: int
    without_media: int
    unreadable: tuple[SourceError, ...]


class _Previews:
    """Reads media of sources, some at a time."""

    def __init__(self, config: Config, media: Path | None, wanted: bool) -> None:
        self._config = config
        self._media = media
        self._wanted = wanted
        limits = Limits(config.decode.memory_mb * 2**20, config.decode.progress_seconds, config.decode.segment_seconds)
        self._pool = ProcessPool(limits)
        self._num_workers = os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(self._num_workers, "preview")
        self._stop = threading.Event()
        self.without_media = 0
        self.unreadable: list[SourceError] = []

    def __enter__(self) -> _Previews:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._threads.shutdown(cancel_futures=True)
        self._pool.close()

    def beside(self, pages: Iterable[SourcePage]) -> Iterator[tuple[SourcePage, Path | None, Preview | None]]:
        """Each page with the file of its source and what that looks and sounds like, in their order."""
        waiting: deque[tuple[SourcePage, Path | None, Future[Preview] | None]] = deque()
        for page in pages:
            path = find_media(page.name, self._media) if page.timeline.starts else None
            self.without_media += path is None
            under_way = None
            if path is not None and self._wanted:
                end = page.timeline.seconds[1]
                under_way = self._threads.submit(preview, path, end, self._config, self._pool, self._stop)
            waiting.append((page, path, under_way))
            if len(waiting) > 2 * self._num_workers:
                yield self._take(*waiting.popleft())
        while waiting:
            yield self._take(*waiting.popleft())

    def _take(
        self, page: SourcePage, path: Path | None, under_way: Future[Preview] | None
    ) -> tuple[SourcePage, Path | None, Preview | None]:
        try:
            return page, path, under_way.result() if under_way is not None else None
        except SourceError as error:
            self.unreadable.append(error)
            return page, path, None


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which file shows what."""

    index: Path
    is_divided: bool

    @classmethod
    def of(cls, run_directory: Path, out: Path | None, num_sources: int) -> _Layout:
        out = run_directory / "report.html" if out is None else out
        is_file = out.suffix.lower() in (".html", ".htm")
        return cls(out if is_file else out / "index.html", not is_file or num_sources > MAX_SOURCES_A_FILE)

    @property
    def folder(self) -> Path:
        """Where pages of single sources lie."""
        return self.index.with_name(self.index.stem + "_sources")

    def page(self, number: int) -> Path:
        """The file in which a source is shown."""
        return self.folder / f"{number:05}.html" if self.is_divided else self.index

    def address(self, number: int) -> str:
        """The address of a source, seen from the index."""
        return f"{self.folder.name}/{number:05}.html" if self.is_divided else f"#source-{number}"


def write_report(
    run_directory: Path,
    out: Path | None = None,
    *,
    media: Path | None = None,
    previews: bool = True,
    on_source: Callable[[int, int], None] = lambda done, total: None,
) -> Written:
    """Writes the report of a run, also of one that goes on.

    Args:
        run_directory: of the run.
        out: the file (``.html``) or the folder to write. Default: ``report.html`` in the run directory.
        media: folder that relative sources lie in, where they are not found from here.
        previews: whether media is decoded again for its waveform and pictures.
        on_source: called after each source, with how many are done and how many there are.

    Raises:
        ConfigError: the directory holds no run.
        StreammmError: the report cannot be written.
    """
    config, journal = journal_of(run_directory)
    where, name = str(run_directory), run_directory.resolve().name
    listed: list[dict[str, Any]] = []
    inside: dict[str, Any] = {}
    num_bytes = 0
    with closing(journal), _Previews(config, media, previews) as shows:
        states = (state for state in journal.sources((TODO, DONE, QUARANTINED)) if state.counted.num_segments)
        chosen = list(islice(states, MAX_SOURCES))
        num_left_out = sum(1 for _ in states)
        layout = _Layout.of(run_directory, out, len(chosen))
        pages = (read_source(journal, state) for state in chosen)
        for number, (page, path, shown) in enumerate(shows.beside(pages), 1):
            file = layout.page(number)
            found = {f"source-{number}": page.to_json(media_of(page, path, file), shown)}
            listed.append(page.entry(layout.address(number)))
            if layout.is_divided:
                num_bytes += _write(file, render(page.name, where, found, index=f"../{layout.index.name}"))
            else:
                inside |= found
            on_source(number, len(chosen))
        facts = facts_of(journal, is_held(run_directory))
    text = render(name, where, inside, facts=facts, sources=listed, num_left_out=num_left_out)
    num_bytes += _write(layout.index, text)
    if layout.is_divided:
        _forget_later(layout.folder, len(chosen))
    return Written(
        layout.index,
        1 + layout.is_divided * len(chosen),
        num_bytes,
        len(chosen),
        num_left_out,
        shows.without_media,
        tuple(shows.unreadable),
    )


def _write(path: Path, text: str) -> int:
    """Writes a page whole or not at all; how many bytes it has."""
    data = text.encode(errors="backslashreplace")
    beside = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        raise StreammmError(f"cannot write {path}: {error.strerror or error}") from error
    return len(data)


def _forget_later(folder: Path, last: int) -> None:
    """Removes pages of an earlier report that had more of them."""
    for path in folder.iterdir():
        if re.fullmatch(r"\d{5}\.html", path.name) and int(path.stem) > last:
            path.unlink(missing_ok=True)
