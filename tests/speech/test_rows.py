"""Rows with recognised text: the same by every way there is, resumed or not, and what they hold."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import streammm
from streammm.building.decoding import decode_options
from streammm.building.identity import identity, model_name
from streammm.config import Config, load
from streammm.media.reader import SegmentReader
from streammm.rows import row_from_json
from streammm.speech import sphinx
from streammm.types import SAMPLE_RATE_HZ, Status
from tests.conftest import MakeClip
from tests.speech.bursts import BurstRecogniser, bursts
from tests.workers.test_run import assert_same, run

LABELS = ("colour", "number", "music")
LENGTHS_MS = [int(n) for n in np.random.default_rng(6).permutation(np.arange(120, 760, 10))]


@pytest.fixture
def config() -> Config:
    return load(labels=LABELS, settings=["speech.recogniser=pocketsphinx", "output.text=true"])


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """35 seconds of bursts in AAC, whose decoder has to be started anew every 20 s."""
    path = tmp_path / "talk.m4a"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=SAMPLE_RATE_HZ)
        stream.layout = "mono"
        waveform = bursts(LENGTHS_MS)
        for at in range(0, len(waveform), 1024):
            frame = av.AudioFrame.from_ndarray(waveform[None, at : at + 1024], format="fltp", layout="mono")
            frame.rate, frame.pts, frame.time_base = SAMPLE_RATE_HZ, at, Fraction(1, SAMPLE_RATE_HZ)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.fixture
def burst_recogniser(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of PocketSphinx."""
    monkeypatch.setattr(sphinx, "PocketSphinx", lambda language: BurstRecogniser())


@pytest.mark.parametrize("first", [4, 10, 11, 12])
def test_what_is_listened_to_is_the_same_wherever_reading_begins(talk: Path, config: Config, first: int) -> None:
    options = decode_options(config)
    with SegmentReader(str(talk), options) as reader:
        whole = list(reader)
    with SegmentReader(str(talk), options, first) as reader:
        part = list(reader)
    assert [s.index for s in part] == [s.index for s in whole[first:]]
    for a, b in zip(whole[first:], part, strict=True):
        assert len(a.speech) > 3 * SAMPLE_RATE_HZ
        assert a.speech_start_seconds == b.speech_start_seconds
        np.testing.assert_array_equal(a.speech, b.speech)


@pytest.mark.usefixtures("burst_recogniser")
def test_the_engine_and_classify_give_the_same_words(talk: Path, config: Config) -> None:
    found = run([talk], config).by_segment()
    rows = list(streammm.classify(talk, config=config))
    assert_same({(row.source, row.segment): row for row in rows}, found)
    stored = [row_from_json(json.loads(json.dumps(row.to_json()))) for row in rows]
    assert [row.modalities["text"].cues for row in stored] == [row.modalities["text"].cues for row in found.values()]
    assert "said" in rows[3].to_json()["modalities"]["text"]
    lengths = [int(cue.text) for row in rows for cue in row.modalities["text"].cues]
    assert lengths == pytest.approx(LENGTHS_MS, abs=15)  # AAC blurs the edges of a burst
    text = rows[3].modalities["text"]
    assert (text.status, text.origin, text.amount) == (Status.OK, "speech", len(text.cues))
    assert text.labels
    assert rows[3].model.startswith("efficientnet_lite0+yamnet+minilm+pocketsphinx:")


def test_failed_recognition_damages_text_alone(talk: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, waveform: object) -> list[object]:
        raise MemoryError("out of memory")

    monkeypatch.setattr(BurstRecogniser, "recognise", broken)
    monkeypatch.setattr(sphinx, "PocketSphinx", lambda language: BurstRecogniser())
    found = run([talk], config)
    assert not found.failures
    assert {row.modalities["text"].status for row in found.all} == {Status.DAMAGED}
    assert {row.modalities["audio"].status for row in found.all} == {Status.OK}
    assert {entry["detail"] for entry in found.left_out} == {"text: MemoryError: out of memory"}
    assert len(found.left_out) == len(found.all)


@pytest.mark.ray
@pytest.mark.shared_media
def test_ray_actors_hear_what_one_process_hears(shared_media: Path) -> None:
    sources = [shared_media / "media" / "grid" / name for name in ("lwbsza.mpg", "swwp2s_id2.mpg")]
    settings = ["speech.recogniser=whisper:tiny.en", "ray.encoders=actors", "output.text=true"]
    config = load(labels=LABELS, settings=settings)
    here = run(sources, config).by_segment()
    assert_same(run(sources, config, ray="local").by_segment(), here)
    text = [row.modalities["text"] for _, row in sorted(here.items())]
    assert [t.origin for t in text] == ["speech", "speech", "captions", "captions"]  # a file with captions beside it
    said = " ".join(cue.text for t in text[:2] for cue in t.cues)
    assert said.lower().replace(",", "").rstrip(".") == "lay white by s0 again"


@pytest.mark.usefixtures("burst_recogniser")
def test_words_are_in_rows_only_where_that_is_asked_for(talk: Path, clip: MakeClip) -> None:
    captioned = clip("captioned.mkv", 4.0, cues=[(0.0, 1.5, "in red")])
    found = {}
    for source, is_asked_for in ((talk, False), (captioned, True)):
        config = load(labels=LABELS, settings=["speech.recogniser=pocketsphinx", f"output.text={is_asked_for}"])
        found[source] = next(iter(streammm.classify(source, config=config))).to_json()["modalities"]
    assert found[talk]["text"]["from"] == "speech"
    assert "said" not in found[talk]["text"]
    assert found[captioned]["text"]["from"] == "captions"
    assert found[captioned]["text"]["said"] == [{"start_seconds": 0.0, "end_seconds": 1.5, "text": "in red"}]
    assert "from" not in found[captioned]["audio"]


def test_the_recogniser_is_part_of_what_rows_depend_on(tmp_path: Path) -> None:
    configs = [load(settings=s) for s in ([], ["speech.recogniser=pocketsphinx"], ["speech.before_seconds=4"])]
    assert len({json.dumps(identity(config)) for config in configs}) == 3
    names = [model_name(config) for config in configs]
    assert names[0] == names[2]  # nothing is listened to
    assert names[0] != names[1]
    folders = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    for folder, weights in zip(folders, (b"one", b"one", b"two"), strict=True):
        folder.mkdir()
        (folder / "model.bin").write_bytes(weights)
    names = [model_name(load(settings=[f"speech.recogniser=whisper:{folder}"])) for folder in folders]
    assert names[0] == names[1] != names[2]  # what is in a directory counts, not where it is
    assert "whisper:" + str(tmp_path) not in "".join(names)
