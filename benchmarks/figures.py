"""What a benchmark has measured, as a file that another result can be held against: see compare.py."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Self

_PACKAGES = ("av", "numpy", "openvino", "ray", "streammm", "torch")

Better = Literal["less", "more"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity: a value for each repeat, and whether less or more of it is better."""

    name: str
    unit: str
    values: tuple[float, ...]
    better: Better = "less"

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError(f"{self.name} has no values")

    @property
    def median(self) -> float:
        """The value that stands for all."""
        return statistics.median(self.values)

    def __str__(self) -> str:
        spread = f" ({min(self.values):.3g}-{max(self.values):.3g})" if len(self.values) > 1 else ""
        return f"{self.median:.3g}{spread}"


@dataclass(slots=True)
class Result:
    """All figures of one call of a benchmark, with the call and the machine."""

    benchmark: str
    command: list[str] = field(default_factory=lambda: [Path(sys.argv[0]).name, *sys.argv[1:]])
    machine: dict[str, Any] = field(default_factory=lambda: machine())
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    figures: dict[str, Figure] = field(default_factory=dict)

    def add(self, name: str, unit: str, values: Sequence[float], better: Better = "less") -> Figure:
        """Notes a figure; names are unique within a result, such as ``1080p/streammm/CPU``.

        Raises:
            ValueError: the name is there already, or there are no values.
        """
        if name in self.figures:
            raise ValueError(f"{name} is there already")
        self.figures[name] = figure = Figure(name, unit, tuple(values), better)
        return figure

    def write(self, path: Path | None) -> None:
        """Writes the result as JSON; with None it is not written."""
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                json.dumps({**asdict(self), "figures": [asdict(f) for f in self.figures.values()]}, indent=1)
            )

    @classmethod
    def read(cls, path: Path) -> Self:
        """A result that was written.

        Raises:
            ValueError: it is none.
        """
        try:
            found = json.loads(path.read_text())
            figures = [Figure(**{**each, "values": tuple(each["values"])}) for each in found.pop("figures")]
            return cls(**found, figures={figure.name: figure for figure in figures})
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"{path} is no result of a benchmark: {error}") from error


def machine() -> dict[str, Any]:
    """What figures depend on: processor, cores, memory, and the versions of what does the work."""
    found: dict[str, Any] = {"cpu": _cpu(), "cores": os.cpu_count(), "python": platform.python_version()}
    found["memory_gib"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
