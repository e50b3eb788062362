"""What the user types, and what labels come to mean through the real text encoder and class texts."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from streammm.errors import ConfigError
from streammm.fusion.model import ZeroShotFusion
from streammm.fusion.vocabulary import GENERAL_LABELS, Vocabulary, build_vocabulary
from streammm.labels import Label, labels_of
from streammm.types import MODALITIES
from tests.fusion.conftest import LABELS, PICTURE_CLASSES, SOUND_CLASSES, embed

LABELS_BY_MEANING = ("rabbit", "car", "speech", "talking", "music", "dog barking", "person", "computer screen")
LEMMAS = ("hare", "sports car", "golden retriever", "screen", "suit", "bow tie", "Windsor tie", "volcano", "pizza")
SOUNDS = ("Speech", "Narration, monologue", "Conversation", "Music", "Bark", "Dog", "Car", "Rain", "Animal", "Silence")


def test_labels_are_stripped_and_unique():
    assert list(labels_of([" Dog ", "dog", "a\tman  talking", "CAR", "car"])) == ["Dog", "a man talking", "CAR"]
    assert list(labels_of("dog, cat")) == ["dog", "cat"]


@pytest.mark.parametrize(
    ("labels", "shown"),
    [([], "at least one label"), (["dog", "  "], "'  '"), (["x" * 201], "not 201"), ([1], "put 1 in quotes")],
)
def test_unusable_labels_are_shown(labels: list[str], shown: str):
    with pytest.raises(ConfigError, match=shown):
        labels_of(labels)


def test_general_labels_are_usable_as_they_are():
    assert tuple(labels_of(GENERAL_LABELS)) == GENERAL_LABELS
    assert 40 <= len(GENERAL_LABELS) <= 80


def judged(labels: object, *, distractors: tuple[str, ...] = (), **scores: dict[str, float]) -> dict[str, float]:
    """Scores, and ``other``, of one segment in which these classes are seen (``picture``) and heard (``sound``)."""
    known = {"picture": PICTURE_CLASSES, "sound": SOUND_CLASSES}
    vocabulary = build_vocabulary(
        labels_of(labels),
        embed,
        picture_classes=PICTURE_CLASSES,
        sound_classes=SOUND_CLASSES,
        distractors=distractors,
    )
    fusion = ZeroShotFusion(vocabulary, smoothing_seconds=0.0)
    inputs = {
        m: np.array([[[scores.get(k, {}).get(c, 0.0) for c in known[k]]]], np.float32)
        for m, k in (("audio", "sound"), ("video", "picture"))
    }
    present = np.array([[["sound" in scores, False, "picture" in scores]]])
    fused, _ = fusion(inputs, present, np.array([[0.0]]), np.array([[2.0]]))
    assert fused.by_modality.shape[-1] == len(vocabulary.labels)
    return dict(zip(vocabulary.labels, fused.scores[0, 0].tolist(), strict=True)) | {"other": float(fused.other[0, 0])}


def test_phrases_stand_for_the_name_and_any_of_them_is_enough():
    by_name = judged(["rabbit", "car"], picture={"rabbit": 1.0})
    by_phrase = judged({"Hase": ["dog", "rabbit"], "car": None}, picture={"rabbit": 1.0})
    assert by_phrase["Hase"] == pytest.approx(by_name["rabbit"], abs=1e-5)
    assert judged({"Hase": "car", "dog": None}, picture={"rabbit": 1.0})["Hase"] < 0.01
    assert judged({"Laerm": ["rain", "noise"], "dog": None}, sound={"rain": 1.0})["Laerm"] > 0.9


def test_a_rival_takes_from_its_own_label_alone():
    labels = {"rabbit": None, "dog": {"not": ["rabbit"]}}
    both = {"rabbit": 0.5, "dog": 0.5}
    plain, with_rival = judged(["rabbit", "dog"], picture=both), judged(labels, picture=both)
    assert with_rival["rabbit"] == pytest.approx(plain["rabbit"], abs=1e-5)
    assert with_rival["dog"] == pytest.approx(plain["dog"] / 2, abs=1e-3)
    assert with_rival["other"] == pytest.approx(plain["other"] + plain["dog"] / 2, abs=1e-3)
    assert judged(labels, picture={"dog": 1.0})["dog"] == pytest.approx(
        judged(["rabbit", "dog"], picture={"dog": 1.0})["dog"], abs=1e-3
    )


def test_a_distractor_competes_and_is_never_reported():
    seen = {"rabbit": 0.5, "dog": 0.5}
    as_label = judged(["dog", "rabbit"], picture=seen)
    found = judged(["dog"], distractors=("rabbit",), picture=seen)
    assert found.keys() == {"dog", "other"}
    assert found["dog"] == pytest.approx(as_label["dog"], abs=0.02)
    assert found["dog"] < judged(["dog"], picture=seen)["dog"] - 0.3
    assert found["dog"] + found["other"] == pytest.approx(1.0)
    # What sees the distractor clearly is believed, and does not leave the word to what heard a little.
    loud = judged(["dog"], distractors=("rabbit",), picture={"rabbit": 1.0}, sound={"dog": 0.3})
    assert loud["dog"] < judged(["dog"], picture={"rabbit": 1.0}, sound={"dog": 0.3})["dog"]


def test_a_bias_is_added_to_the_logits_of_its_modality():
    def odds(bias: float) -> float:
        found = judged({"dog": {"bias": {"video": bias}}, "car": None}, picture={"dog": 0.2, "car": 0.8})
        return found["dog"] / found["car"]

    assert np.log(odds(1.5) / odds(0.0)) == pytest.approx(1.5, abs=1e-3)
    heard = judged({"dog": {"bias": {"video": 5.0}}, "rain": None}, sound={"dog": 1.0})
    assert heard["dog"] == pytest.approx(judged(["dog", "rain"], sound={"dog": 1.0})["dog"])


def test_a_label_says_what_it_is_in_yaml_and_back():
    label = Label.model_validate({"phrases": "people clapping", "not": ["rain"], "threshold": 0.3})
    assert (label.phrases, label.rivals) == (("people clapping",), ("rain",))
    assert label.to_plain() == {"phrases": ["people clapping"], "not": ["rain"], "threshold": 0.3}


def test_shapes_and_pickling(vocabulary: Vocabulary):
    assert vocabulary.labels == LABELS
    assert vocabulary.picture_cosines.shape == (6, 5)
    assert vocabulary.sound_weights.shape == (6, 6)
    assert vocabulary.reliability.shape == (len(MODALITIES), 6)
    copy = pickle.loads(pickle.dumps(vocabulary))  # noqa: S301 - made one expression earlier
    assert np.array_equal(copy.sound_weights, vocabulary.sound_weights)


def test_modalities_abstain_from_what_they_have_no_class_for(vocabulary: Vocabulary):
    reliability = dict(zip(LABELS, vocabulary.reliability.T.tolist(), strict=True))
    assert reliability["speech"] == [1, 1, 0]
    assert reliability["rabbit"] == [0, 1, 1]
    assert reliability["dog"] == [1, 1, 1]


def test_without_an_encoder_its_modality_judges_nothing():
    vocabulary = build_vocabulary(["dog", "car"], embed, sound_classes=["dog"])
    assert vocabulary.picture_cosines.shape == (2, 0)
    assert vocabulary.reliability[2].tolist() == [0, 0]
    fusion = ZeroShotFusion(vocabulary)
    inputs = {"audio": np.ones((1, 1, 1), np.float32), "video": np.zeros((1, 1, 0), np.float32)}
    fused, _ = fusion(inputs, np.array([[[True, False, True]]]), np.zeros((1, 1)), np.ones((1, 1)))
    assert fused.scores[0, 0, 0] > 0.85
    assert fused.by_modality[0, 0, 2].sum() == 0


def test_people_are_told_by_what_they_wear():
    vocabulary = build_vocabulary(["person", "car"], embed, picture_classes=["suit: of cloth", "car: on wheels"])
    assert vocabulary.picture_cosines[0].tolist() == pytest.approx([0.8, 0.0])
    assert vocabulary.picture_cosines[1].tolist() == pytest.approx([0.0, 1.0])


def test_general_sounds_stand_only_for_themselves():
    def embed_near(texts: list[str], *, keep: bool = False) -> np.ndarray:
        return np.array([{"elephant": [0.8, 0.6], "animal": [1, 0], "Animal": [1, 0]}.get(t, [0, 1]) for t in texts])

    vocabulary = build_vocabulary(["elephant", "animal"], embed_near, sound_classes=["Animal", "Rain"])
    assert vocabulary.sound_weights[:, 0].tolist() == pytest.approx([0, 1], abs=1e-6)


@pytest.fixture(scope="module")
def meaning() -> tuple[Vocabulary, tuple[str, ...]]:
    """Real embeddings of a few real class texts: all thousand would take too long."""
    from streammm.encoders.image import imagenet_classes
    from streammm.encoders.text import MiniLM

    by_lemma = {text.split(":")[0].split(",")[0]: text for text in imagenet_classes()[1]}
    encoder = MiniLM(runtime="torch", device="cpu", precision="fp32")
    encoder.setup()
    texts = [by_lemma[lemma] for lemma in LEMMAS]

    def embed_real(texts: list[str], *, keep: bool = False) -> np.ndarray:
        return encoder.embed(texts)  # the user's cache stays as it is

    return build_vocabulary(LABELS_BY_MEANING, embed_real, picture_classes=texts, sound_classes=SOUNDS), SOUNDS


def best(vocabulary: Vocabulary, *, picture: dict[str, float] | None = None, sound: dict[str, float] | None = None):
    """Label with the highest score, and the scores."""
    fusion = ZeroShotFusion(vocabulary)
    video = np.array([[[(picture or {}).get(lemma, 0.0) for lemma in LEMMAS]]], np.float32)
    audio = np.array([[[(sound or {}).get(name, 0.01) for name in SOUNDS]]], np.float32)
    present = np.array([[[sound is not None, False, picture is not None]]])
    fused, _ = fusion({"audio": audio, "video": video}, present, np.zeros((1, 1)), np.full((1, 1), 2.0))
    scores = dict(zip(vocabulary.labels, fused.scores[0, 0].tolist(), strict=True))
    scores["other"] = fused.other.item()
    return max(scores, key=scores.__getitem__), scores


def test_meaning_of_pictures(meaning):
    vocabulary, _ = meaning
    label, scores = best(vocabulary, picture={"hare": 1.0})
    assert label == "rabbit"
    assert scores["rabbit"] > 20 * scores["car"]
    assert best(vocabulary, picture={"sports car": 0.9, "screen": 0.1})[0] == "car"
    assert best(vocabulary, picture={"suit": 0.4, "bow tie": 0.3, "Windsor tie": 0.3})[0] == "person"
    assert best(vocabulary, picture={"volcano": 0.5, "pizza": 0.5})[0] == "other"


def test_meaning_of_sounds(meaning):
    vocabulary, _ = meaning
    label, scores = best(vocabulary, sound={"Speech": 1.0, "Music": 0.1})
    assert label in ("speech", "talking")
    assert scores["speech"] > 10 * scores["music"]
    assert scores["talking"] > 0.3  # though nothing but "Speech" itself is scored
    assert best(vocabulary, sound={"Music": 0.9})[0] == "music"
    assert best(vocabulary, sound={"Bark": 0.8, "Dog": 0.8, "Animal": 0.9})[0] == "dog barking"
    assert best(vocabulary, sound={"Silence": 1.0})[0] == "other"


def test_abstaining_by_meaning(meaning):
    vocabulary, _ = meaning
    reliability = dict(zip(vocabulary.labels, vocabulary.reliability.T, strict=True))
    audio, video = MODALITIES.index("audio"), MODALITIES.index("video")
    assert reliability["speech"][video] == 0
    assert reliability["computer screen"][audio] < 0.1
    assert (reliability["rabbit"][video], reliability["speech"][audio]) == (1, 1)
