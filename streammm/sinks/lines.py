"""Rows as lines of text: what was found, seen, heard and said when, and the table of a source."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from streammm.types import Classification, Modality, ModalityResult

_MAX_LINES = 24
"""A source with more segments than this is shown by spans of equal label; so many spans at most."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table."""

    start_seconds: float
    end_seconds: float
    found: str
    found_scores: str
    seen: str
    heard: str
    said: str

    @classmethod
    def of(cls, row: Classification) -> Line:
        best = best_labels(row)
        return cls(
            row.start_seconds,
            row.end_seconds,
            best[0][0] if best else "-",
            ", ".join(f"{label} {score:.2f}" for label, score in best) or "-",
            _cell(row.modalities["video"], "video"),
            _cell(row.modalities["audio"], "audio"),
            _cell(row.modalities["text"], "text"),
        )

    def cells(self) -> tuple[str, ...]:
        return (
            f"{clock(self.start_seconds)}-{clock(self.end_seconds)}",
            self.found_scores,
            self.seen,
            self.heard,
            self.said,
        )


def best_labels(row: Classification) -> list[tuple[str, float]]:
    """The labels, three at most, that are found in a row."""
    return [(label, score) for label, score in row.labels if label in row.found][:3]


def table_of(lines: Sequence[Line]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("time", "found", "seen", "heard", "said"):
        table.add_column(heading, min_width=10 if heading == "time" else None, no_wrap=heading in ("time", "found"))
    shown = lines if len(lines) <= _MAX_LINES else _merge(lines)
    for line in shown[:_MAX_LINES]:
        table.add_row(*map(Text, line.cells()))
    if len(shown) > _MAX_LINES:
        table.add_row("...", f"{len(shown) - _MAX_LINES} more")
    return table


def _merge(lines: Sequence[Line]) -> list[Line]:
    """Joins neighbours that found the same."""
    spans: list[list[Line]] = []
    for line in lines:
        if spans and spans[-1][-1].found == line.found:
            spans[-1].append(line)
        else:
            spans.append([line])
    return [
        Line(
            span[0].start_seconds,
            span[-1].end_seconds,
            span[0].found,
            span[0].found,
            seen=_commonest([line.seen for line in span]),
            heard=_commonest([line.heard for line in span]),
            said=_commonest([line.said for line in span]),
        )
        for span in spans
    ]


def _commonest(cells: Sequence[str]) -> str:
    """What most of the cells name, without its scores."""
    return Counter(re.sub(r" [0-9.]+$", "", cell) for cell in cells).most_common(1)[0][0]


def _cell(result: ModalityResult, modality: Modality) -> str:
    if result.labels and result.labels[0][1] >= 0.1:
        label, score = result.labels[0]
        return f"{label} {score:.2f}"
    if result.status.usable:
        return "-"
    return "" if modality == "text" else f"({result.status})"


def clock(seconds: float) -> str:
    """A time as people write it: minutes and seconds, with hours where there are some."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    tenths = f"{rest:04.1f}".removesuffix(".0")
    return f"{hours}:{minutes:02d}:{tenths}" if hours else f"{minutes}:{tenths}"


def found_in(row: Classification) -> str:
    """A row in one line: what was found, and what each modality says alone."""
    line = Line.of(row)
    alone = (("seen", line.seen), ("heard", line.heard), ("said", line.said))
    return "  ".join([line.found_scores, *(f"{verb} {what}" for verb, what in alone if what and what != "-")])
