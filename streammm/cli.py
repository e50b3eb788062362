"""The command line: `streammm run`, `probe`, `models`, `config`."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from streammm.config import explained, load
from streammm.errors import ConfigError, SourceError, StreammmError
from streammm.sinks.files import RunFiles
from streammm.sinks.jsonl import JsonLines
from streammm.types import Classification, SourceReport

if TYPE_CHECKING:
    from streammm.sinks.console import ConsoleReport

OK, SOME_FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130

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
    try:
        app(_join_ray(sys.argv[1:]))
    except StreammmError as error:
        _err.print(Text.assemble(("error", "bold red"), f" {error}"), soft_wrap=True)
        sys.exit(MISTAKE)
    except BrokenPipeError:  # the reader of our standard output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(OK)


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


Sources = Annotated[
    list[str],
    typer.Argument(metavar="SOURCE...", help="Files, directories, patterns, addresses (rtsp://...), - for a pipe."),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Configuration in YAML.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as segment.length_seconds=4.")
]


@app.command()
def run(
    sources: Sources,
    labels: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="What to look and listen for, in any words.")
    ] = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|FILE.jsonl|-",
            help="Run directory, file of rows, or - for rows on standard output. Default: runs/TIME.",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="[ADDRESS]", help="Work on Ray: alone starts one here, an address joins a cluster."),
    ] = None,
) -> None:
    """Classify files and live streams segment by segment."""
    from streammm.media.source import expand
    from streammm.sinks.console import ConsoleReport
    from streammm_workers import engine

    config = load(config_file, settings or (), labels=labels)
    names = list(expand(sources))
    if not names:
        raise ConfigError(f"no media files in {', '.join(sources)}")
    with ExitStack() as stack:
        sink: RunFiles | JsonLines
        if out == "-":
            sink = JsonLines(sys.stdout)
        else:
            place = Path(out) if out is not None else Path("runs", time.strftime("%Y%m%d-%H%M%S"))
            sink = stack.enter_context(RunFiles(place, config.to_yaml()))
        report = ConsoleReport(_err, names)
        stack.callback(report.close)
        interrupted = False
        try:
            engine.run(config, names, _Observer(sink, report), ray)
            if isinstance(sink, RunFiles):
                sink.begin()  # a run without a row has its files too
        except KeyboardInterrupt:
            interrupted = True
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StreammmError(f"cannot write rows: {error.strerror or error}") from error
    if out != "-":
        _out.print(report.table())
        _out.print()
        where = f"; rows are in {sink.results}" if isinstance(sink, RunFiles) else ""
        _out.print(report.summary() + where, highlight=False, markup=False, soft_wrap=True)
    if interrupted:
        _err.print("[bold yellow]interrupted[/] rows made so far are kept")
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(SOME_FAILED if report.num_failed else OK)


class _Observer:
    """Passes what a run tells to the sink and the terminal."""

    def __init__(self, sink: RunFiles | JsonLines, report: ConsoleReport) -> None:
        self._sink = sink
        self._report = report

    def rows(self, rows: Sequence[Classification]) -> None:
        self._sink.write(rows)
        self._report.rows(rows)

    def finished(self, report: SourceReport) -> None:
        self._report.finished(report)

    def failed(self, error: SourceError, num_rows: int) -> None:
        if isinstance(self._sink, RunFiles):
            self._sink.write_failure(error)
        self._report.failed(error)


@app.command()
def probe(
    sources: Sources,
    config_file: ConfigFile = None,
    settings: Settings = None,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each source.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Decode all of it to look for damage, not the start.")] = False,
) -> None:
    """Show what sources hold and what would be made of them: streams, real frame rate, damage, segments, advice."""
    from streammm.build import decode_options
    from streammm.media.look import probe as look
    from streammm.media.source import expand
    from streammm.probe_table import render

    options = decode_options(load(config_file, settings or ()))
    num_failed = 0
    for name in expand(sources):
        try:
            found = look(name, options, decode_seconds=float("inf") if deep else 10.0)
        except SourceError as error:
            num_failed += 1
            if as_json:
                typer.echo(json.dumps({"source": error.source, "reason": error.reason, "detail": error.detail}))
            else:
                _err.print(Text.assemble(("unreadable", "bold yellow"), f" {error}"), soft_wrap=True)
        else:
            if as_json:
                typer.echo(json.dumps(found.to_json(), ensure_ascii=False))
            else:
                _out.print(render(found), highlight=False)
    raise typer.Exit(SOME_FAILED if num_failed else OK)


@app.command()
def models() -> None:
    """List the encoders: what each works on, its size, its licence and whether its weights are installed."""
    from streammm.encoders.weights import MODELS

    for model in MODELS.values():
        installed = "" if model.is_installed else "  [bold yellow]not installed[/]"
        _out.print(
            f"[bold]{model.name}[/]  {model.modality}, {model.title}{installed}", highlight=False, soft_wrap=True
        )
        size = f"{model.num_parameters / 1e6:.1f} million parameters, {model.size_bytes / 1e6:.1f} MB"
        _out.print(f"  {size}, from the package {model.distribution}", highlight=False, soft_wrap=True)
        _out.print(f"  licence: {model.licence}. {model.licence_note}", style="dim", highlight=False, soft_wrap=True)


@app.command(name="config")
def show_config(
    config_file: ConfigFile = None,
    settings: Settings = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say above every key what it means.")] = False,
) -> None:
    """Print the resolved configuration in YAML."""
    config = load(config_file, settings or ())
    typer.echo(explained(config) if explain else config.to_yaml(), nl=False)
