"""The commands on a run that there is: `streammm relabel` and `streammm find`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.style import Style
from rich.table import Table
from rich.text import Text

from streammm.cli.options import INTERRUPTED
from streammm.errors import ConfigError

if TYPE_CHECKING:
    from streammm.find import Moment

_out = Console()
_err = Console(stderr=True)


_FILE_COLUMNS = 1000
"""Names are not broken where no terminal asks for it."""


def relabel(
    run_directory: Annotated[
        Path, typer.Argument(metavar="RUN_DIR", help="Directory of a run with output.embeddings=true.")
    ],
    labels: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="What to look and listen for, in any words.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Classify with a model that streammm train made.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as fusion.smoothing_seconds=0."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The new run directory. Default: beside the run.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew in a directory that holds a run.")] = False,
) -> None:
    """Give a run other labels or another model, without decoding: the rows are those of a run with them."""
    from streammm.relabel import default_place, relabelled_config
    from streammm.relabel import relabel as work
    from streammm.run_directory import status_of

    if labels is None and model is None and not settings:
        raise ConfigError("say what is to be other: --labels, --model or --set")
    config = relabelled_config(run_directory, labels, model, settings or ())
    place = out or default_place(run_directory, config)
    columns = (TextColumn("relabel"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_err, transient=True) as progress:
        task = progress.add_task("", total=status_of(run_directory)["segments"])
        try:
            done = work(run_directory, config, place, fresh=fresh, tell=lambda more: progress.advance(task, more))
        except KeyboardInterrupt:
            progress.stop()
            _err.print("stopped; the same command goes on", highlight=False)
            raise typer.Exit(INTERRUPTED) from None
    going_on = f"; {done.num_unfinished} sources go on in the run, the same command takes what they add"
    _out.print(
        f"{done.num_rows} segments of {done.num_sources} sources; rows are in {place / 'results.jsonl'}"
        + (going_on if done.num_unfinished else ""),
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def find(
    words: Annotated[
        list[str],
        typer.Argument(metavar="RUN_DIR... TEXT", help="Directories of runs, then what to look for in a few words."),
    ],
    like: Annotated[
        str | None,
        typer.Option("--like", metavar="SOURCE@TIME", help="Look for what is like this segment, not for a text."),
    ] = None,
    modalities: Annotated[
        list[str] | None,
        typer.Option("--in", metavar="MODALITY", help="Only in video, audio or text; may be repeated."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many moments at most.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each moment.")] = False,
) -> None:
    """Find the moments of runs that fit a text, or that are like a segment; they have kept their embeddings."""
    from streammm.find import find_like, find_text
    from streammm.types import MODALITIES, Modality

    chosen: list[Modality] = [m for m in MODALITIES if m in (modalities or ())]
    if unknown := [m for m in modalities or () if m not in MODALITIES]:
        raise ConfigError(f"--in: {unknown[0]} is none of {', '.join(MODALITIES)}")
    if like is not None:
        source, seconds = _place(like)
        found = find_like([Path(word) for word in words], source, seconds, chosen, limit)
    elif len(words) < 2:
        raise ConfigError("name a run and what to look for, or --like SOURCE@TIME")
    else:
        found = find_text([Path(word) for word in words[:-1]], words[-1], chosen, limit)
    for note in found.notes:
        _err.print(Text.assemble(("note", "bold yellow"), f" {note}"), soft_wrap=True)
    if as_json:
        for moment in found.moments:
            typer.echo(json.dumps(moment.to_json(), ensure_ascii=False))
        return
    if found.moments:
        several = len({moment.run for moment in found.moments}) > 1
        console = _out if _out.is_terminal else Console(width=_FILE_COLUMNS)
        console.print(_table(found.moments, several))
        _out.print()
    _out.print(f"{len(found.moments)} moments in {found.num_segments} segments", highlight=False)


def _place(text: str) -> tuple[str, float]:
    """A source and a time in it: seconds, minutes and seconds, or hours, minutes and seconds."""
    source, _, time = text.rpartition("@")
    found = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)", time)
    if not source or found is None:
        raise ConfigError(f"--like: a source and a time, such as talk.mp4@63.5 or talk.mp4@1:03.5, got {text!r}")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return source, 3600 * hours + 60 * minutes + seconds


def _table(moments: Sequence[Moment], several: bool) -> Table:
    from streammm.sinks.lines import clock

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("score", "seen", "heard", "said"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("time", "source", *(["run"] if several else [])):
        table.add_column(heading, overflow="fold")
    for moment in moments:
        scores = [moment.score, *(moment.by_modality.get(m) for m in ("video", "audio", "text"))]
        cells = [Text("" if score is None else f"{score:.2f}") for score in scores]
        cells.append(Text(f"{clock(moment.start_seconds)}-{clock(moment.end_seconds)}"))
        cells.append(Text(moment.source, style=Style(link=moment.link or None)))
        table.add_row(*cells, *([Text(str(moment.run))] if several else []))
    return table
