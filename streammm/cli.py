"""The command line: `streammm run`, `deliver`, `relabel`, `find`, `status`, `plan`, `probe`, `train` and the rest."""

from __future__ import annotations

import faulthandler
import os
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from streammm import cli_labels, cli_look, cli_privacy, cli_report, cli_runs, cli_training
from streammm.cli_options import (
    INTERRUPTED,
    MISTAKE,
    OK,
    SOME_FAILED,
    Addresses,
    ConfigFile,
    Labels,
    ModelDirectory,
    Settings,
)
from streammm.config import load
from streammm.errors import ConfigError, StreammmError
from streammm.media.address import public_name

if TYPE_CHECKING:
    from streammm.sinks.console import ConsoleReport

_LISTEN = "127.0.0.1:8420"
"""Where the page of a run is, where nothing else is said."""

app = typer.Typer(
    name="streammm",
    help="Says what is seen, heard and said, segment by segment, in video files and live streams.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_out = Console()
_err = Console(stderr=True)


def main() -> None:
    """Entry point of the `streammm` command."""
    if sys.__stderr__ is not None and not faulthandler.is_enabled():
        faulthandler.enable(sys.__stderr__)  # a library that crashes says where
    try:
        app(_join_watch(_join_ray(sys.argv[1:])))
    except StreammmError as error:
        _err.print(Text.assemble(("error", "bold red"), f" {error}"), soft_wrap=True)
        _leave(MISTAKE)
    except BrokenPipeError:  # the reader of our standard output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(OK)


def _leave(code: int) -> NoReturn:
    """Ends the process, without waiting for threads that are still in the middle of something."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _join_ray(arguments: list[str]) -> list[str]:
    """Lets --ray stand alone or before an address: what follows it is an address only if it looks like one."""
    joined: list[str] = []
    for i, argument in enumerate(arguments):
        if i and joined and joined[-1] == "--ray=" + argument:
            continue
        if argument != "--ray":
            joined.append(argument)
            continue
        following = arguments[i + 1] if i + 1 < len(arguments) else ""
        is_address = re.fullmatch(r"auto|local|(ray://)?[\w.-]+:\d+", following) and not Path(following).exists()
        joined.append(f"--ray={following if is_address else os.environ.get('RAY_ADDRESS', 'local')}")
    return joined


def _join_watch(arguments: list[str]) -> list[str]:
    """Lets --watch stand alone or before [HOST:]PORT."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--watch":
            is_address = re.fullmatch(r"([\w.-]+:|\[[0-9a-fA-F:]+\]:)?\d{1,5}", argument)
            joined[-1] = f"--watch={argument if is_address else _LISTEN}"
            if is_address:
                continue
        joined.append(argument)
    return [f"--watch={_LISTEN}" if argument == "--watch" else argument for argument in joined]


def _version(wanted: bool) -> None:
    if wanted:
        from streammm import __version__

        typer.echo(f"streammm {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
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
        typer.Option(metavar="[[HOST:]PORT]", help=f"Show the run on a page while it goes on. Alone: at {_LISTEN}."),
    ] = None,
) -> None:
    """Classify files and live streams segment by segment."""
    place = time.strftime("runs/%Y%m%d-%H%M%S") if out is None and sources else out
    what = _What(sources, labels, model, config_file, settings, to)
    watched = None if watch is None else _Watched(watch)
    _run(what, place, ray, watched, metrics=metrics, fresh=fresh, retry_quarantined=retry_quarantined)


@app.command(name="watch")
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
            f"made and printed. Default: {_LISTEN}.",
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
    shown = listen or (None if terminal else _LISTEN)
    what = _What(sources, labels, model, config_file, settings, to)
    _run(what, out, ray, _Watched(shown, terminal, stays_open=True))


@dataclass(frozen=True, slots=True)
class _What:
    """What is to be done, as it stands on the command line."""

    sources: list[str] | None
    labels: str | None
    model: Path | None
    config_file: Path | None
    settings: list[str] | None
    to: list[str] | None


@dataclass(frozen=True, slots=True)
class _Watched:
    """Where a run is shown, and whether it goes on until it is ended."""

    listen: str | None
    on_terminal: bool = False
    stays_open: bool = False


