"""Cached tensors: written once, used again, made anew where they are damaged, done without where they cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from streammm.encoders.cache import cached


class Maker:
    """Makes the same tensors every time and counts how often."""

    def __init__(self) -> None:
        self.num_calls = 0

    def __call__(self) -> dict[str, Tensor]:
        self.num_calls += 1
        return {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([-1.5])}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STREAMMM_CACHE", str(tmp_path / "deep" / "cache"))
    return tmp_path / "deep" / "cache"


def check(tensors: dict[str, Tensor]) -> None:
    assert sorted(tensors) == ["a", "b"]
    assert tensors["a"].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert tensors["b"].tolist() == [-1.5]


def test_made_once_for_each_source(folder: Path) -> None:
    make = Maker()
    check(cached("net", "1234", make))
    check(cached("net", "1234", make))
    assert make.num_calls == 1
    check(cached("net", "5678", make))
    assert make.num_calls == 2
    assert sorted(path.name for path in folder.iterdir()) == ["net-1234-v1.safetensors", "net-5678-v1.safetensors"]


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "folder"])
def test_a_damaged_file_is_made_anew(folder: Path, damage: str) -> None:
    make = Maker()
    cached("net", "1234", make)
    path = folder / "net-1234-v1.safetensors"
    content = bytearray(path.read_bytes())
    if damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage == "flipped":
        content[-1] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(content[: 0 if damage == "empty" else -3])
    check(cached("net", "1234", make))
    assert make.num_calls == 2
    check(cached("net", "1234", make))
    assert make.num_calls == (3 if damage == "folder" else 2)  # a folder in its place can never be replaced
    assert not list(folder.glob("*.tmp"))


def test_a_folder_that_cannot_be_written_only_costs_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("STREAMMM_CACHE", str(tmp_path / "file" / "cache"))
    make = Maker()
    check(cached("net", "1234", make))
    check(cached("net", "1234", make))
    assert make.num_calls == 2
    assert "cannot write to the cache" in caplog.text
