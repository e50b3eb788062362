"""How good a model is: figures with intervals, what each modality is worth, where it fails, and how sure it may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from streammm.fusion.card import ModelCard, Task
from streammm.training.annotations import Annotation
from streammm.training.calibrate import sigmoid, softmax
from streammm.training.dataset import Example
from streammm.training.metrics.bootstrap import Interval, bootstrap
from streammm.training.metrics.events import Latency, event_counts, latencies_seconds, num_false_alarms
from streammm.training.metrics.reliability import brier_score, expected_calibration_error
from streammm.training.metrics.segments import (
    F1,
    confusion_matrix,
    label_confusion,
    mean_average_precision,
    segment_f1,
    top1,
)
from streammm.training.predict import FusionNet, Predictions, past_towers, predict
from streammm.training.tune_events import Scored, told_events, usual_settings
from streammm.types import MODALITIES, Modality

_NUM_DRAWS = 500
_NUM_WORST = 20

Floats = npt.NDArray[np.float32]


def score(logits: torch.Tensor, targets: torch.Tensor, task: Task) -> float:
    """What chooses the epoch: accuracy of one class, mean average precision of several labels."""
    if task == "multi_label":
        return mean_average_precision(logits.numpy(), targets.numpy() > 0.5)
    return top1(logits.numpy(), targets.numpy().argmax(1))


def probabilities_of(logits: Floats, card: ModelCard) -> npt.NDArray[np.float64]:
    """Calibrated probabilities: [N, K]."""
    return (sigmoid if card.task == "multi_label" else softmax)(logits, card.temperature)


def evaluate(
    net: FusionNet,
    examples: Sequence[Example],
    annotations: Mapping[str, Sequence[Annotation]],
    card: ModelCard,
    dims: Mapping[Modality, int],
) -> dict[str, Any]:
    """All figures as plain JSON types.

    Args:
        examples: sources whose labels are known.
        annotations: of the same sources, with times where events are to be judged.
    """
    net, examples, dims = past_towers(net, examples, dims)
    found = predict(net, examples, dims, card.task)
    figures = _figures(found, card)
    everything = predict(net, examples, dims, card.task, everything=True)
    if events := _event_figures(everything, examples, annotations, card):
        figures |= events
    used = [m for m in MODALITIES if m in dims]
    without: dict[str, Interval] = {}
    if len(used) > 1:
        for modality in used:
            others = [m for m in used if m != modality]
            for case, missing in (("without", [modality]), ("only", others)):
                left = predict(net, examples, dims, card.task, missing)
                without[f"{case} {modality}"] = _score(left, card.task)
    report: dict[str, Any] = {
        "num_sources": len(examples),
        "num_segments": len(found) - found.num_whole_sources,
        "num_whole_sources": found.num_whole_sources,
        "figures": {name: _interval(interval) for name, interval in figures.items()},
        "score": "mean average precision" if card.task == "multi_label" else "accuracy",
        "by_modality": {case: _interval(interval) for case, interval in without.items()},
        "confusion": _confusion(found, card),
        "worst": _worst(found, examples, card),
    }
    return report


def _score(found: Predictions, task: Task) -> Interval:
    def of(rows: npt.NDArray[np.intp]) -> float:
        chosen = torch.from_numpy(rows)
        return score(found.logits[chosen], found.targets[chosen], task)

    return bootstrap(of, found.source.numpy(), num_draws=_NUM_DRAWS)


def _confusion(found: Predictions, card: ModelCard) -> dict[str, Any]:
    """What is taken for what: ``counts`` of each label, in rows, and each that is said, in columns."""
    logits, targets = found.logits.numpy(), found.targets.numpy()
    if card.task == "multi_class":
        return {"labels": list(card.labels), "counts": confusion_matrix(logits, targets.argmax(1)).tolist()}
    said = probabilities_of(logits, card) >= _thresholds(card)
    return {"labels": [*card.labels, "(nothing)"], "counts": label_confusion(said, targets > 0.5).tolist()}


def _figures(found: Predictions, card: ModelCard) -> dict[str, Interval]:
    probabilities = probabilities_of(found.logits.numpy(), card)
    targets, groups = found.targets.numpy(), found.source.numpy()
    figures: dict[str, Callable[[npt.NDArray[np.intp]], float]]
    if card.task == "multi_label":
        truth = targets > 0.5
        predicted = probabilities >= _thresholds(card)
        figures = {
            "mean average precision": lambda rows: mean_average_precision(probabilities[rows], truth[rows]),
            "segment F1, micro": lambda rows: segment_f1(predicted[rows], truth[rows]).micro,
            "segment F1, macro": lambda rows: segment_f1(predicted[rows], truth[rows]).macro,
            "expected calibration error": lambda rows: expected_calibration_error(probabilities[rows], truth[rows]),
            "Brier score": lambda rows: brier_score(probabilities[rows], truth[rows]),
        }
    else:
        classes = targets.argmax(1)
        hard = probabilities.argmax(1)[:, None] == np.arange(probabilities.shape[1])
        true = targets > 0.5
        figures = {
            "accuracy": lambda rows: top1(probabilities[rows], classes[rows]),
            "mean average precision": lambda rows: mean_average_precision(probabilities[rows], true[rows]),
            "segment F1, macro": lambda rows: segment_f1(hard[rows], true[rows]).macro,
            "expected calibration error": lambda rows: expected_calibration_error(probabilities[rows], classes[rows]),
            "Brier score": lambda rows: brier_score(probabilities[rows], classes[rows]),
        }
    return {name: bootstrap(figure, groups, num_draws=_NUM_DRAWS) for name, figure in figures.items()}


def _event_figures(
    found: Predictions,
    examples: Sequence[Example],
    annotations: Mapping[str, Sequence[Annotation]],
    card: ModelCard,
) -> dict[str, Interval]:
    """Figures of events, where the truth has times."""
    labels = event_labels(card)
    settings = settings_of(card, labels)
    counts, latencies, alarms, hours = [], [], [], []
    for source in scored_sources(found, examples, annotations, card):
        closed = [event for event in told_events(source, labels, settings) if event.state == "close"]
        collar = float(np.median(source.windows[:, 1] - source.windows[:, 0]))
        counts.append(event_counts(source.truth, closed, labels, collar))
        latencies.append(latencies_seconds(source.truth, closed))
        alarms.append(num_false_alarms(source.truth, closed))
        hours.append(source.media_seconds / 3600)
    if not counts:
        return {}
    groups = np.arange(len(counts))
    all_counts, all_alarms, all_hours = np.stack(counts), np.array(alarms), np.array(hours)
    figures: dict[str, Callable[[npt.NDArray[np.intp]], float]] = {
        "event F1, micro": lambda rows: F1.of_counts(all_counts[rows].sum(0)).micro,
        "event F1, macro": lambda rows: F1.of_counts(all_counts[rows].sum(0)).macro,
        "seconds to detect, median": lambda rows: _latency(latencies, rows).median_seconds,
        "seconds to detect, 90 %": lambda rows: _latency(latencies, rows).p90_seconds,
        "share of events missed": lambda rows: _share_missed(latencies, rows),
        "false alarms an hour": lambda rows: float(all_alarms[rows].sum() / max(1e-9, all_hours[rows].sum())),
    }
    return {name: bootstrap(figure, groups, num_draws=_NUM_DRAWS) for name, figure in figures.items()}


def event_labels(card: ModelCard) -> list[str]:
    """The labels of which there are events."""
    return [label for label in card.labels if label != card.background]


def settings_of(card: ModelCard, labels: Sequence[str]) -> npt.NDArray[np.float64]:
    """What makes an event of each label, as `tune_events` takes it."""
    found = usual_settings([card.thresholds.get(label, 0.5) for label in labels])
    for k, label in enumerate(labels):
        if (events := card.events.get(label)) is not None:
            found[k] = events.open_score, events.close_score, events.min_seconds, events.merge_seconds
    return found


def scored_sources(
    found: Predictions,
    examples: Sequence[Example],
    annotations: Mapping[str, Sequence[Annotation]],
    card: ModelCard,
) -> list[Scored]:
    """The sources whose truth has times, each with what a model says of all of its segments."""
    labels = event_labels(card)
    columns = [card.labels.index(label) for label in labels]
    probabilities = probabilities_of(found.logits.numpy(), card)[:, columns]
    windows, sources = torch.stack([found.start_seconds, found.end_seconds], 1).numpy(), found.source.numpy()
    scored = []
    for n, example in enumerate(examples):
        of_source = annotations[example.features.source]
        rows = np.flatnonzero(sources == n)
        if len(rows) and any(a.start_seconds is not None for a in of_source):
            truth = [a for a in of_source if a.start_seconds is not None and a.label in labels]
            scored.append(Scored(truth, windows[rows], probabilities[rows], example.features.media_seconds))
    return scored


def _latency(latencies: Sequence[npt.NDArray[np.float64]], rows: npt.NDArray[np.intp]) -> Latency:
    return Latency.of(np.concatenate([latencies[row] for row in rows]))


def _share_missed(latencies: Sequence[npt.NDArray[np.float64]], rows: npt.NDArray[np.intp]) -> float:
    found = _latency(latencies, rows)
    return found.num_missed / found.num_events if found.num_events else float("nan")


def _thresholds(card: ModelCard) -> npt.NDArray[np.float64]:
    return np.array([card.thresholds.get(label, 0.5) for label in card.labels])


def _worst(found: Predictions, examples: Sequence[Example], card: ModelCard) -> list[dict[str, Any]]:
    """The segments whose truth the model holds least likely."""
    if not len(found):
        return []
    probabilities = probabilities_of(found.logits.numpy(), card)
    is_true = found.targets.numpy() > 0.5
    given = np.where(is_true, probabilities, 1.0).min(1)
    if card.task == "multi_label":
        given = np.minimum(given, np.where(is_true, 1.0, 1.0 - probabilities).min(1))
    return [
        {
            "source": examples[int(found.source[row])].features.source,
            "start_seconds": float(found.start_seconds[row]),
            "end_seconds": float(found.end_seconds[row]),
            "truth": [card.labels[k] for k in np.flatnonzero(is_true[row])],
            "predicted": card.labels[int(probabilities[row].argmax())],
            "probability_of_truth": round(float(given[row]), 6),
        }
        for row in np.argsort(given)[:_NUM_WORST].tolist()
    ]


def _interval(found: Interval) -> dict[str, float | None]:
    values = {"value": found.value, "low": found.low, "high": found.high}
    return {name: float(value) if np.isfinite(value) else None for name, value in values.items()}
