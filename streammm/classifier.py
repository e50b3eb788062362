"""Segments and their embeddings -> rows, one source at a time and in order: where fusion meets the row's format."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from streammm.fusion.model import Fused
from streammm.fusion.temporal import Flags, Scores, Seconds, State
from streammm.labels import DEFAULT_THRESHOLD
from streammm.types import MODALITIES, Classification, Cue, Embeddings, Modality, ModalityResult, Segment


class Fusion(Protocol):
    """What fuses: with no training, or trained."""

    labels: tuple[str, ...]
    look_ahead: int

    def init_state(self, batch: int) -> State:
        """The state of so many sources of which nothing was seen yet."""

    def input_of(self, made: Embeddings) -> Scores:
        """What it takes of an encoder's embeddings: float32 [T, C]."""

    def __call__(
        self,
        inputs: Mapping[Modality, Scores],
        present: Flags,
        start_seconds: Seconds,
        end_seconds: Seconds,
        state: State,
    ) -> tuple[Fused, State]:
        """T segments of each source; the last ones are answered with what there is of the look-ahead."""


class Classifier:
    """Fuses what the encoders said of consecutive segments of a source and words it as rows.

    Args:
        fusion: the fusion model; its vocabulary names the labels.
        model: name of the whole set-up, copied into every row.
        top_labels: how many labels a row lists.
        with_text: rows hold the captions or the recognised words themselves.
        thresholds: the scores from which labels count as found.
    """

    def __init__(
        self,
        fusion: Fusion,
        model: str,
        top_labels: int,
        *,
        with_text: bool = False,
        thresholds: Mapping[str, float] | None = None,
    ) -> None:
        self._fusion = fusion
        self._labels = fusion.labels
        self._model = model
        self._top = top_labels
        self._with_text = with_text
        on = [(thresholds or {}).get(x, DEFAULT_THRESHOLD) for x in fusion.labels]
        self._thresholds = np.array(on, np.float32)

    def begin(self, state: State | None = None) -> Rows:
        """The rows of a source, from its beginning or from where `Rows.state` was."""
        return Rows(self, self._fusion.init_state(1) if state is None else state)

    @property
    def look_ahead(self) -> int:
        """How many segments after its own a row waits for."""
        return self._fusion.look_ahead

    def fuse(self, items: Sequence[Item], num_ahead: int, state: State) -> tuple[list[Classification], State]:
        """Rows of consecutive segments, all but the last ``num_ahead``, and the state before those."""
        num_rows = len(items) - num_ahead
        if not num_rows:
            return [], state
        if not num_ahead:
            fused, after = self._call(items, state)
        else:
            _, after = self._call(items[:num_rows], state)
            fused, _ = self._call(items, state)
        now = time.time()
        return [self._row(item, fused, t, now) for t, item in enumerate(items[:num_rows])], after

    def _call(self, items: Sequence[Item], state: State) -> tuple[Fused, State]:
        present = np.array([[[modality in item.inputs for modality in MODALITIES] for item in items]], np.bool_)
        inputs: dict[Modality, Scores] = {}
        for modality, is_there in zip(MODALITIES, present[0].any(0), strict=True):
            if is_there:
                like = next(item.inputs[modality] for item in items if modality in item.inputs)
                nothing = np.zeros_like(like)
                inputs[modality] = np.stack([item.inputs.get(modality, nothing) for item in items])[None]
        starts = np.array([[item.segment.start_seconds for item in items]], np.float64)
        ends = np.array([[item.segment.end_seconds for item in items]], np.float64)
        return self._fusion(inputs, present, starts, ends, state)

    def item(self, segment: Segment, embeddings: Mapping[Modality, Embeddings], position: int) -> Item:
        """A segment with what its fusion takes of its embeddings."""
        there = {m: made for m, made in embeddings.items() if made.present[position]}
        one = slice(position, position + 1)
        text = embeddings.get("text")
        spoken = text.spoken[position] if text is not None and text.spoken else ()
        return Item(segment, {m: self._fusion.input_of(made[one])[0] for m, made in there.items()}, spoken)

    def _row(self, item: Item, fused: Fused, t: int, now: float) -> Classification:
        segment = item.segment.with_words(item.spoken)
        origin = "speech" if item.spoken else "captions" if segment.cues else ""
        return Classification(
            source=segment.source,
            segment=segment.index,
            start_seconds=segment.start_seconds,
            end_seconds=segment.end_seconds,
            labels=self._best(fused.scores[0, t]),
            other=float(fused.other[0, t]),
            found=self._found(fused.scores[0, t]),
            modalities={
                modality: ModalityResult(
                    status=segment.status[modality],
                    weight=float(fused.weights[0, t, m]),
                    labels=self._best(fused.by_modality[0, t, m]) if modality in item.inputs else (),
                    amount=segment.amounts.get(modality, 0),
                    num_errors=segment.num_errors.get(modality, 0),
                    num_dropped=segment.num_dropped.get(modality, 0),
                    coverage=segment.coverage.get(modality, 1.0),
                    origin=origin if modality == "text" else "",
                    cues=segment.cues if modality == "text" and self._with_text else (),
                )
                for m, modality in enumerate(MODALITIES)
            },
            model=self._model,
            latency_seconds=max(0.0, now - _since(segment)),
            offset_seconds=segment.offset_seconds,
            live=segment.live,
            scores=fused.scores[0, t],
        )

    def nothing(self, segment: Segment) -> Classification:
        """The row of an outage."""
        return Classification(
            source=segment.source,
            segment=segment.index,
            start_seconds=segment.start_seconds,
            end_seconds=segment.end_seconds,
            labels=(),
            other=0.0,
            modalities={m: ModalityResult(segment.status[m], 0.0, (), 0, coverage=0.0) for m in MODALITIES},
            model=self._model,
            latency_seconds=max(0.0, time.time() - _since(segment)),
            live=segment.live,
            outage=segment.outage,
        )

    def _best(self, scores: Scores) -> tuple[tuple[str, float], ...]:
        best = _from_greatest(scores)[: self._top]
        return tuple((self._labels[i], value) for i, value in zip(best.tolist(), scores[best].tolist(), strict=True))

    def _found(self, scores: Scores) -> tuple[str, ...]:
        order = _from_greatest(scores)
        return tuple(self._labels[i] for i in order[scores[order] >= self._thresholds[order]].tolist())


