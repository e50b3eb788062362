"""The commands that learn: `streammm train` and `streammm evaluate`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streammm.config import Config, load
from streammm.errors import ConfigError, SourceError, StreammmError

if TYPE_CHECKING:
    from streammm.training.annotations import Annotations
    from streammm.training.features import FeatureCache, Features
    from streammm.training.state import Epoch

_out = Console()
_err = Console(stderr=True)

Labels = Annotated[
    Path,
    typer.Argument(
        metavar="LABELS", help="CSV, TSV, ActivityNet, AVE, AudioSet, sed_eval, ELAN, VIA or Label Studio; or a folder."
    ),
]
Media = Annotated[Path, typer.Option("--media", metavar="DIR", help="Folder below which the labelled files lie.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Configuration in YAML.")]
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
    media: Media,
    out: Annotated[Path, typer.Option("--out", metavar="MODEL", help="Directory of the model that is made.")],
    config_file: ConfigFile = None,
    settings: Settings = None,
    columns: Columns = None,
    words: Annotated[
        str | None, typer.Option("--labels", metavar="FILE.yaml", help="Phrases that say what the labels mean.")
    ] = None,
    ray: Ray = None,
) -> None:
    """Train a model on your own labels; features are extracted once and kept."""
    from streammm.build import start_vocabulary, used_modalities, weights_of
    from streammm.training.annotations import read_annotations
    from streammm.training.train import train_model

    config = load(config_file, settings or (), labels=words)
    annotations = read_annotations(labels, media, layers=columns or ())
    _tell(annotations.notes)
    features, digests = _features(annotations, config, ray)
    weights = {m: weights_of(config, m) for m in used_modalities(config)}

    def show(epoch: Epoch) -> None:
        _err.print(
            f"epoch {epoch.number}: loss {epoch.train_loss:.3f}, on validation {epoch.validation_loss:.3f}, "
            f"score {epoch.score:.4f}",
            highlight=False,
        )

    vocabulary, why_not = start_vocabulary(config, annotations.labels)
    _tell([why_not] if why_not else [])
    found = train_model(annotations, features, digests, config, weights, out, show, vocabulary=vocabulary)
    _tell(note for note in found.notes if note not in annotations.notes)
    _out.print(_table(found.report), highlight=False)
    _out.print(
        f"\nthe model is in {out}; use it with: streammm run VIDEO... --model {out}", highlight=False, soft_wrap=True
    )


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Directory of a model that streammm train made.")],
    labels: Labels,
    media: Media,
    columns: Columns = None,
    split: Annotated[
        str | None, typer.Option(help="Only sources of this part, such as test or a fold's number.")
    ] = None,
    ray: Ray = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as one line of JSON.")] = False,
) -> None:
    """Judge a model on labelled media that it was not trained on."""
    from streammm.fusion.trained import input_dims, load_model
    from streammm.training.annotations import read_annotations
    from streammm.training.evaluate import evaluate as judge
    from streammm.training.predict import FusionNet
    from streammm.training.train import examples_of

    config = load(model=str(model))
    trained = load_model(model)
    card = trained.card
    annotations = read_annotations(labels, media, layers=columns or ())
    _tell(annotations.notes)
    by_source = annotations.by_source()
    if split is not None:
        by_source = {s: items for s, items in by_source.items() if any(item.split == split for item in items)}
        if not by_source:
            raise ConfigError(f"{labels} has no part {split!r}")
    if unknown := sorted(set(annotations.labels) - set(card.labels)):
        _tell([f"{len(unknown)} labels are not the model's and judge nothing: {', '.join(unknown[:5])}"])
    features, _ = _features(annotations, config, ray)
    examples = examples_of(list(by_source), by_source, features, card.labels, card.task, trained.with_tags)
    if not any(example.known.any() or example.weak is not None for example in examples):
        raise ConfigError("nothing in these sources has a label that the model knows")
    report = judge(FusionNet(trained.network, {}), examples, by_source, card, input_dims(trained.network))
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False))
        return
    _out.print(_table(report), highlight=False)
    _out.print("\nleast likely held for true:")
    for worst in report["worst"][:10]:
        where = f"{worst['source']} {worst['start_seconds']:.1f}-{worst['end_seconds']:.1f} s"
        truth = ", ".join(worst["truth"]) or "nothing"
        _out.print(f"  {where}: {truth}, taken for {worst['predicted']}", highlight=False, markup=False, soft_wrap=True)


def _features(annotations: Annotations, config: Config, ray: str | None) -> tuple[Any, Mapping[str, str]]:
    """What gives the features of a source, and the digests of those that there are; extracts what is missing."""
    from streammm.build import feature_identity
    from streammm.sinks.console import ConsoleReport
    from streammm.training.features import FeatureCache, content_digest
    from streammm_workers.extract import extract

    cache = FeatureCache(feature_identity(config))
    sources = list(annotations.by_source())
    report = ConsoleReport(_err)
    try:
        if not extract(config, sources, cache, report, ray):
            raise StreammmError("stopped; the same command goes on")
    finally:
        report.close()
    digests: dict[str, str] = {}
    for source in sources:
        if cache.get(source) is not None:
            digests[source] = content_digest(source)
    if not digests:
        raise SourceError(sources[0], "unreadable", "none of the labelled sources could be read")
    return _getter(cache), digests


def _getter(cache: FeatureCache) -> Any:
    def get(source: str) -> Features | None:
        return cache.get(source)

    return get


def _tell(notes: Any) -> None:
    for note in notes:
        _err.print(Text.assemble(("note", "bold yellow"), f" {note}"), soft_wrap=True)


def _table(report: Mapping[str, Any]) -> Table:
    judged = f" ({report['judged_on']})" if "judged_on" in report else ""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    whole = f", {report['num_whole_sources']} of them as a whole" if report["num_whole_sources"] else ""
    table.add_column(f"{report['num_segments']} segments of {report['num_sources']} sources{whole}{judged}")
    table.add_column("value", justify="right")
    table.add_column("95 %", style="dim")
    for name, found in report["figures"].items():
        value = "-" if found["value"] is None else f"{found['value']:.3f}"
        low, high = found["low"], found["high"]
        table.add_row(name, value, "" if low is None or high is None else f"{low:.3f} to {high:.3f}")
    for name, value in report["by_modality"].items():
        table.add_row(name, f"{value:.3f}")
    return table
