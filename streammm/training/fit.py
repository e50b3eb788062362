"""Examples with labels -> a trained network: minutes on a CPU, since nothing is decoded any more.

A training that was stopped is gone on with, see ``state.py``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from streammm.fusion.card import ModelCard, Task
from streammm.fusion.started import digest_of
from streammm.fusion.vocabulary import Vocabulary
from streammm.training.dataset import Batch, Example, batches
from streammm.training.loss import balanced_weights, drop_modalities, segment_loss, source_loss
from streammm.training.predict import FusionNet, Predictions, predict
from streammm.training.state import Epoch, TrainingState
from streammm.types import Modality

_ALONE_WEIGHT = 0.3
"""What the loss of each modality by itself counts beside that of all together."""

_WARM_UP = 0.2


@dataclass(frozen=True, slots=True)
class FitOptions:
    """How to train.

    ``learning_rate`` None: 0.001 up to a thousand segments, ten times that from ten thousand on. ``tower_rates`` are
    those of towers that have their own. ``patience`` epochs without a better validation end the training.
    ``modality_dropout`` is the share of modalities left out at random.
    """

    epochs: int = 60
    patience: int = 15
    segments_a_batch: int = 512
    max_segments: int = 128
    learning_rate: float | None = None
    tower_rates: Mapping[Modality, float] = field(default_factory=dict)
    weight_decay: float = 0.01
    dropout: float = 0.2
    modality_dropout: float = 0.2
    smoothing: float = 0.05
    balance_classes: bool = False
    seed: int = 0


@dataclass(slots=True)
class Fitted:
    """The network of the best epoch, in evaluation mode, and how it came to that."""

    net: FusionNet
    history: list[Epoch]
    best: int


def fit(
    train: Sequence[Example],
    validation: Sequence[Example],
    card: ModelCard,
    options: FitOptions,
    *,
    score: Callable[[Tensor, Tensor, Task], float],
    input_dims: Mapping[Modality, int] | None = None,
    towers: Mapping[Modality, nn.Module] | None = None,
    vocabulary: Vocabulary | None = None,
    folder: Path | None = None,
    on_epoch: Callable[[Epoch], object] = lambda epoch: None,
) -> Fitted:
    """Trains the network of a model card.

    Args:
        train: what is learned from; at least one segment or source has labels.
        validation: what chooses the epoch that is kept; never learned from.
        card: labels and architecture.
        options: how.
        score: logits and targets float32 [N, K] of known segments to a number that should be large.
        input_dims: lengths of the features, where towers come before the network; else those of the card.
        towers: modules from features [..., D] to what the network takes, trained along.
        vocabulary: what the labels mean, for a card with a start; not to be trained at all is then a choice, too.
        folder: where the state is kept after every epoch, and taken up again; None: not.
        on_epoch: told of every epoch.

    Raises:
        ValueError: there is nothing to learn from.
    """
    known = [e.targets[e.known] for e in train if e.known.any()]
    if not known and not any(e.weak is not None for e in train):
        raise ValueError("nothing in the training data has a label")
    torch.manual_seed(options.seed)
    net = FusionNet(card.network(options.dropout, vocabulary), towers or {})
    dims = input_dims or card.dims
    targets = torch.from_numpy(np.concatenate(known)) if known else torch.zeros(0, len(card.labels))
    weights = balanced_weights(targets, card.task) if options.balance_classes else torch.ones(len(card.labels))
    num_segments = sum(min(len(e), options.max_segments) for e in train)
    rate = options.learning_rate or 0.001 * min(10.0, max(1.0, num_segments / 1000))
    optimizer = torch.optim.AdamW(_groups(net, rate, options.tower_rates), weight_decay=options.weight_decay)
    begins = "" if vocabulary is None else digest_of(vocabulary)
    what = json.dumps([card.model_dump(mode="json"), asdict(options), num_segments, begins], sort_keys=True)
    state = TrainingState(net, optimizer, what)
    if folder is not None:
        state.load(folder)

    def add(number: int, train_loss: float) -> None:
        found = predict(net, validation or train, dims, card.task)
        value = score(found.logits, found.targets, card.task) if len(found) else -train_loss
        state.add(Epoch(number, train_loss, _loss_of(found, card.task), value))
        if folder is not None:
            state.save(folder)
        on_epoch(state.history[-1])

    if card.start is not None and not state.history:
        add(0, _loss_of(predict(net, train, dims, card.task), card.task))
    number = state.history[-1].number if state.history else 0
    while number < options.epochs and not state.is_stale(options.patience):
        number += 1
        add(number, _train_epoch(net, train, dims, card.task, weights, options, number, optimizer))
    net.load_state_dict(state.best_tensors)
    return Fitted(net.eval(), state.history, state.best.number if state.best else 0)


def _loss_of(found: Predictions, task: Task) -> float:
    """The mean loss of predictions, all labels weighing the same."""
    everything, same = torch.ones(len(found), dtype=torch.bool), torch.ones(found.logits.shape[-1])
    return float(segment_loss(found.logits, found.targets, everything, task, same, 0.0))


def _groups(net: FusionNet, rate: float, tower_rates: Mapping[Modality, float]) -> list[dict[str, Any]]:
    """The parameters by their largest learning rate."""
    apart = {m: list(net.towers[m].parameters()) for m in tower_rates}
    of_towers = {id(p) for parameters in apart.values() for p in parameters}
    others = [p for p in net.parameters() if id(p) not in of_towers]
    return [
        {"params": others, "largest_lr": rate},
        *({"params": apart[m], "largest_lr": tower_rates[m]} for m in apart),
    ]


def _train_epoch(
    net: FusionNet,
    train: Sequence[Example],
    dims: Mapping[Modality, int],
    task: Task,
    weights: Tensor,
    options: FitOptions,
    number: int,
    optimizer: torch.optim.Optimizer,
) -> float:
    """Goes through the examples once; returns the mean loss."""
    draw = np.random.default_rng([options.seed, number])
    torch.manual_seed(options.seed * 100_003 + number)
    net.train()
    losses, num_done = [], 0
    for batch in batches(
        train, dims, segments_a_batch=options.segments_a_batch, max_segments=options.max_segments, draw=draw
    ):
        done = (number - 1 + num_done / len(train)) / options.epochs
        num_done += len(batch.lengths)
        for group in optimizer.param_groups:
            group["lr"] = group["largest_lr"] * one_cycle(done)
        loss = _loss(net, batch, task, weights, options)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses))


def _loss(net: FusionNet, batch: Batch, task: Task, weights: Tensor, options: FitOptions) -> Tensor:
    """The mean loss of all modalities together and of those that are left of them, and a share of that of each alone.

    What is looked at is looked at once, and then judged in each way: else the modality that is learned fastest leaves
    the others little to learn from (Wang, Tran and Feiszli, arXiv:1905.12681).
    """

    def of(found: Tensor, there: Tensor) -> Tensor:
        by_segment = segment_loss(found, batch.targets, batch.known & there, task, weights, options.smoothing)
        there = there & batch.is_there
        return by_segment + source_loss(found, batch.weak, there, batch.has_weak & there.any(-1), task)

    everything = torch.ones_like(batch.known)
    inputs = net.enter(batch, batch.present)
    whole = net.fuse(inputs, batch, batch.present)
    loss = of(whole.fused, everything)
    left = drop_modalities(batch.present, options.modality_dropout)
    if not torch.equal(left, batch.present):
        loss = (loss + of(net.fuse(inputs, batch, left).fused, everything)) / 2
    for m in range(left.shape[-1]):
        loss = loss + _ALONE_WEIGHT * of(whole.by_modality[:, :, m], batch.present[..., m])
    return loss


def one_cycle(done: float) -> float:
    """The learning rate after a share of the training, relative to its largest: a fifth up, the rest down.

    After Smith and Topin, Super-Convergence (arXiv:1708.07120), both ways along a cosine.
    """
    if done < _WARM_UP:
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * done / _WARM_UP))
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (done - _WARM_UP) / (1 - _WARM_UP))))
