"""The commands that do sources: `streammm run` and `streammm watch`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from streammm.cli.options import LISTEN, Addresses, ConfigFile, Labels, ModelDirectory, Settings
from streammm.errors import ConfigError


def run(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE...",
            help="Files, directories, patterns, @lists, addresses (s3://..., rtsp://...), - for a pipe. "
            "Default: as in --out.",
        ),
    ] = None,
    labels: Labels = None,
    model: ModelDirectory = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|FILE.jsonl|-",
            help="Run directory, file of rows, or - for rows on standard output. Default: runs/TIME. "
            "A run that was stopped goes on in its directory.",
        ),
    ] = None,
    to: Addresses = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew in a run directory that holds a run.")] = False,
    retry_quarantined: Annotated[
        bool, typer.Option("--retry-quarantined", help="Do again what was given up in this run directory.")
    ] = False,
    metrics: Annotated[
        str | None, typer.Option(metavar="[HOST:]PORT", help="Serve metrics for Prometheus while the run goes on.")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="[ADDRESS]", help="Work on Ray: alone starts one here, an address joins a cluster."),
    ] = None,
    watch: Annotated[
        str | None,
        typer.Option(metavar="[[HOST:]PORT]", help=f"Show the run on a page while it goes on. Alone: at {LISTEN}."),
    ] = None,
) -> None:
    """Classify files and live streams segment by segment."""
    from streammm.cli.order import Asked
    from streammm.cli.running import Watched, carry_out

    place = time.strftime("runs/%Y%m%d-%H%M%S") if out is None and sources else out
    asked = Asked(sources, labels, model, config_file, settings, to, place, fresh, retry_quarantined)
    carry_out(asked, ray, None if watch is None else Watched(watch), metrics)


def watch_sources(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE...", help="As for run; more can be added on the page."),
    ] = None,
    labels: Labels = None,
    model: ModelDirectory = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR|FILE.jsonl", help="Keep rows, as run does. Default: nothing is stored."),
    ] = None,
    to: Addresses = None,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT",
            help="Where the page is. Beyond this machine it needs a token: that of STREAMMM_TOKEN, or one that is "
            f"made and printed. Default: {LISTEN}.",
        ),
    ] = None,
    terminal: Annotated[
        bool, typer.Option("--terminal", help="Show the same here; the page only with --listen.")
    ] = False,
    ray: Annotated[str | None, typer.Option(metavar="[ADDRESS]", help="Work on Ray, as run does.")] = None,
) -> None:
    """Watch sources on a local page or on the terminal, until Ctrl-C; add, pause and remove them there."""
    if out == "-":
        raise ConfigError("--out - is for run")
    from streammm.cli.order import Asked
    from streammm.cli.running import Watched, carry_out

    shown = listen or (None if terminal else LISTEN)
    asked = Asked(sources, labels, model, config_file, settings, to, out, stays_open=True)
    carry_out(asked, ray, Watched(shown, terminal))
