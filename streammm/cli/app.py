"""The command line: `streammm run`, `deliver`, `relabel`, `find`, `status`, `plan`, `probe`, `train` and the rest."""

from __future__ import annotations

import faulthandler
import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from streammm.cli import deliver, labels, look, privacy, report, run, runs, training
from streammm.cli.options import LISTEN, MISTAKE, OK, leave
from streammm.errors import StreammmError

app = typer.Typer(
    name="streammm",
    help="Says what is seen, heard and said, segment by segment, in video files and live streams.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_err = Console(stderr=True)


def main() -> None:
    """Entry point of the `streammm` command."""
    if sys.__stderr__ is not None and not faulthandler.is_enabled():
        faulthandler.enable(sys.__stderr__)  # a library that crashes says where
    try:
        app(_join_watch(_join_ray(sys.argv[1:])))
    except StreammmError as error:
        _err.print(Text.assemble(("error", "bold red"), f" {error}"), soft_wrap=True)
        leave(MISTAKE)
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


def _join_watch(arguments: list[str]) -> list[str]:
    """Lets --watch stand alone or before [HOST:]PORT."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--watch":
            is_address = re.fullmatch(r"([\w.-]+:|\[[0-9a-fA-F:]+\]:)?\d{1,5}", argument)
            joined[-1] = f"--watch={argument if is_address else LISTEN}"
            if is_address:
                continue
        joined.append(argument)
    return [f"--watch={LISTEN}" if argument == "--watch" else argument for argument in joined]


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


app.command()(run.run)
app.command(name="watch")(run.watch_sources)
for command in (
    deliver.deliver,
    look.schema,
    look.status,
    report.report,
    privacy.forget,
    look.plan,
    look.probe,
    look.models,
    runs.relabel,
    runs.find,
    labels.calibrate,
    training.train,
    training.evaluate,
):
    app.command()(command)
app.command(name="config")(look.show_config)
