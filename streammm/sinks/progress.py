"""How a run stands, as text: for the display of a run, for lines in a log and for `streammm status`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

_NAMES = {"decode": "decode", "video": "see", "audio": "hear", "text": "read"}


def as_text(snapshot: Mapping[str, Any]) -> RenderableType:
    """A few lines: a bar with sources, what was made, and how busy each stage is."""
    bar = Table.grid(padding=(0, 1))
    total = snapshot["num_listed"] if snapshot["is_listed"] else None
    bar.add_row(
        ProgressBar(total=total, completed=snapshot["num_ended"], width=30, pulse=total is None),
        Text(_sources(snapshot)),
    )
    return Group(bar, Text(_made(snapshot)), Text(_stages(snapshot), style="dim"))


def as_line(snapshot: Mapping[str, Any]) -> str:
    """The same in one line."""
    return "; ".join(filter(None, (_sources(snapshot), _made(snapshot), _stages(snapshot))))


def sizes_as_line(snapshot: Mapping[str, Any]) -> str:
    """The sizes that were found or set, worded as the settings that pin them."""
    return "  ".join(f"engine.{name}={size}" for name, size in snapshot["sizes"].items())


def removed_as_line(snapshot: Mapping[str, Any]) -> str:
    """What retention has removed, and what it could not yet; nothing where there is neither."""
    removed, waiting = snapshot.get("removed") or {}, snapshot.get("num_not_removable", 0)
    parts = [", ".join(f"{count} {kind}" for kind, count in sorted(removed.items()))] if removed else []
    parts += [f"{waiting} more entries are due and wait for sinks"] if waiting else []
    return f"removed as too old or too much: {'; '.join(parts)}" if parts else ""


def _sources(snapshot: Mapping[str, Any]) -> str:
    total = f"{snapshot['num_listed']}{'' if snapshot['is_listed'] else '+'}"
    text = f"{snapshot['num_ended']}/{total} sources, {snapshot['num_under_way']} under way"
    if snapshot["num_quarantined"]:
        text += f", {snapshot['num_quarantined']} quarantined"
    if snapshot["num_skipped"]:
        text += f", {snapshot['num_skipped']} skipped"
    if snapshot.get("num_paused"):
        text += f", {snapshot['num_paused']} paused"
    if snapshot["seconds_left"] is not None:
        text += f", {timedelta(seconds=round(snapshot['seconds_left']))} left"
    return text


def _made(snapshot: Mapping[str, Any]) -> str:
    text = f"{snapshot['num_rows']} segments, {snapshot['media_seconds_per_second']:.1f} media seconds a second"
    behind = max(snapshot["sinks_behind"].values(), default=0)
    text += f", sinks {behind} behind" if behind > 1000 else ""
    for name, state in snapshot["outlets"].items():
        if state["error"]:
            text += f", {name} {state['behind']} behind: {state['error']}"
    return text


def _stages(snapshot: Mapping[str, Any]) -> str:
    loads = [f"{_NAMES.get(n, n)} {min(1.0, s['load']):.0%}" for n, s in snapshot["stages"].items()]
    if not loads:
        return ""
    limit = snapshot["limited_by"]
    return "busy: " + ", ".join(loads) + (f"; limited by {_NAMES.get(limit, limit)}" if limit else "")
