"""Encoders that a configuration names, each family through a tiny model of its own: configuration to embeddings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import timm
import torch
import torchaudio
import torchvision
from safetensors.torch import save_file
from timm.models import save_for_hf
from torch import Tensor, nn

import streammm
from streammm.building.decoding import decode_options
from streammm.building.encoders import make_encoder
from streammm.building.identity import identity, model_name
from streammm.config import Config, load
from streammm.encoders.base import Encoder
from streammm.encoders.net import NetEncoder, Recipe, even
from streammm.encoders.placement import Placement
from streammm.encoders.sound import Sound
from streammm.errors import ConfigError
from streammm.types import Embeddings, Modality, Segment
from tests.conftest import MakeClip

MakeSegment = Callable[..., Segment]


def configured(modality: Modality, name: object, *settings: str) -> Config:
    return load(settings=[f"encoders.{modality}={name}", "runtime.device=cpu", *settings])


def made(modality: Modality, name: object, *settings: str) -> NetEncoder:
    """An encoder as `streammm run` makes it."""
    encoder = make_encoder(configured(modality, name, *settings), modality)
    assert isinstance(encoder, NetEncoder)
    encoder.setup()
    return encoder


def pictures(*counts: int, side: int) -> list[npt.NDArray[np.uint8]]:
    random = np.random.default_rng(3)
    return [random.integers(0, 256, (count, side, side, 3), np.uint8) for count in counts]


def sounds(*lengths: int) -> list[npt.NDArray[np.float32]]:
    random = np.random.default_rng(4)
    return [(0.1 * random.standard_normal(length)).astype(np.float32) for length in lengths]


def check(encoder: Encoder, segments: list[Segment]) -> Embeddings:
    """The promises of every encoder: rows do not depend on the batch, what is not there is a row of zeros."""
    assert isinstance(encoder, Encoder)
    together = encoder.encode(segments)
    assert together.vectors.shape == (len(segments), encoder.dim)
    assert together.tags.shape == (len(segments), len(encoder.classes))
    assert together.present[:-1].all()
    assert not together.present[-1]
    assert not together.vectors[-1].any()
    assert not together.tags[-1].any()
    backwards = encoder.encode(segments[::-1])
    np.testing.assert_array_equal(backwards.vectors[::-1], together.vectors)
    for i, segment in enumerate(segments):
        np.testing.assert_array_equal(encoder.encode([segment]).vectors[0], together.vectors[i])
    assert np.isfinite(together.vectors).all()
    assert encoder.encode([]).vectors.shape == (0, encoder.dim)
    return together


def assert_close(found: npt.ArrayLike, wanted: npt.ArrayLike) -> None:
    """Equal within a ten-thousandth of the largest number, which must not be next to nothing."""
    scale = np.abs(np.asarray(wanted)).max()
    assert scale > 1e-3
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * scale)


def normalised(frames: npt.NDArray[np.uint8], mean: list[float], std: list[float]) -> Tensor:
    return (torch.from_numpy(frames).float() / 255 - torch.tensor(mean)).div(torch.tensor(std)).permute(0, 3, 1, 2)


def settled(net: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """A net with weights made up whose numbers neither vanish nor grow, as those of a trained one."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.momentum = None
    with torch.no_grad():
        net.train()(torch.randn(shape))
    return net.eval()


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    """A net of torchvision with weights made up, and a file of them."""
    torch.manual_seed(0)
    net = settled(torchvision.models.get_model("mobilenet_v3_small", weights=None, num_classes=1000), (2, 3, 224, 224))
    path = tmp_path_factory.mktemp("torchvision") / "mine.safetensors"
    save_file(net.state_dict(), path)
    return net, path


