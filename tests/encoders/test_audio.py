"""YAMNet: the front end against one in numpy, the net against its ONNX graph, and sounds that everybody knows."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch

from streammm.encoders.audio import YamNet, patch_starts
from streammm.encoders.logmel import log_mel, num_frames
from streammm.encoders.logmel_net import LogMel
from streammm.encoders.mobilenet import MobileNet, read_onnx
from streammm.encoders.weights import MODELS, YAMNET_FILE
from streammm.types import Segment, Status

Waveform = npt.NDArray[np.float32]
SECOND = 16_000


@pytest.fixture(scope="module", params=["torch", "openvino"])
def encoder(request: pytest.FixtureRequest) -> YamNet:
    encoder = YamNet(runtime=request.param, device="cpu")
    encoder.setup()
    return encoder


@pytest.fixture(scope="module")
def net() -> MobileNet:
    net = MobileNet().eval()
    net.load_state_dict(read_onnx(MODELS["yamnet"].file(YAMNET_FILE)))
    return net


def numpy_log_mel(waveform: Waveform) -> npt.NDArray[np.float64]:
    """The published front end written out in loops, in float64."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    edges_mel = np.linspace(1127 * np.log(1 + 125 / 700), 1127 * np.log(1 + 7500 / 700), 66)
    bins_mel = 1127 * np.log(1 + np.arange(257) * (SECOND / 512) / 700)
    bands = np.stack(
        [np.interp(bins_mel, edges_mel[i : i + 3], [0.0, 1.0, 0.0], left=0, right=0) for i in range(64)], axis=1
    )
    rows = []
    for start in range(0, len(waveform) - 399, 160):
        frame = np.zeros(512)
        frame[:400] = waveform[start : start + 400] * window
        rows.append(np.log(np.abs(np.fft.rfft(frame)) @ bands + 0.001))
    return np.array(rows)


def float_session(archive: Path) -> onnxruntime.InferenceSession:
    """The ONNX graph without its quantise and dequantise nodes, in onnxruntime."""
    with zipfile.ZipFile(archive) as files:
        folder = next(name for name in files.namelist() if name.endswith("/"))
        model = onnx.load_model_from_string(files.read(f"{folder}model.onnx"))
        data = files.read(f"{folder}model.data")
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            where = {entry.key: entry.value for entry in tensor.external_data}
            tensor.raw_data = data[int(where["offset"]) :][: int(where["length"])]
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]
    came_from = {}
    kept = []
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            came_from[node.output[0]] = came_from.get(node.input[0], node.input[0])
        else:
            kept.append(node)
            node.input[:] = [came_from.get(name, name) for name in node.input]
    del model.graph.node[:], model.graph.value_info[:]
    model.graph.node.extend(kept)
    model.graph.output[0].name = came_from[model.graph.output[0].name]
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def test_front_end_against_numpy(noise: Waveform) -> None:
    for waveform in (noise[: 2 * SECOND], np.zeros(500, np.float32)):
        ours = LogMel()(torch.from_numpy(waveform)).numpy()
        assert ours.shape == (num_frames(len(waveform)), 64)
        np.testing.assert_allclose(ours, numpy_log_mel(waveform), atol=2e-4)


def test_front_end_of_a_tone_is_exact_within_float32() -> None:
    tone = (0.3 * np.sin(2 * np.pi * 997 * np.arange(SECOND) / SECOND)).astype(np.float32)
    ours, expected = np.exp(LogMel()(torch.from_numpy(tone)).numpy()), np.exp(numpy_log_mel(tone))
    assert expected.max() > 10
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)  # bands beside the tone hold only its rounding


@pytest.mark.parametrize(("frequency_hz", "band"), [(1033, 20), (2690, 39), (6941, 62)])
def test_a_tone_is_loudest_in_its_band(frequency_hz: int, band: int) -> None:
    # band i has its centre at 185.2 + 39.82 (i + 1) mel, and f Hz are 1127 ln(1 + f / 700) mel
    tone = np.sin(2 * np.pi * frequency_hz * np.arange(SECOND) / SECOND).astype(np.float32)
    assert LogMel()(torch.from_numpy(tone)).mean(0).argmax() == band


def test_silence_is_the_logarithm_of_the_offset() -> None:
    np.testing.assert_allclose(LogMel()(torch.zeros(400)).numpy(), np.log(0.001), atol=1e-6)


def test_net_against_the_onnx_graph(net: MobileNet, noise: Waveform) -> None:
    archive = MODELS["yamnet"].file(YAMNET_FILE)
    patch = LogMel()(torch.from_numpy(noise))[None, :96]
    expected = float_session(archive).run(None, {"audio": patch[None].numpy()})[0]
    assert np.abs(expected).max() > 5
    with torch.inference_mode():
        np.testing.assert_allclose(net.logits(patch)[0].numpy(), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("num_samples", "starts"),
    [
        (15_600, [0]),
        (15_759, [0]),
        (15_760, [0, 1]),
        (SECOND, [0, 2]),
        (2 * SECOND, [0, 34, 68, 102]),
        (15_600 + 48 * 160, [0, 48]),
        (15_600 + 97 * 160, [0, 32, 65, 97]),
    ],
)
def test_patches_are_evenly_spread_and_reach_the_end(num_samples: int, starts: list[int]) -> None:
    assert patch_starts(num_samples) == starts


