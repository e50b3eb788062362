"""Digits seen and heard: python benchmarks/avdigits.py MEDIA [--epochs 40] [--parts clips,sparse,streams]

MEDIA holds ``avdigits`` with its ``labels.csv``. Small nets and their fusion are trained from nothing on the clips of
takes 15 to 44; takes 45 to 49 choose the epoch and are what is judged by, since the split's test clips (takes 0 to 14)
are not at hand: MEDIA may be a folder that has them, then ``--test`` judges on those. Prints accuracy of picture alone,
sound alone and both, each from the one model and from models of their own; the same with sound in 5 % of the training
clips, as in SMIL (Ma et al., AAAI 2021); and accuracy by segment on streams, by kind of memory.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from streammm.build import feature_identity
from streammm.config import Config, load
from streammm.training.annotations import Annotation, Annotations
from streammm.training.features import FeatureCache, Features
from streammm.training.train import Trained, train_model
from streammm.types import MODALITIES
from streammm_workers.extract import extract

DIGITS = tuple("0123456789")
NETS = ["encoders.video=small", "encoders.audio=small", "fusion.weights={text: 0}"]
KEPT_SHARE = 0.05


class Quiet:
    """An observer that says what cannot be read."""

    def failed(self, error: Exception) -> None:
        print(f"cannot be read: {error}")

    def __getattr__(self, name: str) -> Any:
        return lambda *args: None


def clips(folder: Path, test: bool) -> Annotations:
    """The clips, each with its digit and its part."""
    items = []
    with (folder / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            take = int(row["take"])
            part = "test" if take < 15 else "validation" if take >= 45 else "train"
            if part != "test" or test:
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
    annotations: Annotations, config: Config, sounds_kept: float = 1.0, only: Sequence[str] = MODALITIES
) -> Trained:
    """A model of these labels; of the training clips, only so many keep their sound."""
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
        return train_model(annotations, features, {s: s for s in sources}, config, {}, Path(folder))


def figures(found: Trained) -> list[float]:
    """Accuracy with everything, with the picture alone and with the sound alone."""
    alone = {case: judged["value"] for case, judged in found.report["by_modality"].items()}
    return [found.report["figures"]["accuracy"]["value"], alone["only video"], alone["only audio"]]


def line(name: str, found: Trained) -> None:
    """Prints a line of a table."""
    print("{:34} {:7.4f} {:8.4f} {:7.4f}".format(name, *figures(found)), flush=True)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("media", type=Path)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--test", action="store_true", help="judge on takes 0 to 14")
    parser.add_argument("--parts", default="clips,sparse,streams")
    arguments = parser.parse_args()
    folder, parts = arguments.media / "avdigits", arguments.parts.split(",")
    epochs = [
        f"training.epochs={arguments.epochs}",
        f"training.patience={arguments.epochs}",
        "training.learning_rate=0.003",
    ]
    one = load(settings=[*NETS, *epochs, "training.memory=none", "training.modality_dropout=0.3"])
    labelled = clips(folder, arguments.test)
    if "clips" in parts:
        print(f"{'clips':34} {'both':>7} {'picture':>8} {'sound':>7}")
        line("one model, what is missing left out", train(labelled, one))
        for modality in ("video", "audio"):
            alone = train(labelled, one, only=[modality]).report["figures"]["accuracy"]["value"]
            print(f"a model of {modality} only{'':14} {alone:7.4f}")
    if "sparse" in parts:
        line("sound in 5 % of training", train(labelled, one, KEPT_SHARE))
    if "streams" in parts:
        print(f"\n{'streams, by segment of 2 s':34} {'all':>7} {'picture':>8} {'sound':>7}")
        for memory, look_ahead in (("none", 0), ("ema", 0), ("gru", 0), ("ssm", 0), ("attn", 0), ("ssm", 2)):
            settings = [*NETS, *epochs, f"training.memory={memory}", f"training.look_ahead={look_ahead}"]
            name = memory + (f", look-ahead {look_ahead}" if look_ahead else "")
            line(name, train(streams(folder), load(settings=settings)))


if __name__ == "__main__":
    main()
