"""What a run is asked for on the command line, checked and completed with what its directory holds."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streammm.config import Config, load
from streammm.errors import ConfigError
from streammm.run_directory import earlier
from streammm.sinks.base import Outlet
from streammm.sinks.open import open_outlets, with_sinks


@dataclass(frozen=True, slots=True)
class Asked:
    """What stands on the command line; ``stays_open`` if the run goes on until it is ended."""

    sources: list[str] | None
    labels: str | None
    model: Path | None
    config_file: Path | None
    settings: list[str] | None
    to: list[str] | None
    out: str | None
    fresh: bool = False
    retry_quarantined: bool = False
    stays_open: bool = False

    @property
    def place(self) -> Path:
        """Where rows go."""
        return Path(self.out or "-")

    @property
    def is_directory(self) -> bool:
        """Whether that is a run directory."""
        return self.out not in ("-", None) and self.place.suffix != ".jsonl"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done; without a source only where ``may_be_empty``."""

    asked: Asked
    sources: list[str]
    config: Config
    outlets: Sequence[Outlet]
    may_be_empty: bool

    @property
    def prints_rows(self) -> bool:
        """Whether standard output is for rows alone."""
        return self.asked.out == "-" or any(outlet.name == "-" for outlet in self.outlets)


def order_of(asked: Asked) -> Order:
    """Completes what is asked for.

    Raises:
        ConfigError: it does not fit together, or there is nothing to go on with.
    """
    sources, config_file, consent = asked.sources, asked.config_file, ""
    may_be_empty = asked.stays_open and not (asked.is_directory and (asked.place / "config.yaml").exists())
    if not sources and not may_be_empty:
        if not asked.is_directory:
            raise ConfigError("name a source, or with --out the directory of a run to go on with")
        _, sources = earlier(asked.place)
        if config_file is None:
            config_file = asked.place / "config.yaml"
            consent = f"--config {shlex.quote(str(config_file))}"
    model = None if asked.model is None else str(asked.model)
    config = with_sinks(load(config_file, asked.settings or (), labels=asked.labels, model=model), asked.to or ())
    outlets = open_outlets(config, consent)
    _check(asked, config)
    return Order(asked, sources or [], config, outlets, may_be_empty)


def _check(asked: Asked, config: Config) -> None:
    if asked.out == "-" and any(sink.to == "-" for sink in config.sinks):
        raise ConfigError("--out - and a sink at - would both write to standard output")
    if asked.is_directory:
        return
    if asked.fresh or asked.retry_quarantined or config.output.journal:
        raise ConfigError("--fresh, --retry-quarantined and output.journal are for run directories")
    if config.retention.max_age_days or config.retention.max_size_mb:
        raise ConfigError("retention is for run directories")
