"""A run directory: what lies in it, who holds it, and whether a run may go on in it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streammm.building.identity import identity
from streammm.config import Config, load
from streammm.errors import ConfigError
from streammm.media.address import public_name
from streammm.sinks.files import Files, set_aside

if TYPE_CHECKING:
    from streammm.journal import Journal

JOURNAL_FILE = "journal.sqlite"

_FILES = ("results.jsonl", "quarantine.jsonl", "events.jsonl")
"""What is written of the journal's entries."""


def journal_url(path: Path, config: Config) -> tuple[str, str]:
    """Where the journal of a run directory is: a URL, and the schema in databases that have some."""
    schema = re.sub(r"[^a-z0-9]+", "_", path.resolve().name.lower()).strip("_")
    return config.output.journal or f"sqlite:///{path / JOURNAL_FILE}", f"streammm_{schema}"


def files_of(path: Path) -> Files:
    """The sink that writes the files of a run directory."""
    return Files(*(path / name for name in _FILES))


class RunDirectory:
    """Holds a run directory for this process: one run at a time works in it.

    Nothing in it is changed before `begin`.

    Args:
        path: the directory; made if it is not there.
        config: what is to be run in it.
        fresh: start anew, whatever is there.

    Raises:
        ConfigError: it cannot be written, another process works in it, or what it holds was made with other settings.
    """

    def __init__(self, path: Path, config: Config, fresh: bool = False) -> None:
        self.path = path
        self.results = path / _FILES[0]
        self.owner = secrets.token_hex(8)
        self.url, self.schema = journal_url(path, config)
        self._config = config
        self._fresh = fresh
        self._identity = identity(config)
        self.num_forgotten = 0
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass  # what cannot be written is said now, not after hours
            self._lock = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise ConfigError(f"cannot write to {path}: {error.strerror or error}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.is_resumed = not fresh and self._check_identity()
        except BlockingIOError:
            os.close(self._lock)
            raise ConfigError(f"another run works in {path}; streammm status {path} shows it") from None
        except ConfigError:
            os.close(self._lock)
            raise

    def begin(self, sources: Sequence[str] = (), retry_quarantined: bool = False) -> int:
        """Takes the directory and its journal over.

        Args:
            sources: what the user named, to go on with when nothing is named.
            retry_quarantined: do again what was given up.

        Returns:
            How many sources that were given up will be tried again.
        """
        journal = _open(self.url, self.schema, self.owner)
        try:
            if not self.is_resumed:
                journal.clear()
                for name in (*_FILES, "config.yaml"):
                    set_aside(self.path / name)
            journal.own()
            journal.put_meta("identity", self._identity)
            # No row depends on what is filtered: it may change, and what was left out is looked at again.
            if journal.meta("filter") != (chosen := _filter(self._config)):
                journal.retry_skipped("filtered")
                journal.put_meta("filter", chosen)
            if sources:
                journal.put_meta("sources", list(sources))
            num_retried = 0
            if retry_quarantined and (num_retried := journal.retry_quarantined(("files", "observer"))):
                for name in _FILES:
                    (self.path / name).unlink(missing_ok=True)  # written anew from the journal
        finally:
            journal.close()
        (self.path / "config.yaml").write_text(self._config.to_yaml(), encoding="utf-8")
        return num_retried

    def without_forgotten(self, found: Iterable[Any], named: Sequence[str]) -> Iterator[Any]:
        """What is listed, without sources that were forgotten here; those that a user names one by one come back.

        ``num_forgotten`` counts what was left out.
        """
        if self._config.output.journal is None and not (self.path / JOURNAL_FILE).exists():
            yield from found
            return
        journal = _open(self.url, self.schema)
        try:
            journal.take_again(map(public_name, named))
            is_forgotten = journal.forgotten()
            for item in found:
                name = public_name(item) if isinstance(item, str) else item.source
                if is_forgotten(name):
                    self.num_forgotten += 1
                else:
                    yield item
        finally:
            journal.close()

    def files(self) -> Files:
        """The sink that writes this directory's files."""
        return files_of(self.path)

    def close(self) -> None:
        """Lets others work in it."""
        os.close(self._lock)

    def _check_identity(self) -> bool:
        """Whether there is a run to go on with; one that was made otherwise must not be mixed with ours."""
        if self._config.output.journal is None and not (self.path / JOURNAL_FILE).exists():
            return False
        journal = _open(self.url, self.schema)
        try:
            before = journal.meta("identity")
        finally:
            journal.close()
        if before is None:
            return False
        if changes := list(_changes(before, self._identity)):
            raise ConfigError(
                f"{self.path} holds a run with other settings:\n  " + "\n  ".join(changes) + "\n"
                "use them again, or --fresh to start anew, or another --out"
            )
        return True


@contextmanager
def held(path: Path) -> Iterator[tuple[Config, tuple[str, str]]]:
    """Holds a directory in which no run works now: the configuration of its run, and where its journal is.

    Raises:
        ConfigError: it holds no run, or one works in it.
    """
    config, journal = journal_of(path)
    journal.close()
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield config, journal_url(path, config)
    except BlockingIOError:
        raise ConfigError(f"a run works in {path}, and delivers") from None
    finally:
        os.close(handle)


def precision_of(path: Path) -> str | None:
    """The ``runtime.precision`` of the run in a directory, which one that goes on must have; None if it holds none."""
    try:
        return config_of(path).runtime.precision
    except ConfigError:
        return None


def is_held(path: Path) -> bool:
    """Whether a run works in a directory now, on this machine."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def earlier(path: Path) -> tuple[Config, list[str]]:
    """The configuration and the sources of the run that a directory holds, to go on with.

    Raises:
        ConfigError: it holds none.
    """
    config, journal = journal_of(path)
    try:
        sources = journal.meta("sources")
    finally:
        journal.close()
    if not sources:
        raise ConfigError(f"name the sources: those of {path} are not stored, since they hold secrets or are a pipe")
    return config, list(sources)


def status_of(path: Path) -> dict[str, Any]:
    """How the run in a directory stands: see `Journal.summary`; ``progress`` is what it last told of itself.

    Raises:
        ConfigError: it holds no run.
    """
    _, journal = journal_of(path)
    try:
        return {
            **journal.summary(),
            "sinks": journal.sinks(),
            "is_running": is_held(path),
            "progress": journal.meta("progress"),
        }
    finally:
        journal.close()


def done_in(path: Path) -> tuple[Config, dict[str, float]]:
    """The configuration of the run in a directory, and sources that it has done; see `Journal.done`.

    Raises:
        ConfigError: it holds no run.
    """
    config, journal = journal_of(path)
    try:
        return config, journal.done()
    finally:
        journal.close()


def journal_of(path: Path) -> tuple[Config, Journal]:
    """The configuration of the run in a directory, and its journal, which the caller closes.

    Raises:
        ConfigError: it holds no run.
    """
    config = config_of(path)
    return config, _journal_of(path, config)


def config_of(path: Path) -> Config:
    """The configuration of the run in a directory.

    Raises:
        ConfigError: it holds none.
    """
    if not (file := path / "config.yaml").exists():
        raise ConfigError(f"{path} holds no run")
    return load(file)


def _journal_of(path: Path, config: Config) -> Journal:
    if config.output.journal is None and not (path / JOURNAL_FILE).exists():
        raise ConfigError(f"{path} holds no journal")
    return _open(*journal_url(path, config))


def _open(*where: str) -> Journal:
    from streammm.journal import Journal  # not needed to begin: workers load while it is imported

    return Journal(*where)


def _filter(config: Config) -> dict[str, Any]:
    return config.sources.model_dump(mode="json", include={"min_seconds", "max_seconds", "require"})


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = [
        f"{key}: was {_short(before.get(key))}, is {_short(now.get(key))}"
        for key in dict.fromkeys([*before, *now])
        if before.get(key) != now.get(key)
    ]
    return sorted(found)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + "..."
