"""Stages whose process ends, by `os._exit`, in the middle of a method: at the next call after a file says so."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import ray

from streammm.config import Config
from streammm.encoders.isolation import Encoded
from streammm.journal import Commit, Journal
from streammm.media.options import DecodeOptions
from streammm.types import Modality, Segment
from streammm_workers.decode import Chunk, DecodeWorker
from tests.workers.light import LightEncodeWorker

POINTS = ("decode", "encode", "before-commit", "after-commit", "before-rows", "after-rows")
"""Where a process may end: in a decode or an encode stage, in the journal before or after a transaction, in a shard
before its rows are committed or after."""


def exit_if_told(folder: str, point: str) -> None:
    """Ends this process if there is a file of that name; whoever takes the file away ends, and nobody else."""
    with suppress(FileNotFoundError):
        (Path(folder) / point).unlink()
        os._exit(1)


class ExitingDecoder(DecodeWorker):
    """Leaves a file that is named after its node for every source."""

    def __init__(self, folder: str, options: DecodeOptions) -> None:
        super().__init__(options)
        self._folder = folder

    def open(self, ticket: str, source: str, first_segment: int) -> None:
        super().open(ticket, source, first_segment)
        node = ray.get_runtime_context().get_node_id()
        (Path(self._folder) / f"{node}-{Path(source).name}").touch()

    def next(
        self, ticket: str, num_segments: int, is_watched: bool = False
    ) -> tuple[Chunk, list[Segment], list[Segment]]:
        exit_if_told(self._folder, "decode")
        return super().next(ticket, num_segments)


class ExitingEncoder(LightEncodeWorker):
    """Takes a tenth of a second for each segment, so that a run has a middle."""

    def __init__(self, folder: str, config: Config, modality: Modality) -> None:
        super().__init__(config, modality)
        self._folder = folder

    def encode(self, *chunks: list[Segment]) -> list[Encoded]:
        exit_if_told(self._folder, "encode")
        time.sleep(0.1 * sum(map(len, chunks)))
        return super().encode(*chunks)


class ExitingJournal(Journal):
    """Is told by files beside its database."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._folder = str(Path(url.removeprefix("sqlite:///")).parent)

    def commit_all(self, commits: Sequence[Commit]) -> list[bool | None]:
        exit_if_told(self._folder, "before-commit")
        may_go_on = super().commit_all(commits)
        exit_if_told(self._folder, "after-commit")
        return may_go_on