def _run(
    what: _What,
    out: str | None,
    ray: str | None,
    watched: _Watched | None,
    *,
    metrics: str | None = None,
    fresh: bool = False,
    retry_quarantined: bool = False,
) -> None:
    from streammm.building.decoding import listing_options
    from streammm.building.precision import with_precision
    from streammm.media.listing import list_sources
    from streammm.retention import Retention
    from streammm.run_directory import RunDirectory, earlier, precision_of
    from streammm.sinks.console import ConsoleReport
    from streammm.sinks.files import Files, Lines
    from streammm.sinks.open import open_outlets, with_sinks
    from streammm_workers import engine
    from streammm_workers.exporters import Exporter
    from streammm_workers.observers import Observers
    from streammm_workers.plan import Observer

    stays_open = watched is not None and watched.stays_open
    place = Path(out or "-")
    is_directory = out not in ("-", None) and place.suffix != ".jsonl"
    config_of_earlier = None
    sources, config_file = what.sources, what.config_file
    may_be_empty = stays_open and not (is_directory and (place / "config.yaml").exists())
    if not sources and not may_be_empty:
        if out is None or not is_directory:
            raise ConfigError("name a source, or with --out the directory of a run to go on with")
        config_of_earlier, sources = earlier(place)
    consent = ""
    if config_of_earlier is not None and config_file is None:
        config_file = place / "config.yaml"
        consent = f"--config {shlex.quote(str(config_file))}"
    model = None if what.model is None else str(what.model)
    config = load(config_file, what.settings or (), labels=what.labels, model=model)
    config = with_sinks(config, what.to or ())
    outlets = open_outlets(config, consent)
    prints_rows = out == "-" or any(outlet.name == "-" for outlet in outlets)
    if out == "-" and any(sink.to == "-" for sink in config.sinks):
        raise ConfigError("--out - and a sink at - would both write to standard output")
    if not is_directory and (fresh or retry_quarantined or config.output.journal):
        raise ConfigError("--fresh, --retry-quarantined and output.journal are for run directories")
    if not is_directory and (config.retention.max_age_days or config.retention.max_size_mb):
        raise ConfigError("retention is for run directories")
    sources = sources or []
    names = list_sources(sources, listing_options(config))
    first = list(islice(names, engine.PEEK))
    if not first and not may_be_empty:
        raise ConfigError(f"no media files in {', '.join(sources)}")
    listed: Iterator[Any] = chain(first, names)
    config = with_precision(
        config, precision_of(place) if is_directory and not fresh else None, is_here=ray in (None, "local")
    )
    with ExitStack() as stack:
        workers = stack.enter_context(engine.workers(config, first, ray))
        where = ""
        directory = None
        if out is None:
            target = engine.Place(outlets=outlets)
        elif out == "-":
            target = engine.Place(sinks=[Lines(sys.stdout)], outlets=outlets)
        elif not is_directory:
            _check_writable(place)
            beside = (place.with_suffix(f".{kind}.jsonl") for kind in ("quarantine", "events"))
            target = engine.Place(sinks=[Files(place, *beside, keeps_empty=False)], outlets=outlets)
            where = f"; rows are in {place}"
        else:
            directory = RunDirectory(place, config, fresh)
            stack.callback(directory.close)
            stored = [] if any(public_name(s) != s or s == "-" for s in sources) else sources
            target = engine.Place(
                (directory.url, directory.schema, directory.owner),
                [directory.files()],
                lambda: directory.begin(stored, retry_quarantined),
                outlets,
                retention=Retention.of(place, config.retention),
            )
            listed = directory.without_forgotten(listed, sources)
            where = f"; rows are in {directory.results}"
        seen: Observer
        if watched is None:
            seen = report = ConsoleReport(_err)
        else:
            from streammm import cli_watch

            watching = cli_watch.Watching(config, watched.listen, watched.on_terminal, _err)
            stack.callback(watching.close)
            report = ConsoleReport(cli_watch.silent_console() if watched.on_terminal else _err)
            seen = Observers(report, watching.cards)
            target = replace(target, attend=watching.attend, stays_open=stays_open)
        stack.callback(report.close)
        observer = stack.enter_context(Exporter(seen, metrics, uses_ray=ray is not None))
        is_interrupted = False
        try:
            is_complete = engine.run_on(workers, listed, observer, target, report.stopping)
        except KeyboardInterrupt:
            is_interrupted, is_complete = True, False
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StreammmError(f"cannot write rows: {error.strerror or error}") from error
    if not prints_rows:
        if not stays_open:
            _out.print(report.table())
            _out.print()
        _out.print(report.summary() + where, highlight=False, markup=False, soft_wrap=True)
    if directory is not None and directory.num_forgotten:
        left_out = f" left out, forgotten by streammm forget: {directory.num_forgotten}; name them to take them again"
        _err.print(Text.assemble(("skipped", "bold yellow"), left_out), soft_wrap=True)
    _tell_undelivered(report, place if is_directory else None)
    if not is_complete and stays_open and not is_interrupted and not is_directory:
        raise typer.Exit(SOME_FAILED if report.undelivered else OK)  # it was ended as it is meant to be
    if not is_complete:
        how = "stopped at once" if is_interrupted else "stopped"
        has_commands = any(alert.command for alert in config.alerts)
        again = _resume(place, ray, has_commands)
        resume = "rows made so far are kept" if not is_directory else f"go on with: {again}"
        _err.print(Text.assemble((how, "bold yellow"), f" {resume}"), soft_wrap=True)
        _leave(INTERRUPTED)
    raise typer.Exit(SOME_FAILED if report.num_failed or report.undelivered else OK)


