"""A trained model described for people: a card after Mitchell et al. (arXiv:1810.03993), and how it was learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from streammm.fusion.card import ModelCard
from streammm.training.page import CONFUSION_FILE, PAGE_FILE, figure_text, judged
from streammm.training.state import Epoch

_WIDTH, _HEIGHT, _MARGIN = 640, 320, 48
_COLOURS = {"loss in training": "#8888cc", "loss on validation": "#4444aa", "score on validation": "#229955"}


def model_card_text(name: str, card: ModelCard, report: Mapping[str, Any]) -> str:
    """The README of a model directory, in Markdown."""
    what = "several labels at once" if card.task == "multi_label" else "one label at a time"
    encoders = ", ".join(f"{card.encoders[m]} ({m})" for m in card.dims)
    lines = [
        f"# {name}",
        "",
        f"Says of each segment of a video or stream which of {len(card.labels)} labels holds, {what}:",
        f"{', '.join(card.labels)}." + (f" `{card.background}` means none of the others." if card.background else ""),
        "",
        "    streammm run VIDEO... --model " + name,
        "",
        "## What it is",
        "",
        f"Trained with `streammm train` on features of {encoders}; joined by `{card.join}`, memory `{card.memory}`, "
        f"look-ahead {card.look_ahead}. {_begun(card)}{_trained_along(card)} Settings are in `config.yaml`.",
        "",
        "## Data",
        "",
        f"{report['num_training_sources']} sources to learn from, {report['num_validation_sources']} to choose the "
        f"epoch ({report['best_epoch']}), the temperature and the thresholds by.",
        *(f"- {note}" for note in report["notes"]),
        "",
        "## How good it is",
        "",
        f"On {judged(report)}"
        + (", which also chose the epoch and so flatters a little" if report["judged_on"] == "validation" else "")
        + "; in brackets 95 % intervals, sources drawn anew (bootstrap).",
        "",
        "| figure | value |",
        "|---|---|",
        *(f"| {figure} | {_figure(found)} |" for figure, found in report["figures"].items()),
        *(f"| {report['score']} {case} | {_figure(found)} |" for case, found in report["by_modality"].items()),
        "",
        f"![What is taken for what]({CONFUSION_FILE})",
        "",
        f"The segments that it fails at most are in [{PAGE_FILE}]({PAGE_FILE}), with links to them.",
        "",
        f"Calibration: logits are divided by {card.temperature:.3f}, found on validation. Thresholds by label are in "
        "`model.json`"
        + (", with what makes an event of each, tuned for event F1 on validation." if card.events else "."),
        "",
        "## What it is for",
        "",
        "For footage like that which it was trained on. What it says of other footage, other cameras, other rooms has "
        "not been judged. It must not be used to decide about people without somebody looking.",
        "",
    ]
    return "\n".join(lines)


def _begun(card: ModelCard) -> str:
    if card.start is None:
        return ""
    return f"It began with what the labels mean, which counts {card.start.strength:.2f} times. "


def _trained_along(card: ModelCard) -> str:
    along = {m: name.partition(":")[0] for m, name in card.encoders.items() if name.endswith(f":{m}.safetensors")}
    tuned = sorted(m for m, family in along.items() if family == "tuned")
    begun = sorted(set(along) - set(tuned))
    parts = [f"Trained along, from nothing: {', '.join(begun)}."] if begun else []
    parts += [f"Trained further: {', '.join(tuned)}."] if tuned else []
    return " ".join(parts) or "The encoders were not trained along."


def _figure(found: Mapping[str, float | None]) -> str:
    value, interval = figure_text(found)
    return f"{value} ({interval})" if interval else value


def write_curve(path: Path, history: Sequence[Epoch], best: int) -> None:
    """Draws losses and score by epoch as SVG: three lines, each in its own range, and the epoch that is kept."""
    series = {
        "loss in training": [epoch.train_loss for epoch in history],
        "loss on validation": [epoch.validation_loss for epoch in history],
        "score on validation": [epoch.score for epoch in history],
    }
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    for n, (name, values) in enumerate(series.items()):
        low, high = min(values), max(values)
        points = " ".join(
            f"{_x(i + 1, len(values)):.1f},{_y((v - low) / ((high - low) or 1.0)):.1f}" for i, v in enumerate(values)
        )
        label = escape(f"{name}: {low:.3f} to {high:.3f}")
        parts.append(f'<polyline fill="none" stroke="{_COLOURS[name]}" stroke-width="2" points="{points}"/>')
        parts.append(f'<text x="{_MARGIN}" y="{16 + 14 * n}" fill="{_COLOURS[name]}">{label}</text>')
    x = _x([epoch.number for epoch in history].index(best) + 1, len(history))
    parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_MARGIN}" y2="{_HEIGHT - 24}" stroke="#aaa"/>')
    parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 8}" text-anchor="middle">epoch {best} is kept</text></svg>')
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _x(epoch: int, num_epochs: int) -> float:
    return _MARGIN + (epoch - 1) / max(1, num_epochs - 1) * (_WIDTH - 2 * _MARGIN)


def _y(share: float) -> float:
    return _HEIGHT - 24 - share * (_HEIGHT - 24 - _MARGIN - 12)
