"""Rows of one source, in order -> what its timeline shows, of bounded size however long the source is.

The timeline has columns. A column is a segment, or where a source has more segments than columns, some segments that
follow each other: it shows the highest score and the worst status of them. `Timeline.to_json` is what
``assets/timeline.js`` draws.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from streammm.types import Classification, Modality, Status

MAX_COLUMNS = 1200
MAX_LABELS = 12
"""So many labels a track has, those with the highest peaks."""

LEAST_PEAK = 0.02
"""A label that never gets so far in a track is not drawn there."""

_MAX_NOTES = 200
_MAX_SAID_BYTES = 100_000

TRACKS: dict[str, Modality | None] = {"found": None, "seen": "video", "heard": "audio", "said": "text"}
"""The tracks, in the words of the terminal: what all say together, and each modality alone."""

_OUTAGE = "o"
_CODES = {
    Status.OK: ".",
    Status.ABSENT: "a",
    Status.SILENT: "s",
    Status.BLACK: "b",
    Status.LATE: "l",
    Status.DAMAGED: "d",
}
_WORST_FIRST = "odl.sba"
"""Of segments in one column: trouble is always shown, and "nothing there" only where that is so in all of them."""

_Scores = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Track:
    """One track: by label, uint8 [columns], scores in 255ths; a letter of status and a weight for each column."""

    rows: tuple[tuple[str, _Scores], ...]
    num_more: int
    status: str
    weights: _Scores

    @property
    def is_empty(self) -> bool:
        """True where the source never had anything for it."""
        return not self.rows and set(self.status) <= {"a", _OUTAGE}

    def to_json(self) -> dict[str, Any]:
        """The track as plain JSON types; scores in base64."""
        return {
            "rows": [{"label": label, "scores": _to_text(scores)} for label, scores in self.rows],
            "more": self.num_more,
            "status": self.status,
            "weights": _to_text(self.weights),
            "empty": self.is_empty,
        }


@dataclass(frozen=True, slots=True)
class Timeline:
    """What is shown of one source.

    ``starts`` and ``ends`` are the seconds of each column. ``outages`` are pieces of time with a reason in words,
    ``said`` what was said or shown as text. ``wall_seconds`` is the wall's time at second zero of a live source.
    """

    starts: tuple[float, ...]
    ends: tuple[float, ...]
    segments_a_column: int
    num_segments: int
    tracks: dict[str, Track]
    outages: tuple[tuple[float, float, str], ...]
    said: tuple[tuple[float, float, str], ...]
    num_not_shown: int
    wall_seconds: float | None

    @property
    def seconds(self) -> tuple[float, float]:
        """From where to where it goes."""
        return (self.starts[0], max(self.ends)) if self.starts else (0.0, 0.0)

    @property
    def trouble(self) -> list[str]:
        """What went wrong in it: ``outage``, ``damaged``, ``late``."""
        codes = set("".join(track.status for track in self.tracks.values()))
        return [word for code, word in (("o", "outage"), ("d", "damaged"), ("l", "late")) if code in codes]

    def peaks(self) -> list[tuple[str, float]]:
        """The labels of all modalities together with their highest scores, best first."""
        return [(label, int(scores.max()) / 255) for label, scores in self.tracks["found"].rows]

    def to_json(self) -> dict[str, Any]:
        """The timeline as plain JSON types."""
        return {
            "starts": [round(t, 3) for t in self.starts],
            "ends": [round(t, 3) for t in self.ends],
            "merged": self.segments_a_column,
            "segments": self.num_segments,
            "tracks": {name: track.to_json() for name, track in self.tracks.items()},
            "outages": self.outages,
            "said": self.said,
            "notShown": self.num_not_shown,
            "wall": self.wall_seconds,
        }


@dataclass(slots=True)
class _Lane:
    """A track while it is built."""

    scores: dict[str, _Scores] = field(default_factory=dict)
    status: list[str] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)


class TimelineBuilder:
    """Collects the rows of one source.

    Args:
        num_segments: how many it has, or will have; decides how many share a column.
    """

    def __init__(self, num_segments: int) -> None:
        self._size = max(1, -(-num_segments // MAX_COLUMNS))
        self._first: int | None = None
        self._number = -1
        self._num_columns = max(1, -(-num_segments // self._size))
        self._starts: list[float] = []
        self._ends: list[float] = []
        self._lanes = {name: _Lane() for name in TRACKS}
        self._outages: list[tuple[float, float, str]] = []
        self._said: list[tuple[float, float, str]] = []
        self._said_bytes = self._num_not_shown = self._num_rows = 0
        self._wall_seconds: float | None = None

    def push(self, row: Classification) -> None:
        """Takes the next row."""
        self._num_rows += 1
        self._column_of(row)
        for name, lane in self._lanes.items():
            modality = TRACKS[name]
            found = row if modality is None else row.modalities[modality]
            self._score(lane, found.labels)
            if modality is None:
                code, weight = ("." if row.labels else "a"), 1.0
            else:
                code, weight = _CODES[row.modalities[modality].status], row.modalities[modality].weight
            code = _OUTAGE if row.outage else code
            lane.status[-1] = min(lane.status[-1] or code, code, key=_WORST_FIRST.index)
            lane.weights[-1] = max(lane.weights[-1], _in_255ths(weight))
        if row.outage:
            self._note_outage(row)
        for cue in row.modalities["text"].cues:
            self._note_said((round(cue.start_seconds, 3), round(cue.end_seconds, 3), cue.text))
        if row.live is not None:
            self._wall_seconds = row.live.start_unix_seconds - row.start_seconds

    def finish(self) -> Timeline:
        """What is to be shown."""
        return Timeline(
            starts=tuple(self._starts),
            ends=tuple(self._ends),
            segments_a_column=self._size,
            num_segments=self._num_rows,
            tracks={name: self._track(lane) for name, lane in self._lanes.items()},
            outages=tuple(self._outages),
            said=tuple(self._said),
            num_not_shown=self._num_not_shown,
            wall_seconds=self._wall_seconds,
        )

    def _column_of(self, row: Classification) -> None:
        """Opens a column where one is due; what was quarantined in between leaves its place in it empty."""
        self._first = row.segment if self._first is None else self._first
        number = (row.segment - self._first) // self._size
        if number != self._number:
            self._number = number
            self._starts.append(row.start_seconds)
            self._ends.append(row.end_seconds)
            for lane in self._lanes.values():
                lane.status.append("")
                lane.weights.append(0)
        self._ends[-1] = max(self._ends[-1], row.end_seconds)

    def _score(self, lane: _Lane, labels: Iterable[tuple[str, float]]) -> None:
        at = len(self._starts) - 1
        for label, score in labels:
            scores = lane.scores.get(label)
            if scores is None or at >= len(scores):
                grown = np.zeros(max(self._num_columns, 2 * at, 1), np.uint8)
                if scores is not None:
                    grown[: len(scores)] = scores
                scores = lane.scores[label] = grown
            scores[at] = max(int(scores[at]), _in_255ths(score))

    def _note_outage(self, row: Classification) -> None:
        outage = (round(row.start_seconds, 3), round(row.end_seconds, 3), row.outage)
        if self._outages and self._outages[-1][1] >= outage[0] and self._outages[-1][2] == outage[2]:
            self._outages[-1] = (self._outages[-1][0], *outage[1:])
        elif len(self._outages) < _MAX_NOTES:
            self._outages.append(outage)
        else:
            self._num_not_shown += 1

    def _note_said(self, words: tuple[float, float, str]) -> None:
        if self._said and self._said[-1] == words:  # a caption over two segments
            return
        if (size := len(words[2].encode())) + self._said_bytes <= _MAX_SAID_BYTES:
            self._said.append(words)
            self._said_bytes += size
        else:
            self._num_not_shown += 1

    def _track(self, lane: _Lane) -> Track:
        num = len(self._starts)
        rows = [(label, np.pad(scores[:num], (0, max(0, num - len(scores))))) for label, scores in lane.scores.items()]
        rows = [(label, scores) for label, scores in rows if scores.max(initial=0) >= _in_255ths(LEAST_PEAK)]
        rows.sort(key=lambda row: (-int(row[1].max()), row[0]))
        weights = np.array(lane.weights, np.uint8)
        return Track(tuple(rows[:MAX_LABELS]), max(0, len(rows) - MAX_LABELS), "".join(lane.status), weights)


def _in_255ths(score: float) -> int:
    return round(255 * min(1.0, max(0.0, score)))


def _to_text(values: _Scores) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
