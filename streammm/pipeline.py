"""The whole flow in one process, as one readable function: what `streammm.classify` and `find_events` run."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike, fspath
from typing import Any, TypeAlias

from streammm.building.classifier import make_classifier
from streammm.building.decoding import decode_options
from streammm.building.encoders import make_encoder
from streammm.building.events import make_events
from streammm.building.labels import reads_labels
from streammm.building.modalities import loaded_encoders, used_modalities
from streammm.building.precision import with_precision
from streammm.building.vocabulary import make_vocabulary
from streammm.config import Config, load
from streammm.encoders.isolation import encode_isolated, with_failures
from streammm.event_rows import EventRow, EventRows
from streammm.media.address import public_name
from streammm.media.isolated import IsolatedReader
from streammm.media.live import LiveReader
from streammm.media.read import open_reader
from streammm.types import Classification

Labels: TypeAlias = Sequence[str] | Mapping[str, Any] | str | None
Reader: TypeAlias = IsolatedReader | LiveReader


def classify(
    source: str | PathLike[str], labels: Labels = None, config: Config | None = None
) -> Iterator[Classification]:
    """Yields one row for each segment of a source, in order, as they are made: the rows that `streammm run` writes.

    Args:
        source: path of a media file, with captions beside it, or an address; a live one goes on until it is left.
        labels: what to look and listen for, in any words: a list, a text separated by commas, a mapping to what is said
            of each, or the name of a file of labels; default: those of the configuration, else a general list.
        config: everything else; `streammm.config.load` reads one from a file.

    Raises:
        ConfigError: a label or a setting cannot be used, or a model is not installed.
        SourceError: the file cannot be read.
    """
    for row, _ in flow(fspath(source), configured(config, labels)):
        if row is not None:
            yield row


def find_events(
    source: str | PathLike[str], labels: Labels = None, config: Config | None = None
) -> Iterator[dict[str, Any]]:
    """Yields what becomes of events, as they are made: the lines of ``events.jsonl`` that `streammm run` writes.

    Arguments and errors are those of `classify`.
    """
    for _, told in flow(fspath(source), configured(config, labels)):
        yield from (event.fields for event in told)


def configured(config: Config | None, labels: Labels) -> Config:
    """A configuration with other labels, if there are any."""
    config = config or Config()
    if labels is None:
        return config
    chosen = labels if isinstance(labels, str | Mapping) else tuple(labels)
    return load(**config.model_dump(exclude={"labels"}), labels=chosen)


def flow(
    source: str, config: Config, opened: Callable[[Reader], None] = lambda reader: None
) -> Generator[tuple[Classification | None, Sequence[EventRow]], None, None]:
    """Rows in order, each with what becomes of events; at the end, without a row, what closes then.

    ``opened`` is told what reads the source, which another thread may close.
    """
    config = with_precision(config)
    with (
        open_reader(source, decode_options(config)) as reader,
        ThreadPoolExecutor(4, thread_name_prefix="streammm") as threads,
    ):
        opened(reader)
        encoders = {m: make_encoder(config, m) for m in loaded_encoders(config)}
        list(threads.map(lambda encoder: encoder.setup(), encoders.values()))
        vocabulary = make_vocabulary(config, encoders["text"]) if reads_labels(config) else None
        classifier = make_classifier(config, vocabulary)
        rows, settings = classifier.begin(), make_events(config, vocabulary)
        events = None if settings is None else EventRows(public_name(source), settings)
        is_last = False
        while not is_last:
            chunk, is_last = reader.read(config.engine.chunk_segments)
            if not chunk:
                continue
            used = used_modalities(config)
            made = dict(zip(used, threads.map(lambda m, c=chunk: encode_isolated(encoders[m], c), used), strict=True))
            for modality, encoded in made.items():
                chunk = with_failures(chunk, modality, encoded.failures)
            for row in rows.push(chunk, {m: encoded.embeddings for m, encoded in made.items()}):
                yield row, events.push(row) if events else ()
        for row in rows.flush():
            yield row, events.push(row) if events else ()
        yield None, events.flush() if events else ()
