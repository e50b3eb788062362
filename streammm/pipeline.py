"""The whole flow in one process, as one readable function: what `streammm.classify` and `find_events` run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike, fspath
from typing import Any

from streammm.build import (
    decode_options,
    loaded_encoders,
    make_classifier,
    make_encoder,
    make_events,
    make_vocabulary,
    reads_labels,
    used_modalities,
)
from streammm.config import Config, load
from streammm.encoders.isolation import encode_isolated, with_failures
from streammm.event_rows import EventRow, EventRows
from streammm.media.address import public_name
from streammm.media.read import open_reader
from streammm.types import Classification


def classify(
    source: str | PathLike[str], labels: Sequence[str] | str | None = None, config: Config | None = None
) -> Iterator[Classification]:
    """Yields one row for each segment of a source, in order, as they are made: the rows that `streammm run` writes.

    Args:
        source: path of a media file, with captions beside it, or an address; a live one goes on until it is left.
        labels: what to look and listen for, in any words, as a list or separated by commas; default: those of the
            configuration, else a general list.
        config: everything else; `streammm.config.load` reads one from a file.

    Raises:
        ConfigError: a label or a setting cannot be used, or a model is not installed.
        SourceError: the file cannot be read.
    """
    for row, _ in _flow(source, labels, config):
        if row is not None:
            yield row


def find_events(
    source: str | PathLike[str], labels: Sequence[str] | str | None = None, config: Config | None = None
) -> Iterator[dict[str, Any]]:
    """Yields what becomes of events, as they are made: the lines of ``events.jsonl`` that `streammm run` writes.

    Arguments and errors are those of `classify`.
    """
    for _, told in _flow(source, labels, config):
        yield from (event.fields for event in told)


def _flow(
    source: str | PathLike[str], labels: Sequence[str] | str | None, config: Config | None
) -> Iterator[tuple[Classification | None, Sequence[EventRow]]]:
    """Rows in order, each with what becomes of events; at the end, without a row, what closes then."""
    config = config or Config()
    if labels is not None:
        config = load(
            **config.model_dump(exclude={"labels"}), labels=labels if isinstance(labels, str) else tuple(labels)
        )
    with (
        open_reader(fspath(source), decode_options(config)) as reader,
        ThreadPoolExecutor(4, thread_name_prefix="streammm") as threads,
    ):
        encoders = {m: make_encoder(config, m) for m in loaded_encoders(config)}
        list(threads.map(lambda encoder: encoder.setup(), encoders.values()))
        vocabulary = make_vocabulary(config, encoders["text"]) if reads_labels(config) else None
        classifier = make_classifier(config, vocabulary)
        rows, settings = classifier.begin(), make_events(config, vocabulary)
        events = None if settings is None else EventRows(public_name(fspath(source)), settings)
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
