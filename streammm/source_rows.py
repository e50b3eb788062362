"""One source's rows and events as they are committed: their entries, and the state behind both of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from safetensors import numpy as safetensors

from streammm.classifier import Classifier
from streammm.event_rows import EventRow, EventRows, EventSettings
from streammm.journal import Entry
from streammm.types import Classification, Embeddings, Modality, Segment

_OF_EVENTS = "events."
"""What is remembered of events is stored with the state of fusion, under names that begin so."""


class SourceRows:
    """Rows of a source, and what becomes of events with each, from its beginning or from where `state` was.

    Args:
        name: of the source.
        classifier: makes the rows.
        settings: what makes an event; None for no events.
        state: as a cursor holds it.
    """

    def __init__(
        self, name: str, classifier: Classifier, settings: EventSettings | None, state: bytes | None = None
    ) -> None:
        arrays = None if state is None else safetensors.load(state)
        before = {k.removeprefix(_OF_EVENTS): v for k, v in (arrays or {}).items() if k.startswith(_OF_EVENTS)}
        of_rows = None if arrays is None else {k: v for k, v in arrays.items() if not k.startswith(_OF_EVENTS)}
        self._rows = classifier.begin(of_rows)
        self._events = None if settings is None else EventRows(name, settings, before)

    def push(self, segments: Sequence[Segment], embeddings: Mapping[Modality, Embeddings]) -> list[Classification]:
        """As `Rows.push`."""
        return self._rows.push(segments, embeddings)

    def flush(self) -> list[Classification]:
        """As `Rows.flush`."""
        return self._rows.flush()

    def entries(self, row: Classification) -> list[Entry]:
        """What is committed of the next row: the row, and what becomes of events with it."""
        told = [] if self._events is None else self._events.push(row)
        return [Entry(row.source, row.segment, "row", _line(row.to_json())), *map(_entry, told)]

    def end(self) -> list[Entry]:
        """What becomes of events when the source ends."""
        return [] if self._events is None else [_entry(event) for event in self._events.flush()]

    @property
    def state(self) -> bytes:
        """What is remembered after the rows whose entries were asked for, of fusion and of events."""
        of_events = {} if self._events is None else self._events.state
        return safetensors.save({**self._rows.state, **{_OF_EVENTS + name: x for name, x in of_events.items()}})

    @property
    def num_events(self) -> int:
        """How many events have opened."""
        return 0 if self._events is None else self._events.num_opened


def _entry(event: EventRow) -> Entry:
    return Entry(event.fields["source"], event.segment, "event", _line(event.fields), item=event.item)


def _line(fields: Mapping[str, Any]) -> str:
    """JSON; names that are no text are stored as what they are called by."""
    return json.dumps(fields, ensure_ascii=False).encode(errors="backslashreplace").decode()
