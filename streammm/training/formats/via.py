"""VIA's video and audio annotator: projects as JSON, and temporal segments as CSV of either kind.

A. Dutta and A. Zisserman, "The VIA annotation software for images, audio and video", ACM Multimedia 2019.
https://www.robots.ox.ac.uk/~vgg/software/via/
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from typing import Any

from streammm.errors import ConfigError
from streammm.training.formats.reading import Document, FormatOptions, Reading, Row, chosen


def read_project(document: Document, options: FormatOptions) -> Reading | None:
    """A project: what is marked in ``metadata`` is of a view, which shows files."""
    data = document.data
    if not isinstance(data, Mapping) or not {"attribute", "file", "metadata", "view"} <= set(data):
        return None
    marks = _Marks(document, options, data["attribute"])
    for key, mark in data["metadata"].items():
        try:
            shown = data["view"][str(mark["vid"])]["fid_list"][0]
            file = data["file"][str(shown)]
            names = tuple(str(file[field]) for field in ("fname", "src") if file.get(field))
            times, region, values = mark["z"], mark["xy"], mark["av"]
        except (IndexError, KeyError, TypeError) as error:
            raise ConfigError(f"{document.path}: {key!r} of its metadata is not complete: {error}") from error
        marks.add(key, names, times, region, values)
    return marks.reading


def read_table(document: Document, options: FormatOptions) -> Reading | None:
    """Lines of CSV under a header in a comment, in which files, times and values are JSON."""
    header = re.search(r"^#\s*CSV_HEADER\s*=\s*(.+)$", document.text, re.MULTILINE)
    if header is None:
        return None
    columns = [name.strip() for name in header[1].split(",")]
    if not {"file_list", "metadata"} <= set(columns):
        raise ConfigError(f"{document.path}: it has no columns file_list and metadata but {', '.join(columns)}")
    attribute = re.search(r"^#\s*ATTRIBUTES?\s*=\s*(\{.*\})", document.text, re.MULTILINE)
    marks = _Marks(document, options, json.loads(attribute[1]) if attribute else {})
    lines = [line for line in document.text.splitlines() if line.strip() and not line.startswith("#")]
    for number, row in enumerate(csv.reader(lines, skipinitialspace=True), 1):
        record = dict(zip(columns, row, strict=False))
        try:
            names, values = json.loads(record["file_list"]), json.loads(record["metadata"])
            if "temporal_coordinates" in record:
                times, region = json.loads(record["temporal_coordinates"]), json.loads(record["spatial_coordinates"])
            else:
                times = [float(record["temporal_segment_start"]), float(record["temporal_segment_end"])]
                region = []
        except (KeyError, ValueError):
            marks.reading.notes.count("rows are not as VIA writes them and are left out", f"row {number}")
            continue
        marks.add(f"row {number}", tuple(names[:1]), times, region, values)
    return marks.reading


class _Marks:
    """Turns what is marked into rows, under the attributes' own names and those of their options."""

    def __init__(self, document: Document, options: FormatOptions, attributes: Mapping[str, Any]) -> None:
        self.reading = Reading()
        self._names, self._options = {}, {}
        for key, attribute in attributes.items():
            is_full = isinstance(attribute, Mapping)
            self._names[key] = str(attribute.get("aname", key)) if is_full else str(attribute)
            self._options[key] = dict(attribute.get("options") or {}) if is_full else {}
        there = list(self._names.values())
        self._wanted = chosen(options.layers, there, "attribute", document.path) if there else list(options.layers)
        self.reading.labels = tuple(
            str(label) for key, named in self._options.items() if self._is_wanted(key) for label in named.values()
        )

    def add(self, where: str, names: tuple[str, ...], times: Any, region: Any, values: Mapping[str, Any]) -> None:
        if region or len(times) == 1:
            self.reading.notes.count("marks are of a picture, not of a stretch of time, and are left out", where)
            return
        start, end = (float(times[0]), float(times[-1])) if times else (None, None)
        labels = [label for key, value in values.items() if self._is_wanted(key) for label in self._labels(key, value)]
        if not labels:
            self.reading.notes.count("marks have no value and are left out", where)
        for label in labels:
            self.reading.add(Row(names, start, end, label), where)

    def _is_wanted(self, key: str) -> bool:
        return not self._wanted or self._names.get(key, key) in self._wanted

    def _labels(self, key: str, value: Any) -> list[str]:
        """The options that a value chooses by their ids, several with commas between; else the value itself."""
        options, text = self._options.get(key, {}), str(value).strip()
        ids = text.split(",")
        if options and all(one in options for one in ids):
            return [str(options[one]).strip() for one in ids]
        return [text] if text else []
