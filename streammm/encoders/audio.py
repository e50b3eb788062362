"""The sound encoder: a waveform in, AudioSet scores and an embedding out."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from streammm.encoders.base import present, spread
from streammm.encoders.logmel import FRAME_SAMPLES, HOP_SAMPLES, NUM_MELS, log_mel, num_frames
from streammm.encoders.openvino_cpu import code_digest
from streammm.encoders.placement import Placement
from streammm.encoders.runtime import Compiled, Items, compile_net
from streammm.encoders.shapes import PATCH_FRAMES, SOUND_CLASSES, SOUND_FEATURES
from streammm.encoders.weights import MODELS, YAMNET_CLASSES_FILE, YAMNET_FILE
from streammm.errors import EncodeError
from streammm.types import Embeddings, Modality, Segment

if TYPE_CHECKING:
    from streammm.encoders.logmel_net import LogMel
    from streammm.encoders.mobilenet import MobileNet
    from streammm.encoders.net import NetEncoder

PATCH_SAMPLES = (PATCH_FRAMES - 1) * HOP_SAMPLES + FRAME_SAMPLES
"""0.975 s: a shorter waveform is filled up with zeros."""
PATCH_HOP_FRAMES = 48
"""Patches start at most so far apart."""
_EXAMPLE = np.zeros((1, PATCH_FRAMES, NUM_MELS), np.float32)


class YamNet:
    """YAMNet over patches of 0.96 s that cover the waveform evenly; a segment gets the mean of its patches.

    ``Embeddings.tags`` are the scores of the 521 AudioSet classes, each by itself in [0, 1]; ``vectors`` the pooled
    features. ``classes`` is empty until ``setup``.
    """

    name = "yamnet"
    modality: Modality = "audio"
    dim = SOUND_FEATURES

    def __init__(
        self,
        *,
        runtime: str = "auto",
        device: str = "auto",
        precision: str = "auto",
        threads: int = 1,
        torch_compile: bool = False,
    ) -> None:
        self.classes: tuple[str, ...] = ()
        self.placement = Placement(runtime, device, precision, threads, torch_compile)
        self._front_end: LogMel | None = None
        self._run: Compiled | None = None

    def setup(self) -> None:
        if self._run is not None:
            return
        model = MODELS[self.name]
        self.classes = audioset_classes()
        model.file(YAMNET_FILE)  # it must be there even where a converted copy of the net is
        key = model.files[YAMNET_FILE] + code_digest("streammm.encoders.mobilenet")
        run = compile_net(make_net, _EXAMPLE, self.placement, key=key)
        if run.placement.device != "cpu":
            from streammm.encoders.logmel_net import LogMel

            self._front_end = LogMel().to(run.placement.device)
        self._run = run

    def encode(self, segments: Sequence[Segment]) -> Embeddings:
        if self._run is None:
            raise EncodeError(f"{self.name}: encode was called before setup")
        rows = present(segments, self.modality)
        groups = [self._patches(s.waveform) for s, is_present in zip(segments, rows, strict=True) if is_present]
        tags = np.zeros((len(groups), SOUND_CLASSES), np.float32)
        vectors = np.zeros((len(groups), SOUND_FEATURES), np.float32)
        for i, (scores, embeddings) in enumerate(self._run(groups)):
            tags[i] = scores.mean(0)
            vectors[i] = embeddings.mean(0)
        return spread(self.modality, rows, vectors, tags)

    def _patches(self, waveform: npt.NDArray[np.float32]) -> Items:
        """Log-mel patches [N, 96, 64], where the net is."""
        samples = np.pad(waveform, (0, max(0, PATCH_SAMPLES - len(waveform))))
        starts = patch_starts(len(samples))
        if self._front_end is None:
            frames = log_mel(samples)
            return np.stack([frames[start : start + PATCH_FRAMES] for start in starts])
        import torch

        from streammm.encoders.torch_runtime import upload

        with torch.inference_mode():
            made = self._front_end(upload(samples, self._front_end.window.device))
            return torch.stack([made[start : start + PATCH_FRAMES] for start in starts])

    def tunable(self) -> NetEncoder:
        """The same net without its classes, as one that can be trained further; the front end stays as it is."""
        import torch

        from streammm.encoders.net import LastOutput, NetEncoder, Recipe

        recipe = Recipe(
            name=self.name,
            modality=self.modality,
            make_net=lambda: LastOutput(make_net()),
            items=lambda segment: torch.as_tensor(self._patches(segment.waveform)).clone(),
            examples=[torch.from_numpy(_EXAMPLE)],
            identity=tuple(MODELS[self.name].files.values()),
            one_item=False,
        )
        return NetEncoder(recipe, self.placement)


def make_net() -> MobileNet:
    """The net with its published weights."""
    from streammm.encoders.checkpoint import cached_state
    from streammm.encoders.mobilenet import MobileNet, read_onnx

    model = MODELS[YamNet.name]
    path = model.file(YAMNET_FILE)
    net = MobileNet()
    net.load_state_dict(cached_state(model.name, model.files[YAMNET_FILE], lambda: read_onnx(path)))
    return net


def patch_starts(num_samples: int) -> list[int]:
    """First log-mel frame of each patch, evenly spread from the first frame to the last.

    Args:
        num_samples: at least 15,600.
    """
    last = num_frames(num_samples) - PATCH_FRAMES
    num_patches = -(-last // PATCH_HOP_FRAMES) + 1
    return [int(start) for start in np.rint(np.linspace(0, last, num_patches))]


def audioset_classes() -> tuple[str, ...]:
    """Display names of the 521 AudioSet classes that YAMNet knows, in the order of its scores.

    Raises:
        ConfigError: the package that holds them is not installed.
    """
    with MODELS[YamNet.name].file(YAMNET_CLASSES_FILE).open(encoding="utf-8", newline="") as file:
        return tuple(row["display_name"] for row in csv.DictReader(file))
