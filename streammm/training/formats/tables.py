"""CSV and TSV: under a header with usual names, or without one as sed_eval, DCASE and Audacity write lists of events.

Without a header the columns are start, end, label (of the file of the same name), or the same after a file name, or
after a file name and a scene: https://tut-arg.github.io/sed_eval/
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streammm.errors import ConfigError
from streammm.training.formats.reading import (
    Document,
    FormatOptions,
    NotLabelsError,
    Reading,
    Row,
    chosen,
    frame_rate,
    seconds,
    split_name,
)

_SOURCES = (
    "path file filepath file_path filename file_name fname source uri url video_path audio_path video_file audio_file "
    "audio_filename clip clip_name segment_id stream media video audio video_name video_id audio_id videoid youtube_id "
    "ytid recording name id"
).split()
_LABELS = (
    "label labels class category event_label event_labels positive_labels class_label class_name event activity action "
    "tag tags"
).split()
_SEVERAL = frozenset("labels event_labels positive_labels tags".split())
_SPLIT_NAMES = "split subset fold partition".split()
_TIMES = {
    "start": r"(?:start|onset|begin|t_start|time_start|tmin|from)",
    "end": r"(?:end|offset|stop|t_end|time_end|tmax|to)",
    "duration": r"(?:duration|length)",
}
_UNITS = {"ms": 1e-3, "msec": 1e-3, "milliseconds": 1e-3, "frame": None, "frames": None}


@dataclass(frozen=True, slots=True)
class _Time:
    """A column of times and what one of it is in seconds; None where it is frames."""

    column: str
    unit_seconds: float | None


def read(document: Document, options: FormatOptions) -> Reading | None:
    lines = [line for line in document.text.splitlines() if line.strip() and not line.startswith("#")]
    if document.data is not None or not lines or "<" in lines[0][:1]:
        return None
    delimiter = max("\t,;|", key=lines[0].count)
    if delimiter not in lines[0]:
        return None
    rows = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    header = [_plain(name) for name in rows[0]]
    if not {*header} & {*_SOURCES, *_LABELS, *_SPLIT_NAMES} and not any(_time(header, kind) for kind in _TIMES):
        return _headless(document, rows)
    records = [dict(zip(header, row, strict=False)) for row in rows[1:]]
    return _Table(document, options, header).read(records)


class _Table:
    """The columns of a header that matter, and what rows under it say."""

    def __init__(self, document: Document, options: FormatOptions, header: Sequence[str]) -> None:
        path = document.path
        self.source = next((name for name in _SOURCES if name in header), None)
        known = [name for name in _LABELS if name in header][:1]
        self.labels = chosen(options.layers, list(header), "column", path) if options.layers else known
        if not self.source or not self.labels:
            what = "a label" if self.source else "the source"
            raise NotLabelsError(f"{path}: no column is known to hold {what}; it has {', '.join(header)}")
        self.start, self.end, self.duration = (_time(header, kind) for kind in _TIMES)
        if self.start is None:
            odd = [name for name in header if re.match(r"(?:start|onset|begin|end_|offset)", name)]
            if odd or self.end:
                raise ConfigError(f"{path}: no column is known to hold the start; it has {', '.join(header)}")
            self.duration = None  # how long the source is, not the label
        if self.end is not None:
            self.duration = None
        self.split = next((name for name in _SPLIT_NAMES if name in header), None)
        times = [time for time in (self.start, self.end, self.duration) if time]
        self.rate_hz = frame_rate(options, path) if any(t.unit_seconds is None for t in times) else 1.0
        used = {self.source, self.split, *self.labels, *(time.column for time in times)}
        self.unused = [name for name in header if name and name not in used]

    def read(self, records: Sequence[Mapping[str, str]]) -> Reading:
        reading = Reading()
        if self.unused:
            reading.notes.say(f"columns that are not used: {', '.join(self.unused)}")
        for number, record in enumerate(records, 1):
            where = f"row {number}"
            try:
                start, end = self._seconds(record, self.start), self._seconds(record, self.end)
                if self.duration and start is not None:
                    end = start + (self._seconds(record, self.duration) or 0.0)
            except ValueError:
                reading.notes.count("rows have times that are no numbers and are left out", where)
                continue
            names = (record.get(self.source or "", "").strip(),)
            split = split_name(record.get(self.split or ""))
            for column in self.labels:
                if column not in record:
                    reading.notes.count("rows are too short for a label and are left out", where)
                    continue
                for label in _labels(column, record[column]):
                    reading.add(Row(names, start, end, label, split), where)
        return reading

    def _seconds(self, record: Mapping[str, str], time: _Time | None) -> float | None:
        value = seconds(record.get(time.column)) if time else None
        if time is None or value is None:
            return None
        return value / self.rate_hz if time.unit_seconds is None else value * time.unit_seconds


def _headless(document: Document, rows: Sequence[Sequence[str]]) -> Reading | None:
    reading = Reading()
    first = next((n for n, cell in enumerate(rows[0]) if _is_number(cell)), None)
    if first not in (0, 1, 2) or len(rows[0]) != first + 3 or not _is_number(rows[0][first + 1]):
        return None
    for number, row in enumerate(rows, 1):
        where = f"row {number}"
        try:
            start, end, label = seconds(row[first]), seconds(row[first + 1]), row[first + 2]
        except (ValueError, IndexError):
            reading.notes.count("rows are not like the first and are left out", where)
            continue
        reading.add(Row((row[0] if first else document.path.stem,), start, end, label.strip()), where)
    return reading


def _plain(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def _time(header: Sequence[str], kind: str) -> _Time | None:
    pattern = re.compile(_TIMES[kind] + r"(?:_time)?(?:_(s|sec|secs|seconds?|ms|msec|milliseconds|frames?))?")
    for name in header:
        if match := pattern.fullmatch(name):
            return _Time(name, _UNITS.get(match[1] or "", 1.0))
    return None


def _labels(column: str, cell: str) -> list[str]:
    if column not in _SEVERAL:
        return [cell.strip()]
    return [label.strip() for label in re.split(r"[,;|]", cell)]


def _is_number(cell: str) -> bool:
    try:
        return seconds(cell) is not None
    except ValueError:
        return False
