"""A probe on the terminal."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from streammm.media.probe import Probe, StreamProbe

_WARNINGS = ("damaged", "cut short", "would be left out")


def render(probe: Probe) -> Group:
    """What is in a source, as a few lines, a table of its streams, and advice."""
    streams = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("", "stream", "codec", "", "from", "to", "use"):
        streams.add_column(heading, no_wrap=heading != "use")
    for stream in probe.streams:
        streams.add_row(*_cells(stream), style="" if stream.use == "used" else "dim")
    for name in probe.captions_beside:
        streams.add_row("", "text", "", "beside it", "", "", name)
    advice = [Text(f"  {'!' if line.startswith(_WARNINGS) else '-'} {line}") for line in probe.advice]
    return Group(Text(probe.source, style="bold"), Text(f"  {_summary(probe)}"), streams, *advice)


def _summary(probe: Probe) -> str:
    parts = [probe.container]
    if probe.is_live:
        parts.append(f"live, looked at for {probe.found_seconds:.1f} s")
    else:
        parts.append(f"{probe.found_seconds:.2f} s")
    if probe.rate_hz is not None:
        parts.append(f"{probe.rate_hz:.4g} pictures a second")
    if probe.num_segments is not None:
        parts.append(f"{probe.num_segments} segment{'s' if probe.num_segments != 1 else ''}")
    return ", ".join(parts)


def _cells(stream: StreamProbe) -> tuple[str, ...]:
    start = "" if stream.start_seconds is None else f"{stream.start_seconds:.2f}"
    end = "" if stream.end_seconds is None else f"{stream.end_seconds:.2f}"
    return f"  {stream.index}", stream.kind, stream.codec, stream.detail, start, end, stream.use
