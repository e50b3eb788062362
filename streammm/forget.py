"""Removes every trace of sources from a run: journal, files, sinks, reports and what training has kept of them.

What cannot be removed from here is told, never passed over: messages that were sent, sinks that cannot be reached,
files of others that hold the name.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from streammm.config import Config
from streammm.config.sinks import SinkConfig
from streammm.encoders.cache import cache_folder
from streammm.errors import ConfigError, StreammmError
from streammm.journal import Journal
from streammm.media.address import is_address
from streammm.run_directory import files_of, held
from streammm.sinks.open import open_outlets
from streammm.sinks.removing import Forgets
from streammm.training.features import FeatureCache

_OWN_SINKS = ("files", "observer")
_FEATURES = "features"


@dataclass(slots=True)
class Forgotten:
    """What became of it: ``removed`` by place and kind, and in words what is not removed."""

    removed: dict[str, dict[str, int]] = field(default_factory=dict)
    remaining: list[str] = field(default_factory=list)

    def note(self, place: str, kind: str, count: int) -> None:
        """Notes that so many were removed from a place."""
        if count:
            counts = self.removed.setdefault(place, {})
            counts[kind] = counts.get(kind, 0) + count


def forget(run_directory: Path, names: Sequence[str], *, media: Path | None = None, dry_run: bool = False) -> Forgotten:
    """Removes sources from a run; may be repeated, and then does what it could not do before.

    The journal comes last, so that whoever is killed here finds everything to do again.

    Args:
        run_directory: of the run; none may work in it.
        names: of the sources, as its rows have them.
        media: folder that they lie in, where they are not found from here.
        dry_run: only find out what would be removed.

    Raises:
        ConfigError: the directory holds no run, or one works in it.
        StreammmError: the journal or a file cannot be written.
    """
    found = Forgotten()
    try:
        with held(run_directory) as (config, place), closing(Journal(*place)) as journal:
            _forget_features(found, names, media, dry_run)
            _forget_sinks(found, config, journal, names, dry_run)
            _forget_in_directory(found, run_directory, journal, names, dry_run)
            _find_remains(found, run_directory, names, dry_run)
    except OSError as error:
        raise StreammmError(f"cannot remove: {error.filename or run_directory}: {error.strerror or error}") from error
    return found


def _forget_in_directory(
    found: Forgotten, run_directory: Path, journal: Journal, names: Sequence[str], dry_run: bool
) -> None:
    position, mark = journal.sink("files")
    num_lines, mark = files_of(run_directory).forget(names, mark, dry_run)
    found.note(str(run_directory), "lines", num_lines)
    counts = journal.count_of(names) if dry_run else journal.forget(names)
    for kind, count in counts.items():
        found.note("journal", kind, count)
    if not dry_run:
        journal.advance("files", position, mark)
        journal.tidy()
    for path in (run_directory / "report.html", run_directory / "report_sources"):
        if path.exists() and (counts or num_lines):
            found.note(str(path), "report", 1)
            if not dry_run:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _forget_sinks(found: Forgotten, config: Config, journal: Journal, names: Sequence[str], dry_run: bool) -> None:
    """Has every sink that the run ever delivered to forget, those of `streammm deliver` included."""
    sinks = list(config.sinks)
    known = {*_OWN_SINKS, *(sink.name or sink.to for sink in sinks), *(alert.title for alert in config.alerts)}
    sinks += [SinkConfig(to=name) for name in journal.sinks() if name not in known]
    found.remaining += [f"{alert.title}: alerts that were sent cannot be taken back" for alert in config.alerts]
    for sink in sinks:
        name = sink.name or sink.to
        try:
            (outlet,) = open_outlets(config.model_copy(update={"sinks": (sink,), "alerts": ()}))
        except ConfigError as error:
            found.remaining.append(f"{name}: {error}")
            continue
        if not isinstance(outlet, Forgets):
            found.remaining.append(f"{name}: what was sent there cannot be taken back")
            continue
        position, mark = journal.sink(name)
        try:
            count, new_mark = outlet.forget(names, mark, dry_run)
        except Exception as error:  # noqa: BLE001 - libraries raise whatever they do; the others are still to be done
            found.remaining.append(f"{name}: {type(error).__name__}: {error}")
            continue
        finally:
            outlet.close()
        found.note(name, "file" if "tracks" in type(outlet).__module__ else "entries", count)
        if new_mark != mark:
            journal.advance(name, position, new_mark)


def _forget_features(found: Forgotten, names: Sequence[str], media: Path | None, dry_run: bool) -> None:
    """Removes what training has kept, by content; and of extractions that were interrupted, by name."""
    folder = cache_folder() / _FEATURES
    if not any(folder.glob("*/*")):
        return
    cache = FeatureCache({})
    for name in names:
        source = name if is_address(name) else _file_of(name, media)
        if source is None:
            found.remaining.append(
                f"{folder}: what training may have kept of {name} is found by its bytes, and the file is not there"
            )
            continue
        paths = list(folder.glob(f"*/{cache.digest(source)}.safetensors"))
        found.note(str(folder), "features", len(paths))
        for path in () if dry_run else paths:
            path.unlink()
    for extraction in sorted(folder.glob("*/run-*")):
        if not (extraction / "config.yaml").exists():
            continue
        try:
            with held(extraction) as (_, place), closing(Journal(*place)) as journal:
                _forget_in_directory(found, extraction, journal, names, dry_run)
        except ConfigError as error:
            found.remaining.append(f"{extraction}: {error}")


def _file_of(name: str, media: Path | None) -> str | None:
    places = [media / name, media / Path(name).name] if media is not None else []
    return next((str(path) for path in (*places, Path(name)) if os.path.isfile(path)), None)


def _find_remains(found: Forgotten, run_directory: Path, names: Sequence[str], dry_run: bool) -> None:
    """Looks through what is left in the directory: files of others, and what a configuration names."""
    if dry_run:
        return
    forms = {
        form.encode()
        for name in names
        for form in (name, json.dumps(name)[1:-1], json.dumps(name, ensure_ascii=False)[1:-1], escape(name))
    }
    for path in sorted(run_directory.rglob("*")):
        if path.is_file() and any(form in (content := path.read_bytes()) for form in forms):
            del content
            found.remaining.append(f"{path}: it holds the name, and is none of the files that a run writes")
