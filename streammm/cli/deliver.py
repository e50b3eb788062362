"""The command that takes what a run has made to where it has not come yet: `streammm deliver`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from streammm.cli.end import tell_undelivered
from streammm.cli.options import INTERRUPTED, OK, SOME_FAILED, Addresses, leave
from streammm.errors import ConfigError

_err = Console(stderr=True)


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
            leave(INTERRUPTED)
    for name, state in states.items():
        refused = f", {state['refused']} refused" if state["refused"] else ""
        _err.print(f"{name}: {state['delivered']} delivered{refused}", highlight=False, markup=False, soft_wrap=True)
    tell_undelivered(report, run_directory)
    raise typer.Exit(SOME_FAILED if report.undelivered else OK)
