"""Configuration: what is read, what is refused and how the refusal reads."""

import json
from fractions import Fraction
from pathlib import Path

import pytest

from streammm.building.labels import label_thresholds
from streammm.config import Config, explained, load
from streammm.config.section import seconds
from streammm.config.writing import keys
from streammm.errors import ConfigError


def test_settings_override_the_file_and_keywords_override_both(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("segment: {length_seconds: 4, frames_per_second: 1}\nlabels: [a, b]\n")
    config = load(path, ["segment.length_seconds=3", "output.top_labels=2"], labels=("x",))
    assert (config.segment.length_seconds, config.segment.frames_per_second) == (3.0, 1.0)
    assert (config.output.top_labels, list(config.labels or {})) == (2, ["x"])


def test_the_resolved_configuration_reads_back_as_it_was(tmp_path: Path) -> None:
    config = load(settings=["labels=a dog,a cat", "fusion.weights={video: 2}", "segment.hop_seconds=0.5"])
    path = tmp_path / "c.yaml"
    path.write_text(config.to_yaml())
    assert load(path) == config
    assert list(config.labels or {}) == ["a dog", "a cat"]
    assert "labels:\n- a dog\n- a cat\n" in config.to_yaml()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("segment.lenght_seconds=4", "unknown key segment.lenght_seconds; did you mean segment.length_seconds?"),
        ("segment.length_seconds=-1", "segment.length_seconds: input should be greater than 0, got -1"),
        ("segment.hop_seconds=3", "hop_seconds 3.0 must not exceed length_seconds 2.0"),
        ("runtime.backend=tpu", "runtime.backend: input should be 'auto', 'torch' or 'openvino', got 'tpu'"),
        ("fusion.weights={audio: 0, video: 0, text: 0}", "at least one modality needs a weight above 0"),
        ("segment", "a setting has the form key=value"),
        ("a: b=1", "unknown key a: b"),
        ("output.top_labels.x=1", "output.top_labels"),
        ("labels=[", "is not YAML"),
        ("labels={dog: {phrase: x}}", "unknown key labels.dog.phrase; a label has phrases, not, threshold, bias"),
        ("labels={dog: {threshold: 2}}", "labels.dog.threshold: input should be less than or equal to 1, got 2"),
        ("labels={dog: {not: ['']}}", "labels.dog.not.0: a label must not be empty"),
        ("labels=[dog, {Dog: {threshold: 0.2}}, {dog: barking}]", "labels: the label 'dog' is there twice"),
        ("labels=[yes]", "labels: a label is a text; put True in quotes"),
        ("labels=none.yaml", "cannot read the labels none.yaml: No such file"),
        ("distractors=[dog, '']", "distractors.1: a label must not be empty"),
        ("segment.length_seconds=.inf", "segment.length_seconds: input should be a finite number"),
        ("fusion.smoothing_seconds=.nan", "fusion.smoothing_seconds: input should be"),
    ],
)
def test_mistakes_are_named(setting: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(settings=[setting])
    assert message in str(caught.value)


def test_labels_and_distractors_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text(
        "labels:\n  dog:\n  Applaus: {phrases: [applause], not: rain, threshold: 0.3}\ndistractors: [car]\n"
    )
    config = load(labels=str(path))
    assert list(config.labels or {}) == ["dog", "Applaus"]
    assert config.labels is not None
    assert (config.labels["Applaus"].rivals, config.labels["Applaus"].threshold) == (("rain",), 0.3)
    assert config.distractors == ("car",)
    (tmp_path / "resolved.yaml").write_text(config.to_yaml())
    assert load(tmp_path / "resolved.yaml") == config
    assert load(settings=[f"labels={path}"]) == config
    assert label_thresholds(config) == {"dog": 0.4, "Applaus": 0.3}
    path.write_text("[dog, cat]")
    assert list(load(labels=str(path)).labels or {}) == ["dog", "cat"]
    for text in (
        "labels: [dog]\nfusion: {}\n",
        "dog: {threshold: 0.3}\n",
        "labels: other.yaml\n",
        "",
        "labels: [car]\ndistractors: [Car]",
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"labels\.yaml|'Car' is one of the labels"):
            load(labels=str(path))


@pytest.mark.parametrize("text", ["- a\n", "a: [", "!!python/object:os.system {}"])
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"c\.yaml"):
        load(path)


def test_every_key_is_described() -> None:
    assert [key for key, description in keys(Config).items() if not description.endswith(".")] == []


def test_a_setting_means_the_decimal_that_was_typed() -> None:
    assert seconds(0.1) == Fraction(1, 10)


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[1] / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_the_configurations_that_come_along_are_valid(path: Path) -> None:
    assert isinstance(load(path), Config)


def test_the_documented_configuration_is_up_to_date() -> None:
    path = Path(__file__).parents[1] / "configs" / "local.yaml"
    assert path.read_text() == explained(Config())
    assert load(path) == Config()


def test_a_run_may_look_for_nothing(clip, streammm) -> None:
    clip("a.mp4", 2.0)
    done = streammm("run", "a.mp4", "--set", "labels=[]", "--out", "-")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert (row["labels"], row["modalities"]["video"]["status"]) == ([], "ok")
