"""What a report says of the run as a whole: how far it came, how fast, what was slowest, what was given up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streammm.journal import Journal

MAX_QUARANTINED = 1000
"""So much of what was given up a report lists, the quarantine holds all."""

STAGES = {"decode": "decode", "video": "see", "audio": "hear", "text": "read"}


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of the run: the share of the time it was at work, and what passed through it."""

    name: str
    share: float
    num_workers: int
    num_segments: int


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A source, or one segment of it, that was given up."""

    source: str
    segment: int | None
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class RunFacts:
    """The run; ``state`` is ``running``, ``finished`` or ``stopped``. Rates are of the last time it was started.

    ``made_unix_seconds`` is when the run last told how it stands, None where it never did.
    """

    state: str
    num_by_status: Mapping[str, int]
    num_segments: int
    media_seconds: float
    num_errors: int
    num_restarts: int
    media_seconds_per_second: float | None
    stages: tuple[Stage, ...]
    given_up: tuple[GivenUp, ...]
    num_given_up: int
    skipped: Mapping[str, int]
    made_unix_seconds: float | None

    @property
    def slowest(self) -> Stage | None:
        """The stage that was at work for the largest share of the time."""
        return max(self.stages, key=lambda stage: stage.share, default=None)


def facts_of(journal: Journal, is_running: bool) -> RunFacts:
    """Collects them from a journal."""
    summary = journal.summary()
    progress = journal.meta("progress") or {}
    seconds = progress.get("working_seconds") or 0.0
    given_up = [_given_up(entry.text) for entry in journal.read(0, MAX_QUARANTINED, kind="quarantine")]
    sources = summary["sources"]
    return RunFacts(
        state="running" if is_running else "stopped" if sources["todo"] else "finished",
        num_by_status=sources,
        num_segments=summary["segments"],
        media_seconds=summary["media_seconds"],
        num_errors=summary["errors"],
        num_restarts=summary["restarts"],
        media_seconds_per_second=progress["media_seconds"] / seconds if seconds else None,
        stages=tuple(_stages(progress.get("stages", {}), seconds)),
        given_up=tuple(given_up),
        num_given_up=sources["quarantined"] + summary["quarantined_segments"],
        skipped=summary["skipped"],
        made_unix_seconds=progress.get("unix_seconds"),
    )


def _stages(found: Mapping[str, Any], seconds: float) -> list[Stage]:
    return [
        Stage(
            STAGES.get(name, name),
            min(1.0, load["busy_seconds"] / seconds / max(1, load["num_workers"])) if seconds else 0.0,
            load["num_workers"],
            load["num_segments"],
        )
        for name, load in found.items()
    ]


def _given_up(text: str) -> GivenUp:
    fields = json.loads(text)
    return GivenUp(fields["source"], fields.get("segment"), fields["reason"], fields["detail"])
