"""Holds results of benchmarks against earlier ones and says what moved beyond noise.

    python benchmarks/compare.py BEFORE AFTER [--least 0.03] [--times]

BEFORE and AFTER are files that a benchmark wrote with --json, or folders of them. Judged are ratios within a run and
memory; with --times seconds and rates as well, which mean something only on a machine that does nothing else: what one
takes doubles when others share its cores. A figure has moved if the ranges of both results are apart by more than half
of the wider one and the medians differ by more than ``--least``; with three repeats each that happens by chance once in
50, with five once in 2,500, if values scatter normally. Figures of a single value must differ by a fifth. It ends with
1 if a figure got worse. Results of two machines, or of two versions of a package, are compared with a warning.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from figures import Figure, Result
from rich.console import Console
from rich.table import Table

_LEAST_OF_ONE = 0.2
_APART = 0.5
"""By what share of the wider range two ranges must be apart."""

_JUDGED = ("", "MiB")
"""Units of figures that do not depend on what else the machine does."""


def results(path: Path) -> dict[str, Result]:
    """Benchmark -> its result, of a file or of all files of a folder."""
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"no results in {path}")
    return {result.benchmark: result for result in map(Result.read, files)}


def verdict(before: Figure, after: Figure, least: float) -> str:
    """``same``, ``better`` or ``worse``."""
    change = after.median - before.median
    if min(len(before.values), len(after.values)) == 1:
        least = max(least, _LEAST_OF_ONE)
    gap = max(min(after.values) - max(before.values), min(before.values) - max(after.values))
    wider = max(max(figure.values) - min(figure.values) for figure in (before, after))
    if gap <= _APART * wider or abs(change) <= least * abs(before.median):
        return "same"
    return "better" if (change < 0) == (before.better == "less") else "worse"


def main() -> int:
    """Prints the table; 1 if a figure got worse."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--least", type=float, default=0.03, help="what share of the median a figure must move by")
    parser.add_argument("--times", action="store_true", help="judge seconds and rates too")
    arguments = parser.parse_args()
    try:
        old, new = results(arguments.before), results(arguments.after)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    console = Console(width=None if sys.stdout.isatty() else 140)
    table = Table("figure", "unit", "before", "after", "ratio", "", box=None)
    told = {"better": "[green]better[/]", "worse": "[bold red]worse[/]", "same": "same", "": "[dim]not judged[/]"}
    num_worse = num_judged = num_compared = 0
    for name in sorted(old.keys() & new.keys()):
        for what in sorted(k for k in old[name].machine if old[name].machine[k] != new[name].machine.get(k)):
            was, now = old[name].machine[what], new[name].machine.get(what)
            console.print(f"[yellow]{name}: {what} was {was}, is {now}[/]")
        for key, before in old[name].figures.items():
            if (after := new[name].figures.get(key)) is None:
                continue
            num_compared += 1
            is_judged = arguments.times or before.unit in _JUDGED
            found = verdict(before, after, arguments.least) if is_judged else ""
            num_judged += is_judged
            num_worse += found == "worse"
            ratio = f"{after.median / before.median:.3f}" if before.median else "-"
            table.add_row(f"{name} {key}", before.unit, str(before), str(after), ratio, told[found])
    console.print(table)
    missing = sum(len(r.figures) for r in old.values()) + sum(len(r.figures) for r in new.values()) - 2 * num_compared
    console.print(f"{num_judged} of {num_compared} figures judged, {num_worse} worse; {missing} are in one result only")
    return 1 if num_worse or not num_judged else 0


if __name__ == "__main__":
    sys.exit(main())
