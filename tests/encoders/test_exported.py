"""Nets of the user's own: as TorchScript, as ONNX, and as a class."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn

from streammm.building.decoding import decode_options
from streammm.building.encoders import make_encoder
from streammm.building.identity import identity
from streammm.encoders.base import Encoder
from streammm.errors import ConfigError
from streammm.types import Segment
from tests.encoders.test_families import assert_close, check, configured, made, normalised, pictures, sounds

MakeSegment = Callable[..., Segment]

MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.4]


class PictureNet(nn.Module):
    """Features, and logits of three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.conv(x).relu().mean((2, 3))
        return features, self.out(features)


class SoundNet(nn.Module):
    """Loudness in four bands of a filter."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 16, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x[:, None]).abs().mean(2)


class TextNet(nn.Module):
    """The mean of word embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(8, 6)

    def forward(self, ids: Tensor) -> Tensor:
        return self.words(ids).mean(1)


def traced(net: nn.Module, example: Tensor, path: Path) -> None:
    torch.jit.trace(net.eval(), example).save(str(path))


def write(path: Path, **wanted: object) -> None:
    path.with_name(path.name + ".json").write_text(json.dumps(wanted))


def picture_onnx(net: PictureNet, path: Path, batch: int | str = "N") -> None:
    """`PictureNet` as ONNX, node by node: torch's own exporter needs one more package."""
    helper = onnx.helper
    nodes = [
        helper.make_node("Conv", ["x", "conv.weight", "conv.bias"], ["c"], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["features"]),
        helper.make_node("Gemm", ["features", "out.weight", "out.bias"], ["logits"], transB=1),
    ]
    kind = onnx.TensorProto.FLOAT
    save_onnx(
        nodes,
        [helper.make_tensor_value_info("x", kind, [batch, 3, 32, 32])],
        [helper.make_tensor_value_info(n, kind, [batch, size]) for n, size in (("features", 8), ("logits", 3))],
        net,
        path,
    )


def save_onnx(nodes: list, inputs: list, outputs: list, net: nn.Module, path: Path) -> None:
    weights = [onnx.numpy_helper.from_array(t.numpy(), name) for name, t in net.state_dict().items()]
    graph = onnx.helper.make_graph(nodes, "net", inputs, outputs, weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


@pytest.fixture
def net() -> PictureNet:
    torch.manual_seed(0)
    return PictureNet().eval()


def test_torchscript_of_pictures(tmp_path: Path, net: PictureNet, make_segment: MakeSegment) -> None:
    path = tmp_path / "net.pt"
    traced(net, torch.zeros(1, 3, 32, 32), path)
    write(path, pixels=32, shorter_side=36, layout="NCHW", mean=MEAN, std=STD, classes=["a", "b", "c"])
    options = decode_options(configured("video", f"torchscript:{path}"))
    assert (options.shorter_side, options.crop) == (36, 32)
    encoder = made("video", f"torchscript:{path}")
    frames = pictures(3, 1, side=32)
    result = check(encoder, [*(make_segment(f) for f in frames), make_segment()])
    with torch.inference_mode():
        features, logits = net(normalised(frames[0], MEAN, STD))
    assert_close(result.vectors[0], features.mean(0))
    assert_close(result.tags[0], logits.softmax(-1).mean(0))
    items = encoder.items(make_segment(frames[0]))[None]
    encoder.features(items).sum().backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in encoder.trainable_module().parameters())


def test_torchscript_of_clips_sound_and_text(tmp_path: Path, make_segment: MakeSegment) -> None:
    torch.manual_seed(0)
    sound, clip, text = SoundNet(), nn.Sequential(nn.Conv3d(3, 5, 2, 2), nn.Flatten(), nn.LazyLinear(6)), TextNet()
    clip(torch.zeros(1, 3, 8, 16, 16))
    traced(sound, torch.zeros(1, 16_000), tmp_path / "sound.pt")
    traced(clip, torch.zeros(1, 3, 8, 16, 16), tmp_path / "clip.pt")
    traced(text, torch.zeros((1, 3), dtype=torch.int64), tmp_path / "text.pt")
    waveforms = sounds(32_000, 9_000, 30)
    heard = check(
        made("audio", f"torchscript:{tmp_path / 'sound.pt'}"),
        [*(make_segment(waveform=w) for w in waveforms), make_segment()],
    )
    write(tmp_path / "clip.pt", pixels=16, layout="NCTHW", num_frames=8, mean=MEAN, std=STD)
    frames = pictures(4, 2, side=16)
    seen = check(
        made("video", f"torchscript:{tmp_path / 'clip.pt'}"), [*(make_segment(f) for f in frames), make_segment()]
    )
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "dog": 2, "cat": 3}, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(tmp_path / "words.json"))
    write(tmp_path / "text.pt", tokenizer="words.json", most_tokens=4)
    read = check(
        made("text", f"torchscript:{tmp_path / 'text.pt'}"),
        [make_segment(words="a dog"), make_segment(words="cat " * 9 + "a"), make_segment()],
    )
    with torch.inference_mode():
        assert_close(heard.vectors[0], sound(torch.from_numpy(waveforms[0])[None])[0])
        x = normalised(frames[0], MEAN, STD).repeat_interleave(2, 0).transpose(0, 1)[None]
        assert_close(seen.vectors[0], clip(x)[0])
        assert_close(read.vectors[0], text(torch.tensor([[1, 2]]))[0])
        assert_close(read.vectors[1], text(torch.tensor([[3]]))[0])


