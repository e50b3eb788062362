"""Run directories whose segments and embeddings are made here, in the shapes that the built-in encoders have."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from streammm.building.classifier import make_classifier
from streammm.building.events import make_events
from streammm.building.modalities import used_modalities
from streammm.building.vocabulary import read_vocabulary
from streammm.config import Config
from streammm.errors import SourceError
from streammm.journal import Journal, quarantine_entry
from streammm.kept import embeddings_entry
from streammm.run_directory import RunDirectory
from streammm.source_rows import SourceRows
from streammm.types import MODALITIES, Embeddings, LiveState, Modality, Segment, Status

SIZES: dict[Modality, tuple[int, int]] = {"audio": (1024, 521), "text": (384, 0), "video": (1280, 1000)}
CHUNK = 8
GIVEN_UP = "its decoder was ended again and again"


@dataclass(frozen=True)
class Made:
    """A source and what becomes of it: ``is_done``, ``given_up`` for a reason after its segments, or still to do."""

    segments: Sequence[Segment]
    embeddings: dict[Modality, Embeddings]
    is_done: bool = True
    given_up: str = ""

    def first(self, num: int) -> Made:
        """As far as it was after so many segments."""
        some = slice(0, num)
        return Made(self.segments[some], {m: made[some] for m, made in self.embeddings.items()}, is_done=False)


def made_source(name: str, num: int, *, outage_at: int | None = None, given_up: str = "", seed: int = 0) -> Made:
    """Segments of two seconds: sound in all, pictures in two of three, captions in one of five; one may be an outage.

    Times are no round numbers, so that what is rounded in rows shows.
    """
    draw = np.random.default_rng(seed)
    there = {"audio": np.ones(num, bool), "text": np.arange(num) % 5 == 0, "video": np.arange(num) % 3 < 2}
    segments = []
    for n in range(num):
        is_outage = n == outage_at
        status = {m: Status.OK if there[m][n] and not is_outage else Status.ABSENT for m in MODALITIES}
        for m in MODALITIES:
            there[m][n] &= not is_outage
        segments.append(
            Segment(
                source=name,
                index=n,
                start_seconds=2 * n + 1 / 3,
                end_seconds=2 * n + 7 / 3,
                frames=np.zeros((0, 1, 1, 3), np.uint8),
                frame_seconds=np.zeros(0),
                waveform=np.zeros(0, np.float32),
                cues=(),
                status=status,
                coverage={"audio": 1 / 3},
                num_errors={"video": n % 2},
                amounts={"audio": 32_000, "video": 4},
                live=None if outage_at is None else LiveState(1_700_000_000.0 + 2 * n, 0.25, num_reconnects=n),
                outage="the camera was off" if is_outage else "",
            )
        )
    embeddings = {m: _made(draw, m, there[m]) for m in MODALITIES}
    return Made(segments, embeddings, not given_up, given_up)


def _made(draw: np.random.Generator, modality: Modality, present: np.ndarray) -> Embeddings:
    """Class scores of which a few are high, as they are; vectors that are never below zero, or of length one."""
    width, classes = SIZES[modality]
    vectors = draw.normal(size=(len(present), width)).astype(np.float32)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if modality == "text" else np.maximum(vectors, 0)
    tags = np.exp(3 * draw.normal(size=(len(present), classes))).astype(np.float32)
    if classes:
        tags = tags / tags.sum(1, keepdims=True) if modality == "video" else np.minimum(tags / 100, 1)
    return Embeddings(modality, vectors * present[:, None], tags * present[:, None], present)


def write_run(path: Path, config: Config, sources: dict[str, Made], skipped: Sequence[str] = ()) -> None:
    """Writes the journal of a run over sources as a shard does, chunk by chunk; one that is there goes on."""
    vocabulary = read_vocabulary(config)
    classifier, events = make_classifier(config, vocabulary), make_events(config, vocabulary)
    used = used_modalities(config)
    sources = {n: replace(s, embeddings={m: s.embeddings[m] for m in used}) for n, s in sources.items()}
    with closing(RunDirectory(path, config)) as directory:
        directory.begin(["films"])
        with closing(Journal(directory.url, directory.schema, directory.owner)) as journal:
            for name, made in sources.items():
                journal.register([name])
                lease = journal.lease(name)
                assert lease is not None
                cursor = lease.cursor
                rows = SourceRows(name, classifier, events, cursor.state)
                for at in range(cursor.next_segment, len(made.segments), CHUNK):
                    some = slice(at, at + CHUNK)
                    chunk = made.segments[some]
                    embeddings = {m: all_of[some] for m, all_of in made.embeddings.items()}
                    cursor = _commit(journal, lease.epoch, made, rows, rows.push(chunk, embeddings), cursor)
                if made.is_done or made.given_up == "encoder-failed":
                    _commit(journal, lease.epoch, made, rows, rows.flush(), cursor, made.is_done)
                if made.given_up:
                    journal.quarantine(SourceError(name, made.given_up, GIVEN_UP))
            for name in skipped:
                journal.skip(name, "filtered")


def _commit(journal, epoch, source, rows, made, before, is_done=False):
    if not made and not is_done:
        return before
    entries = []
    for row in made:
        entries += [*rows.entries(row), embeddings_entry(source.segments[row.segment], source.embeddings, row.segment)]
        if row.segment % 7 == 3:
            entries.append(quarantine_entry(SourceError(row.source, "decoder-died", "it is damaged"), row.segment))
    entries += rows.end() if is_done else []
    cursor = replace(before, num_errors=3, last_error="it is damaged", state=rows.state, num_events=rows.num_events)
    if made:
        cursor = replace(cursor, next_segment=made[-1].segment + 1, media_seconds=made[-1].end_seconds)
    assert journal.commit(source.segments[0].source, epoch, entries, cursor, is_done) is not None
    return cursor
