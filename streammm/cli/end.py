"""What a user is told when a run has come to its end, and by which command it goes on."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from streammm.sinks.console import ConsoleReport

_err = Console(stderr=True)


def tell_undelivered(report: ConsoleReport, run_directory: Path | None) -> None:
    """Says what sinks have not had, why, and how it gets there."""
    for name, count in report.undelivered.items():
        entries = "1 entry" if count == 1 else f"{count} entries"
        how = (
            f"streammm deliver {shlex.quote(str(run_directory))} sends them"
            if run_directory
            else "only a run directory keeps them"
        )
        detail = f" {entries} for {name}: {report.why_undelivered(name)}; {how}"
        _err.print(Text.assemble(("undelivered", "bold yellow"), detail), soft_wrap=True)


def tell_forgotten(count: int) -> None:
    """Says how many sources were left out since they are to be forgotten."""
    left_out = f" left out, forgotten by streammm forget: {count}; name them to take them again"
    _err.print(Text.assemble(("skipped", "bold yellow"), left_out), soft_wrap=True)


def tell_stopped(is_interrupted: bool, run_directory: Path | None, ray: str | None, runs_commands: bool) -> None:
    """Says of a run that was stopped how it goes on; one that runs commands wants to be told so again."""
    if run_directory is None:
        resume = "rows made so far are kept"
    else:
        again = ["streammm", "run", "--out", str(run_directory), *([f"--ray={ray}"] if ray else [])]
        again += ["--config", str(run_directory / "config.yaml")] if runs_commands else []
        resume = f"go on with: {shlex.join(again)}"
    how = "stopped at once" if is_interrupted else "stopped"
    _err.print(Text.assemble((how, "bold yellow"), f" {resume}"), soft_wrap=True)
