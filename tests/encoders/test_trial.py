"""The choice of precision: what is taken, what is refused and why, and what a cached choice costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streammm.building.encoders import make_encoder
from streammm.building.precision import with_precision
from streammm.config import Config, load
from streammm.encoders import trial
from streammm.encoders.check_input import check_segments
from streammm.errors import ConfigError
from streammm.types import Embeddings, Modality, Segment

ENCODERS: dict[Modality, str] = {"video": "efficientnet_lite0", "audio": "yamnet"}


class Rounding:
    """An encoder that is off by so much in a short precision, and takes so many seconds of the test's clock."""

    def __init__(self, clock: list[float], precision: str, error: float, seconds: float) -> None:
        self.clock, self.precision, self.error, self.seconds = clock, precision, error, seconds

    def setup(self) -> None:
        pass

    def encode(self, segments: list[Segment]) -> Embeddings:
        self.clock[0] += self.seconds
        vectors = np.tile(np.array([1.0, self.error], np.float32), (len(segments), 1))
        return Embeddings("video", vectors, np.zeros((len(segments), 0), np.float32), np.ones(len(segments), np.bool_))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A machine whose precisions differ from fp32 and take time as told; how often encoders were made is counted."""
    monkeypatch.setenv("STREAMMM_CACHE", str(tmp_path / "cache"))

    def make(**precisions: tuple[float, float]) -> list[str]:
        clock, made = [0.0], []

        def find(name: str, modality: Modality, *, precision: str, **_: object) -> Rounding:
            made.append(f"{name} {precision}")
            return Rounding(clock, precision, *precisions[precision])

        monkeypatch.setattr(trial, "candidates_on", lambda place: tuple(precisions))
        monkeypatch.setattr(trial, "find", find)
        monkeypatch.setattr(trial.time, "perf_counter", lambda: clock[0])
        return made

    return make


@pytest.mark.parametrize(
    ("precisions", "taken"),
    [
        ({"fp32": (0.0, 1.0), "bf16": (0.0, 0.5)}, "bf16"),
        ({"fp32": (0.0, 1.0), "bf16": (0.2, 0.1)}, "fp32"),  # cosine 0.981
        ({"fp32": (0.0, 1.0), "bf16": (float("nan"), 0.1)}, "fp32"),
        ({"fp32": (0.0, 1.0), "bf16": (0.0, 0.9)}, "fp32"),  # gains too little
        ({"fp32": (0.0, 1.0), "fp16": (0.0, 0.5), "bf16": (0.0, 0.45)}, "fp16"),  # the more exact of two
        ({"fp32": (0.0, 1.0), "fp16": (0.0, 0.5), "bf16": (0.0, 0.3)}, "bf16"),
        ({"fp32": (0.0, 1.0), "fp16": (0.2, 0.5), "bf16": (0.0, 0.5)}, "bf16"),
        ({"fp32": (0.0, 1.0)}, "fp32"),
    ],
)
def test_what_agrees_and_gains_enough_is_taken(machine, precisions: dict[str, tuple[float, float]], taken: str) -> None:
    machine(**precisions)
    assert trial.precision_for(ENCODERS, trial.Place()) == taken


def test_a_choice_is_made_once_for_a_place_and_damage_costs_only_time(machine, tmp_path: Path) -> None:
    made = machine(fp32=(0.0, 1.0), bf16=(0.0, 0.5))
    assert [trial.precision_for(ENCODERS, trial.Place()) for _ in range(3)] == ["bf16"] * 3
    assert len(made) == 4
    trial.precision_for(ENCODERS, trial.Place(threads=2))
    assert len(made) == 8
    for num_damaged, content in enumerate(("{", "[]", '{"precision": "fp8"}'), 1):
        for file in (tmp_path / "cache").iterdir():
            file.write_text(content)
        assert trial.precision_for(ENCODERS, trial.Place()) == "bf16"
        assert len(made) == 8 + 4 * num_damaged
    assert [json.loads(file.read_text()) for file in (tmp_path / "cache").iterdir()].count({"precision": "bf16"}) == 1


def test_it_works_where_nothing_can_be_kept(machine, tmp_path: Path) -> None:
    machine(fp32=(0.0, 1.0), bf16=(0.0, 0.5))
    (tmp_path / "cache").write_text("in the way")
    assert trial.precision_for(ENCODERS, trial.Place()) == "bf16"


def test_encoders_that_nobody_measured_are_exact(machine) -> None:
    made = machine(fp32=(0.0, 1.0), bf16=(0.0, 0.5))
    assert trial.precision_for({**ENCODERS, "video": "torchvision:resnet18"}, trial.Place()) == "fp32"
    assert trial.precision_for({}, trial.Place()) == "fp32"
    assert made == []


def test_encoders_that_cannot_be_loaded_are_left_to_whoever_runs_them(machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(fp32=(0.0, 1.0), bf16=(0.0, 0.5))

    def find(*_: object, **__: object) -> Rounding:
        raise ConfigError("not installed")

    monkeypatch.setattr(trial, "find", find)
    assert trial.precision_for(ENCODERS, trial.Place()) == "fp32"


def test_a_configuration_is_given_a_precision_once(machine) -> None:
    machine(fp32=(0.0, 1.0), bf16=(0.0, 0.5))
    assert with_precision(Config()).runtime.precision == "bf16"
    assert with_precision(Config(), "fp32").runtime.precision == "fp32"  # what its run was made in
    assert with_precision(Config(), is_here=False).runtime.precision == "fp32"
    pinned = load(settings=["runtime.precision=fp16"])
    assert with_precision(pinned, "fp32") is pinned


def test_text_is_read_in_fp32_so_that_labels_mean_the_same_everywhere() -> None:
    config = load(settings=["runtime.precision=bf16"])
    assert make_encoder(config, "text").placement.precision == "fp32"
    assert make_encoder(config, "audio").placement.precision == "bf16"


def test_the_check_input_is_always_the_same_and_all_of_it_differs() -> None:
    for modality, attribute in (("video", "frames"), ("audio", "waveform")):
        segments, again = check_segments(modality, 8), check_segments(modality, 8)
        found = [getattr(segment, attribute) for segment in segments]
        for one, other in zip(found, again, strict=True):
            np.testing.assert_array_equal(one, getattr(other, attribute))
        assert len({array.tobytes() for array in found}) == 8


def test_a_start_that_knows_its_precision_does_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMMM_CACHE", str(tmp_path))
    wanted = with_precision(Config()).runtime.precision
    code = (
        "import sys; from streammm.building.precision import with_precision; from streammm.config import Config;"
        "print(with_precision(Config()).runtime.precision, 'torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.split() == [wanted, "False"]