def _tell_undelivered(report: ConsoleReport, place: Path | None) -> None:
    for name, count in report.undelivered.items():
        entries = "1 entry" if count == 1 else f"{count} entries"
        how = f"streammm deliver {shlex.quote(str(place))} sends them" if place else "only a run directory keeps them"
        detail = f" {entries} for {name}: {report.why_undelivered(name)}; {how}"
        _err.print(Text.assemble(("undelivered", "bold yellow"), detail), soft_wrap=True)


def _resume(place: Path, ray: str | None, runs_commands: bool) -> str:
    again = ["streammm", "run", "--out", str(place), *([f"--ray={ray}"] if ray else [])]
    return shlex.join([*again, *(["--config", str(place / "config.yaml")] if runs_commands else [])])


def _check_writable(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass  # what cannot be written is said now, not after hours
    except OSError as error:
        raise ConfigError(f"cannot write to {path}: {error.strerror or error}") from error


@app.command()
def deliver(
    run_directory: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Directory of a run.")],
    to: Addresses = None,
    seconds: Annotated[
        float | None,
        typer.Option(min=0.0, help="How long a sink that cannot be reached is tried. Default: output.deliver_seconds."),
    ] = None,
    retry_refused: Annotated[
        bool, typer.Option("--retry-refused", help="Offer what a sink would not take once more.")
    ] = False,
    commands: Annotated[
        bool, typer.Option("--commands", help="Run the commands that the alerts of the run name.")
    ] = False,
) -> None:
    """Deliver what a run has made and its sinks, or those at other addresses, have not yet; nothing is done again."""
    from streammm.run_directory import held
    from streammm.sinks.console import ConsoleReport
    from streammm.sinks.open import open_outlets, with_sinks
    from streammm_workers import delivery

    with held(run_directory) as (config, journal), ExitStack() as stack:
        outlets = open_outlets(with_sinks(config, to or ()), "" if commands else "--commands")
        if not outlets:
            raise ConfigError(f"the run in {run_directory} has no sinks or alerts; name a sink with --to")
        report = ConsoleReport(_err)
        stack.callback(report.close)
        states: dict[str, dict[str, Any]] = {}

        def tell(found: dict[str, dict[str, Any]]) -> None:
            states.update(found)
            report.outlets(found)

        patience = config.output.deliver_seconds if seconds is None else seconds
        try:
            report.undelivered = delivery.deliver(journal, outlets, patience, tell, retry_refused)
        except KeyboardInterrupt:
            _leave(INTERRUPTED)
    for name, state in states.items():
        refused = f", {state['refused']} refused" if state["refused"] else ""
        _err.print(f"{name}: {state['delivered']} delivered{refused}", highlight=False, markup=False, soft_wrap=True)
    _tell_undelivered(report, run_directory)
    raise typer.Exit(SOME_FAILED if report.undelivered else OK)


for command in (
    cli_look.schema,
    cli_look.status,
    cli_report.report,
    cli_privacy.forget,
    cli_look.plan,
    cli_look.probe,
    cli_look.models,
    cli_runs.relabel,
    cli_runs.find,
    cli_labels.calibrate,
    cli_training.train,
    cli_training.evaluate,
):
    app.command()(command)
app.command(name="config")(cli_look.show_config)