def test_a_segment_is_the_mean_of_its_patches(
    encoder: YamNet, noise: Waveform, make_segment: Callable[..., Segment]
) -> None:
    waveform = noise[: 2 * SECOND]
    whole = encoder.encode([make_segment(waveform=waveform)])
    parts = encoder.encode(
        [make_segment(waveform=waveform[start * 160 :][:15_600]) for start in patch_starts(len(waveform))]
    )
    np.testing.assert_allclose(whole.tags[0], parts.tags.mean(0), atol=1e-5)
    np.testing.assert_allclose(whole.vectors[0], parts.vectors.mean(0), atol=1e-4)


def test_a_short_sound_is_filled_up_with_silence(
    encoder: YamNet, noise: Waveform, make_segment: Callable[..., Segment]
) -> None:
    short = noise[:5_000]
    filled = np.concatenate([short, np.zeros(10_600, np.float32)])
    result = encoder.encode([make_segment(waveform=short), make_segment(waveform=filled)])
    np.testing.assert_array_equal(result.tags[0], result.tags[1])


def test_a_row_does_not_depend_on_the_batch(
    encoder: YamNet, noise: Waveform, make_segment: Callable[..., Segment]
) -> None:
    sizes = (2 * SECOND, 5 * SECOND, 1_000, 0, SECOND)
    segments = [make_segment(waveform=noise[:size] * (i + 1) / 5) for i, size in enumerate(sizes)]
    together = encoder.encode(segments)
    backwards = encoder.encode(segments[::-1])
    np.testing.assert_array_equal(backwards.vectors[::-1], together.vectors)
    for i, segment in enumerate(segments):
        alone = encoder.encode([segment])
        np.testing.assert_array_equal(alone.vectors[0], together.vectors[i])
        np.testing.assert_array_equal(alone.tags[0], together.tags[i])


def test_runtimes_give_the_numbers_of_the_net(
    encoder: YamNet, net: MobileNet, noise: Waveform, make_segment: Callable[..., Segment]
) -> None:
    frames = LogMel()(torch.from_numpy(noise))
    patches = torch.stack([frames[start : start + 96] for start in patch_starts(len(noise))])
    with torch.inference_mode():
        scores, embeddings = net(patches)
    result = encoder.encode([make_segment(waveform=noise)])
    np.testing.assert_allclose(result.tags[0], scores.mean(0), atol=1e-5)
    np.testing.assert_allclose(result.vectors[0], embeddings.mean(0), atol=1e-4)


def test_what_is_not_usable_is_a_row_of_zeros(
    encoder: YamNet, noise: Waveform, make_segment: Callable[..., Segment]
) -> None:
    segments = [
        make_segment(),
        make_segment(waveform=noise, audio=Status.SILENT),
        make_segment(waveform=noise, audio=Status.DAMAGED),
        make_segment(waveform=noise, video=Status.ABSENT),
    ]
    result = encoder.encode(segments)
    assert result.modality == "audio"
    assert result.present.tolist() == [False, False, True, True]
    assert result.tags.any(1).tolist() == result.present.tolist()
    assert result.vectors.any(1).tolist() == result.present.tolist()
    nothing = encoder.encode([])
    assert (nothing.vectors.shape, nothing.tags.shape) == ((0, 1024), (0, 521))


@pytest.mark.parametrize(
    ("sound", "expected"), [("tone", {"Dial tone", "Telephone"}), ("noise", {"White noise"}), ("zeros", {"Silence"})]
)
def test_sounds_that_everybody_knows(
    encoder: YamNet, noise: Waveform, make_segment: Callable[..., Segment], sound: str, expected: set[str]
) -> None:
    waveform = {
        "tone": (0.5 * np.sin(2 * np.pi * 440 * np.arange(3 * SECOND) / SECOND)).astype(np.float32),
        "noise": noise[: 3 * SECOND] * np.float32(0.3),
        "zeros": np.zeros(3 * SECOND, np.float32),
    }[sound]
    tags = encoder.encode([make_segment(waveform=waveform)]).tags[0]
    best = np.argsort(tags)[-len(expected) :]
    assert {encoder.classes[i] for i in best} == expected
    assert tags[best].min() > 0.5


def test_class_names(encoder: YamNet) -> None:
    assert len(encoder.classes) == 521
    assert encoder.classes[:2] == ("Speech", "Child speech, kid speaking")
    assert encoder.classes[132] == "Music"


def test_the_front_end_is_the_same_on_arrays_and_in_a_net() -> None:
    sound = np.random.default_rng(0).uniform(-1, 1, 32_000).astype(np.float32)
    made = log_mel(sound)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made, LogMel()(torch.from_numpy(sound)).numpy(), atol=2e-5)
