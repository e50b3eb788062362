"""How well the labels come out without any training: each modality alone, half and half, and fused.

    python benchmarks/zero_shot.py MEDIA [--stamps DIR] [--labels rabbit,car ...]

MEDIA is the folder with ``esc10``, ``drone_av`` and ``media``; DIR the stamps of TuxPaint (Debian package
``tuxpaint-stamps-default``). A table goes to the standard output; nothing is asserted.

The second table is of `streammm calibrate`, which finds thresholds in one half of each set, without its labels, and is
judged on the other: F1 and the share of false alarms, means over the labels, with the threshold that is the default and
with those that were found, and with labels that were evened out as well.

Top-1 is over segments of two seconds, each judged by itself. "right" and "wrong" say how often "none of these" beats
every label: where the right label is in the list, and with a list that has nothing to do with the set.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from streammm.encoders.audio import YamNet
from streammm.encoders.base import Encoder
from streammm.encoders.image import EfficientNetLite0
from streammm.encoders.text import MiniLM
from streammm.fusion.model import Fused, ZeroShotFusion
from streammm.fusion.vocabulary import GENERAL_LABELS, Vocabulary, build_vocabulary
from streammm.labels import DEFAULT_THRESHOLD
from streammm.media.options import DecodeOptions
from streammm.media.reader import SegmentReader
from streammm.training.background import evened_out, scores_of, thresholds
from streammm.training.features import Features
from streammm.training.metrics.segments import mean_average_precision, segment_f1
from streammm.types import MODALITIES, Embeddings, Modality, Segment

DISTRACTORS = (
    *("guitar", "pizza", "computer screen", "bicycle", "whale", "swimming pool", "football match", "cooking"),
    *("typing on a keyboard", "train", "applause", "laughter", "church bell", "violin", "elephant", "snake", "office"),
    *("mountain", "city street", "dancing", "fireworks", "gunshot", "vacuum cleaner", "washing machine", "telephone"),
    *("door knock", "footsteps", "piano", "drums", "basketball", "hospital", "speech", "castle", "waterfall", "pencil"),
)
NUM_HALVES = 6
UNRELATED = ("wedding ring", "stock market", "passport", "chess", "yoga", "accordion", "toilet flush", "skyscraper")
SMOOTHING_SECONDS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)


@dataclass
class Item:
    """One source: its segments' embeddings and the index of its label."""

    name: str
    segments: list[Segment]
    embeddings: dict[Modality, Embeddings]
    label: int


class Encoders:
    """The default encoders, on one thread."""

    def __init__(self) -> None:
        self.audio, self.text, self.video = YamNet(), MiniLM(), EfficientNetLite0()
        self.by_modality: dict[Modality, Encoder] = {"audio": self.audio, "text": self.text, "video": self.video}
        for encoder in self.by_modality.values():
            encoder.setup()

    def item(self, path: Path, label: int = -1) -> Item:
        """A file, decoded and encoded."""
        with SegmentReader(str(path), DecodeOptions()) as reader:
            segments = list(reader)
        embeddings = {m: e.encode([s.only(m) for s in segments]) for m, e in self.by_modality.items()}
        return Item(path.name, segments, embeddings, label)

    def fusion(self, labels: Sequence[str], smoothing_seconds: float = 0.0) -> ZeroShotFusion:
        return ZeroShotFusion(self.vocabulary(labels), smoothing_seconds=smoothing_seconds)

    def vocabulary(self, labels: Sequence[str], distractors: Sequence[str] = ()) -> Vocabulary:
        return build_vocabulary(
            labels,
            self.text.embed,
            picture_classes=self.video.descriptions,
            sound_classes=self.audio.classes,
            distractors=distractors,
        )


def fuse(fusion: ZeroShotFusion, items: Sequence[Item], use: Iterable[Modality] = MODALITIES) -> Fused:
    """Items one after the other as one source [1, T, ...]: what one ends with, the next has to get over."""
    present = np.zeros((1, sum(len(i.segments) for i in items), len(MODALITIES)), np.bool_)
    inputs: dict[Modality, npt.NDArray[np.float32]] = {}
    for m, modality in enumerate(MODALITIES):
        made = [item.embeddings[modality] for item in items]
        values = [e.tags if e.tags.shape[1] else e.vectors for e in made]
        inputs[modality] = np.concatenate(values)[None]
        if modality in use:
            present[0, :, m] = np.concatenate([e.present for e in made])
    lengths = np.array([s.end_seconds - s.start_seconds for item in items for s in item.segments])
    ends = lengths.cumsum()[None]
    fused, _ = fusion(inputs, present, ends - lengths, ends)
    return fused


