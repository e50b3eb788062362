"""AVE's Annotations.txt: ``Category&VideoID&Quality&StartTime&EndTime``, with its splits in files beside it.

Y. Tian et al., "Audio-visual event localization in unconstrained videos", ECCV 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from streammm.training.formats.reading import Document, FormatOptions, Reading, Row

_SPLIT_FILES = {"trainSet.txt": "train", "valSet.txt": "validation", "testSet.txt": "test"}


def read(document: Document, options: FormatOptions) -> Reading | None:
    lines = [line for line in document.text.splitlines() if line.strip()]
    if not lines or any(line.count("&") != 4 for line in lines[:2]):
        return None
    splits = dict(_splits(document.path))
    reading = Reading()
    for number, line in enumerate(lines, 1):
        cells = [cell.strip() for cell in line.split("&")]
        if cells[0] == "Category":
            continue
        try:
            label, name, _, start, end = cells
            row = Row((name,), float(start), float(end), label, splits.get((label, name)))
        except ValueError:
            reading.notes.count(
                "lines are not a category, an id, a quality and two times and are left out", f"line {number}"
            )
            continue
        reading.add(row, f"line {number}")
    return reading


def _splits(path: Path) -> Iterator[tuple[tuple[str, str], str]]:
    for name, split in _SPLIT_FILES.items():
        file = path.with_name(name)
        if file.is_file():
            for line in file.read_text(encoding="utf-8-sig").splitlines():
                cells = [cell.strip() for cell in line.split("&")]
                if len(cells) == 5:
                    yield (cells[0], cells[1]), split
