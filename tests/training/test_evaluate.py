"""Evaluation from predictions that are given: figures as of scikit-learn, torchmetrics or by hand, and the page."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import sklearn.metrics as sk
import torch
from torch import Tensor, nn
from torchmetrics.functional import classification as tm

from streammm.fusion.card import ModelCard, Task
from streammm.fusion.learned import Logits
from streammm.training.annotations import Annotation
from streammm.training.confusion import confusion_svg
from streammm.training.dataset import Batch, Example
from streammm.training.evaluate import evaluate
from streammm.training.features import Features
from streammm.training.page import evaluation_page, link_at, write_evaluation
from streammm.types import MODALITIES

NUM_SOURCES, LENGTH = 12, 10
LABELS = ("bird", "cat", "dog")


class Sum(nn.Module):
    """In the place of a network: the logits are the sum of what the modalities hold, where they are present."""

    def __init__(self) -> None:
        super().__init__()
        self.towers = nn.ModuleDict()

    def forward(self, batch: Batch, present: Tensor) -> Logits:
        parts = [x * present[..., MODALITIES.index(m), None] for m, x in batch.inputs.items()]
        return Logits(torch.stack(parts).sum(0), torch.zeros(*present.shape, len(LABELS)), present.float())


def example(source: str, truth: np.ndarray, **logits: np.ndarray) -> Example:
    """A source of segments of two seconds; truth bool [T, K], logits float [T, K] by modality."""
    there = np.tile([m in logits for m in MODALITIES], (len(truth), 1))
    starts = 2.0 * np.arange(len(truth))
    vectors = {m: np.float32(values) for m, values in logits.items()}
    return Example(Features(source, starts, starts + 2.0, vectors, there), np.float32(truth), np.ones(len(truth), bool))


def annotations(examples: list[Example]) -> dict[str, list[Annotation]]:
    """What is true as events, segments of a label in a row being one."""
    found = {}
    for e in examples:
        items = []
        for k, label in enumerate(LABELS):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], e.targets[:, k] > 0.5, [0]]).astype(int)))
            source = e.features.source
            items += [Annotation(source, 2.0 * a, 2.0 * b, label) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        found[e.features.source] = items
    return found


def drawn(task: Task) -> list[Example]:
    draw = np.random.default_rng(0)
    made = []
    for n in range(NUM_SOURCES):
        if task == "multi_class":
            truth = np.eye(3, dtype=bool)[draw.integers(0, 3, LENGTH)]
        else:
            truth = draw.random((LENGTH, 3)) < 0.4
        shown = {m: 1.5 * (2.0 * truth - 1) + 1.5 * draw.normal(size=truth.shape) for m in ("video", "audio")}
        made.append(example(f"s{n}", truth, **shown))
    return made


def judged(task: Task, examples: list[Example], **more: object) -> dict:
    card = ModelCard(task=task, labels=LABELS, dims={"video": 3, "audio": 3}, encoders={}, **more)
    return evaluate(Sum(), examples, annotations(examples), card, card.dims)  # type: ignore[arg-type]


def logits_of(examples: list[Example], *modalities: str) -> np.ndarray:
    return np.concatenate([sum(e.features.vectors[m] for m in modalities) for e in examples])  # type: ignore[index]


def test_figures_of_one_class_at_a_time_are_those_of_scikit_learn_and_torchmetrics() -> None:
    examples = drawn("multi_class")
    report = judged("multi_class", examples, temperature=1.7)
    figures = {name: found["value"] for name, found in report["figures"].items()}
    truth = np.concatenate([e.targets for e in examples])
    classes, logits = truth.argmax(1), logits_of(examples, "video", "audio")
    given = torch.from_numpy(logits / 1.7).softmax(1)
    said = logits.argmax(1)
    assert figures["accuracy"] == pytest.approx(sk.accuracy_score(classes, said))
    assert figures["mean average precision"] == pytest.approx(sk.average_precision_score(truth, given), abs=1e-6)
    assert figures["segment F1, macro"] == pytest.approx(sk.f1_score(classes, said, average="macro"))
    wanted = tm.multiclass_calibration_error(given, torch.from_numpy(classes), 3, n_bins=15)
    assert figures["expected calibration error"] == pytest.approx(float(wanted), abs=1e-6)
    assert report["confusion"]["counts"] == sk.confusion_matrix(classes, said).tolist()
    cases = {"without video": ["audio"], "without audio": ["video"], "only video": ["video"], "only audio": ["audio"]}
    assert report["by_modality"].keys() == cases.keys()
    for case, left in cases.items():
        wanted = sk.accuracy_score(classes, logits_of(examples, *left).argmax(1))
        assert report["by_modality"][case]["value"] == pytest.approx(wanted)


def test_figures_of_several_labels_are_those_of_scikit_learn() -> None:
    examples = drawn("multi_label")
    report = judged("multi_label", examples, thresholds={"bird": 0.3})
    figures = {name: found["value"] for name, found in report["figures"].items()}
    truth = np.concatenate([e.targets for e in examples]) > 0.5
    given = torch.from_numpy(logits_of(examples, "video", "audio")).sigmoid().numpy()
    said = given >= [0.3, 0.5, 0.5]
    assert figures["mean average precision"] == pytest.approx(sk.average_precision_score(truth, given), abs=1e-6)
    assert figures["segment F1, micro"] == pytest.approx(sk.f1_score(truth, said, average="micro"))
    assert figures["segment F1, macro"] == pytest.approx(sk.f1_score(truth, said, average="macro"))
    counts = np.array(report["confusion"]["counts"])
    assert report["confusion"]["labels"] == [*LABELS, "(nothing)"]
    assert np.diag(counts)[:3].tolist() == sk.multilabel_confusion_matrix(truth, said)[:, 1, 1].tolist()


@pytest.mark.parametrize("task", ["multi_class", "multi_label"])
def test_every_figure_has_an_interval_that_holds_it(task: Task) -> None:
    report = judged(task, drawn(task))
    wanted = {
        "mean average precision",
        "segment F1, macro",
        "expected calibration error",
        "Brier score",
        "event F1, micro",
        "event F1, macro",
        "seconds to detect, median",
        "seconds to detect, 90 %",
        "share of events missed",
        "false alarms an hour",
        "accuracy" if task == "multi_class" else "segment F1, micro",
    }
    assert report["figures"].keys() == wanted
    for name, found in {**report["figures"], **report["by_modality"]}.items():
        assert found["low"] <= found["value"] <= found["high"], name
        if not name.startswith(("seconds", "share")):  # which take few values, and the same in most draws
            assert found["low"] < found["high"], name


def test_events_by_hand() -> None:
    sure, unsure = 6.0, -6.0
    truth = np.zeros((LENGTH, 3), bool)
    truth[2:5, 0] = truth[7:9, 1] = True
    shown = np.where(truth, sure, unsure)
    shown[2, 0] = unsure  # the bird is told from its second segment on, at 8 s: 4 s after it begins at 4 s
    shown[7:9, 1] = unsure  # the cat is missed
    shown[0, 2] = sure  # a dog is told that is none
    one = example("one", truth, video=shown, audio=0.0 * shown)
    quiet = example(
        "quiet", np.zeros((LENGTH, 3), bool), video=np.full((LENGTH, 3), unsure), audio=np.zeros((LENGTH, 3))
    )
    report = judged("multi_label", [one, quiet])
    figures = {name: found["value"] for name, found in report["figures"].items()}
    assert figures["seconds to detect, median"] == 4.0
    assert figures["share of events missed"] == 0.5
    assert figures["false alarms an hour"] == pytest.approx(1 / (20 / 3600))  # nothing says that `quiet` is labelled
    assert figures["event F1, micro"] == pytest.approx(2 / 4)  # 1 found, within a segment; 1 wrong, 1 missed
    worst = report["worst"][0]
    assert worst["probability_of_truth"] == pytest.approx(1 / (1 + np.exp(6)), rel=1e-3)
    assert {w["start_seconds"] for w in report["worst"][:4]} == {0.0, 4.0, 14.0, 16.0}


def test_the_picture_shows_every_pair_that_occurs() -> None:
    names = ["cat & dog", "<b>", "a label much longer than there is room for"]
    found = ElementTree.fromstring(confusion_svg(names, [[3, 1, 0], [0, 5, 0], [0, 0, 0]]))  # noqa: S314 - it is ours
    space = {"s": "http://www.w3.org/2000/svg"}
    said = [title.text for title in found.findall(".//s:title", space)]
    assert said == [
        "cat & dog, taken for cat & dog: 3 of 4",
        "cat & dog, taken for <b>: 1 of 4",
        "<b>, taken for <b>: 5 of 5",
    ]
    assert [text.text for text in found.findall("s:g/s:text", space)] == ["3", "1", "5"]
    assert "a label much longer tha…" in [text.text for text in found.findall("s:text", space)]
    many = ElementTree.fromstring(confusion_svg([f"label {n}" for n in range(300)], np.eye(300, dtype=int).tolist()))  # noqa: S314
    assert len(many.findall("s:g", space)) == 300
    assert not many.findall("s:g/s:text", space)  # there is no room for numbers
    assert float(many.get("width", "nan")) < 1100


def test_a_page_leads_to_where_a_model_fails(tmp_path: Path) -> None:
    clip = tmp_path / "odd #1 <clip>.mp4"
    truth = np.eye(3, dtype=bool)[[0, 1, 2, 0, 1, 2, 0]]
    shown = np.where(truth, 4.0, 0.0)
    shown[6] = [0.0, 0.0, 5.0]
    report = judged("multi_class", [example(str(clip), truth, video=shown, audio=0 * shown), *drawn("multi_class")[:1]])
    report["worst"] = [w for w in report["worst"] if w["source"] == str(clip)]
    write_evaluation(tmp_path / "found", "a model", report)
    page = (tmp_path / "found" / "evaluation.html").read_text()
    link = f"{clip.as_uri()}#t=12,14"
    assert "odd%20%231%20%3Cclip%3E.mp4" in link
    assert f'<a href="{link}">{tmp_path}/odd #1 &lt;clip&gt;.mp4 12.0-14.0 s</a></td><td>bird</td><td>dog</td>' in page
    assert page == evaluation_page("a model", report)
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")  # it needs nothing else
    for case in ("without video", "only audio"):
        assert f"<td>{case}</td>" in page
    assert (tmp_path / "found" / "confusion.svg").read_text() in page


@pytest.mark.parametrize(
    ("source", "link"),
    [
        ("/films/a b.mp4", "file:///films/a%20b.mp4#t=1.5,3"),
        ("https://host/a.mp4?x=1", "https://host/a.mp4?x=1#t=1.5,3"),
        ("s3://bucket/a.mp4", None),
        ("rtsp://camera/live", None),
    ],
)
def test_links_open_at_a_time(source: str, link: str | None) -> None:
    assert link_at(source, 1.5, 3.0) == link
