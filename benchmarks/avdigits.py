"""Digits seen and heard: python benchmarks/avdigits.py MEDIA [--epochs 45] [--seed 0] [--parts clips,sparse,streams]

MEDIA holds ``avdigits`` with its ``labels.csv``. Small nets and their fusion are trained from nothing on the clips of
takes 15 to 44; takes 45 to 49 choose the epoch and are what is judged by, since the split's test clips (takes 0 to 14)
are not at hand: MEDIA may be a folder that has them, then ``--test`` judges on those. With ``--fewer`` takes 15 to 24
are kept back from training and judged on, which choose nothing. Prints accuracy of picture alone, sound alone and
both, each from the one model and from models of their own; the same with sound in 5 % of the training clips, as in
SMIL (Ma et al., AAAI 2021); and accuracy by segment on streams, by kind of memory, over the nets that the clips
trained, as they are, and over nets trained along from nothing.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from streammm.building.identity import feature_identity
from streammm.config import Config, load
from streammm.training.annotations import Annotation, Annotations
from streammm.training.features import FeatureCache, Features
from streammm.training.train import Trained, train_model
from streammm.types import MODALITIES
from streammm_workers.extract import extract

DIGITS = tuple("0123456789")
NO_TEXT = "fusion.weights={text: 0}"
NETS = ["encoders.video=small", "encoders.audio=small", NO_TEXT]
KEPT_SHARE = 0.05
STREAM_SEEDS = 3


class Quiet:
    """An observer that says what cannot be read."""

    def failed(self, error: Exception) -> None:
        print(f"cannot be read: {error}")

    def __getattr__(self, name: str) -> Any:
        return lambda *args: None


def clips(folder: Path, first_test: int, last_test: int) -> Annotations:
    """The clips from the first take of the test on, each with its digit and its part."""
    items = []
    with (folder / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            take = int(row["take"])
            part = "test" if take <= last_test else "validation" if take >= 45 else "train"
            if take >= first_test:
                items.append(Annotation(str(folder / row["path"]), None, None, row["label"], part))
    return Annotations(tuple(items), DIGITS)


def streams(folder: Path) -> Annotations:
    """The streams, each with its digits in time; every fifth chooses the epoch and is judged by."""
    items = []
    with (folder / "stream_segments.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            part = "validation" if int(row["stream"][-3:]) % 5 == 4 else "train"
            path = str(folder / "streams_train" / f"{row['stream']}.mp4")
            items.append(Annotation(path, float(row["start"]), float(row["end"]), row["label"], part))
    return Annotations(tuple(items), (*DIGITS, "none"))


def train(
    annotations: Annotations,
    config: Config,
    sounds_kept: float = 1.0,
    only: Sequence[str] = MODALITIES,
    out: Path | None = None,
) -> Trained:
    """A model of these labels, kept if ``out`` is given; of the training clips, only so many keep their sound."""
    cache = FeatureCache(feature_identity(config))
    sources = list(annotations.by_source())
    if not extract(config, sources, cache, Quiet()):  # type: ignore[arg-type]
        raise SystemExit("stopped; the same command goes on")
    training = [s for s, items in annotations.by_source().items() if items[0].split == "train"]
    draw = np.random.default_rng(0)
    deaf = set(draw.permutation(training)[round(sounds_kept * len(training)) :])

    def features(source: str) -> Features | None:
        if (found := cache.get(source)) is None:
            return None
        left = [m for m in MODALITIES if m in only and not (m == "audio" and source in deaf)]
        present = found.present & np.array([m in left for m in MODALITIES])
        return replace(found, present=present, vectors={m: x for m, x in found.vectors.items() if m in left})

    with tempfile.TemporaryDirectory() as folder:
        return train_model(annotations, features, {s: s for s in sources}, config, {}, out or Path(folder))


def figures(found: Trained) -> list[float]:
    """Accuracy with everything, with the picture alone and with the sound alone."""
    alone = {case: judged["value"] for case, judged in found.report["by_modality"].items()}
    return [found.report["figures"]["accuracy"]["value"], alone["only video"], alone["only audio"]]


def line(name: str, values: Sequence[float], started: float) -> None:
    """Prints a line of a table, with the minutes that it took."""
    numbers = [f"{value:8.4f}" for value in values] + ["        "] * (3 - len(values))
    print(f"{name:36}", *numbers, f"{(time.monotonic() - started) / 60:8.1f}", flush=True)


def clip_tables(annotations: Annotations, config: Config, parts: Sequence[str], model: Path) -> None:
    """Tables of the clips; the model of all of them is kept."""
    print(f"{'clips':36} {'both':>8} {'picture':>8} {'sound':>8} {'minutes':>8}")
    started = time.monotonic()
    line("one model, what is missing left out", figures(train(annotations, config, out=model)), started)
    if "clips" in parts:
        for modality in ("video", "audio"):
            started = time.monotonic()
            alone = train(annotations, config, only=[modality]).report["figures"]["accuracy"]["value"]
            line(f"a model of {modality} only", [alone], started)
    if "sparse" in parts:
        started = time.monotonic()
        line("sound in 5 % of training", figures(train(annotations, config, KEPT_SHARE)), started)


def stream_table(annotations: Annotations, settings: Sequence[str], nets: Sequence[str], model: Path) -> None:
    """The table of the streams."""
    print(f"\n{'streams, by segment of 2 s':36} {'all':>8} {'picture':>8} {'sound':>8} {'minutes':>8}")
    trained = [f"encoders.{m}=small:{model / m}.safetensors" for m in ("video", "audio")]
    for memory, look_ahead in (("none", 0), ("ema", 0), ("gru", 0), ("ssm", 0), ("attn", 0), ("ssm", 2)):
        started, found = time.monotonic(), []
        for seed in range(STREAM_SEEDS):
            which = [f"training.memory={memory}", f"training.look_ahead={look_ahead}", f"training.seed={seed}"]
            found.append(figures(train(annotations, load(settings=[NO_TEXT, *trained, *which]))))
        name = memory + (f", look-ahead {look_ahead}" if look_ahead else "")
        line(f"{name}, mean of {STREAM_SEEDS}", np.mean(found, 0).tolist(), started)
    started = time.monotonic()
    along = load(settings=[*nets, *settings, "training.memory=ssm", "training.look_ahead=2"])
    line("ssm, look-ahead 2, nets trained along", figures(train(annotations, along)), started)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("media", type=Path)
    parser.add_argument("--epochs", type=int, default=45)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--test", action="store_true", help="judge on takes 0 to 14")
    parser.add_argument("--fewer", action="store_true", help="judge on takes 15 to 24, and learn nothing of them")
    parser.add_argument("--parts", default="clips,sparse,streams")
    arguments = parser.parse_args()
    folder, parts = arguments.media / "avdigits", arguments.parts.split(",")
    settings = [
        f"training.epochs={arguments.epochs}",
        f"training.patience={arguments.epochs}",
        "training.learning_rate=0.003",
        f"training.seed={arguments.seed}",
    ]
    one = load(settings=[*NETS, *settings, "training.memory=none", "training.modality_dropout=0.3"])
    labelled = clips(folder, 0 if arguments.test else 15, 24 if arguments.fewer else 14)
    with tempfile.TemporaryDirectory() as model:
        clip_tables(labelled, one, parts, Path(model))
        if "streams" in parts:
            stream_table(streams(folder), settings, NETS, Path(model))


if __name__ == "__main__":
    main()
