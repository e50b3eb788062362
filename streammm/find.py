"""Runs whose embeddings were kept, and a text or an example -> the moments that are most like it.

A text is looked for as a label is: by what it means, among the classes of the encoders and in what is said, so that
pictures, sound and words are judged on one scale. An example is compared by the encoders' vectors. Runs are read once
from end to end, some segments at a time; only the best are held.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from streammm.config import Config
from streammm.errors import ConfigError
from streammm.journal import EMBEDDINGS, Entry, Journal
from streammm.kept import Kept, kept_of
from streammm.likeness import ExampleJudge, Judge, Scores, TextJudge, example_of, mean_vectors
from streammm.run_directory import journal_of
from streammm.types import Modality

_READ_ENTRIES = 256
_POOL_A_MOMENT = 100
"""So many of the best segments are held for each moment that is asked for: a moment may be many segments long."""

_LEAST_OF_BEST = 0.5
"""A neighbour belongs to a moment if it scores at least this share of the moment's best segment."""

_JOINED_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch of a source, [start_seconds, end_seconds), in which something was found.

    ``score`` in [0, 1] is that of its best segment, which starts at ``best_seconds``; ``by_modality`` is what each
    modality that was there says of that segment alone. ``link`` opens the source there, "" where it cannot be opened.
    """

    run: Path
    source: str
    start_seconds: float
    end_seconds: float
    best_seconds: float
    score: float
    by_modality: Mapping[Modality, float]

    @property
    def link(self) -> str:
        """The source's address with the times as a media fragment (W3C Media Fragments URI 1.0)."""
        times = f"#t={self.start_seconds:g},{self.end_seconds:g}"
        if urlsplit(self.source).scheme in ("http", "https"):
            return self.source + times
        path = Path(self.source)
        return path.resolve().as_uri() + times if "://" not in self.source and path.is_file() else ""

    def to_json(self) -> dict[str, Any]:
        """The moment as plain JSON types."""
        return {
            "run": str(self.run),
            "source": self.source,
            "start_seconds": round(self.start_seconds, 6),
            "end_seconds": round(self.end_seconds, 6),
            "best_seconds": round(self.best_seconds, 6),
            "score": round(self.score, 6),
            "modalities": {m: round(score, 6) for m, score in self.by_modality.items()},
            "link": self.link,
        }


@dataclass(frozen=True, slots=True)
class Found:
    """The best moments, best first, how many segments were looked at, and what could not judge, in words."""

    moments: list[Moment]
    num_segments: int
    notes: tuple[str, ...] = ()


def find_text(runs: Sequence[Path], text: str, modalities: Sequence[Modality] = (), limit: int = 10) -> Found:
    """The moments in which something is seen, heard or said to be.

    The score of a segment is what a run with this text as its only label would give it without smoothing.

    Args:
        runs: directories of runs with ``output.embeddings=true``, also such as are still going on.
        text: what to look for, in a few words.
        modalities: in which of them; default: all, each with its weight in ``fusion.weights``.
        limit: how many moments at most.

    Raises:
        ConfigError: there is no such run, it kept no embeddings, or its encoders cannot judge texts.
    """
    judges: dict[str, TextJudge] = {}
    pool = _Pool(limit)
    for run in runs:
        config, journal = _opened(run)
        with closing(journal):
            key = config.model_dump_json(include={"encoders", "fusion"})
            judge = judges.setdefault(key, TextJudge(text, config, modalities))
            pool.read(run, journal, judge)
    notes = tuple(dict.fromkeys(note for judge in judges.values() for note in judge.notes))
    return Found(pool.moments(limit), pool.num_segments, notes)


