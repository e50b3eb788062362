"""The nets that are trained from nothing: shapes, training, saving, and the same numbers when they run as encoders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from streammm.building.decoding import decode_options
from streammm.encoders.founding import STOP_WORDS, FoundingCnn, FoundingRnn, Words
from streammm.encoders.placement import Placement
from streammm.encoders.small import SmallPictureNet, SmallSoundNet
from streammm.encoders.torch_runtime import FixedBatches
from streammm.encoders.trained import save_net
from streammm.errors import ConfigError
from streammm.types import Segment
from tests.encoders.test_families import assert_close, check, configured, made, pictures, sounds

MakeSegment = Callable[..., Segment]


def learn(net: nn.Module, inputs: torch.Tensor, classes: torch.Tensor, dim: int) -> float:
    """Trains a net with a layer behind it and gives the share of right answers."""
    head = nn.Linear(dim, int(classes.max()) + 1)
    optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        functional.cross_entropy(head(net(inputs)), classes).backward()
        optimizer.step()
    return (head(net(inputs)).argmax(1) == classes).float().mean().item()


@pytest.mark.parametrize(
    ("family", "net"),
    [
        ("small", SmallPictureNet(pixels=32)),
        ("small", SmallPictureNet(24, 32, grey=True)),
        ("founding_cnn", FoundingCnn(32)),
    ],
    ids=["colour", "grey", "founding"],
)
def test_pictures(family: str, net: nn.Module, tmp_path: Path, make_segment: MakeSegment) -> None:
    save_net(net, tmp_path / "net.safetensors")
    name = f"{family}:{tmp_path / 'net.safetensors'}"
    options = decode_options(configured("video", name))
    assert (options.shorter_side, options.crop) == (32, 32)
    frames = pictures(4, 1, 3, side=32)
    encoder = made("video", name)
    result = check(encoder, [*(make_segment(f) for f in frames), make_segment()])
    with torch.inference_mode():
        assert_close(result.vectors[0], net(torch.from_numpy(frames[0])[None])[0])
    assert_close(encoder.features(encoder.items(make_segment(frames[0]))[None]).detach()[0], result.vectors[0])


def test_founding_nets_are_as_described() -> None:
    cnn, rnn = FoundingCnn(), FoundingRnn(10)
    assert [m.out_channels for m in cnn.modules() if isinstance(m, nn.Conv2d)] == [32, 64]
    assert cnn(torch.zeros(2, 3, 224, 224, 3, dtype=torch.uint8)).shape == (2, 128)
    assert (rnn.embedding.embedding_dim, rnn.gru.hidden_size, rnn.gru.bidirectional) == (128, 64, True)
    words = torch.tensor([[2, 3, 4], [4, 2, 2]])
    with torch.inference_mode():
        states, _ = rnn.gru(rnn.embedding(words))
        ends = torch.cat([states[:, -1, :64], states[:, 0, 64:]], 1)  # where each direction has read everything
        assert_close(rnn(words), rnn.out(ends).relu())
    assert rnn.out.out_features == 64


def test_sound(tmp_path: Path, make_segment: MakeSegment) -> None:
    net = SmallSoundNet(24)
    save_net(net, tmp_path / "net.safetensors")
    waveforms = sounds(32_000, 9_000, 20)
    result = check(
        made("audio", f"small:{tmp_path / 'net.safetensors'}"),
        [*(make_segment(waveform=w) for w in waveforms), make_segment()],
    )
    with torch.inference_mode():
        assert_close(result.vectors[0], net(torch.from_numpy(waveforms[0])[None])[0])
    assert result.vectors.shape[1] == 24


def test_a_short_precision_is_for_the_net_and_not_for_the_front_end(tmp_path: Path, make_segment: MakeSegment) -> None:
    save_net(SmallSoundNet(24), tmp_path / "net.safetensors")
    name, segment = f"small:{tmp_path / 'net.safetensors'}", make_segment(waveform=sounds(32_000)[0])
    found = made("audio", name, "runtime.precision=bf16").encode([segment]).vectors
    wanted = made("audio", name).encode([segment]).vectors
    assert 0 < np.abs(found - wanted).max() < 0.02 * np.abs(wanted).max()


def test_openvino_runs_what_it_can_convert_where_it_is_asked_for(tmp_path: Path, make_segment: MakeSegment) -> None:
    torch.manual_seed(0)
    save_net(SmallPictureNet(24, 32), tmp_path / "picture.safetensors")
    save_net(SmallSoundNet(24), tmp_path / "sound.safetensors")
    name = f"small:{tmp_path / 'picture.safetensors'}"
    segments = [*(make_segment(f) for f in pictures(4, 1, side=32)), make_segment()]
    on_torch, on_openvino = made("video", name), made("video", name, "runtime.backend=openvino")
    assert on_torch.placement.resolved().runtime == "torch"  # nothing is set
    assert on_openvino.placement.resolved().runtime == "openvino"
    assert_close(check(on_openvino, segments).vectors, on_torch.encode(segments).vectors)
    with pytest.raises(ConfigError, match=r"cannot be run by openvino .*aten::unfold.*set runtime.backend=torch"):
        made("audio", f"small:{tmp_path / 'sound.safetensors'}", "runtime.backend=openvino")


def test_a_gpu_is_given_sounds_of_one_length_at_a_time(tmp_path: Path, make_segment: MakeSegment) -> None:
    net = SmallSoundNet(24)
    save_net(net, tmp_path / "net.safetensors")
    encoder = made("audio", f"small:{tmp_path / 'net.safetensors'}")
    segments = [*(make_segment(waveform=w) for w in sounds(8_000, 3_000, 8_000, 8_000)), make_segment()]
    wanted = encoder.encode(segments).vectors
    encoder._run = FixedBatches(net, Placement("torch", "cpu"), batch=2)  # as on a GPU
    assert_close(check(encoder, segments).vectors, wanted)


def test_text_is_filled_up_in_training_and_read_as_it_is(tmp_path: Path, make_segment: MakeSegment) -> None:
    texts = ["The dog barks at the dog", "a cat sleeps", "Dog, dog! It's the cat's cat."]
    words = Words.of(texts)
    assert words.words == ("dog", "cat")  # twice at least, and no stop words
    assert words.numbers("The DOG sleeps") == [2, 1]
    assert words.numbers("of the") == [1]
    assert Words.of(texts, least_count=1, stop_words=frozenset()).numbers("it's the") == [9, 3]
    net = FoundingRnn(len(words))
    save_net(net, tmp_path / "net.safetensors", words=words.to_json())
    encoder = made("text", f"founding_rnn:{tmp_path / 'net.safetensors'}")
    result = check(encoder, [*(make_segment(words=text) for text in texts), make_segment()])
    numbers = [words.numbers(text) for text in texts]
    filled = torch.tensor([n + [0] * (7 - len(n)) for n in numbers])
    with torch.inference_mode():
        assert_close(result.vectors[:3], net(filled))
    assert "the" in STOP_WORDS


def test_they_learn() -> None:
    torch.manual_seed(0)
    classes = torch.arange(8) % 2
    bright = (classes * 120 + 60).to(torch.uint8)[:, None, None, None, None].expand(-1, 2, 32, 32, 3).clone()
    bright += torch.randint(0, 40, bright.shape, dtype=torch.uint8)
    assert learn(SmallPictureNet(16, 32), bright, classes, 16) == 1
    assert learn(FoundingCnn(32), bright, classes, 128) == 1
    tones = torch.sin(torch.arange(4800) * (0.1 + 0.3 * classes[:, None])) + 0.1 * torch.randn(8, 4800)
    assert learn(SmallSoundNet(16), tones, classes, 16) == 1
    assert learn(FoundingRnn(6), torch.randint(2, 4, (8, 5)) + 2 * classes[:, None], classes, 64) == 1


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_net(SmallSoundNet(24), path)
    with pytest.raises(ConfigError, match="is an encoder of audio, not of video"):
        made("video", f"small:{path}")
    with pytest.raises(ConfigError, match="holds a SmallSoundNet, not one of FoundingRnn"):
        made("text", f"founding_rnn:{path}")
    path.with_suffix(".json").write_text('{"net": "SmallSoundNet", "settings": {"dim": 32}}')
    with pytest.raises(ConfigError, match="are not those of this net"):
        made("audio", f"small:{path}")
    path.with_suffix(".json").write_text('{"net": "SmallSoundNet", "settings": {"width": 32}}')
    with pytest.raises(ConfigError, match="says how to make a SmallSoundNet, but"):
        made("audio", f"small:{path}")
    path.with_suffix(".json").unlink()
    with pytest.raises(ConfigError, match=r"needs net.json beside it"):
        made("audio", f"small:{path}")
    with pytest.raises(ValueError, match=r"nets are saved as .safetensors"):
        save_net(SmallSoundNet(24), tmp_path / "net.pt")
