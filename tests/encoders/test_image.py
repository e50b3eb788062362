"""EfficientNet-Lite0 against timm's, and against what a clip really shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import timm
import torch
from timm.data import ImageNetInfo
from torch import Tensor

from streammm.encoders.efficientnet import EfficientNetLite, fold_batch_norm
from streammm.encoders.image import EfficientNetLite0
from streammm.encoders.weights import EFFICIENTNET_LITE0_FILE, MODELS
from streammm.errors import EncodeError
from streammm.types import Segment, Status

Frames = npt.NDArray[np.uint8]


@pytest.fixture(scope="module", params=["torch", "openvino"])
def encoder(request: pytest.FixtureRequest) -> EfficientNetLite0:
    encoder = EfficientNetLite0(runtime=request.param, device="cpu")
    encoder.setup()
    return encoder


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    path = MODELS["efficientnet_lite0"].file(EFFICIENTNET_LITE0_FILE)
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def timm_reference(published: dict[str, Tensor], frames: Frames) -> tuple[Tensor, Tensor]:
    """Logits and pooled features of timm's net; both files list the same tensors in the same order."""
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    theirs = {name: tensor.shape for name, tensor in net.state_dict().items()}
    assert [tuple(t.shape) for t in published.values()] == [tuple(shape) for shape in theirs.values()]
    net.load_state_dict(dict(zip(theirs, published.values(), strict=True)))
    pictures = (torch.from_numpy(frames).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.inference_mode():
        features = net.forward_features(pictures)
        return net.forward_head(features), features.mean((2, 3))


def test_same_numbers_as_timm(published: dict[str, Tensor], clip_frames: Frames) -> None:
    frames = clip_frames[:3]
    net = EfficientNetLite().eval()
    net.load_state_dict(fold_batch_norm(published))
    logits, features = timm_reference(published, frames)
    with torch.inference_mode():
        our_logits, our_features = net.logits(torch.from_numpy(frames))
    torch.testing.assert_close(our_logits, logits, atol=1e-4, rtol=0)
    torch.testing.assert_close(our_features, features, atol=1e-4, rtol=0)


def test_a_segment_is_the_mean_of_its_frames(
    encoder: EfficientNetLite0,
    published: dict[str, Tensor],
    clip_frames: Frames,
    make_segment: Callable[..., Segment],
) -> None:
    frames = clip_frames[:3]
    logits, features = timm_reference(published, frames)
    result = encoder.encode([make_segment(frames)])
    np.testing.assert_allclose(result.tags[0], logits.softmax(1).mean(0), atol=1e-5)
    np.testing.assert_allclose(result.vectors[0], features.mean(0), atol=1e-4)


def test_a_picture_that_is_shown_longer_is_looked_at_once(
    encoder: EfficientNetLite0,
    clip_frames: Frames,
    make_segment: Callable[..., Segment],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = clip_frames[0], clip_frames[15]
    held = replace(make_segment(np.stack([a, a, a, b])), frame_seconds=np.array([0.0, 0.0, 0.0, 1.5]))
    expected = encoder.encode([make_segment(np.stack([a, b]))])
    each = encoder.encode([make_segment(np.stack([a])), make_segment(np.stack([b]))])
    run, given = encoder._run, []
    monkeypatch.setattr(encoder, "_run", lambda groups: (given.extend(map(len, groups)), run(groups))[1])
    found = encoder.encode([held])
    assert given == [2]
    np.testing.assert_allclose(found.tags[0], 0.75 * each.tags[0] + 0.25 * each.tags[1], atol=1e-4)
    assert np.abs(found.tags[0] - expected.tags[0]).max() > 1e-3


def test_a_row_does_not_depend_on_the_batch(
    encoder: EfficientNetLite0, clip_frames: Frames, make_segment: Callable[..., Segment]
) -> None:
    segments = [make_segment(clip_frames[a:b]) for a, b in ((0, 1), (1, 4), (4, 4), (0, 20), (4, 6))]
    together = encoder.encode(segments)
    backwards = encoder.encode(segments[::-1])
    np.testing.assert_array_equal(backwards.vectors[::-1], together.vectors)
    for i, segment in enumerate(segments):
        alone = encoder.encode([segment])
        np.testing.assert_array_equal(alone.vectors[0], together.vectors[i])
        np.testing.assert_array_equal(alone.tags[0], together.tags[i])


def test_what_is_not_usable_is_a_row_of_zeros(
    encoder: EfficientNetLite0, clip_frames: Frames, make_segment: Callable[..., Segment]
) -> None:
    frames = clip_frames[:1]
    segments = [
        make_segment(),
        make_segment(frames, video=Status.BLACK),
        make_segment(frames, video=Status.DAMAGED),
        make_segment(frames, video=Status.LATE),
        make_segment(frames, audio=Status.ABSENT),
    ]
    result = encoder.encode(segments)
    assert result.modality == "video"
    assert result.present.tolist() == [False, False, True, False, True]
    assert (result.tags.sum(1) > 0.99).tolist() == result.present.tolist()
    assert result.vectors.any(1).tolist() == result.present.tolist()
    nothing = encoder.encode([])
    assert (nothing.vectors.shape, nothing.tags.shape) == ((0, 1280), (0, 1000))


def test_a_man_in_a_suit_and_a_bow_tie(
    encoder: EfficientNetLite0, clip_frames: Frames, make_segment: Callable[..., Segment]
) -> None:
    tags = encoder.encode([make_segment(clip_frames)]).tags[0]
    best = {encoder.classes[i] for i in np.argsort(tags)[-4:]}
    assert best == {"Windsor tie", "bow tie", "suit", "seat belt"}


def test_names_and_descriptions_are_those_of_timm(encoder: EfficientNetLite0) -> None:
    info = ImageNetInfo()
    assert list(encoder.descriptions) == [info.index_to_description(i, detailed=True) for i in range(1000)]
    assert len(set(encoder.classes)) == 1000
    assert encoder.classes[134] == "crane (bird)"
    assert encoder.descriptions[134].startswith("crane: large long-necked wading bird")


def test_bf16_keeps_what_is_seen(clip_frames: Frames, make_segment: Callable[..., Segment]) -> None:
    encoder = EfficientNetLite0(runtime="torch", device="cpu", precision="bf16")
    encoder.setup()
    tags = encoder.encode([make_segment(clip_frames[:2])]).tags[0]
    assert {encoder.classes[i] for i in np.argsort(tags)[-2:]} == {"Windsor tie", "bow tie"}
    assert tags.sum() == pytest.approx(1, abs=1e-5)


def test_frames_of_another_size_and_a_forgotten_setup_are_errors(
    encoder: EfficientNetLite0, make_segment: Callable[..., Segment]
) -> None:
    segment = make_segment(np.zeros((2, 256, 256, 3), np.uint8))
    with pytest.raises(ValueError, match=r"takes frames \[T, 224, 224, 3\], got \(2, 256, 256, 3\)"):
        encoder.encode([segment])
    with pytest.raises(EncodeError, match="before setup"):
        EfficientNetLite0().encode([segment])
