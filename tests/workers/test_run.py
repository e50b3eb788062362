"""The engine with its real encoders: both placements give the same rows, and what breaks costs only itself."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import streammm
from streammm.building.precision import with_precision
from streammm.config import Config, load
from streammm.errors import ConfigError, SourceError
from streammm.journal import Entry
from streammm.rows import row_from_json
from streammm.types import Classification, Embeddings, Modality, Segment, SourceReport, Status
from streammm_workers import engine, here
from tests.conftest import LONG_SECONDS, MakeClip
from tests.workers.fakes import FakeEncoder

LABELS = ("beep", "speech", "dog barking", "blank wall")


class Recorder:
    """Keeps all that a run tells."""

    def __init__(self) -> None:
        self.all: list[Classification] = []
        self.events: list[dict[str, Any]] = []
        self.reports: dict[str, SourceReport] = {}
        self.failures: dict[str, SourceError] = {}
        self.left_out: list[dict[str, Any]] = []
        self.snapshot: dict[str, Any] = {}

    def entries(self, entries: Sequence[Entry]) -> None:
        self.all.extend(row_from_json(json.loads(e.text)) for e in entries if e.kind == "row")
        self.events.extend(json.loads(e.text) for e in entries if e.kind == "event")
        self.left_out.extend(json.loads(e.text) for e in entries if e.kind == "quarantine" and e.segment is not None)

    def finished(self, report: SourceReport) -> None:
        self.reports[report.source] = report

    def failed(self, error: SourceError) -> None:
        self.failures[error.source] = error

    def skipped(self, source: str, reason: str, detail: str) -> None:
        """Not looked at here."""

    def progress(self, snapshot: dict[str, Any]) -> None:
        self.snapshot = snapshot

    def by_segment(self) -> dict[tuple[str, int], Classification]:
        assert len({row.id for row in self.all}) == len(self.all)
        return {(row.source, row.segment): row for row in self.all}


def run(sources: Sequence[Path], config: Config, ray: str | None = None, recorder: Recorder | None = None) -> Recorder:
    recorder = recorder or Recorder()
    engine.run(with_precision(config), [str(s) for s in sources], recorder, ray)
    return recorder


def assert_same(one: dict[tuple[str, int], Classification], other: dict[tuple[str, int], Classification]) -> None:
    """The same rows: all but the scores and the latency equal, the scores within 1e-5."""
    assert one.keys() == other.keys()
    for key, a in one.items():
        b = other[key]
        assert (a.id, a.model) == (b.id, b.model)
        assert (a.start_seconds, a.end_seconds) == pytest.approx((b.start_seconds, b.end_seconds), abs=1e-6)
        assert dict(a.labels) == pytest.approx(dict(b.labels), abs=1e-5)
        assert a.other == pytest.approx(b.other, abs=1e-5)
        modalities: list[Modality] = ["audio", "text", "video"]
        for m in modalities:
            x, y = a.modalities[m], b.modalities[m]
            assert (x.status, x.amount, x.num_errors) == (y.status, y.amount, y.num_errors)
            assert dict(x.labels) == pytest.approx(dict(y.labels), abs=1e-5)
            assert x.weight == pytest.approx(y.weight, abs=1e-5)


def assert_same_events(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> None:
    """The same of each source in the same order, the scores within 1e-5."""
    scores = ("score", "peak_score", "mean_score")
    for source in {e["source"] for e in (*one, *other)}:
        mine, theirs = ([e for e in found if e["source"] == source] for found in (one, other))
        for a, b in zip(mine, theirs, strict=True):
            assert {k: v for k, v in a.items() if k not in scores} == {k: v for k, v in b.items() if k not in scores}
            assert [a[k] for k in scores] == pytest.approx([b[k] for k in scores], abs=1e-5)


@pytest.fixture
def config() -> Config:
    return load(labels=LABELS, events={"open_score": 0.1})


@pytest.fixture
def sources(clip: MakeClip, tmp_path: Path) -> list[Path]:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a film" * 100)
    return [
        clip("both.mp4", 7.0, clicks=[3.0], size=(320, 240)),
        broken,
        clip("pictures.mkv", 5.0, audio=None, cues=[(0.0, 3.0, "a dog barks")]),
        clip("sound.wav", 5.0, video=None, audio="pcm_s16le"),
    ]


class BrokenEncoder(FakeEncoder):
    """An encoder that fails on everything."""

    def encode(self, segments: list[Segment]) -> Embeddings:
        raise MemoryError("out of memory")


def test_an_encoder_that_never_works_fails_the_source(
    sources: list[Path], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    from streammm_workers import encode

    real = encode.make_encoder
    monkeypatch.setattr(encode, "make_encoder", lambda c, m: BrokenEncoder() if m == "audio" else real(c, m))
    found = run(sources[:1], config)
    assert found.failures[str(sources[0])].detail == "the audio encoder failed: MemoryError: out of memory"
    assert {row.modalities["audio"].status for row in found.all} == {Status.DAMAGED}


def test_a_run_does_all_it_can_and_names_the_rest(sources: list[Path], config: Config) -> None:
    found = run(sources, config)
    both, broken, pictures, sound = map(str, sources)
    assert {s: (r.num_segments, r.num_errors) for s, r in found.reports.items()} == {
        both: (4, 0),
        pictures: (3, 0),
        sound: (3, 0),
    }
    assert {s: e.reason for s, e in found.failures.items()} == {broken: "not-media"}
    assert [r.segment for r in found.all if r.source == both] == [0, 1, 2, 3]
    row = found.by_segment()[pictures, 0]
    assert (row.modalities["audio"].weight, row.modalities["audio"].labels) == (0.0, ())
    assert row.modalities["text"].labels[0][0] == "dog barking"
    assert sum(m.weight for m in row.modalities.values()) == pytest.approx(1.0)
    assert {label for label, _ in row.labels} == set(LABELS)


@pytest.mark.parametrize("bad", [{1}, {0, 1, 3}])
def test_a_poison_segment_is_damaged_alone_in_both_ways(
    sources: list[Path], config: Config, monkeypatch: pytest.MonkeyPatch, bad: set[int]
) -> None:
    from streammm import pipeline
    from streammm_workers import encode

    real = encode.make_encoder

    def poisoned(config: Config, modality: Modality) -> object:
        encoder = real(config, modality)
        if modality == "audio":
            working = encoder.encode

            def encode(segments: Sequence[Segment]) -> Embeddings:
                if any(s.index in bad for s in segments):
                    raise ArithmeticError("poison")
                return working(segments)

            encoder.encode = encode
        return encoder

    monkeypatch.setattr(encode, "make_encoder", poisoned)
    monkeypatch.setattr(pipeline, "make_encoder", poisoned)
    found = run(sources[:1], config)
    statuses = [str(row.modalities["audio"].status) for row in found.all]
    assert statuses == ["damaged" if n in bad else "ok" for n in range(4)]
    report = found.reports[str(sources[0])]
    assert (report.num_errors, report.last_error) == (len(bad), "ArithmeticError: poison")
    rows = {(row.source, row.segment): row for row in streammm.classify(sources[0], LABELS)}
    assert_same(rows, found.by_segment())


def test_classify_yields_the_rows_of_a_run(sources: list[Path], config: Config) -> None:
    whole = run(sources[:1], config).by_segment()
    rows = {(row.source, row.segment): row for row in streammm.classify(sources[0], LABELS)}
    assert_same(rows, whole)


def test_find_events_yields_the_events_of_a_run(sources: list[Path]) -> None:
    config = load(labels=LABELS, events={"open_score": 0})
    whole = run(sources[:1], config).events
    assert {e["state"] for e in whole} == {"open", "update", "close"}
    assert_same_events(list(streammm.find_events(sources[0], config=config)), whole)


def test_rows_do_not_depend_on_how_the_work_is_cut(clip: MakeClip, sources: list[Path], config: Config) -> None:
    clip("whole.ts", 8.0, rate=25, size=(320, 240), audio="mp2")
    damaged = sources[0].with_name("damaged.ts")
    damaged.write_bytes(sources[0].with_name("whole.ts").read_bytes())
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2 :: 1000] = bytes(len(data[len(data) // 2 :: 1000]))
    damaged.write_bytes(data)
    good = [sources[0], *sources[2:4], damaged]
    narrow = load(
        settings=["engine.chunk_segments=1", "engine.batch_segments=1", "engine.decoders=1"],
        labels=LABELS,
    )
    assert_same(run(good, narrow).by_segment(), run(good, config).by_segment())


def test_several_shards_in_one_process_give_the_rows_of_one(
    sources: list[Path], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(here, "_devices", lambda config: [config, config])  # as on a machine with two GPUs
    found = run(sources, config)
    assert found.snapshot["num_shards"] == 2
    monkeypatch.undo()
    assert_same(found.by_segment(), run(sources, config).by_segment())


@pytest.mark.ray
def test_ray_gives_the_rows_of_one_process(sources: list[Path], shared_media: Path) -> None:
    folder = shared_media / "media" / "real"
    config = load(settings=["output.top_labels=1000"])
    clips = [folder / name for name in ("bbb_5s_51.mp4", "rabbit320.webm", "shuttle_noaudio.webm", "hls_seg0.ts")]
    here, there = run([*sources, *clips], config), run([*sources, *clips], config, ray="local")
    assert_same(there.by_segment(), here.by_segment())
    assert len({e["id"] for e in here.events}) > 5
    assert_same_events(there.events, here.events)
    assert {s: e.reason for s, e in there.failures.items()} == {str(sources[1]): "not-media"}


@pytest.mark.parametrize("ray", [None, pytest.param("local", marks=pytest.mark.ray)])
def test_a_journal_is_one_file_once_the_run_is_over(clip: MakeClip, tmp_path: Path, ray: str | None) -> None:
    place = engine.Place((f"sqlite:///{tmp_path}/journal.sqlite",))
    assert engine.run(with_precision(Config()), [str(clip("a.mp4", 3.0))], Recorder(), ray, place)
    assert [path.name for path in tmp_path.glob("journal*")] == ["journal.sqlite"]


@pytest.mark.parametrize("ray", [None, pytest.param("local", marks=pytest.mark.ray)])
def test_a_mistake_in_the_set_up_stops_the_run_and_blames_no_source(clip: MakeClip, ray: str | None) -> None:
    recorder = Recorder()
    with pytest.raises(ConfigError, match="there is no encoder 'nonsense'"):
        run([clip("a.mp4", 3.0)], load(settings=["encoders.video=nonsense"]), ray, recorder)
    assert recorder.failures == {}


def test_an_address_without_a_cluster_is_a_mistake(clip: MakeClip) -> None:
    with pytest.raises(ConfigError, match=r"no Ray cluster can be reached at '127\.0\.0\.1:1'"):
        run([clip("a.mp4", 3.0)], Config(), ray="127.0.0.1:1")


@pytest.mark.parametrize("ray", [[], pytest.param(["--ray=local"], marks=pytest.mark.ray)])
def test_ctrl_c_ends_a_run_soon_and_keeps_its_rows(long_clip: Path, tmp_path: Path, ray: list[str]) -> None:
    rows = tmp_path / "rows.jsonl"
    program = [sys.executable, "-c", "from streammm.cli import main; main()"]
    command = [*program, "run", str(long_clip), "--out", str(rows), *ray]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not (rows.exists() and rows.read_text().count("\n") > 3) and time.monotonic() < deadline:
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    kept = [json.loads(line) for line in rows.read_text().splitlines()]
    assert [row["segment"] for row in kept] == list(range(len(kept)))
    assert 3 < len(kept) < LONG_SECONDS / 2
