"""The encode stage: batches are split back, and one bad segment costs itself alone."""

import pytest

from streammm.config import Config
from streammm_workers.encode import EncodeWorker
from tests.workers.fakes import FakeEncoder, segment


def worker(monkeypatch: pytest.MonkeyPatch, encoder: FakeEncoder) -> EncodeWorker:
    monkeypatch.setattr("streammm_workers.encode.make_encoder", lambda config, modality: encoder)
    return EncodeWorker(Config(), "audio")


def test_chunks_go_in_as_one_batch_and_come_back_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = FakeEncoder()
    results = worker(monkeypatch, encoder).encode([segment(0), segment(1)], [segment(5)], [])
    assert [r.embeddings.vectors[:, 0].tolist() for r in results] == [[0, 1], [5], []]
    assert encoder.batches == [[0, 1, 5]]


def test_a_poison_segment_is_isolated(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = FakeEncoder(5)
    first, second = worker(monkeypatch, encoder).encode([segment(0), segment(1)], [segment(4), segment(5), segment(6)])
    assert (first.embeddings.present.tolist(), first.failures) == ([True, True], {})
    assert second.embeddings.present.tolist() == [True, False, True]
    assert second.embeddings.vectors[:, 0].tolist() == [4, 0, 6]
    assert second.failures == {1: "ArithmeticError: poison"}
