"""The command that removes sources from a run: `streammm forget`."""

from __future__ import annotations

import difflib
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from streammm.errors import ConfigError
from streammm.media.address import public_name

_out = Console()
_err = Console(stderr=True)


def forget(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Sources, named as in the rows of the run.")
    ],
    run_directory: Annotated[Path, typer.Option("--run", metavar="RUN_DIR", help="Directory of the run.")],
    media: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder in which the sources lie, where they are not found from here."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove every trace of sources from a run, its sinks and what training has kept; say what could not be."""
    from streammm.forget import forget as remove
    from streammm.journal import DONE, QUARANTINED, SKIPPED, TODO
    from streammm.run_directory import journal_of

    if media is not None and not media.is_dir():
        raise ConfigError(f"--media: {media} is no folder")
    names = list(dict.fromkeys(map(public_name, sources)))
    _, journal = journal_of(run_directory)
    with closing(journal):
        known = {state.name for state in journal.sources((TODO, DONE, QUARANTINED, SKIPPED))}
        is_forgotten = journal.forgotten()
    for name in names:
        if name not in known and not is_forgotten(name):
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(f"the run in {run_directory} has no source {name}{hint}")
    found = remove(run_directory, names, media=media, dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    for place, counts in found.removed.items():
        what = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        _out.print(f"{place}: {verb} {what}", highlight=False, markup=False, soft_wrap=True)
    for remaining in found.remaining:
        _err.print(Text.assemble(("not removed", "bold yellow"), f" {remaining}"), soft_wrap=True)
    raise typer.Exit(1 if found.remaining else 0)
