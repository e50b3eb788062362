"""Labels and features -> a model directory: divided, fitted, calibrated, judged and described."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from streammm.config import Config
from streammm.config.models import FusionConfig
from streammm.config.reading import MODEL_SETTINGS_FILE
from streammm.config.training import TrainingConfig
from streammm.encoders.net import NetEncoder
from streammm.errors import ConfigError
from streammm.fusion.card import EventCard, ModelCard, StartCard, Task
from streammm.fusion.started import num_tags
from streammm.fusion.trained import save_model
from streammm.fusion.vocabulary import Vocabulary
from streammm.training.annotations import Annotation, Annotations
from streammm.training.calibrate import fit_temperature, fit_thresholds
from streammm.training.dataset import Example
from streammm.training.evaluate import (
    evaluate,
    event_labels,
    probabilities_of,
    score,
    scored_sources,
    settings_of,
)
from streammm.training.features import Features
from streammm.training.fit import FitOptions, Fitted, fit
from streammm.training.page import write_evaluation
from streammm.training.predict import FusionNet, past_towers, predict
from streammm.training.segment_labels import segment_labels
from streammm.training.split import Split, split_sources
from streammm.training.state import Epoch
from streammm.training.towers import Tower, make_towers
from streammm.training.tune_events import OPEN, tune_events
from streammm.training.tuning import TunedTower
from streammm.training.write import model_card_text, write_curve
from streammm.types import MODALITIES, Modality


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a training; ``report`` is that of the sources that were kept back, or else of validation."""

    card: ModelCard
    fitted: Fitted
    split: Split
    report: dict[str, Any]
    notes: tuple[str, ...]


def task_of(annotations: Annotations, training: TrainingConfig) -> Task:
    """Whether one label holds at a time, as labels that never overlap suggest, or several."""
    if training.task != "auto":
        return training.task
    several = any(
        len({a.label for a in items if a.start_seconds is None}) > 1 for items in annotations.by_source().values()
    )
    return "multi_label" if several or annotations.num_overlaps else "multi_class"


def examples_of(
    sources: Sequence[str],
    annotations: Mapping[str, Sequence[Annotation]],
    features: Callable[[str], Features | None],
    labels: Sequence[str],
    task: Task,
    with_tags: Sequence[Modality] = (),
) -> list[Example]:
    """The sources whose features there are, with what is known of their segments.

    Args:
        with_tags: modalities whose vectors are followed by the scores of the encoder's classes.
    """
    found = []
    for source in sources:
        if (made := features(source)) is None or not len(made):
            continue
        windows = np.stack([made.start_seconds, made.end_seconds], 1)
        known = segment_labels(annotations[source], windows, labels, task == "multi_label")
        targets, is_known = known.targets, known.known
        if known.weak is not None and task == "multi_class" and len(made) == 1:
            is_known = np.ones(1, np.bool_)  # what is somewhere in a single segment is in it
        found.append(Example(made.with_tags(with_tags), targets, is_known, known.weak if not is_known.any() else None))
    return found


