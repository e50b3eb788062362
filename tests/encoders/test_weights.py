"""Missing, changed and complete packages of weights."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from streammm.encoders import BUILT_IN, find
from streammm.encoders.bert import SentenceBert
from streammm.encoders.efficientnet import EfficientNetLite
from streammm.encoders.mobilenet import MobileNet
from streammm.encoders.weights import MODELS, YAMNET_CLASSES_FILE
from streammm.errors import ConfigError


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_file_is_there_and_unchanged(name: str) -> None:
    model = MODELS[name]
    assert sum(model.file(path).stat().st_size for path in model.files) == model.size_bytes


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_a_missing_package_names_the_command_that_installs_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    package = MODELS[name].package
    monkeypatch.setattr("importlib.util.find_spec", lambda n: None if n == package else find_spec(n))
    expected = f'needs the package {MODELS[name].distribution}, which is not installed; run: pip install "streammm'
    with pytest.raises(ConfigError, match=re.escape(expected) + r"\[models\]\""):
        find(name, MODELS[name].modality).setup()


def test_a_package_without_the_file_is_an_error() -> None:
    model = replace(MODELS["yamnet"], package="streammm")
    with pytest.raises(ConfigError, match=f"has no file {YAMNET_CLASSES_FILE}"):
        model.file(YAMNET_CLASSES_FILE)


def test_a_changed_file_is_an_error_that_shows_both_hashes() -> None:
    model = replace(MODELS["yamnet"], files={YAMNET_CLASSES_FILE: "0" * 64})
    found = MODELS["yamnet"].files[YAMNET_CLASSES_FILE]
    with pytest.raises(ConfigError, match=rf"sead is not the file .*SHA-256 {found}, expected {'0' * 64}"):
        model.file(YAMNET_CLASSES_FILE)


def test_neither_torch_nor_the_packages_of_weights_are_imported() -> None:
    heavy = ["torch", "timm", "sead", "openvino", "transformers"]
    code = f"import sys, streammm.encoders, streammm.encoders.weights; print(sys.modules.keys() & set({heavy}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_table_and_the_encoders_agree() -> None:
    assert set(BUILT_IN) == set(MODELS)
    for name, model in MODELS.items():
        assert (model.name, find(name, model.modality).name) == (name, name)
        assert Path(model.package).name == model.package


@pytest.mark.parametrize(
    ("name", "net"), [("efficientnet_lite0", EfficientNetLite), ("yamnet", MobileNet), ("minilm", SentenceBert)]
)
def test_the_table_counts_the_parameters_of_the_net_that_runs(name: str, net: type[nn.Module]) -> None:
    assert MODELS[name].num_parameters == sum(parameter.numel() for parameter in net().parameters())
