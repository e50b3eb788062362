"""What every runtime and precision does here, on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from streammm.encoders.bench import Way

_ITEMS = {"video": "a picture", "audio": "a second of sound", "text": "a text"}
_NUMBERS = ("ms", "a second", "first, s", "cosine", "top-1")


def render(ways: Sequence[Way]) -> Iterator[RenderableType]:
    """For each encoder what an item is, and a line for each way to run it."""
    for name, found in groupby(ways, key=lambda way: way.encoder):
        of_encoder = list(found)
        yield Text(f"{name}, an item is {_ITEMS[of_encoder[0].modality]}", style="bold")
        yield _table(of_encoder)


def _table(ways: Sequence[Way]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("  runtime", "precision", *_NUMBERS, "auto"):
        table.add_column(heading, justify="right" if heading in _NUMBERS else "left", no_wrap=heading != "auto")
    for way in ways:
        table.add_row(
            f"  {way.runtime}" if way.device == "cpu" else f"  {way.runtime}, {way.device}",
            way.precision,
            f"{1000 * way.seconds_per_item:.2f}",
            f"{1 / way.seconds_per_item:.0f}",
            f"{way.first_seconds:.2f}",
            f"{way.cosine:.5f}",
            "" if way.top1 is None else f"{way.top1:.1%}",
            Text(way.verdict),
            style="bold" if way.verdict == "taken" else "",
        )
    return table
