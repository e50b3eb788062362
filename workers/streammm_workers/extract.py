"""Features for training: a run like any other, whose embeddings are kept and then filed by content."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence

from streammm.config import Config, load
from streammm.errors import ConfigError
from streammm.journal import EMBEDDINGS, Entry, Journal
from streammm.kept import kept_of
from streammm.run_directory import RunDirectory
from streammm.training.features import FeatureCache, Features
from streammm_workers import engine
from streammm_workers.observers import Observer

_READ_ENTRIES = 1000


def extract(
    config: Config, sources: Sequence[str], cache: FeatureCache, observer: Observer, ray_address: str | None = None
) -> bool:
    """Fills the cache with what it lacks of some sources; one that cannot be read is told to the observer.

    A run that was stopped is taken up again by the next call.

    Returns:
        Whether it came to its end; False if it was interrupted.
    """
    todo = [source for source in sources if source not in cache]
    if not todo:
        return True
    if config.privacy.keeps == "scores":
        raise ConfigError("training keeps embeddings, and privacy.keeps is scores: set it to embeddings")
    config = load(
        **config.model_dump(exclude={"labels", "model", "output", "sinks"}),
        labels=(),
        output={"embeddings": True},
    )
    name = hashlib.sha256("\0".join(sorted(todo)).encode(errors="backslashreplace")).hexdigest()[:16]
    directory = RunDirectory(cache.folder / f"run-{name}", config)
    try:
        place = engine.Place((directory.url, directory.schema, directory.owner), (), directory.begin)
        is_complete = engine.run(config, todo, observer, ray_address, place)
        journal = Journal(directory.url, directory.schema)
        try:
            for source in journal.done(limit=None):
                entries = _entries_of(journal, source)
                cache.put(Features.of(source, map(kept_of, entries)))
        finally:
            journal.close()
    finally:
        directory.close()
    if is_complete:
        shutil.rmtree(directory.path)
    return is_complete


def _entries_of(journal: Journal, source: str) -> Iterator[Entry]:
    position = 0
    while entries := journal.read(position, _READ_ENTRIES, source=source, kind=EMBEDDINGS):
        yield from entries
        position = entries[-1].position