def table(encoders: Encoders, name: str, items: list[Item], labels: Sequence[str]) -> None:
    """Rows of the table for a set, without and with distractors."""
    truth = np.array([item.label for item in items for _ in item.segments])
    counts = np.concatenate([_anything(item) for item in items])
    unrelated = fuse(encoders.fusion(UNRELATED), items)
    wrong = _percent((unrelated.other[0] > unrelated.scores[0].max(-1))[counts])
    for extra in ((), tuple(d for d in DISTRACTORS if d not in labels)):
        fused = fuse(encoders.fusion([*labels, *extra]), items)
        alone = fused.by_modality[0]
        ways: dict[str, npt.NDArray[np.float32]] = {m: alone[:, i] for i, m in enumerate(MODALITIES)}
        ways["50/50"] = (ways["audio"] + ways["video"]) / 2
        ways["fused"] = fused.scores[0]
        top = {
            way: _percent(((scores.argmax(-1) == truth) & (scores.max(-1) > 0))[counts]) for way, scores in ways.items()
        }
        right = _percent((fused.other[0] > fused.scores[0].max(-1))[counts])
        print(
            f"{name:24} {len(labels) + len(extra):6} {int(counts.sum()):8} {top['video']:>8} {top['audio']:>6} "
            f"{top['50/50']:>6} {top['fused']:>6} {right:>6} {wrong:>6}"
        )


def features(item: Item) -> Features:
    """An item as it is kept for training."""
    made = {m: e for m, e in item.embeddings.items() if e.present.any()}
    return Features(
        item.name,
        np.array([s.start_seconds for s in item.segments]),
        np.array([s.end_seconds for s in item.segments]),
        {m: e.vectors for m, e in made.items()},
        np.stack([item.embeddings[m].present for m in MODALITIES], 1),
        {m: e.tags for m, e in made.items() if e.tags.shape[1]},
    )


def calibration(encoders: Encoders, name: str, items: list[Item], labels: Sequence[str]) -> None:
    """What `streammm calibrate` does to labels: found in one half of the items, judged on the other, several times."""
    extra = tuple(d for d in DISTRACTORS if d not in labels)
    for case, more, distractors in (("alone", (), ()), ("with distractors", (), extra), ("among more", extra, ())):
        rows: dict[str, list[list[float]]] = {"as they are": [], "thresholds": [], "evened out": []}
        vocabulary = encoders.vocabulary([*labels, *more], distractors)
        for seed in range(NUM_HALVES):
            order = np.random.default_rng(seed).permutation(len(items))
            ours, others = ([items[n] for n in part] for part in np.array_split(order, 2))
            footage, judged = [features(i) for i in ours], [features(i) for i in others]
            truth = np.concatenate(
                [np.full(int(f.present.any(1).sum()), i.label) for i, f in zip(others, judged, strict=True)]
            )
            for way, used in (("as they are", vocabulary), ("evened out", evened_out(vocabulary, footage))):
                fusion = ZeroShotFusion(used, smoothing_seconds=0.0)
                scores, found = scores_of(fusion, judged), thresholds(scores_of(fusion, footage), 0.1)
                if way == "as they are":
                    rows["thresholds"].append(_figures(scores, truth, found[: len(labels)]))
                    found = np.full(len(found), DEFAULT_THRESHOLD)
                rows[way].append(_figures(scores, truth, found[: len(labels)]))
        for way, found in rows.items():
            top, macro, precision, f1, alarms = 100 * np.mean(found, 0)
            print(f"{name:10} {case:18} {way:12} {top:7.1f} {macro:11.1f} {precision:6.1f} {f1:6.1f} {alarms:7.1f}")


def _figures(scores: np.ndarray, truth: np.ndarray, on: np.ndarray) -> list[float]:
    """Top-1, its mean over labels, mean average precision, mean F1 and mean share of false alarms."""
    is_true = truth[:, None] == np.arange(len(on))
    is_found = scores[:, : len(on)] >= on
    best = scores.argmax(1)
    return [
        float((best == truth).mean()),
        float(np.mean([(best == truth)[is_true[:, k]].mean() for k in range(len(on)) if is_true[:, k].any()])),
        mean_average_precision(scores[:, : len(on)], is_true),
        segment_f1(is_found, is_true).macro,
        float((is_found & ~is_true).sum() / (~is_true).sum()),
    ]