@dataclass(frozen=True, slots=True)
class Item:
    """A segment, whose pictures and sound are not needed any more, and what is fused of it, float32 [C] by modality.

    ``spoken`` are the words that were recognised in it.
    """

    segment: Segment
    inputs: Mapping[Modality, Scores]
    spoken: tuple[Cue, ...] = ()


class Rows:
    """The rows of one source: segments in, in order, and rows out, as many segments later as the fusion looks ahead.

    ``state`` is that of the fusion before the first segment whose row is not out yet: whoever begins with it, and with
    that segment, gets the same rows.
    """

    def __init__(self, classifier: Classifier, state: State) -> None:
        self.state = state
        self._classifier = classifier
        self._waiting: list[Item] = []

    def push(self, segments: Sequence[Segment], embeddings: Mapping[Modality, Embeddings]) -> list[Classification]:
        """Takes the next segments, and their embeddings by modality; one that is left out is absent in all of them."""
        found: list[Classification] = []
        for position, segment in enumerate(segments):
            if segment.outage:  # nothing is known of it, and it must not count as something
                found += [*self.flush(), self._classifier.nothing(segment)]
            else:
                self._waiting.append(self._classifier.item(segment, embeddings, position))
        return found + self._out(min(self._classifier.look_ahead, len(self._waiting)))

    def flush(self) -> list[Classification]:
        """The rows that wait for segments that will not come."""
        return self._out(0)

    def _out(self, num_ahead: int) -> list[Classification]:
        rows, self.state = self._classifier.fuse(self._waiting, num_ahead, self.state)
        self._waiting = self._waiting[len(rows) :]
        return rows


def _from_greatest(scores: Scores) -> npt.NDArray[np.intp]:
    """The places of scores from the greatest to the least, of equal ones the first before the others."""
    return np.argsort(-scores, kind="stable")


def _since(segment: Segment) -> float:
    """From when latency counts, in Unix time: the end of a live segment, the decoding of another."""
    if segment.live is None:
        return segment.decoded_unix_seconds
    return segment.live.start_unix_seconds + segment.end_seconds - segment.start_seconds