def test_a_picture_model_of_torchvision(mobilenet: tuple[nn.Module, Path], make_segment: MakeSegment) -> None:
    net, path = mobilenet
    config = configured("video", f"torchvision:mobilenet_v3_small@{path}")
    options = decode_options(config)
    assert (options.shorter_side, options.crop) == (256, 224)
    encoder = made("video", f"torchvision:mobilenet_v3_small@{path}")
    frames = pictures(1, 3, side=224)
    result = check(encoder, [*(make_segment(f) for f in frames), make_segment()])
    x = normalised(frames[1], [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.inference_mode():
        probabilities = net(x).softmax(-1).mean(0)
        features = net.classifier[:-1](net.avgpool(net.features(x)).flatten(1)).mean(0)
    assert_close(result.tags[1], probabilities)
    assert_close(result.vectors[1], features)
    assert encoder.classes[:2] == ("tench", "goldfish")
    assert encoder.descriptions[0].startswith("tench, Tinca tinca: ")


def test_weights_of_the_registry_are_read_from_where_torch_keeps_them(
    mobilenet: tuple[nn.Module, Path], make_segment: MakeSegment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints"
    place.mkdir(parents=True)
    kept = place / Path(torchvision.models.MobileNet_V3_Small_Weights.IMAGENET1K_V1.url).name
    torch.save(mobilenet[0].state_dict(), kept)
    segment = make_segment(pictures(1, side=224)[0])
    found = made("video", "torchvision:mobilenet_v3_small@IMAGENET1K_V1").encode([segment])
    wanted = made("video", f"torchvision:mobilenet_v3_small@{mobilenet[1]}").encode([segment])
    np.testing.assert_array_equal(found.tags, wanted.tags)
    torch.save({"evil": Path}, kept)
    with pytest.raises(ConfigError, match=r"does not hold the weights of torchvision:mobilenet_v3_small: Weights only"):
        made("video", "torchvision:mobilenet_v3_small@IMAGENET1K_V1")


def test_a_clip_model_of_torchvision(
    tmp_path: Path, make_segment: MakeSegment, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = torchvision.models.video.MC3_18_Weights.DEFAULT
    small = functools.partial(weights.transforms, crop_size=(24, 24), resize_size=(32, 43))  # or it takes a minute
    monkeypatch.setattr(weights.value, "transforms", small)
    torch.manual_seed(0)
    net = settled(torchvision.models.get_model("mc3_18", weights=None, num_classes=7), (4, 3, 8, 24, 24))
    torch.save({"model": {f"module.{name}": value for name, value in net.state_dict().items()}}, tmp_path / "mine.pth")
    encoder = made("video", f"torchvision:mc3_18@{tmp_path / 'mine.pth'}")
    assert (encoder.picture.shorter_side, encoder.picture.crop) == (32, 24)
    frames = pictures(4, 1, side=24)
    result = check(encoder, [*(make_segment(f) for f in frames), make_segment()])
    assert encoder.classes == ()  # seven of one's own, whose names are not known
    clip = normalised(frames[0], [0.43216, 0.394666, 0.37645], [0.22803, 0.22145, 0.216989]).repeat_interleave(4, 0)
    net.fc = nn.Identity()
    with torch.inference_mode():
        assert_close(result.vectors[0], net(clip.transpose(0, 1)[None])[0])


def test_a_folder_of_timm_and_a_checkpoint(tmp_path: Path, make_segment: MakeSegment) -> None:
    torch.manual_seed(0)
    net = timm.create_model("test_vit", num_classes=3).eval()
    save_for_hf(net, tmp_path / "mine", {"label_names": ["cat", "dog", "bird"]}, safe_serialization=True)
    encoder = made("video", f"timm:{tmp_path / 'mine'}")
    assert encoder.classes == ("cat", "dog", "bird")
    options = decode_options(configured("video", f"timm:{tmp_path / 'mine'}"))
    assert (options.shorter_side, options.crop) == (168, 160)  # 160 / 0.95
    frames = pictures(2, 1, side=160)
    segments = [*(make_segment(f) for f in frames), make_segment()]
    result = check(encoder, segments)
    x = normalised(frames[0], [0.5] * 3, [0.5] * 3)
    with torch.inference_mode():
        assert_close(result.tags[0], net(x).softmax(-1).mean(0))
        features = net.forward_head(net.forward_features(x), pre_logits=True)
        assert_close(result.vectors[0], features.mean(0))
    torch.save(net.state_dict(), tmp_path / "mine.pth")
    other = made("video", f"timm:test_vit@{tmp_path / 'mine.pth'}")
    assert other.classes == ()  # three classes, which the configuration of that name does not name
    np.testing.assert_array_equal(other.encode(segments).vectors, result.vectors)
    with pytest.raises(ValueError, match=r"takes frames \[T, 160, 160, 3\], got \(1, 224, 224, 3\)"):
        encoder.encode([make_segment(pictures(1, side=224)[0])])


def test_a_bundle_of_torchaudio(tmp_path: Path, make_segment: MakeSegment, monkeypatch: pytest.MonkeyPatch) -> None:
    base = torchaudio.pipelines.WAV2VEC2_BASE
    tiny = {
        **base._params,
        "extractor_conv_layer_config": [(16, 10, 5), (16, 8, 4), (16, 4, 4), (16, 4, 4)],
        "encoder_embed_dim": 32,
        "encoder_num_layers": 2,
        "encoder_num_heads": 4,
        "encoder_ff_interm_features": 32,
    }
    monkeypatch.setattr(base, "_params", tiny)
    torch.manual_seed(0)
    net = torchaudio.models.wav2vec2_model(**tiny).eval()
    save_file(net.state_dict(), tmp_path / "mine.safetensors")
    encoder = made("audio", f"torchaudio:WAV2VEC2_BASE@{tmp_path / 'mine.safetensors'}")
    waveforms = sounds(32_000, 8_000, 100)
    result = check(encoder, [*(make_segment(waveform=w) for w in waveforms), make_segment()])
    with torch.inference_mode():
        features = net.extract_features(torch.from_numpy(waveforms[0])[None])[0][-1].mean(1)
    assert_close(result.vectors[0], features[0])
    assert encoder.dim == 32


def test_frames_are_resampled_evenly() -> None:
    assert even(4, 8).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert even(8, 4).tolist() == [1, 3, 5, 7]
    assert even(1, 3).tolist() == [0, 0, 0]
    assert even(5, 5).tolist() == [0, 1, 2, 3, 4]


def test_what_cannot_be_fetched_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", _no_network)
    with pytest.raises(ConfigError, match=r"put https://download.pytorch.org/models/resnet18-\w+.pth at .*resnet18"):
        made("video", "torchvision:resnet18@IMAGENET1K_V1")
    with pytest.raises(ConfigError, match=r"put https://download.pytorch.org/torchaudio/models/wavlm_base.pth into"):
        made("audio", "torchaudio:WAVLM_BASE")
    with pytest.raises(ConfigError, match=r"they come from huggingface.co/timm/test_vit.r160_in1k"):
        made("video", "timm:test_vit.r160_in1k")
    with pytest.raises(ConfigError, match=r"encoders.video: timm:hf-hub:some/model cannot be fetched"):
        made("video", "timm:hf-hub:some/model")
    with pytest.raises(ConfigError, match=r"models come from huggingface.co or a folder"):
        made("audio", "hf:some/model")


def _no_network(*_: object, **__: object) -> None:
    raise OSError("no network")


@pytest.mark.parametrize(
    ("modality", "name", "message"),
    [
        ("video", "resnet18", r"encoders.video: there is no encoder 'resnet18'; there are efficientnet_lite0, minilm"),
        ("video", "torchvision:resnet17", "torchvision has no classifier 'resnet17'"),
        ("video", "torchvision:fcn_resnet50", "torchvision has no classifier"),
        ("video", "torchvision:resnet18@V7", "no weights 'V7'; there are IMAGENET1K_V1, DEFAULT"),
        ("audio", "torchvision:resnet18", "is an encoder of video, not of audio"),
        ("video", "timm:resnet17", "timm has no model 'resnet17'; near are"),
        ("audio", "torchaudio:HDEMUCS_HIGH_MUSDB", "no bundle 'HDEMUCS_HIGH_MUSDB' of that kind; there are HUBERT"),
        ("video", "torchscript:nowhere.pt", "there is no file nowhere.pt"),
        ("audio", "small:nowhere.safetensors", "needs nowhere.json beside it"),
        ("text", "nowhere.at_all:Encoder", "cannot be imported .*PYTHONPATH"),
        ("text", "streammm.types:Nothing", "the module streammm.types has no class Nothing"),
        ("text", "pathlib:Path", "pathlib:Path is no encoder: it has no modality"),
        ("text", "yamnet", "yamnet is an encoder of audio, not of text"),
    ],
)
def test_a_name_that_cannot_be_used_says_why(modality: Modality, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_encoder(configured(modality, name), modality)


def test_a_missing_package_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r'not installed: transformers; run: pip install "streammm\[encoders\]"'):
        make_encoder(configured("text", "hf:some/model"), "text")


def test_weights_with_more_than_tensors_are_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"fc.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ConfigError, match=r"evil.pth hold more than tensors, which could run code"):
        made("video", f"torchvision:resnet18@{tmp_path / 'evil.pth'}")
    assert not (tmp_path / "ran").exists()


def test_weights_of_another_net_are_refused(mobilenet: tuple[nn.Module, Path]) -> None:
    with pytest.raises(ConfigError, match=r"are not those of torchvision:resnet18: they have no fc.weight"):
        made("video", f"torchvision:resnet18@{mobilenet[1]}")
    with pytest.raises(ConfigError, match="are not those of this net: Missing key"):
        made("video", f"timm:test_vit@{mobilenet[1]}")


def test_rows_are_named_after_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    net = torchvision.models.get_model("mobilenet_v3_small", weights=None, num_classes=2)
    config = configured("video", f"torchvision:mobilenet_v3_small@{path}")
    found = []
    for _ in range(2):
        nn.init.normal_(net.classifier[-1].weight)
        torch.save(net.state_dict(), path)
        found.append((identity(config)[f"weights of torchvision:mobilenet_v3_small@{path}"], model_name(config)))
    assert found[0][0] != found[1][0]
    assert found[0][1] != found[1][1]
    registry = identity(configured("video", "torchvision:resnet18"))["weights of torchvision:resnet18"]
    assert registry == ["https://download.pytorch.org/models/resnet18-f37072fd.pth"]


def test_a_net_that_openvino_gives_other_numbers_of_is_refused() -> None:
    class Mean(nn.Module):
        """Its divisor is a number of Python's, of which converting sees the example's only."""

        def forward(self, x: Tensor) -> Tensor:
            return x.sum(1, keepdim=True) / int(x.shape[1])

    recipe = Recipe(
        name="mean",
        modality="audio",
        make_net=Mean,
        items=Sound(),
        examples=[torch.ones(1, 100), torch.ones(1, 50)],
        identity=("mean",),
        num_free_axes=2,
    )
    with pytest.raises(ConfigError, match=r"mean gives other numbers on openvino; set runtime.backend=torch"):
        NetEncoder(recipe, Placement("openvino", "cpu")).setup()


def test_a_net_can_be_trained_and_run_with_what_it_learnt(
    mobilenet: tuple[nn.Module, Path], make_segment: MakeSegment, tmp_path: Path
) -> None:
    name = f"torchvision:mobilenet_v3_small@{mobilenet[1]}"
    segments = [make_segment(f) for f in pictures(2, 2, side=224)]
    encoder = made("video", name)
    before = encoder.encode(segments).vectors
    net = encoder.trainable_module().eval()
    items = torch.stack([encoder.items(segment) for segment in segments])
    vectors = encoder.features(items)
    assert_close(vectors.detach(), before)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    vectors.square().mean().backward()
    optimizer.step()
    np.testing.assert_array_equal(encoder.encode(segments).vectors, before)  # what runs is not what is trained
    other = make_encoder(configured("video", name), "video")
    assert isinstance(other, NetEncoder)
    save_file(net.state_dict(), tmp_path / "tuned.safetensors")
    other.tune(tmp_path / "tuned.safetensors")
    assert other.identity != encoder.identity
    other.setup()
    found = other.encode(segments).vectors
    assert_close(found, encoder.features(items).detach())
    assert np.abs(found - before).max() > 1e-3


def test_labels_are_looked_up_among_an_encoders_own_classes(clip: MakeClip, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = timm.create_model("test_vit", num_classes=2)
    save_for_hf(net, tmp_path / "named", {"label_names": ["dog", "bird"]}, safe_serialization=True)
    save_file(net.state_dict(), tmp_path / "unnamed.safetensors")
    source = clip("a.mp4", 2.0, audio=None, grey=120)
    quick = ("fusion.weights={audio: 0}", "runtime.backend=torch")
    config = configured("video", f"timm:{tmp_path / 'named'}", *quick)
    (row,) = streammm.classify(source, labels=["a dog", "a tax return"], config=config)
    assert row.modalities["video"].labels[0][0] == "a dog"
    assert row.model.startswith(f"timm:{tmp_path / 'named'}+minilm:")
    config = configured("video", f"timm:test_vit@{tmp_path / 'unnamed.safetensors'}", *quick)
    with pytest.raises(ConfigError, match=r"has no classes to look labels up among; .* fusion.weights=\{video: 0\}"):
        list(streammm.classify(source, config=config))
