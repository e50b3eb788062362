"""Where the rows of a run go: a run directory, a file, standard output or nowhere."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from streammm.cli.order import Order
from streammm.config import Config
from streammm.errors import ConfigError
from streammm.media.address import public_name
from streammm.retention import Retention
from streammm.run_directory import RunDirectory
from streammm.sinks.files import Files, Lines
from streammm_workers.engine import Place


@dataclass(frozen=True, slots=True)
class Output:
    """What the engine is told of it, what is said of it at the end, and the run directory where it is one."""

    place: Place
    where: str = ""
    directory: RunDirectory | None = None


@contextmanager
def opened(order: Order, config: Config) -> Iterator[Output]:
    """The output of a run, held for as long as it goes on; no earlier run is changed before the engine begins.

    Raises:
        ConfigError: it cannot be written, or another run works there.
    """
    asked, outlets = order.asked, order.outlets
    if asked.out is None:
        yield Output(Place(outlets=outlets))
    elif asked.out == "-":
        yield Output(Place(sinks=[Lines(sys.stdout)], outlets=outlets))
    elif not asked.is_directory:
        _check_writable(asked.place)
        beside = (asked.place.with_suffix(f".{kind}.jsonl") for kind in ("quarantine", "events"))
        files = Files(asked.place, *beside, keeps_empty=False)
        yield Output(Place(sinks=[files], outlets=outlets), f"; rows are in {asked.place}")
    else:
        with closing(RunDirectory(asked.place, config, asked.fresh)) as directory:
            yield _in_directory(directory, order, config)


def _in_directory(directory: RunDirectory, order: Order, config: Config) -> Output:
    has_secret = any(public_name(source) != source or source == "-" for source in order.sources)
    stored = [] if has_secret else order.sources
    place = Place(
        (directory.url, directory.schema, directory.owner),
        [directory.files()],
        lambda: directory.begin(stored, order.asked.retry_quarantined),
        order.outlets,
        retention=Retention.of(order.asked.place, config.retention),
    )
    return Output(place, f"; rows are in {directory.results}", directory)


def _check_writable(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass  # what cannot be written is said now, not after hours
    except OSError as error:
        raise ConfigError(f"cannot write to {path}: {error.strerror or error}") from error
