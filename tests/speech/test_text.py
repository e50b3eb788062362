"""Which words belong to a segment, with sound in which every word is known; and what becomes of the rest of a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest

from streammm.encoders.base import Encoder
from streammm.encoders.isolation import encode_isolated
from streammm.encoders.text import MiniLM
from streammm.media.cutting import Windows
from streammm.media.options import SpeechWindow
from streammm.media.segmenter import Segmenter
from streammm.speech import make_recogniser
from streammm.speech.base import Recogniser
from streammm.speech.text import ListeningReader
from streammm.types import Cue, Segment, Status
from tests.speech.bursts import BurstRecogniser, bursts

LENGTHS_MS = [int(n) for n in np.random.default_rng(5).permutation(np.arange(80, 800, 15))]
"""48 words, none as long as another: 26 seconds."""

WINDOW = SpeechWindow(Fraction(3))


@pytest.fixture(scope="module")
def text_encoder() -> MiniLM:
    encoder = MiniLM(runtime="torch", device="cpu")
    encoder.setup()
    return encoder


def cut(
    waveform: npt.NDArray[np.float32],
    length: str = "2",
    hop: str | None = None,
    chunk: int = 1024,
    cues: Sequence[Cue] = (),
    speech: SpeechWindow | None = WINDOW,
) -> list[Segment]:
    windows = Windows(Fraction(length), Fraction(hop or length))
    stage = Segmenter("s", windows, frozenset(("audio",)), lambda frame: frame, (2, 2), speech=speech)
    for cue in cues:
        stage.push_cue(cue)
    found: list[Segment] = []
    for at in range(0, len(waveform), chunk):
        found += stage.push_sound(Fraction(at, 16_000), waveform[at : at + chunk], 16_000)
    return [*found, *stage.flush()]


def words(reader: ListeningReader, segments: Sequence[Segment]) -> list[str]:
    return [word.text for said in reader.encode(segments).spoken for word in said]


@pytest.mark.parametrize("chunk", [800, 50_000])
@pytest.mark.parametrize("length", ["0.5", "1", "2", "3.7", "10", "60"])
def test_every_word_is_told_once_and_whole_however_the_source_is_cut(
    text_encoder: MiniLM, length: str, chunk: int
) -> None:
    reader = ListeningReader(text_encoder, BurstRecogniser())
    assert words(reader, cut(bursts(LENGTHS_MS), length, chunk=chunk)) == [str(n) for n in LENGTHS_MS]


def test_a_word_is_in_the_segment_in_which_it_ends(text_encoder: MiniLM) -> None:
    reader = ListeningReader(text_encoder, BurstRecogniser())
    segments = cut(bursts(LENGTHS_MS), "2", hop="0.5")
    for segment, said in zip(segments, reader.encode(segments).spoken, strict=True):
        assert said
        assert all(segment.start_seconds < word.end_seconds <= segment.end_seconds for word in said)
    assert {len(segment.speech) for segment in segments[6:-3]} == {round(5.5 * 16_000)}


@pytest.mark.parametrize("rest", [0.0, 0.03, 0.2, 0.49])
def test_the_last_words_are_not_lost(text_encoder: MiniLM, rest: float) -> None:
    waveform = np.zeros(round((4 + rest) * 16_000), np.float32)
    waveform[round((3.3 + rest) * 16_000) :] = 0.5  # a word that the end of the source cuts
    reader = ListeningReader(text_encoder, BurstRecogniser())
    (word,) = words(reader, cut(waveform))
    assert int(word) == pytest.approx(700, abs=31)  # a rest of under 0.1 s is no segment


def test_nothing_is_kept_or_waited_for_without_a_recogniser() -> None:
    waveform = bursts(LENGTHS_MS)[:40_000]
    kwargs = {"chunk": 1000}
    assert not any(len(segment.speech) for segment in cut(waveform, speech=None, **kwargs))
    for speech, seconds in ((None, 2.02), (WINDOW, 2.52)):
        stage = Segmenter("s", Windows(), frozenset(("audio",)), lambda f: f, (2, 2), speech=speech)
        assert list(stage.push_sound(Fraction(0), np.ones(round((seconds - 0.02) * 16_000), np.float32), 16_000)) == []
        assert len(list(stage.push_sound(None, np.ones(320, np.float32), 16_000))) == 1


def test_captions_go_before_and_silence_is_not_listened_to(text_encoder: MiniLM) -> None:
    waveform = bursts(LENGTHS_MS)[: 14 * 16_000]
    waveform[4 * 16_000 :] = 0.0
    recogniser = BurstRecogniser()
    segments = cut(waveform, cues=[Cue(0.0, 1.5, "as written")])
    made = ListeningReader(text_encoder, recogniser).encode(segments)
    assert [bool(said) for said in made.spoken] == [False, True, False, False, False, False, False]
    assert len(recogniser.heard) == 3  # segments 1 to 3: three seconds before the others are silent too
    assert made.present.tolist() == [True, True, False, False, False, False, False]
    np.testing.assert_array_equal(made.vectors[0], text_encoder.embed(["as written"])[0])


def test_recognised_words_are_read_as_captions_are(text_encoder: MiniLM) -> None:
    segment = cut(bursts([300, 500, 400]))[0]
    made = ListeningReader(text_encoder, BurstRecogniser()).encode([segment])
    np.testing.assert_array_equal(made.vectors, text_encoder.embed(["300 500 400"]))
    shown = segment.with_words(made.spoken[0])
    assert (shown.text, shown.status["text"], shown.amounts["text"]) == ("300 500 400", Status.OK, 3)
    assert shown.coverage["text"] == 1.0
    assert segment.with_words(()) is segment


def test_the_row_of_a_segment_does_not_depend_on_its_company(text_encoder: MiniLM) -> None:
    segments = cut(bursts(LENGTHS_MS))
    reader: Encoder = ListeningReader(text_encoder, BurstRecogniser())
    whole = reader.encode(segments)
    for i in (0, 5, len(segments) - 1):
        alone = reader.encode([segments[i]])
        np.testing.assert_array_equal(alone.vectors[0], whole.vectors[i])
        assert alone.spoken[0] == whole.spoken[i]


def test_a_segment_whose_recognition_fails_is_alone_in_that(text_encoder: MiniLM) -> None:
    segments = cut(bursts(LENGTHS_MS))
    good = ListeningReader(text_encoder, BurstRecogniser()).encode(segments)
    word = good.spoken[4][1]
    bad = [
        segment.index
        for segment in segments
        if segment.speech_start_seconds <= word.start_seconds and word.end_seconds <= segment.end_seconds + 0.5
    ]
    found = encode_isolated(ListeningReader(text_encoder, BurstRecogniser(int(word.text))), segments)
    assert 0 < len(bad) < len(segments)
    assert sorted(found.failures) == bad
    assert set(found.failures.values()) == {"ArithmeticError: poison"}
    for i in range(len(segments)):
        assert found.embeddings.spoken[i] == (() if i in found.failures else good.spoken[i])


def test_speech_travels_with_sound_that_is_to_be_read(text_encoder: MiniLM) -> None:
    segment = cut(bursts(LENGTHS_MS))[3]
    assert len(segment.only("audio", "text").speech) == 88_000
    assert len(segment.only("audio").speech) == len(segment.only("text").speech) == 0
    with pytest.raises(ValueError, match="speech must be float32"):
        replace(segment, speech=np.zeros(3))


def test_what_there_is_has_the_form_of_a_recogniser() -> None:
    for name in ("pocketsphinx", "whisper:tiny.en"):
        made = make_recogniser(name, language="en", device="cpu", threads=1)
        assert isinstance(made, Recogniser)
        assert made.name == name
