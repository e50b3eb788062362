"""`streammm calibrate`: labels, and footage that nobody labelled, to labels with thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streammm.cli.options import ConfigFile, Settings
from streammm.config import Config, load
from streammm.config.reading import LABELS_FILE_SUFFIXES
from streammm.errors import ConfigError, SourceError, StreammmError
from streammm.labels import Label

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from streammm.fusion.model import ZeroShotFusion
    from streammm.fusion.vocabulary import Vocabulary
    from streammm.training.background import Footage

_out = Console()
_err = Console(stderr=True)


def calibrate(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="Footage like that which is to be run; nobody needs to label it."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.yaml", help="File of labels to write, for --labels.")],
    labels: Annotated[
        str | None, typer.Option(metavar="A,B,...|FILE.yaml", help="The labels. Default: a general list.")
    ] = None,
    false_alarms: Annotated[
        float,
        typer.Option(min=0.001, max=0.4, help="Share of the segments without a label in which it may be found."),
    ] = 0.1,
    even_out: Annotated[
        bool,
        typer.Option(
            "--even-out",
            help="Also hold back labels that are near to everything: for many labels, each of them rare.",
        ),
    ] = False,
    config_file: ConfigFile = None,
    settings: Settings = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="[ADDRESS]", help="Look and listen on Ray: alone starts one here, an address joins one."),
    ] = None,
) -> None:
    """Find a threshold for each label from footage that nobody labelled."""
    from streammm.building.labels import label_thresholds, reads_labels
    from streammm.building.precision import with_precision
    from streammm.building.vocabulary import read_vocabulary
    from streammm.training.background import evened_out, scores_of, thresholds

    config = load(config_file, settings or (), labels=labels)
    if not reads_labels(config):
        raise ConfigError("labels: there must be some; those of a trained model have thresholds already")
    if out.suffix not in LABELS_FILE_SUFFIXES:
        raise ConfigError(f"--out must end with one of {', '.join(LABELS_FILE_SUFFIXES)}, got {out}")
    config = with_precision(config, is_here=ray in (None, "local"))
    features = _features(sources, config, ray)
    vocabulary = read_vocabulary(config)
    assert vocabulary is not None
    before = scores_of(_fusion(config, vocabulary), features)
    if even_out:
        vocabulary = evened_out(vocabulary, features)
    scores = scores_of(_fusion(config, vocabulary), features) if even_out else before
    found = thresholds(scores, false_alarms)
    _write(out, config, vocabulary, found)
    old = label_thresholds(config)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("label")
    for heading in ("threshold was", "is", "found was", "is"):
        table.add_column(heading, justify="right")
    for k, label in enumerate(vocabulary.labels):
        was, now = (before[:, k] >= old[label]).mean(), (scores[:, k] >= found[k]).mean()
        table.add_row(label, f"{old[label]:.2f}", f"{found[k]:.2f}", f"{was:.1%}", f"{now:.1%}")
    _out.print(table)
    _out.print(
        f"\nfrom {len(scores)} segments; use it with: streammm run VIDEO... --labels {out}",
        highlight=False,
        soft_wrap=True,
    )


def _fusion(config: Config, vocabulary: Vocabulary) -> ZeroShotFusion:
    from streammm.fusion.model import ZeroShotFusion

    return ZeroShotFusion(vocabulary, config.fusion.weights, config.fusion.smoothing_seconds)


def _write(out: Path, config: Config, vocabulary: Vocabulary, thresholds: npt.NDArray[np.float64]) -> None:
    """Writes the labels as they were given, with what was found; a file appears whole or not at all."""
    from streammm.types import MODALITIES

    labels = {}
    for k, name in enumerate(vocabulary.labels):
        about = (config.labels or {}).get(name, Label()).to_plain()
        if len(vocabulary.bias) and vocabulary.bias[:, k].any():
            about["bias"] = {m: round(float(vocabulary.bias[i, k]), 3) for i, m in enumerate(MODALITIES)}
        labels[name] = about | {"threshold": round(float(thresholds[k]), 4)}
    found = {"labels": labels} | ({"distractors": list(config.distractors)} if config.distractors else {})
    temporary = out.with_name(f"{out.name}.partial")
    try:
        temporary.write_text(yaml.safe_dump(found, sort_keys=False, allow_unicode=True), encoding="utf-8")
        temporary.replace(out)
    except OSError as error:
        raise ConfigError(f"cannot write to {out}: {error.strerror or error}") from error


def _features(sources: list[str], config: Config, ray: str | None) -> Footage:
    """What the encoders make of the sources; extracts what is not kept of an earlier call or a training."""
    from streammm.building.decoding import listing_options
    from streammm.building.identity import feature_identity
    from streammm.media.listing import list_sources
    from streammm.sinks.console import ConsoleReport
    from streammm.training.background import Footage
    from streammm.training.features import FeatureCache
    from streammm_workers.extract import extract

    names = []
    for name in list_sources(sources, listing_options(config)):
        if isinstance(name, str):
            names.append(name)
        else:
            _err.print(Text.assemble(("skipped", "bold yellow"), f" {name.source}: {name.detail}"), soft_wrap=True)
    if not names:
        raise ConfigError(f"no media files in {', '.join(sources)}")
    cache = FeatureCache(feature_identity(config))
    report = ConsoleReport(_err)
    try:
        if not extract(config, names, cache, report, ray):
            raise StreammmError("stopped; the same command goes on")
    finally:
        report.close()
    footage = Footage(cache, names)
    if next(iter(footage), None) is None:
        raise SourceError(names[0], "unreadable", "none of the sources could be read")
    return footage
