"""Training learns what can be learned, the same each time, and goes on where it was stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from streammm.fusion.card import ModelCard
from streammm.training import fit as fitting
from streammm.training.dataset import batches, collate
from streammm.training.evaluate import score
from streammm.training.fit import FitOptions, fit, one_cycle
from streammm.training.loss import balanced_weights, drop_modalities, pool, segment_loss, source_loss
from streammm.training.predict import FusionNet, predict
from streammm.types import MODALITIES
from tests.training.made import DIMS, NUM_CLASSES, example, examples

LABELS = ("a", "b", "c")
OPTIONS = FitOptions(epochs=8, segments_a_batch=32, dropout=0.0, learning_rate=0.01)


def card(**more) -> ModelCard:
    encoders = {"audio": "yamnet", "video": "efficientnet_lite0"}
    return ModelCard(
        **{"task": "multi_class", "labels": LABELS, "dims": DIMS, "encoders": encoders, "width": 16, **more}
    )


def test_what_can_be_learned_is_learned_also_from_one_modality() -> None:
    validation = examples(8, 1)
    found = fit(examples(20, 0), validation, card(), OPTIONS, score=score)
    assert found.history[found.best - 1].score == 1.0
    for missing in ("audio", "video"):
        left = predict(found.net, validation, DIMS, "multi_class", [missing])
        assert score(left.logits, left.targets, "multi_class") == 1.0
    nothing = predict(found.net, validation, DIMS, "multi_class", ["audio", "video"])
    assert score(nothing.logits, nothing.targets, "multi_class") < 0.7


@pytest.mark.parametrize("task", ["multi_class", "multi_label"])
def test_labels_of_whole_sources_are_enough(task: str) -> None:
    train, validation = examples(24, 0, weak=True), examples(9, 1, weak=True)
    found = fit(train, validation, card(task=task), OPTIONS, score=score)
    judged = predict(found.net, validation, DIMS, task)
    assert (len(judged), judged.num_whole_sources) == (9, 9)
    assert score(judged.logits, judged.targets, task) == 1.0


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    def weights(seed: int) -> torch.Tensor:
        options = FitOptions(epochs=2, seed=seed)
        found = fit(examples(6, 0), examples(3, 1), card(), options, score=score)
        return torch.cat([p.flatten() for p in found.net.parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    data = examples(10, 0), examples(4, 1), card(memory="gru")
    whole = fit(*data, OPTIONS, score=score)

    class StoppedError(Exception):
        """As by a key."""

    def stop(epoch) -> None:
        if epoch.number == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        fit(*data, OPTIONS, score=score, folder=tmp_path, on_epoch=stop)
    seen = []
    rest = fit(*data, OPTIONS, score=score, folder=tmp_path, on_epoch=seen.append)
    assert [epoch.number for epoch in seen] == [4, 5, 6, 7, 8]
    assert rest.history == whole.history
    assert all(map(torch.equal, rest.net.state_dict().values(), whole.net.state_dict().values()))
    other = fit(*data[:2], card(memory="ema"), OPTIONS, score=score, folder=tmp_path)
    assert len(other.history) == 8  # the state of another training is not taken up


def test_training_ends_when_nothing_gets_better() -> None:
    options = FitOptions(epochs=50, patience=2, learning_rate=1e-9)
    found = fit(examples(4, 0), examples(4, 1), card(), options, score=lambda *_: 0.5)
    assert len(found.history) < 50


def test_nothing_to_learn_from_is_said() -> None:
    silent = example([0, 1])
    unknown = type(silent)(silent.features, silent.targets, np.zeros(2, bool))
    with pytest.raises(ValueError, match="nothing in the training data has a label"):
        fit([unknown], [silent], card(), OPTIONS, score=score)


def test_towers_are_trained_along() -> None:
    towers = {"video": torch.nn.Linear(5, 4)}
    before = towers["video"].weight.detach().clone()
    found = fit(
        examples(6, 0),
        examples(3, 1),
        card(dims={"audio": 6, "video": 4}),
        FitOptions(epochs=1),
        score=score,
        input_dims=DIMS,
        towers=towers,
    )
    assert not torch.equal(found.net.towers["video"].weight, before)


def test_batches_hold_every_segment_once() -> None:
    data = [example([0] * n, f"s{n}") for n in (1, 7, 3, 2)]
    sizes = []
    for batch in batches(data, DIMS, segments_a_batch=8):
        sizes += batch.lengths.tolist()
        assert batch.present.shape[0] * batch.present.shape[1] <= 8
        assert torch.equal(batch.known, batch.is_there)
    assert sizes == [1, 7, 3, 2]
    cut = list(batches(data, DIMS, segments_a_batch=8, max_segments=4, draw=np.random.default_rng(0)))
    assert sorted(n for batch in cut for n in batch.lengths.tolist()) == [1, 2, 3, 4]


def test_modalities_are_dropped_about_as_often_as_asked_and_never_all() -> None:
    present = torch.ones(2000, 3, 3, dtype=torch.bool)
    present[:, :, 1] = False
    left = drop_modalities(present, 0.4, torch.Generator().manual_seed(0))
    assert left.any(-1).all()
    assert not left[..., 1].any()
    # dropped: 1 - 0.8^2 of each of two modalities, but never both
    assert 1 - left[..., 0].float().mean().item() == pytest.approx(0.36 - 0.5 * 0.36**2, abs=0.02)
    assert torch.equal(drop_modalities(present, 0.0), present)


def test_losses_have_the_values_that_they_should() -> None:
    logits, known = torch.tensor([[[2.0, 0.0], [0.0, 0.0]]]), torch.tensor([[True, False]])
    targets = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    ones = torch.ones(2)
    found = segment_loss(logits, targets, known, "multi_class", ones, smoothing=0.0)
    assert found.item() == pytest.approx(-np.log(np.exp(2) / (np.exp(2) + 1)))
    assert segment_loss(logits, targets, known & False, "multi_class", ones).item() == 0.0
    p = 1 / (1 + np.exp(-2.0))
    pooled = pool(logits, torch.tensor([[True, False]]), "multi_label")
    assert pooled[0].tolist() == pytest.approx([p, 0.5])
    both = pool(logits, torch.tensor([[True, True]]), "multi_label")
    assert both[0, 0].item() == pytest.approx((p**2 + 0.25) / (p + 0.5))
    weak = source_loss(logits, torch.tensor([[1.0, 0.0]]), torch.ones(1, 2).bool(), torch.ones(1).bool(), "multi_class")
    share = np.array([np.exp(2) / (np.exp(2) + 1), 0.5])
    assert weak.item() == pytest.approx(-np.log((share**2).sum() / share.sum()), abs=1e-6)


def test_rare_classes_weigh_more() -> None:
    targets = torch.eye(NUM_CLASSES)[[0, 0, 0, 1]]
    assert balanced_weights(targets, "multi_class").tolist() == pytest.approx([4 / 9, 4 / 3, 1.0])
    assert balanced_weights(targets, "multi_label").tolist() == pytest.approx([1.0, 3.0, 4.0])


def test_the_learning_rate_goes_up_and_down_once() -> None:
    rates = [one_cycle(t / 100) for t in range(101)]
    top = rates.index(max(rates))
    assert (top, max(rates)) == (20, pytest.approx(1.0))
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[0] == pytest.approx(0.04)
    assert rates[-1] == pytest.approx(0.0)


def test_the_loss_counts_each_modality_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = collate([example([0, 1, 2])], DIMS)
    monkeypatch.setattr(fitting, "drop_modalities", lambda present, share: present)
    net = fitting.FusionNet(card().network(), {})
    loss = fitting._loss(net, batch, "multi_class", torch.ones(3), OPTIONS)
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.network.alone.parameters())


def test_a_tower_is_given_what_is_present_and_nothing_else() -> None:
    class Tower(torch.nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            given.append(rows)
            return rows + 1

    given: list[torch.Tensor] = []
    batch = collate(examples(4, 0), DIMS)
    net = FusionNet(card().network(0.0), {"audio": Tower()})
    audio = MODALITIES.index("audio")
    present = batch.present.clone()
    present[1:, :, audio] = False
    is_present = present[..., audio]
    entered = net.enter(batch, present)["audio"]
    assert torch.equal(given[0], batch.inputs["audio"][is_present])
    assert torch.equal(entered[is_present], given[0] + 1)
    assert not entered[~is_present].any()
    present[..., audio] = False
    assert not net.enter(batch, present)["audio"].any()
    assert len(given) == 1
