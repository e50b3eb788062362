"""An estimate on the terminal: what was measured and how, what follows from it, and what it does not know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Group
from rich.filesize import decimal
from rich.table import Table

from streammm_workers.estimate import Costs, Estimate


def render(path: Path, costs: Costs, estimate: Estimate, cores: int, gpus: float) -> Group:
    """The costs that were measured in a run directory, and an estimate made of them."""
    nodes = f"{estimate.nodes:,} node{'s' if estimate.nodes > 1 else ''} of {cores} cores"
    nodes += f" and {gpus:g} GPU{'s' if gpus != 1 else ''}" if gpus else ""
    return Group(
        f"an hour of media takes, by {costs.media_seconds:,.0f} s of it in {path}:",
        _rows(_measured(costs)),
        f"\n{estimate.hours:,.0f} hours of media on {nodes}:",
        _rows(_estimated(estimate)),
        *(f"  - {note}" for note in _notes(costs, estimate, gpus)),
    )


def _rows(rows: Iterator[tuple[str, str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for no_wrap in (True, True, True, False):
        table.add_column(no_wrap=no_wrap)
    for row in rows:
        table.add_row("", *row)
    return table


def _measured(costs: Costs) -> Iterator[tuple[str, str, str]]:
    yield "decoding", f"{costs.decode_cpu_seconds:.4f} core hours", "CPU time of the decoding processes"
    what = "the rest" if costs.gpu_seconds is not None else "encoders, fusion"
    yield what, f"{costs.other_cpu_seconds:.4f} core hours", "CPU time of the shards' processes"
    if costs.gpu_seconds is not None:
        yield "encoders", f"{costs.gpu_seconds:.4f} GPU hours", "time at work"
    yield "rows", decimal(round(3600 * costs.row_bytes)), "size of results.jsonl"
    if costs.journal_bytes is not None:
        yield "journal", decimal(round(3600 * costs.journal_bytes)), "size of journal.sqlite"
    if costs.media_bytes is not None:
        yield "media", decimal(round(3600 * costs.media_bytes)), "sizes of the files that were done"


def _estimated(estimate: Estimate) -> Iterator[tuple[str, str, str]]:
    limit = "GPUs" if estimate.limited_by == "gpu" else "cores"
    yield "wall time", _duration(estimate.busy_seconds), f"if the {limit}, which limit it, always do"
    if estimate.measured_seconds > estimate.busy_seconds:
        yield "", _duration(estimate.measured_seconds), "if cores compute as often as then"
    yield "computing", f"{estimate.cpu_hours:,.0f} core hours", ""
    if estimate.gpu_hours is not None:
        yield "", f"{estimate.gpu_hours:,.0f} GPU hours", ""
    yield "storage", decimal(round(estimate.row_bytes)), "rows, as JSON Lines"
    if estimate.journal_bytes is not None:
        yield "", decimal(round(estimate.journal_bytes)), "journal, as long as its run directory is kept"
    if estimate.read_bytes_per_second is not None:
        yield (
            "reading",
            f"{decimal(round(estimate.read_bytes_per_second))}/s",
            "of media, by all nodes, cores computing",
        )
    yield "memory", decimal(round(estimate.node_memory_bytes)), "a node, for decoding; models come on top"


def _notes(costs: Costs, estimate: Estimate, gpus: float) -> Iterator[str]:
    if gpus and costs.gpu_seconds is None:
        yield "the encoders ran on a CPU: what GPUs would take off the cores is not known; measure a run on one"
    if costs.computing_share < 0.5:
        share = f"{costs.computing_share:.0%}"
        yield f"cores computed {share} of the time when it was measured: take more files than cores, and minutes"
    if costs.media_bytes is None:
        yield "how fast media must be read is not known: the sources are no files of this machine"


def _duration(seconds: float) -> str:
    for size, unit in ((86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} seconds"
