"""AudioSet's segments: ``YTID, start_seconds, end_seconds, "mid,mid"``; https://research.google.com/audioset

Its clips are mostly kept cut out, under the id and the start. Of such a file the labels hold as a whole, while a file
that is called by the id alone is taken for the whole video.
"""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

from streammm.training.formats.reading import Document, FormatOptions, Reading, Row, seconds

_NAMES = "class_labels_indices.csv"
_MID = re.compile(r"/[mtg]/\w+")


def read(document: Document, options: FormatOptions) -> Reading | None:
    lines = document.text.splitlines()
    if not any(line.startswith("#") and "YTID" in line for line in lines[:10]):
        return None
    reading = Reading()
    for number, row in enumerate(csv.reader(lines, skipinitialspace=True), 1):
        if not row or row[0].startswith("#"):
            continue
        try:
            name, start, end, labels = row[0], seconds(row[1]), seconds(row[2]), row[3]
        except (IndexError, ValueError):
            reading.notes.count("lines are not an id, two times and labels and are left out", f"line {number}")
            continue
        for label in labels.split(","):
            pieces = _pieces(name, start or 0.0, end or 0.0)
            reading.add(Row((name,), start, end, label.strip(), None, pieces), f"line {number}")
    return reading


def named(reading: Reading, path: Path) -> Reading:
    """The same with display names for AudioSet's machine ids, where the list of these lies beside the file."""
    if not any(_MID.fullmatch(row.label) for row in reading.rows):
        return reading
    try:
        with (path.parent / _NAMES).open(encoding="utf-8-sig", newline="") as file:
            names = {row["mid"]: row["display_name"] for row in csv.DictReader(file)}
    except (OSError, KeyError, ValueError):
        reading.notes.say(f"labels are AudioSet's ids, since no {_NAMES} that names them lies beside {path.name}")
        return reading
    reading.rows = [replace(row, label=names.get(row.label, row.label)) for row in reading.rows]
    reading.labels = tuple(names.values())
    return reading


def _pieces(name: str, start: float, end: float) -> tuple[str, ...]:
    """The usual names of the piece alone: id and times in seconds or milliseconds, or Y and the id."""
    times = [f"{start:.3f}_{end:.3f}", f"{start:.3f}", f"{start * 1000:.0f}_{end * 1000:.0f}", f"{start * 1000:.0f}"]
    times += [f"{start:g}_{end:g}", f"{start:g}"]
    return (*(f"{name}_{time}" for time in dict.fromkeys(times)), f"Y{name}")
