"""Rows of a fusion that looks ahead: the same however segments come, and from wherever a run goes on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import numpy as safetensors
from safetensors import torch as torch_safetensors

from streammm.classifier import Classifier
from streammm.fusion.card import ModelCard
from streammm.fusion.model import ZeroShotFusion
from streammm.fusion.trained import TrainedFusion
from streammm.fusion.vocabulary import Vocabulary
from streammm.labels import DEFAULT_THRESHOLD
from streammm.rows import row_from_json
from streammm.source_rows import SourceRows
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
    return Classifier(TrainedFusion(card, card.network()), "model", 10)


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


def test_equal_scores_are_told_in_the_order_of_the_labels() -> None:
    labels = tuple(f"label {n}" for n in range(40))
    weights = np.full((len(labels), 4), 0.25, np.float32)  # what is heard means all of them alike
    arrays = np.zeros((len(labels), 4), np.float32), np.zeros((len(labels), 0), np.float32), weights
    fusion = ZeroShotFusion(Vocabulary(labels, *arrays, np.ones((3, len(labels)), np.float32)), {"audio": 1.0})
    heard = {"audio": Embeddings("audio", *np.ones((2, 1, 4), np.float32), np.ones(1, np.bool_))}
    (row,) = Classifier(fusion, "m", 5, thresholds=dict.fromkeys(labels, 0.01)).begin().push([segment(0)], heard)
    assert tuple(label for label, _ in row.labels) == labels[:5]
    assert row.found == labels


@pytest.mark.parametrize("look_ahead", [0, 2])
def test_a_state_that_torch_saved_goes_on(look_ahead: int) -> None:
    """Journals hold such states; what is written is the same to the byte."""
    whole, rows = (SourceRows("s", classifier(look_ahead), None) for _ in range(2))
    wanted = whole.push([segment(n) for n in range(LENGTH)], embeddings(0, LENGTH))
    found = rows.push([segment(n) for n in range(5)], embeddings(0, 5))
    saved = torch_safetensors.save(torch_safetensors.load(rows.state))
    assert saved == rows.state
    again, first = SourceRows("s", classifier(look_ahead), None, saved), len(found)
    found += again.push([segment(n) for n in range(first, LENGTH)], embeddings(first, LENGTH))
    for one, other in zip(scores(found), scores(wanted), strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_an_outage_ends_what_waits_and_is_a_row_of_its_own() -> None:
    rows = classifier(2).begin()
    gone = replace(segment(2), outage="nothing came")
    found = rows.push([segment(0), segment(1), gone, segment(3)], embeddings(0, 4))
    assert [(row.segment, row.outage) for row in found] == [(0, ""), (1, ""), (2, "nothing came")]
    assert [row.segment for row in rows.flush()] == [3]


def test_a_label_is_found_from_its_threshold_on() -> None:
    torch.manual_seed(0)
    card = ModelCard(task="multi_label", labels=("a", "b", "c"), dims={"audio": 4}, encoders={"audio": "x"}, width=8)
    fusion = TrainedFusion(card, card.network())
    (row,) = Classifier(fusion, "model", 10).begin().push([segment(0)], embeddings(0, 1))
    best = [label for label, _ in row.labels]
    scores = dict(row.labels)
    assert row.found == tuple(label for label in best if scores[label] >= DEFAULT_THRESHOLD)
    own = {best[0]: scores[best[0]] + 0.01, best[1]: 0.9999 * scores[best[1]], best[2]: 0.0001}
    (row,) = Classifier(fusion, "model", 1, thresholds=own).begin().push([segment(0)], embeddings(0, 1))
    assert (row.found, len(row.labels)) == ((best[1], best[2]), 1)
    stored = json.loads(json.dumps(row.to_json()))
    assert stored["found"] == [best[1], best[2]]
    assert row_from_json(stored).found == row.found
    del stored["found"]  # a row that was made before there were thresholds
    assert row_from_json(stored).found == ()
