"""The commands that learn: `streammm train` and `streammm evaluate`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streammm.cli.options import ConfigFile
from streammm.config import Config, load
from streammm.errors import ConfigError, SourceError, StreammmError

if TYPE_CHECKING:
    from streammm.training.features import Features
    from streammm.training.state import Epoch

_out = Console()
_err = Console(stderr=True)

Labels = Annotated[
    Path,
    typer.Argument(
        metavar="LABELS",
        help="CSV, TSV, ActivityNet, AVE, AudioSet, sed_eval, ELAN, VIA or Label Studio; or a folder of these, or one "
        "with a folder of media for each label.",
    ),
]
Media = Annotated[
    Path | None,
    typer.Option(
        "--media", metavar="DIR", help="Folder below which the labelled files lie; by default that of the labels."
    ),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as training.memory=gru.")
]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="[ADDRESS]", help="Extract features on Ray: alone starts one here, an address joins a cluster."
    ),
]
Columns = Annotated[
    list[str] | None, typer.Option("--column", metavar="NAME", help="Column, tier or control that holds the labels.")
]


def train(
    labels: Labels,
    out: Annotated[Path, typer.Option("--out", metavar="MODEL", help="Directory of the model that is made.")],
    media: Media = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
    columns: Columns = None,
    words: Annotated[
        str | None, typer.Option("--labels", metavar="FILE.yaml", help="Phrases that say what the labels mean.")
    ] = None,
    ray: Ray = None,
) -> None:
    """Train a model on your own labels; features are extracted once and kept."""
    from streammm.building.identity import weights_of
    from streammm.building.modalities import used_modalities
    from streammm.building.precision import with_precision
    from streammm.building.training import start_vocabulary, training_inputs, tuned_encoders
    from streammm.training.annotations import read_annotations
    from streammm.training.train import train_model

    config = with_precision(load(config_file, settings or (), labels=words), is_here=ray in (None, "local"))
    annotations = read_annotations(labels, media or _folder_of(labels), layers=columns or ())
    _tell(annotations.notes)
    features, digests = _features(list(annotations.by_source()), training_inputs(config), ray)
    weights = {m: weights_of(config, m) for m in used_modalities(config)}

    def show(epoch: Epoch) -> None:
        _err.print(
            f"epoch {epoch.number}: loss {epoch.train_loss:.3f}, on validation {epoch.validation_loss:.3f}, "
            f"score {epoch.score:.4f}",
            highlight=False,
        )

    vocabulary, why_not = start_vocabulary(config, annotations.labels)
    _tell([why_not] if why_not else [])
    tuned = tuned_encoders(config)
    found = train_model(annotations, features, digests, config, weights, out, show, tuned, vocabulary)
    _tell(note for note in found.notes if note not in annotations.notes)
    _show(found.report, 5)
    _out.print(
        f"\nthe model is in {out}; use it with: streammm run VIDEO... --model {out}", highlight=False, soft_wrap=True
    )


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Directory of a model that streammm train made.")],
    labels: Labels,
    media: Media = None,
    columns: Columns = None,
    split: Annotated[
        str | None, typer.Option(help="Only sources of this part, such as test or a fold's number.")
    ] = None,
    ray: Ray = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for a page, figures and the confusion picture.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as one line of JSON.")] = False,
) -> None:
    """Judge a model on labelled media that it was not trained on."""
    from streammm.building.precision import with_precision
    from streammm.fusion.trained import input_dims, load_model
    from streammm.training.annotations import read_annotations
    from streammm.training.evaluate import evaluate as judge
    from streammm.training.page import PAGE_FILE, write_evaluation
    from streammm.training.predict import FusionNet
    from streammm.training.train import examples_of

    config = with_precision(load(model=str(model)), is_here=ray in (None, "local"))
    trained = load_model(model)
    card = trained.card
    annotations = read_annotations(labels, media or _folder_of(labels), layers=columns or ())
    _tell(annotations.notes)
    by_source = annotations.by_source()
    if split is not None:
        by_source = {s: items for s, items in by_source.items() if any(item.split == split for item in items)}
        if not by_source:
            raise ConfigError(f"{labels} has no part {split!r}")
    if unknown := sorted(set(annotations.labels) - set(card.labels)):
        _tell([f"{len(unknown)} labels are not the model's and judge nothing: {', '.join(unknown[:5])}"])
    features, _ = _features(list(by_source), config, ray)
    examples = examples_of(list(by_source), by_source, features, card.labels, card.task, trained.with_tags)
    if not any(example.known.any() or example.weak is not None for example in examples):
        raise ConfigError("nothing in these sources has a label that the model knows")
    report = judge(FusionNet(trained.network, {}), examples, by_source, card, input_dims(trained.network))
    if out is not None:
        write_evaluation(out, model.resolve().name, report)
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False))
        return
    _show(report, 10)
    if out is not None:
        _out.print(f"\nall of it is in {out / PAGE_FILE}", highlight=False, soft_wrap=True)


def _folder_of(labels: Path) -> Path:
    return labels if labels.is_dir() else labels.parent


def _features(
    sources: Sequence[str], config: Config, ray: str | None
) -> tuple[Callable[[str], Features | None], Mapping[str, str]]:
    """What gives the features of a source, and the digests of those that there are; extracts what is missing."""
    from streammm.building.identity import feature_identity
    from streammm.sinks.console import ConsoleReport
    from streammm.training.features import FeatureCache
    from streammm_workers.extract import extract

    cache = FeatureCache(feature_identity(config))
    report = ConsoleReport(_err)
    try:
        if not extract(config, sources, cache, report, ray):
            raise StreammmError("stopped; the same command goes on")
    finally:
        report.close()
    digests = {source: cache.digest(source) for source in sources if source in cache}
    if not digests:
        raise SourceError(sources[0], "unreadable", "none of the labelled sources could be read")
    return cache.get, digests


def _tell(notes: Any) -> None:
    for note in notes:
        _err.print(Text.assemble(("note", "bold yellow"), f" {note}"), soft_wrap=True)


def _show(report: Mapping[str, Any], num_worst: int) -> None:
    """The figures of an evaluation, and some of the segments that it fails at."""
    from streammm.training.page import figure_text, judged, link_at

    _out.print(f"{judged(report)}:", highlight=False)
    figures = _table("figure", "value", "95 %")
    for name, found in report["figures"].items():
        figures.add_row(name, *figure_text(found))
    for case, found in report["by_modality"].items():
        figures.add_row(f"{report['score']} {case}", *figure_text(found))
    _out.print(figures, highlight=False)
    worst = _table("least likely held for true", "probability", "true", "taken for")
    for w in report["worst"][:num_worst]:
        link = link_at(w["source"], w["start_seconds"], w["end_seconds"])
        where = f"{Path(w['source']).name} {w['start_seconds']:.1f}-{w['end_seconds']:.1f} s"
        truth = ", ".join(w["truth"]) or "nothing"
        row = Text(where, f"link {link}" if link else ""), f"{w['probability_of_truth']:.3f}", truth, w["predicted"]
        worst.add_row(row[0], *map(Text, row[1:]))
    if report["worst"]:
        _out.print()
        _out.print(worst, highlight=False)


def _table(first: str, number: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(first, overflow="fold")
    table.add_column(number, justify="right")
    for name in others:
        table.add_column(name, overflow="fold")
    return table