def train_model(
    annotations: Annotations,
    features: Callable[[str], Features | None],
    digests: Mapping[str, str],
    config: Config,
    weights: Mapping[Modality, list[str]],
    out: Path,
    on_epoch: Callable[[Epoch], object] = lambda epoch: None,
    tuned: Mapping[Modality, NetEncoder] | None = None,
    vocabulary: Vocabulary | None = None,
) -> Trained:
    """Trains a model on labelled sources and writes its directory.

    Args:
        annotations: what is labelled.
        features: gives those of a source, None where it could not be read.
        digests: what names the content of each source.
        config: encoders, segments and how to train.
        weights: digests of each encoder's weights.
        out: the model's directory.
        on_epoch: told of every epoch.
        tuned: encoders that are trained further; features of their modalities are raw content.
        vocabulary: what the labels but the background mean, to begin with; None: it begins with nothing.

    Raises:
        ConfigError: there is too little to learn from.
    """
    training = config.training
    task = task_of(annotations, training)
    by_source = annotations.by_source()
    split = split_sources(
        {source: items for source, items in by_source.items() if source in digests},
        digests,
        validation_share=training.validation_share,
        validation_split=training.validation_split,
        seed=training.seed,
    )
    labels = annotations.labels
    with_tags = () if vocabulary is None else tuple(m for m in MODALITIES if num_tags(m, vocabulary))
    parts = split.train, split.validation, split.test
    train, validation, test = (examples_of(sources, by_source, features, labels, task, with_tags) for sources in parts)
    if not train or not validation:
        raise ConfigError("no labelled source could be read; see what was quarantined")
    dims = _dims([*train, *validation, *test])
    encoders: dict[Modality, str] = {m: getattr(config.encoders, m) for m in dims}
    tuned = {m: encoder for m, encoder in (tuned or {}).items() if m in dims}
    towers: dict[Modality, Tower | TunedTower] = {
        **make_towers(encoders, train),
        **{m: TunedTower(encoder) for m, encoder in tuned.items()},
    }
    card = ModelCard(
        task=task,
        labels=labels,
        background=training.background if training.background in labels else None,
        dims={
            m: towers[m].dim if m in towers else d - (0 if vocabulary is None else num_tags(m, vocabulary))
            for m, d in dims.items()
        },
        encoders=encoders,
        weights={m: weights.get(m, []) for m in dims},
        width=training.width,
        join=training.join,
        memory=training.memory,
        look_ahead=training.look_ahead,
    )
    if vocabulary is not None:
        card = _started(card, vocabulary, train, dims, config.fusion)
    options = FitOptions(
        epochs=training.epochs,
        patience=training.patience,
        learning_rate=training.learning_rate,
        tower_rates=dict.fromkeys(tuned, training.fine_tune_learning_rate),
        modality_dropout=training.modality_dropout,
        balance_classes=training.balance_classes,
        seed=training.seed,
        segments_a_batch=64 if towers else 512,
    )
    try:
        fitted = fit(
            train,
            validation,
            card,
            options,
            score=score,
            input_dims=dims,
            towers=towers,
            vocabulary=vocabulary,
            folder=out / "training",
            on_epoch=on_epoch,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    net, validation, made_dims = past_towers(fitted.net, validation, dims)
    card = _calibrated(card, net, validation, made_dims)
    card = _with_events(card, net, validation, by_source, made_dims)
    if test:
        net, test, made_dims = past_towers(fitted.net, test, dims)
    report = evaluate(net, test or validation, by_source, card, made_dims)
    report["judged_on"] = "test" if test else "validation"
    notes = (*annotations.notes, *split.notes, *_missing_notes(split, train, validation, test))
    out.mkdir(parents=True, exist_ok=True)
    trained = {m: towers[m].save(out, m) for m in towers}
    card = card.model_copy(update={"encoders": encoders | trained})
    found = Trained(card, fitted, split, report, notes)
    _write(out, found, config)
    return found


def _dims(examples: Sequence[Example]) -> dict[Modality, int]:
    return {
        m: max(e.features.vectors[m].shape[1] for e in examples if m in e.features.vectors)
        for m in MODALITIES
        if any(m in e.features.vectors for e in examples)
    }


def _started(
    card: ModelCard,
    vocabulary: Vocabulary,
    train: Sequence[Example],
    dims: Mapping[Modality, int],
    fusion: FusionConfig,
) -> ModelCard:
    """The card with a start, whose scores count as much as they are worth on what is learned from.

    Nothing was learned there yet, so it tells as much as what was kept back. Where they are better than they say they
    count no more for it: what is sure beyond doubt could not be taught otherwise.
    """
    start = StartCard(
        weights={m: w for m, w in fusion.weights.items() if m in dims},
        smoothing_seconds=fusion.smoothing_seconds,
        num_distractors=vocabulary.num_distractors,
        rival_of=vocabulary.rival_of,
    )
    card = card.model_copy(update={"start": start})
    found = predict(FusionNet(card.network(0.0, vocabulary), {}), train, dims, card.task)
    truth = found.targets.numpy() > 0.5
    temperature = fit_temperature(found.logits.numpy(), truth if card.task == "multi_label" else truth.argmax(1))
    return card.model_copy(update={"start": start.model_copy(update={"strength": min(1.0, 1 / temperature)})})


def _calibrated(
    card: ModelCard, net: FusionNet, validation: Sequence[Example], dims: Mapping[Modality, int]
) -> ModelCard:
    """The card with temperature and thresholds, both from validation alone."""
    found = predict(net, validation, dims, card.task)
    logits, targets = found.logits.numpy(), found.targets.numpy()
    if not len(found):
        return card
    truth = targets > 0.5 if card.task == "multi_label" else targets.argmax(1)
    card = card.model_copy(update={"temperature": fit_temperature(logits, truth)})
    thresholds = fit_thresholds(probabilities_of(logits, card), targets > 0.5)
    return card.model_copy(
        update={"thresholds": {label: float(t) for label, t in zip(card.labels, thresholds, strict=True)}}
    )


def _with_events(
    card: ModelCard,
    net: FusionNet,
    validation: Sequence[Example],
    annotations: Mapping[str, Sequence[Annotation]],
    dims: Mapping[Modality, int],
) -> ModelCard:
    """The card with what makes an event of each label, where validation has labels with times."""
    found = predict(net, validation, dims, card.task, everything=True)
    sources = scored_sources(found, validation, annotations, card)
    if not sources:
        return card
    labels = event_labels(card)
    settings = np.floor(tune_events(sources, labels, settings_of(card, labels)[:, OPEN]) * 1e6) / 1e6
    names = ("open_score", "close_score", "min_seconds", "merge_seconds")
    events = {
        label: EventCard(**dict(zip(names, row, strict=True)))
        for label, row in zip(labels, settings.tolist(), strict=True)
    }
    return card.model_copy(update={"events": events})


def _missing_notes(split: Split, *parts: Sequence[Example]) -> list[str]:
    there = {example.features.source for part in parts for example in part}
    missing = [s for s in (*split.train, *split.validation, *split.test) if s not in there]
    return [f"{len(missing)} labelled sources could not be read, such as {missing[0]}"] if missing else []


def _write(out: Path, found: Trained, config: Config) -> None:
    """Everything that a model directory holds."""
    save_model(out, found.card, found.fitted.net.network)
    settings = config.model_dump(mode="json", include={"encoders", "segment", "decode", "speech", "training"})
    settings["encoders"] |= found.card.encoders
    (out / MODEL_SETTINGS_FILE).write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    report = {**found.report, "notes": list(found.notes), "best_epoch": found.fitted.best}
    report["num_training_sources"] = len(found.split.train)
    report["num_validation_sources"] = len(found.split.validation)
    write_evaluation(out, out.name, report)
    (out / "README.md").write_text(model_card_text(out.name, found.card, report), encoding="utf-8")
    write_curve(out / "learning_curve.svg", found.fitted.history, found.fitted.best)