@pytest.mark.parametrize(("backend", "batch"), [("auto", "N"), ("auto", 1), ("openvino", "N")])
def test_onnx_of_pictures(
    tmp_path: Path, net: PictureNet, make_segment: MakeSegment, backend: str, batch: int | str
) -> None:
    path = tmp_path / "net.onnx"
    picture_onnx(net, path, batch)
    write(path, mean=MEAN, std=STD, classes=["a", "b", "c"], activation="sigmoid")
    encoder = made("video", f"onnx:{path}", f"runtime.backend={backend}")
    assert encoder.picture.crop == 32  # as its input says
    frames = pictures(3, 1, side=32)
    result = check(encoder, [*(make_segment(f) for f in frames), make_segment()])
    with torch.inference_mode():
        features, logits = net(normalised(frames[0], MEAN, STD))
    assert_close(result.vectors[0], features.mean(0))
    assert_close(result.tags[0], logits.sigmoid().mean(0))
    with pytest.raises(ConfigError, match="has nothing that can be trained"):
        encoder.trainable_module()


def test_onnx_of_sound_takes_it_in_parts_of_its_length(tmp_path: Path, make_segment: MakeSegment) -> None:
    helper = onnx.helper
    shape = helper.make_node("ReduceMax", ["x"], ["top"], axes=[1], keepdims=1)
    save_onnx(
        [shape, helper.make_node("Add", ["top", "offset"], ["y"])],
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 8000])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 1])],
        nn.ParameterDict({"offset": nn.Parameter(torch.full((1,), 0.5))}).requires_grad_(False),
        tmp_path / "net.onnx",
    )
    waveform = np.concatenate([np.full(n, level, np.float32) for n, level in ((8000, 0.25), (4000, 0.75))])
    result = check(made("audio", f"onnx:{tmp_path / 'net.onnx'}"), [make_segment(waveform=waveform), make_segment()])
    assert result.vectors[0, 0] == pytest.approx((0.75 + 1.25) / 2)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({}, r"say mean and std of its pixels in .*net.onnx.json, or raw"),
        ({"pixel": 32}, r"net.onnx.json: pixel: Extra inputs are not permitted, got 32"),
        (
            {"mean": MEAN, "std": STD, "classes": ["a"]},
            r"cannot run: 1 classes are named, but it gives \(1, 8\), \(1, 3",
        ),
    ],
)
def test_what_is_said_wrongly_is_named(
    tmp_path: Path, net: PictureNet, wanted: dict[str, object], message: str
) -> None:
    path = tmp_path / "net.onnx"
    picture_onnx(net, path)
    write(path, **wanted)
    with pytest.raises(ConfigError, match=message):
        made("video", f"onnx:{path}")


def test_a_file_that_is_none_of_its_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"nothing")
    (tmp_path / "net.pt").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match=r"net.onnx is no ONNX net that can be run"):
        made("audio", f"onnx:{tmp_path / 'net.onnx'}")
    with pytest.raises(ConfigError, match=r"net.pt is no TorchScript"):
        made("audio", f"torchscript:{tmp_path / 'net.pt'}")
    with pytest.raises(ConfigError, match=r"say pixels and layout in .*net.pt.json, which is not there"):
        made("video", f"torchscript:{tmp_path / 'net.pt'}")


OWN = """
import numpy as np
from streammm.types import Embeddings

class Brightness:
    name, dim, classes = "brightness", 1, ()

    def __init__(self, modality, threads):
        self.modality, self.threads = modality, threads

    def setup(self):
        pass

    def encode(self, segments):
        vectors = np.array([[s.frames.mean() if len(s.frames) else 0] for s in segments], np.float32)
        vectors = vectors.reshape(-1, 1)
        return Embeddings("video", vectors, vectors[:, :0], vectors[:, 0] > 0)
"""


def test_a_class_of_ones_own(tmp_path: Path, make_segment: MakeSegment, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "brightness_of_mine.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    config = configured("video", "brightness_of_mine:Brightness", "runtime.threads=3")
    encoder = make_encoder(config, "video")
    assert isinstance(encoder, Encoder)
    assert encoder.threads == 3  # type: ignore[attr-defined]
    result = check(encoder, [make_segment(np.full((2, 4, 4, 3), 7, np.uint8)), make_segment()])
    assert result.vectors[0, 0] == 7
    assert decode_options(config).crop == 224
    assert len(identity(config)["weights of brightness_of_mine:Brightness"][0]) == 64
    del sys.modules["brightness_of_mine"]
