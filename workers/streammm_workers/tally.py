"""What becomes of sources, counted and told to the observer at once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streammm.errors import SourceError
from streammm.journal import DONE, QUARANTINED, SKIPPED, Entry
from streammm.types import SourceReport
from streammm_workers.metrics import Progress
from streammm_workers.observers import Observer


class Tally:
    """The counts of a run, in ``progress``.

    Args:
        observer: who is told.
    """

    def __init__(self, observer: Observer) -> None:
        self.progress = Progress()
        self._observer = observer

    def count_listed(self, statuses: Mapping[str, str]) -> None:
        """Counts sources that were listed, with the status that the journal has of each."""
        counts = Counter(statuses.values())
        self.progress.num_listed += len(statuses)
        self.progress.num_done_before += counts[DONE] + counts[QUARANTINED]
        self.progress.num_skipped += counts[SKIPPED]

    def finish(self, report: SourceReport) -> None:
        """A source has ended."""
        self.progress.num_done += 1
        self._observer.finished(report)

    def give_up(self, error: SourceError) -> None:
        """A source was given up."""
        self.progress.num_quarantined += 1
        quarantined = self.progress.quarantined
        quarantined[error.reason] = quarantined.get(error.reason, 0) + 1
        self._observer.failed(error)

    def skip(self, name: str, reason: str, detail: str) -> None:
        """A source was left out on purpose."""
        self.progress.num_skipped += 1
        self._observer.skipped(name, reason, detail)

    def take_back(self, status: str, given_up_for: str | None) -> None:
        """Forgets what was counted of a source that is listed again: it was given up in this run or before, or left
        out."""
        self.progress.num_listed -= 1
        if given_up_for is not None:
            self.progress.num_quarantined -= 1
            self.progress.quarantined[given_up_for] -= 1
        elif status == QUARANTINED:
            self.progress.num_done_before -= 1
        else:
            self.progress.num_skipped -= 1


class Told:
    """The observer as a sink: it is told everything once, and counted by.

    Args:
        progress: the counts.
        observer: who is told.
        note_row: called with the source of each row, and whether it looks like a live one.
    """

    def __init__(self, progress: Progress, observer: Observer, note_row: Callable[[str, bool], None]) -> None:
        self._progress = progress
        self._observer = observer
        self._note_row = note_row

    def start(self, position: int, mark: Any) -> int:
        """Goes on where it was."""
        return position

    def write(self, entries: Sequence[Entry]) -> None:
        """Counts entries and hands them on."""
        progress = self._progress
        for entry in entries:
            if entry.kind == "row":
                row = json.loads(entry.text)
                progress.num_rows += 1
                progress.media_seconds += row["end_seconds"] - row["start_seconds"]
                if "live" in row:
                    progress.lag_seconds[entry.source] = row["live"]["lag_seconds"]
                self._note_row(entry.source, "live" in row)
            elif entry.kind == "event" and (told := json.loads(entry.text))["state"] == "open":
                progress.events[told["label"]] = progress.events.get(told["label"], 0) + 1
        self._observer.entries(entries)

    def close(self) -> None:
        """Nothing to close."""
