"""The cards of a run on the terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streammm.watch.cards import Card, Cards

if TYPE_CHECKING:
    from streammm.watch.app import Run

_LABELS = 4
_EVENTS = 2
_LEAST_PEAK = 0.05
_LANE = 32
_BAR = 12
_STEPS = " ▁▂▃▄▅▆▇█"
_OUTAGE = "╌"
_MOODS = {"working": "green", "quarantined": "red", "waiting": "dim", "done": "dim"}
_HUES = {"seen": "blue", "heard": "yellow", "said": "green"}
_CARD_LINES = _LABELS + _EVENTS + 5


class TerminalCards:
    """Shows cards, as many as there is room for.

    Args:
        cards: what is shown.
        console: where.
    """

    def __init__(self, cards: Cards, console: Console) -> None:
        self._cards = cards
        self._console = console

    async def attend(self, run: Run) -> None:
        """Shows them as long as the run goes on."""
        with Live(console=self._console, auto_refresh=False, screen=self._console.is_terminal) as live:
            while True:
                self._cards.stand(run.standing())
                live.update(render(self._cards, self._console.height), refresh=True)
                await asyncio.sleep(0.5)


def render(cards: Cards, height: int) -> RenderableType:
    """All cards that fit into so many lines, those at work first."""
    order = sorted(cards, key=lambda card: card.state not in ("working", "pausing", "removing"))
    shown = order[: max(1, (height - 2) // _CARD_LINES)]
    parts: list[RenderableType] = [_head(cards), *(_card(card) for card in shown)]
    if len(order) > len(shown):
        parts.append(Text(f"{len(order) - len(shown)} more sources", style="dim"))
    return Group(*parts)


def _head(cards: Cards) -> Text:
    run = cards.run
    text = Text("streammm", style="bold")
    if run:
        rate = f"{run['media_seconds_per_second']:.1f}x real time"
        text.append(f"  {len(cards)} sources, {run['segments']} segments, {rate}; Ctrl-C ends it", style="dim")
    return text


def _card(card: Card) -> Panel:
    row = card.latest
    is_out = card.state == "working" and row is not None and bool(row["outage"])
    word = "no connection" if is_out else "live" if card.live and card.state == "working" else card.state
    style = "red" if is_out else _MOODS.get(card.state, "yellow")
    parts: list[RenderableType] = [_labels(card, row), _alone(row), _facts(card)]
    if detail := (row["outage"] if is_out and row else card.detail):
        parts.append(Text(detail, style="red" if is_out or card.state == "quarantined" else "dim", no_wrap=True))
    parts += map(_event, list(reversed(card.events.values()))[:_EVENTS])
    title = Text.assemble((card.name, "bold"), "  ", (word, style), overflow="ellipsis", no_wrap=True)
    return Panel(Group(*parts), title=title, title_align="left", border_style="dim")


def _labels(card: Card, row: Mapping[str, Any] | None) -> RenderableType:
    peaks: dict[str, float] = {}
    rows = [one for _, one in card.rows]
    for one in rows:
        for label, score in one["found"]:
            peaks[label] = max(score, peaks.get(label, 0.0))
    peaks = {label: peak for label, peak in peaks.items() if peak >= _LEAST_PEAK}
    if row is None or not peaks:
        return Text("no segment yet" if row is None else "nothing that is looked for", style="dim")
    table = Table.grid(padding=(0, 1))
    table.add_column(max_width=24, no_wrap=True, overflow="ellipsis")
    now = dict(row["found"])
    for label in sorted(peaks, key=lambda one: (-peaks[one], one))[:_LABELS]:
        score = now.get(label, 0.0)
        full = round(score * _BAR)
        bar = Text("━" * full, style="bold").append("━" * (_BAR - full), style="bright_black")
        table.add_row(Text(label), bar, Text(f"{score:.2f}", style="dim"), Text(lane(rows, label), style="cyan"))
    return table


def lane(rows: list[dict[str, Any]], label: str, width: int = _LANE) -> str:
    """The highest scores of a label in equal parts of the time that rows cover, as blocks; outages as dashes."""
    zero, end = rows[0]["start"], rows[-1]["end"]
    scores = [0.0] * width
    is_out = [False] * width
    for row in rows:
        first, last = (int((t - zero) / (end - zero) * width) for t in (row["start"], row["end"]))
        score = next((score for one, score in row["found"] if one == label), 0.0)
        for n in range(first, min(width, max(last, first + 1))):
            scores[n] = max(scores[n], score)
            is_out[n] |= bool(row["outage"])
    found = zip(scores, is_out, strict=True)
    return "".join(_OUTAGE if out and not score else _STEPS[round(score * (len(_STEPS) - 1))] for score, out in found)


def _alone(row: Mapping[str, Any] | None) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    for name, found in (row["alone"] if row and not row["outage"] else {}).items():
        if found["status"] == "absent":
            continue
        best = found["labels"][0] if found["labels"] and found["status"] == "ok" else None
        text.append(("  " if cell_len(text.plain) else "") + name, style=_HUES[name])
        text.append(f" {best[0]} {best[1]:.2f}" if best else f" {found['status']}")
    return text


def _facts(card: Card) -> Text:
    parts = [f"{card.num_rows} segments"]
    if live := card.live:
        parts.append(f"lag {live['lag_seconds']:.1f} s")
        parts.append(f"{live['dropped_segments']} dropped")
        parts.append(f"{live['reconnects'] + live['reopens']} reconnects")
        if live["outage_seconds"]:
            parts.append(f"{live['outage_seconds']:.0f} s of outages")
    return Text(", ".join(parts), style="dim", no_wrap=True, overflow="ellipsis")


def _event(event: Mapping[str, Any]) -> Text:
    at = event["at"]
    when = f"{datetime.fromisoformat(at).astimezone():%H:%M:%S}" if at else f"{event['start']:.1f} s"
    how = f"{event['end'] - event['start']:.0f} s" if event["state"] == "close" else "now"
    return Text.assemble((when, "dim"), f"  {event['label']}  ", (f"{how}, {event['score']:.2f}", "dim"), no_wrap=True)
