"""Converted nets: kept, read back to the same numbers, and made anew when they are damaged or stale."""

from __future__ import annotations

import logging
import os
import pydoc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from streammm.encoders.placement import Placement
from streammm.encoders.runtime import Compiled, compile_net

CPU = Placement("openvino", "cpu", "fp32")
INPUT = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


class Maker:
    """Makes a net and counts how often."""

    calls = 0

    def __call__(self) -> nn.Module:
        self.calls += 1
        torch.manual_seed(self.calls)
        return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Compiled]:
    monkeypatch.setenv("STREAMMM_CACHE", str(tmp_path))
    maker = Maker()

    def make(key: str = "key") -> tuple[np.ndarray, int]:
        run = compile_net(maker, torch.zeros(1, 3), CPU, key=key)
        return run([INPUT])[0][0], maker.calls

    return make


def test_what_was_converted_is_read_back_to_the_same_numbers(make: Callable[..., tuple[np.ndarray, int]]) -> None:
    (first, made_first), (second, made_second) = make(), make()
    assert (made_first, made_second) == (1, 1)
    assert np.array_equal(first, second)


def test_another_key_is_another_net(make: Callable[..., tuple[np.ndarray, int]]) -> None:
    (first, _), (second, made) = make("a"), make("b")
    assert made == 2
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("file", ["model.bin", "model.xml", "sha256"])
def test_damage_is_noticed_and_mended(make: Callable[..., tuple[np.ndarray, int]], tmp_path: Path, file: str) -> None:
    make()
    (folder,) = tmp_path.glob("openvino-*")
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    assert make()[1] == 2  # made anew
    assert make()[1] == 2  # and kept


def test_it_works_where_nothing_can_be_kept(
    make: Callable[..., tuple[np.ndarray, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STREAMMM_CACHE", str(tmp_path / "file"))
    assert [make()[1], make()[1]] == [1, 2]


def test_what_others_log_while_a_net_is_converted_is_heard(
    make: Callable[..., tuple[np.ndarray, int]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = "openvino.frontend.pytorch.ts_decoder.TorchScriptPythonDecoder"
    real = pydoc.locate(decoder)

    def during(*args: object, **kwargs: object) -> object:
        logging.getLogger("elsewhere").warning("something to know")
        return real(*args, **kwargs)

    monkeypatch.setattr(decoder, during)
    make()
    assert set(caplog.messages) == {"something to know"}


def test_nobody_is_told_that_openvino_was_imported(tmp_path: Path) -> None:
    script = "from streammm.encoders.openvino_cpu import import_openvino; print(import_openvino().Core())"
    home = os.environ | {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "CI": ""}
    subprocess.run([sys.executable, "-c", script], env=home, check=True, capture_output=True)
    assert list(tmp_path.iterdir()) == []  # else there is an id by which its makers know this user