def smoothing(encoders: Encoders, items: list[Item], labels: Sequence[str]) -> None:
    """Top-1 with each time constant, when every item follows one of another label."""
    order = sorted(
        range(len(items)), key=lambda i: (sum(it.label == items[i].label for it in items[:i]), items[i].label)
    )
    stream = [items[i] for i in order]
    truth = np.array([item.label for item in stream for _ in item.segments])
    for seconds in SMOOTHING_SECONDS:
        fused = fuse(encoders.fusion([*labels, *DISTRACTORS], seconds), stream)
        print(f"smoothing {seconds:4} s  top-1 {_percent(fused.scores[0].argmax(-1) == truth)}")


def clips(encoders: Encoders, paths: Sequence[Path], labels: Sequence[str]) -> None:
    """What comes out for whole clips, the best labels by their mean score."""
    fusion = encoders.fusion(labels, smoothing_seconds=1.5)
    for path in paths:
        fused = fuse(fusion, [encoders.item(path)])
        mean = fused.scores[0].mean(0)
        best = ", ".join(f"{fusion.labels[i]} {mean[i]:.2f}" for i in np.argsort(-mean, kind="stable")[:4].tolist())
        print(f"{path.name:32} {best}, other {fused.other.mean():.2f}")


def esc10(encoders: Encoders, folder: Path) -> tuple[list[Item], list[str]]:
    rows = _rows(folder / "labels.csv")
    labels = sorted({row["label"] for row in rows})
    return [encoders.item(folder / row["path"], labels.index(row["label"])) for row in rows], labels


def drone_av(encoders: Encoders, folder: Path) -> tuple[list[Item], list[str]]:
    rows = _rows(folder / "labels.csv")
    labels = sorted({row["label"].lower() for row in rows})
    return [encoders.item(folder / row["path"], labels.index(row["label"].lower())) for row in rows], labels


def stamps(encoders: Encoders, folder: Path) -> tuple[list[Item], list[str]]:
    """Pictures with the sound that belongs to each; a stamp's file name is its label."""
    pictures = [p for p in sorted(folder.rglob("*.png")) if p.with_suffix(".ogg").exists() and "symbols" not in p.parts]
    names = [re.sub(r"[_\W\d]+", " ", p.stem).strip() for p in pictures]
    labels = sorted(set(names))
    items = []
    for path, name in zip(pictures, names, strict=True):
        item = encoders.item(path.with_suffix(".ogg"), labels.index(name))
        shown = encoders.item(path).embeddings["video"]
        rows = np.zeros(len(item.segments), np.intp)
        item.embeddings["video"] = Embeddings("video", shown.vectors[rows], shown.tags[rows], shown.present[rows])
        items.append(item)
    return items, labels


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _anything(item: Item) -> list[bool]:
    """Segments in which any modality is there: silence has no label."""
    heard, seen = item.embeddings["audio"].present, item.embeddings["video"].present
    return [bool(either) for either in heard | seen]


def _percent(hits: npt.NDArray[np.bool_]) -> str:
    return f"{100 * hits.mean():.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("media", type=Path, help="folder with esc10, drone_av and media")
    parser.add_argument("--stamps", type=Path, help="folder of TuxPaint's stamps")
    parser.add_argument("--labels", action="append", help="also: what these labels make of the real clips; repeatable")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    encoders = Encoders()
    print("set                      labels segments  picture  sound  50/50  fused  right  wrong")
    heard, heard_labels = esc10(encoders, arguments.media / "esc10")
    table(encoders, "ESC-10", heard, heard_labels)
    seen, seen_labels = drone_av(encoders, arguments.media / "drone_av")
    table(encoders, "drone_av", seen, seen_labels)
    if arguments.stamps:
        table(encoders, "TuxPaint stamps", *stamps(encoders, arguments.stamps))
    smoothing(encoders, heard, heard_labels)
    print("\nset        labels             calibration    top-1 macro top-1    mAP     F1  alarms")
    calibration(encoders, "ESC-10", heard, heard_labels)
    calibration(encoders, "drone_av", seen, seen_labels)
    print()
    real = sorted((arguments.media / "media" / "real").iterdir())
    for labels in [",".join(GENERAL_LABELS), *(arguments.labels or [])]:
        print(f"\n{labels[:110]}")
        clips(encoders, real, labels.split(","))


if __name__ == "__main__":
    main()
