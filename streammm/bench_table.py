"""What every runtime and precision does here, on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from streammm.encoders.bench import Way

_ITEMS = {"video": "picture", "audio": "second of sound", "text": "text"}
_NUMBERS = ("ms an item", "items/s", "first, s", "cosine", "top-1")


def render(ways: Sequence[Way]) -> Table:
    """A line for each way to run an encoder, those of a modality together."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("encoder", "item", "runtime", "precision", *_NUMBERS, "auto"):
        table.add_column(heading, justify="right" if heading in _NUMBERS else "left", no_wrap=heading != "auto")
    for i, way in enumerate(ways):
        is_first = i == 0 or ways[i - 1].modality != way.modality
        table.add_row(
            way.encoder if is_first else "",
            _ITEMS[way.modality] if is_first else "",
            way.runtime if way.device == "cpu" else f"{way.runtime}, {way.device}",
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
