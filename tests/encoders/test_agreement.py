"""By how much the precisions that `auto` may take agree with fp32 on torch, on real clips and sounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from streammm.encoders import BUILT_IN, find
from streammm.encoders.check_input import check_segments
from streammm.encoders.trial import EXACT, MIN_COSINE, least_cosine
from streammm.errors import ConfigError
from streammm.types import Modality, Segment
from tests.encoders.conftest import MakeSegment

CASES = [("openvino", "fp32"), ("openvino", "fp16"), ("openvino", "bf16"), ("torch", "bf16"), ("torch", "fp16")]
LEAST_TOP1 = {"video": 0.99, "audio": 0.98}


@pytest.fixture(scope="module")
def pictures(shared_media: Path, make_segment: MakeSegment) -> list[Segment]:
    """Pictures of a dozen real clips, two a second, each a segment by itself."""
    paths = sorted((shared_media / "media/real").iterdir())
    return [make_segment(picture[None]) for path in paths for picture in _pictures(path)]


@pytest.fixture(scope="module")
def sounds(shared_media: Path, make_segment: MakeSegment) -> list[Segment]:
    """All recordings of ESC-10 that are there, in pieces of two seconds, without those that are digital silence."""
    paths = sorted((shared_media / "esc10").rglob("*.ogg"))
    pieces = [piece for path in paths for piece in np.array_split(_waveform(path), [32_000, 64_000])]
    return [make_segment(waveform=piece) for piece in pieces if np.abs(piece).max() > 1e-3]


def _pictures(path: Path, most: int = 40) -> Iterator[np.ndarray]:
    with av.open(str(path)) as container:
        step = max(1, round(float(container.streams.video[0].average_rate or 25) / 2))
        frames = (frame for i, frame in enumerate(container.decode(video=0)) if i % step == 0)
        for _, frame in zip(range(most), frames, strict=False):
            scale = 256 / min(frame.width, frame.height)
            width, height = round(frame.width * scale), round(frame.height * scale)
            picture = frame.reformat(width, height, format="rgb24", interpolation="AREA").to_ndarray()
            top, left = (height - 224) // 2, (width - 224) // 2
            yield np.ascontiguousarray(picture[top : top + 224, left : left + 224])


def _waveform(path: Path) -> np.ndarray:
    resampler = av.AudioResampler("flt", "mono", 16_000)
    with av.open(str(path)) as container:
        parts = [out.to_ndarray()[0] for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate(parts)


@pytest.fixture(scope="module", params=["video", "audio"])
def wanted(request: pytest.FixtureRequest) -> tuple[Modality, list[Segment], np.ndarray, np.ndarray]:
    """A modality, its segments, and their vectors and tags in fp32 on torch."""
    segments = request.getfixturevalue({"video": "pictures", "audio": "sounds"}[request.param])
    encoder = find(_name(request.param), request.param, runtime="torch", device="cpu", precision=EXACT)
    encoder.setup()
    made = encoder.encode(segments)
    return request.param, segments, made.vectors, made.tags


def _name(modality: Modality) -> str:
    return {"video": "efficientnet_lite0", "audio": "yamnet"}[modality]


@pytest.mark.shared_media
@pytest.mark.parametrize(("runtime", "precision"), CASES)
def test_what_may_be_taken_agrees_with_fp32_on_real_clips(
    wanted: tuple[Modality, list[Segment], np.ndarray, np.ndarray], runtime: str, precision: str
) -> None:
    modality, segments, vectors, tags = wanted
    device = "cuda" if (runtime, precision) == ("torch", "fp16") else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU to compute in fp16 on")
    reference, check = (
        find(_name(modality), modality, runtime=on, device=where, precision=p)
        for on, where, p in (("torch", "cpu", EXACT), (runtime, device, precision))
    )
    try:
        check.setup()
    except ConfigError as error:
        pytest.skip(f"this CPU: {error}")
    reference.setup()
    inputs = check_segments(modality, 8)
    if least_cosine(check.encode(inputs).vectors, reference.encode(inputs).vectors) < MIN_COSINE:
        assert precision == "bf16"
        assert modality == "video"  # whose differences of large numbers bf16 spoils
        return
    made = check.encode(segments)
    assert len(segments) >= 250
    assert (made.tags.argmax(1) == tags.argmax(1)).mean() >= LEAST_TOP1[modality]
    assert least_cosine(made.vectors, vectors) >= 0.995


def test_every_built_in_encoder_is_compared() -> None:
    assert set(BUILT_IN) == {_name("video"), _name("audio"), "minilm"}  # the last is always fp32
