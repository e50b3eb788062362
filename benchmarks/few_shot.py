"""How well labels come out with a few examples of each: without training, trained from nothing, and both together.

    python benchmarks/few_shot.py MEDIA [--draws 8] [--examples 1 2 5 8 10]

MEDIA is the folder with ``esc10`` and ``drone_av``. From each set so many clips of each label are drawn, and a model
is trained on them as `streammm train` does it, a part of them chosen for validation; all other clips are judged, clip
by clip. A table goes to the standard output: mean top-1 of the draws and the least, and how often
training from the labels' meaning was worse than no training.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from zero_shot import Encoders, Item, drone_av, esc10, features

from streammm.config import load
from streammm.fusion.card import ModelCard, StartCard
from streammm.fusion.trained import input_dims
from streammm.fusion.vocabulary import Vocabulary, build_vocabulary
from streammm.training.annotations import Annotation, Annotations
from streammm.training.evaluate import score
from streammm.training.features import Features
from streammm.training.predict import FusionNet, predict
from streammm.training.train import Trained, examples_of, train_model
from streammm.types import Modality

PLAIN = StartCard(weights={"audio": 1.0, "text": 0.5, "video": 1.0}, smoothing_seconds=1.5)
"""The default fusion as it is: a network that learned nothing, added to it, changes nothing."""


def draw(items: Sequence[Item], labels: Sequence[str], number: int, seed: int) -> tuple[list[Item], list[Item]]:
    """So many items of each label, and all others."""
    random = np.random.default_rng([seed, number])
    chosen: list[Item] = []
    for k in range(len(labels)):
        of_label = [item for item in items if item.label == k]
        chosen += [of_label[n] for n in random.permutation(len(of_label))[:number]]
    names = {item.name for item in chosen}
    return chosen, [item for item in items if item.name not in names]


def train(
    chosen: Sequence[Item],
    labels: Sequence[str],
    of: Mapping[str, Features],
    vocabulary: Vocabulary | None,
    seed: int,
) -> Trained:
    """A model of some items, as the command makes it."""
    annotations = Annotations(tuple(Annotation(i.name, None, None, labels[i.label]) for i in chosen), tuple(labels))
    config = load(settings=[f"training.seed={seed}"])
    digests = {item.name: item.name for item in chosen}
    with TemporaryDirectory() as folder:
        return train_model(annotations, of.get, digests, config, {}, Path(folder) / "m", vocabulary=vocabulary)


def judge(
    net: FusionNet, card: ModelCard, rest: Sequence[Item], labels: Sequence[str], of: Mapping[str, Features]
) -> float:
    """Top-1 of whole clips."""
    annotations = {i.name: [Annotation(i.name, None, None, labels[i.label])] for i in rest}
    dims = input_dims(net.network)
    tags: list[Modality] = [m for m, d in dims.items() if d > net.network.dims[m]]
    examples = examples_of([i.name for i in rest], annotations, of.get, labels, card.task, tags)
    found = predict(net, examples, dims, card.task)
    return score(found.logits, found.targets, card.task)


def table(encoders: Encoders, name: str, items: list[Item], labels: list[str], numbers: list[int], draws: int) -> None:
    of = {item.name: features(item) for item in items}
    vocabulary = build_vocabulary(
        labels, encoders.text.embed, picture_classes=encoders.video.descriptions, sound_classes=encoders.audio.classes
    )
    least = min(sum(item.label == k for item in items) for k in range(len(labels)))
    for number in [n for n in numbers if n < least]:
        ways: dict[str, list[float]] = {"zero-shot": [], "from nothing": [], "from the labels": []}
        for seed in range(draws):
            chosen, rest = draw(items, labels, number, seed)
            started = train(chosen, labels, of, vocabulary, seed)
            plain = train(chosen, labels, of, None, seed)
            card = started.card.model_copy(update={"start": PLAIN})
            untrained = FusionNet(card.network(0.0, vocabulary).eval(), {})
            ways["zero-shot"].append(judge(untrained, card, rest, labels, of))
            ways["from nothing"].append(judge(plain.fitted.net, plain.card, rest, labels, of))
            ways["from the labels"].append(judge(started.fitted.net, started.card, rest, labels, of))
        cells = [f"{100 * np.mean(found):6.1f} ({100 * min(found):5.1f})" for found in ways.values()]
        worse = sum(a < b for a, b in zip(ways["from the labels"], ways["zero-shot"], strict=True))
        print(f"{name:10} {number:8}   {'   '.join(cells)}   {worse:3} of {draws}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("media", type=Path, help="folder with esc10 and drone_av")
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--examples", type=int, nargs="+", default=[1, 2, 5, 8, 10])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    encoders = Encoders()
    print("set        examples   zero-shot (least)   from nothing      from the labels    worse than zero-shot")
    for name, make in (("ESC-10", esc10), ("drone_av", drone_av)):
        items, labels = make(encoders, arguments.media / name.lower().replace("-", ""))
        table(encoders, name, items, labels, arguments.examples, arguments.draws)


if __name__ == "__main__":
    main()
