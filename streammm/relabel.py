"""A run whose embeddings were kept, and other labels or another model -> a run directory with the rows of a new run.

Nothing is decoded, and no encoder but the one that reads labels is loaded. Source by source, the segments' embeddings
go through fusion as they did in the run; what rows say of the media itself is taken from the rows that there are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from streammm.building.classifier import make_classifier
from streammm.building.events import make_events
from streammm.building.identity import feature_identity, model_name
from streammm.building.modalities import used_modalities
from streammm.building.vocabulary import read_vocabulary
from streammm.classifier import Classifier
from streammm.config import Config, load
from streammm.errors import ConfigError, SourceError
from streammm.event_rows import EventSettings
from streammm.journal import DONE, QUARANTINED, SKIPPED, Cursor, Entry, Journal, SourceState
from streammm.media.address import may_go_on
from streammm.replay import Replayed, chunks_of, embeddings_of, segment_of
from streammm.run_directory import RunDirectory, config_of, journal_of
from streammm.sinks.base import Sink
from streammm.source_rows import SourceRows
from streammm.types import MODALITIES, Classification, Modality

_DELIVERED_ROWS = 1000
_SETTINGS_OF_A_RUN = {"runtime", "output", "privacy", "retention", "sources", "network", "live", "engine"}
"""What of a configuration is no matter of the model."""


@dataclass(frozen=True, slots=True)
class Relabelled:
    """What was done: sources and rows of the new run directory, and how many sources the old run has not ended."""

    num_sources: int
    num_rows: int
    num_unfinished: int


def relabelled_config(
    run: Path, labels: str | Sequence[str] | None = None, model: Path | None = None, settings: Sequence[str] = ()
) -> Config:
    """The configuration of a run, but with other labels or another model.

    Args:
        run: its directory.
        labels: what to look and listen for.
        model: directory of a trained model; its encoders and segments must be those of the run.
        settings: ``key=value``, for fusion and what a row holds.

    Raises:
        ConfigError: there is no such run, or something in these cannot be used.
    """
    before = config_of(run)
    if model is not None:
        # What the model was trained on comes from the model, so that where the run differs is said and not hidden.
        sections = before.model_dump(mode="json", include=_SETTINGS_OF_A_RUN)
        kept = [f"{name}.{key}={json.dumps(v)}" for name, found in sections.items() for key, v in found.items()]
        return load(None, [*kept, "output.embeddings=false", *settings], model=str(model), labels=labels)
    changed = ["model=null", "output.embeddings=false", "sinks=[]", *settings]
    return load(run / "config.yaml", changed, labels=labels)


def default_place(run: Path, config: Config) -> Path:
    """Where the rows of a configuration go by default: beside the run, by a name of their own."""
    return run.resolve().with_name(f"{run.resolve().name}-{model_name(config).rpartition(':')[2]}")


def relabel(
    run: Path, config: Config, place: Path, *, fresh: bool = False, tell: Callable[[int], None] = lambda more: None
) -> Relabelled:
    """Makes a run directory with the rows that a run over the same media with this configuration would have made.

    One that was stopped, or whose run has gone on since, is taken up where it was: each commit is whole.

    Args:
        run: directory of a run with ``output.embeddings=true``, also one that is still going on.
        config: of the new run; see `relabelled_config`.
        place: directory of the new run.
        fresh: start anew, whatever is in it.
        tell: called with a number of rows whenever so many more were made.

    Raises:
        ConfigError: no embeddings were kept, or they are of other encoders, segments or media settings.
    """
    if place.resolve() == run.resolve():
        raise ConfigError(f"{place} holds the run itself: name another directory")
    before, old = journal_of(run)
    with ExitStack() as stack:
        stack.enter_context(closing(old))
        _check(run, before, old.meta("identity") or {}, config)
        vocabulary = read_vocabulary(config)
        classifier, events = make_classifier(config, vocabulary), make_events(config, vocabulary)
        directory = stack.enter_context(closing(RunDirectory(place, config, fresh)))
        directory.begin(old.meta("sources") or ())
        new = stack.enter_context(closing(Journal(directory.url, directory.schema, directory.owner)))
        writer = _Writer(new, stack.enter_context(closing(directory.files())), tell)
        work = _Relabelling(old, writer, classifier, events, used_modalities(config), config.output.text)
        num_sources = num_unfinished = 0
        is_forgotten = new.forgotten()
        for source in old.sources():
            if is_forgotten(source.name):
                continue
            work.do(source)
            num_sources += 1
            num_unfinished += source.status not in (DONE, QUARANTINED, SKIPPED)
        writer.deliver()
        return Relabelled(num_sources, new.summary()["segments"], num_unfinished)


class _Writer:
    """The new journal, and its file of rows, which is written whenever enough is there."""

    def __init__(self, journal: Journal, sink: Sink, tell: Callable[[int], None]) -> None:
        self.journal = journal
        self._sink = sink
        self._tell = tell
        self._num_waiting = 0
        self._position = sink.start(*journal.sink(sink.name))

    def commit(self, name: str, epoch: int, entries: Sequence[Entry], cursor: Cursor, is_done: bool) -> None:
        if self.journal.commit(name, epoch, entries, cursor, is_done) is None:
            raise ConfigError(f"another process has taken {name} over")
        num_rows = sum(entry.kind == "row" for entry in entries)
        self._num_waiting += num_rows
        self._tell(num_rows)
        if self._num_waiting >= _DELIVERED_ROWS:
            self.deliver()

    def deliver(self) -> None:
        while entries := self.journal.read(self._position):
            mark = self._sink.write(entries)
            self._position = entries[-1].position
            self.journal.advance(self._sink.name, self._position, mark)
        self._num_waiting = 0


@dataclass(slots=True)
class _Target:
    """A source on its way into the new journal; old rows by segment ``waiting`` for their new ones."""

    source: SourceState
    epoch: int
    rows: SourceRows
    cursor: Cursor
    waiting: dict[int, Replayed] = field(default_factory=dict)


class _Relabelling:
    """Does one source after another."""

    def __init__(
        self,
        old: Journal,
        writer: _Writer,
        classifier: Classifier,
        events: EventSettings | None,
        used: Sequence[Modality],
        with_text: bool,
    ) -> None:
        self._old = old
        self._writer = writer
        self._classifier = classifier
        self._events = events
        self._used = used
        self._with_text = with_text

    def do(self, source: SourceState) -> None:
        """Brings the new journal as far with a source as the old one is."""
        new, name = self._writer.journal, source.name
        if source.status == SKIPPED:
            new.skip(name, source.reason)
            return
        new.register([name], reopen=[name] if may_go_on(name) else ())
        if (lease := new.lease(name)) is None:
            return
        rows = SourceRows(name, self._classifier, self._events, lease.cursor.state)
        target = _Target(source, lease.epoch, rows, lease.cursor)
        for chunk in chunks_of(self._old, name, lease.cursor.next_segment):
            target.waiting |= {found.row.segment: found for found in chunk}
            made = rows.push([segment_of(found) for found in chunk], embeddings_of(chunk, self._used))
            self._commit(target, made)
        if source.status == DONE or source.reason == "encoder-failed":  # what waits for more gets none
            self._commit(target, rows.flush(), is_done=source.status == DONE)
        if source.status == QUARANTINED:
            new.quarantine(_given_up(self._old, source))

    def _commit(self, target: _Target, made: Sequence[Classification], is_done: bool = False) -> None:
        if not made and not is_done:
            return
        source, rows, before = target.source, target.rows, target.cursor
        entries: list[Entry] = []
        for row in made:
            old = target.waiting.pop(row.segment)
            entries += [*rows.entries(self._worded(old.row, row)), *old.quarantine]
        entries += rows.end() if is_done else []
        target.cursor = Cursor(
            made[-1].segment + 1 if made else before.next_segment,
            rows.state,
            made[-1].end_seconds if made else before.media_seconds,
            source.counted.num_errors,
            source.counted.last_error,
            source.counted.num_restarts,
            rows.num_events,
        )
        self._writer.commit(source.name, target.epoch, entries, target.cursor, is_done)

    def _worded(self, old: Classification, new: Classification) -> Classification:
        """What the old row says of the media and the new one of what is in it."""
        modalities = {
            m: replace(
                result,
                weight=new.modalities[m].weight,
                labels=new.modalities[m].labels,
                cues=result.cues if self._with_text else (),
            )
            for m, result in old.modalities.items()
        }
        found = replace(old, labels=new.labels, other=new.other, found=new.found, modalities=modalities)
        return replace(found, model=new.model, scores=new.scores)


def _check(run: Path, before: Config, identity: Mapping[str, Any], config: Config) -> None:
    """Refuses what these embeddings cannot answer, and says why."""
    if not identity.get("output.embeddings"):
        raise ConfigError(
            f"{run} kept no embeddings: run it with --set output.embeddings=true, then it can be relabelled"
        )
    if config.output.text and not identity.get("output.text"):
        raise ConfigError(f"output.text: the rows of {run} hold no words")
    used = used_modalities(config)
    if missing := [m for m in used if m not in used_modalities(before)]:
        raise ConfigError(
            f"{run} kept no embeddings of {' and '.join(missing)}; leave that out with "
            f"--set fusion.weights={{{', '.join(f'{m}: 0' for m in missing)}}}"
        )
    unused = [m for m in MODALITIES if m not in used]
    own = {f"weights of {getattr(config.encoders, m)}" for m in used}
    ignored = {f"encoders.{m}" for m in unused}
    ignored |= {f"weights of {getattr(config.encoders, m)}" for m in unused} - own
    now = json.loads(json.dumps(feature_identity(config)))
    changes = [
        f"{key}: kept with {json.dumps(identity.get(key))}, asked for with {json.dumps(value)}"
        for key, value in now.items()
        if key not in ignored and value != identity.get(key)
    ]
    if changes:
        raise ConfigError(f"the embeddings in {run} are others than this needs:\n  " + "\n  ".join(changes))


def _given_up(journal: Journal, source: SourceState) -> SourceError:
    position = 0
    while entries := journal.read(position, source=source.name, kind="quarantine"):
        for entry in entries:
            if entry.segment is None:
                fields = json.loads(entry.text)
                return SourceError(source.name, fields["reason"], fields["detail"])
        position = entries[-1].position
    return SourceError(source.name, source.reason, "the run no longer says more")  # retention has removed it