def find_like(
    runs: Sequence[Path], source: str, seconds: float, modalities: Sequence[Modality] = (), limit: int = 10
) -> Found:
    """The moments that are like one segment of these runs; the stretch around that segment is not among them.

    Args:
        runs: as in `find_text`; the first that has the source gives the example.
        source: name of a source, or the end of it from a slash on.
        seconds: a time in the source.
        modalities: in which of them; default: all that the example has, each with its weight in ``fusion.weights``.
        limit: how many moments at most.

    Raises:
        ConfigError: there is no such run or segment, or runs were made with different encoders.
    """
    opened = [(run, *_opened(run)) for run in runs]
    try:
        example, its_run, its_config = None, runs[0], opened[0][1]
        for run, config, journal in opened:
            if config.encoders != its_config.encoders:
                raise ConfigError(f"{run} was made with other encoders than {runs[0]}: they cannot be compared")
            if example is None and (found := example_of(journal, source, seconds)) is not None:
                example, its_run, its_config = found, run, config
        if example is None:
            raise ConfigError(f"nothing was kept of {source} at {seconds:g} s in {', '.join(map(str, runs))}")
        journals = [journal for _, _, journal in opened]
        judge = ExampleJudge(example, mean_vectors(journals), its_config, modalities)
        pool = _Pool(limit + 1)
        for run, _, journal in opened:
            pool.read(run, journal, judge)
    finally:
        for _, _, journal in opened:
            journal.close()
    moments = pool.moments(limit + 1)
    around = example.start_seconds
    others = [
        m
        for m in moments
        if not (m.run == its_run and m.source == example.source and m.start_seconds <= around < m.end_seconds)
    ]
    return Found(others[:limit], pool.num_segments)


def _opened(run: Path) -> tuple[Config, Journal]:
    config, journal = journal_of(run)
    if not config.output.embeddings:
        raise ConfigError(
            f"{run} kept no embeddings: run it with --set output.embeddings=true, then it can be searched"
        )
    return config, journal


@dataclass(frozen=True, slots=True, order=True)
class _Hit:
    score: float
    number: int
    run: int
    source: str
    start_seconds: float
    end_seconds: float
    by_modality: tuple[tuple[Modality, float], ...]


class _Pool:
    """The best segments so far, and how they join to moments."""

    def __init__(self, limit: int) -> None:
        self.num_segments = 0
        self._size = limit * _POOL_A_MOMENT
        self._hits: list[_Hit] = []
        self._runs: list[Path] = []
        self._numbers = itertools.count()

    def read(self, run: Path, journal: Journal, judge: Judge) -> None:
        """Looks through a run."""
        self._runs.append(run)
        for entries in _batches(journal):
            try:
                kept = [kept_of(entry) for entry in entries]
                self._take(kept, judge(kept), judge.least)
            except (KeyError, TypeError, ValueError) as error:
                first, last = entries[0], entries[-1]
                where = f"between {first.source} {first.segment} and {last.source} {last.segment}"
                raise ConfigError(f"what was kept in {run} {where} cannot be read: {error}") from error

    def _take(self, kept: Sequence[Kept], scores: Sequence[Scores], least: float) -> None:
        self.num_segments += len(kept)
        for one, (score, by_modality) in zip(kept, scores, strict=True):
            is_good = len(self._hits) < self._size or score > self._hits[0].score
            if score < least or not is_good:
                continue
            found = tuple(by_modality.items())
            hit = _Hit(
                score, -next(self._numbers), len(self._runs) - 1, one.source, one.start_seconds, one.end_seconds, found
            )
            (heapq.heappush if len(self._hits) < self._size else heapq.heapreplace)(self._hits, hit)

    def moments(self, limit: int) -> list[Moment]:
        """The best segments, each with its neighbours that are nearly as good."""
        line = sorted(self._hits, key=lambda hit: (hit.run, hit.source, hit.start_seconds))
        taken = [False] * len(line)
        found: list[Moment] = []
        for i in sorted(range(len(line)), key=lambda i: line[i], reverse=True):
            if len(found) == limit:
                break
            if taken[i]:
                continue
            first = last = i
            while first > 0 and not taken[first - 1] and self._joins(line[first - 1], line[first], line[i]):
                first -= 1
            while last + 1 < len(line) and not taken[last + 1] and self._joins(line[last], line[last + 1], line[i]):
                last += 1
            taken[first : last + 1] = [True] * (last + 1 - first)
            best, start, end = line[i], line[first].start_seconds, line[last].end_seconds
            run = self._runs[best.run]
            found.append(Moment(run, best.source, start, end, best.start_seconds, best.score, dict(best.by_modality)))
        return found

    def _joins(self, earlier: _Hit, later: _Hit, best: _Hit) -> bool:
        is_next = (earlier.run, earlier.source) == (later.run, later.source)
        is_next = is_next and later.start_seconds <= earlier.end_seconds + _JOINED_SECONDS
        return is_next and min(earlier.score, later.score) >= _LEAST_OF_BEST * best.score


def _batches(journal: Journal) -> Iterator[list[Entry]]:
    position = 0
    while entries := journal.read(position, _READ_ENTRIES, kind=EMBEDDINGS):
        yield entries
        position = entries[-1].position
