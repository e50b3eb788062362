"""The labels that people have, in the format that they have them in -> one table: source, start, end, label.

What a format is read into is ``formats/``'s, where a file of that name lies ``media_files.py``'s, and which segment
takes which label ``segment_labels.py``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from streammm.errors import ConfigError
from streammm.training.formats import FormatOptions, NotLabelsError, folders, read_labels
from streammm.training.formats.reading import Reading, Row
from streammm.training.media_files import MediaFiles
from streammm.training.notes import Notes, some

_LABEL_SUFFIXES = (".csv", ".eaf", ".json", ".tsv", ".txt")


@dataclass(frozen=True, slots=True)
class Annotation:
    """A label that holds during [start_seconds, end_seconds) of a source, or somewhere in all of it: a weak label.

    ``source`` can be opened as it stands. ``split`` is ``train``, ``validation`` or ``test`` under whatever name the
    file gives them, or another of its names, such as a fold's number.
    """

    source: str
    start_seconds: float | None
    end_seconds: float | None
    label: str
    split: str | None = None

    def __post_init__(self) -> None:
        if (self.start_seconds is None) != (self.end_seconds is None):
            raise ValueError(f"a label has a start and an end or neither, got {self}")
        if self.start_seconds is not None and self.end_seconds is not None and self.end_seconds <= self.start_seconds:
            raise ValueError(f"a label must end after it starts, got {self}")


@dataclass(frozen=True, slots=True)
class Annotations:
    """All that was labelled, in the order of the file, and in ``notes`` what a user should know of the reading.

    ``labels`` are in the order that the file defines, else sorted. An empty label says that nothing is there to be
    labelled, and is not among them.
    """

    items: tuple[Annotation, ...]
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def by_source(self) -> dict[str, list[Annotation]]:
        """The annotations of each source, sources in the order in which they first come."""
        found: dict[str, list[Annotation]] = {}
        for item in self.items:
            found.setdefault(item.source, []).append(item)
        return found

    @property
    def num_overlaps(self) -> int:
        """How many annotations hold together with an earlier one of another label; none where one class is meant."""
        return sum(_num_overlaps(items) for items in self.by_source().values())

    def within(self, duration_seconds: Mapping[str, float]) -> Annotations:
        """The same, with what lies behind the end of a source left out or cut off, and noted.

        Args:
            duration_seconds: of each source whose duration is known.
        """
        kept, notes = [], Notes()
        for item in self.items:
            end = duration_seconds.get(item.source)
            if end is None or item.start_seconds is None or item.end_seconds is None or item.end_seconds <= end:
                kept.append(item)
                continue
            where = f"{item.label} at {item.start_seconds:g} s of {item.source}, which lasts {end:g} s"
            if item.start_seconds >= end:
                notes.count("labels begin after the end of their source and are left out", where)
            else:
                if item.end_seconds > end + 1.0:  # times are often rounded to seconds
                    notes.count("labels end over a second after the end of their source and are cut off", where)
                kept.append(replace(item, end_seconds=end))
        return replace(self, items=tuple(kept), notes=(*self.notes, *notes.sentences()))


def read_annotations(
    path: Path, media: Path, *, layers: Sequence[str] = (), frame_rate_hz: float | None = None
) -> Annotations:
    """Reads labels in any of the formats of ``formats/``, told apart by what is in the file.

    Args:
        path: a file, or a folder of such files, of which those that hold no labels are noted; or one with a folder of
            media for each label.
        media: the folder below which the labelled files lie.
        layers: the columns, tiers, attributes or controls whose values are labels, where a format can have several;
            by default the column that is known by its name, or all tiers, attributes and controls.
        frame_rate_hz: how many frames a second are counted where times are frames.

    Raises:
        ConfigError: nothing can be read, or no labelled file is below ``media``, or a name fits several files.
    """
    options = FormatOptions(tuple(layers), frame_rate_hz)
    readings, notes = _read_all(path, options)
    files = MediaFiles(media)
    items: dict[Annotation, None] = {}
    missing: dict[str, None] = {}
    for reading in readings:
        for row in reading.rows:
            found = _find(row, files)
            if found is None:
                missing[row.names[0]] = None
                continue
            item = Annotation(found[0], *found[1], row.label, row.split)
            if item in items:
                notes.count("labels are there more than once and taken once", f"{item.label} of {item.source}")
            items[item] = None
        notes.add(reading.notes)
    if not items:
        what = (
            f"none of its {len(missing)} sources is below {media}: {some(missing)}" if missing else "it has no labels"
        )
        raise ConfigError("; ".join([f"{path}: {what}", *notes.sentences()]))
    for name in missing:
        notes.count(f"labelled sources are not below {media}", name)
    return Annotations(tuple(items), _in_order(readings, items), tuple(notes.sentences()))


def _read_all(path: Path, options: FormatOptions) -> tuple[list[Reading], Notes]:
    notes = Notes()
    if not path.is_dir():
        return [read_labels(path, options)], notes
    readings = []
    for file in sorted(path.iterdir()):
        if file.suffix.lower() not in _LABEL_SUFFIXES or not file.is_file():
            continue
        try:
            readings.append(read_labels(file, options))
        except NotLabelsError as error:
            notes.count("files hold no labels", str(error))
    if not readings and (reading := folders.read(path)).rows:
        return [reading], Notes()
    if not readings:
        what = f"{path}: no file in it holds labels, and there is no folder in it with media of a label"
        raise ConfigError("; ".join([what, *notes.sentences()]))
    return readings, notes


def _find(row: Row, files: MediaFiles) -> tuple[str, tuple[float | None, float | None]] | None:
    """The file that a row is of, and when in it the label holds: always, where the file is just the labelled piece."""
    for name in row.piece_names:
        if found := files.find(name):
            return found, (None, None)
    for name in row.names:
        if found := files.find(name):
            return found, (row.start_seconds, row.end_seconds)
    return None


def _in_order(readings: Sequence[Reading], items: Iterable[Annotation]) -> tuple[str, ...]:
    found = {item.label for item in items} - {""}
    defined = dict.fromkeys(label for reading in readings for label in reading.labels if label in found)
    return (*defined, *sorted(found - set(defined)))


def _num_overlaps(items: Sequence[Annotation]) -> int:
    weak = {item.label for item in items if item.start_seconds is None}
    timed = sorted((i.start_seconds, i.end_seconds, i.label) for i in items if i.start_seconds is not None)
    count = max(0, len(weak) - 1)
    last_end: dict[str, float] = {}
    for start, end, label in timed:
        count += any(start < until for other, until in last_end.items() if other != label)
        last_end[label] = max(last_end.get(label, 0.0), end or 0.0)
    return count
