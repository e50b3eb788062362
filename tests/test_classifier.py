"""Rows of a fusion that looks ahead: the same however segments come, and from wherever a run goes on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import torch as safetensors

from streammm.classifier import Classifier
from streammm.fusion.trained import ModelCard, TrainedFusion
from streammm.types import Classification, Embeddings
from tests.workers.fakes import segment

LENGTH = 9


def classifier(look_ahead: int) -> Classifier:
    torch.manual_seed(0)
    card = ModelCard(
        task="multi_class",
        labels=("a", "b", "c"),
        background="c",
        dims={"audio": 4},
        encoders={"audio": "yamnet"},
        width=8,
        look_ahead=look_ahead,
    )
    return Classifier(TrainedFusion(card, card.network()).eval(), "model", 10)


def embeddings(first: int, stop: int) -> dict[str, Embeddings]:
    vectors = np.random.default_rng(1).normal(size=(LENGTH, 4)).astype(np.float32)[first:stop]
    return {"audio": Embeddings("audio", vectors, vectors[:, :0], np.ones(len(vectors), np.bool_))}


def scores(rows: list[Classification]) -> list[tuple[int, float, float]]:
    return [(row.segment, dict(row.labels)["a"], row.other) for row in rows]


@pytest.mark.parametrize("look_ahead", [0, 2])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_rows_do_not_depend_on_how_segments_come_nor_on_a_resume(look_ahead: int, size: int) -> None:
    whole = classifier(look_ahead).begin()
    wanted = whole.push([segment(n) for n in range(LENGTH)], embeddings(0, LENGTH))
    assert len(wanted) == LENGTH - look_ahead
    wanted += whole.flush()
    rows = classifier(look_ahead).begin()
    found: list[Classification] = []
    for first in range(0, LENGTH, size):
        stop = min(LENGTH, first + size)
        found += rows.push([segment(n) for n in range(first, stop)], embeddings(first, stop))
        again = classifier(look_ahead).begin(safetensors.load(safetensors.save(rows.state)))
        rest = again.push([segment(n) for n in range(len(found), LENGTH)], embeddings(len(found), LENGTH))
        for one, other in zip(scores(found + rest + again.flush()), scores(wanted), strict=True):
            assert one == pytest.approx(other, abs=1e-5)
    for one, other in zip(scores(found + rows.flush()), scores(wanted), strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    assert all(sum(score for _, score in row.labels) + row.other == pytest.approx(1.0) for row in found)


def test_an_outage_ends_what_waits_and_is_a_row_of_its_own() -> None:
    rows = classifier(2).begin()
    gone = replace(segment(2), outage="nothing came")
    found = rows.push([segment(0), segment(1), gone, segment(3)], embeddings(0, 4))
    assert [(row.segment, row.outage) for row in found] == [(0, ""), (1, ""), (2, "nothing came")]
    assert [row.segment for row in rows.flush()] == [3]
