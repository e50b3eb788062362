"""The command that shows a run: `streammm report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from streammm.errors import ConfigError

_out = Console()
_err = Console(stderr=True)


def report(
    run_directory: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Directory of a run.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE.html|DIR",
            help="What to write: a file that holds all it needs, about 0.1 MB a source and at most 0.6 MB; or a folder "
            "with an index and a page for each source. Of more than 20 sources a file is the index, and the pages lie "
            "in FILE_sources, 10,000 at most. Default: report.html in RUN_DIR.",
        ),
    ] = None,
    media: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder in which the sources lie, where they are not found from here."),
    ] = None,
    no_thumbnails: Annotated[
        bool, typer.Option("--no-thumbnails", help="Do not decode media again for pictures and waveforms.")
    ] = False,
) -> None:
    """Write a page that shows a run: timelines, events, trouble, and a player; it needs no network."""
    from streammm.report.write import write_report

    if media is not None and not media.is_dir():
        raise ConfigError(f"--media: {media} is no folder")
    with _err.status("reading rows") as display:
        written = write_report(
            run_directory,
            out,
            media=media,
            previews=not no_thumbnails,
            on_source=lambda done, total: display.update(f"{done} of {total} sources"),
        )
    for error in written.unreadable:
        _err.print(Text.assemble(("no preview", "bold yellow"), f" {error}"), soft_wrap=True)
    if written.without_media:
        _err.print(
            f"media of {written.without_media} sources was not found, those have no pictures, sound and player; "
            "--media names the folder that they lie in",
            highlight=False,
            soft_wrap=True,
        )
    pages = "" if written.num_pages == 1 else f" and {written.num_pages - 1} pages"
    left_out = f", {written.num_left_out} more have no page" if written.num_left_out else ""
    sources = "1 source" if written.num_sources == 1 else f"{written.num_sources} sources"
    size = f"{written.num_bytes / 1e6:.1f} MB"
    _out.print(f"{sources}{left_out}; the report is in {written.path}{pages}, {size}", highlight=False, soft_wrap=True)
