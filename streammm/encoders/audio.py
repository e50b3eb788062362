"""The sound encoder: a waveform in, AudioSet scores and an embedding out."""

from __future__ import annotations

import csv
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from streammm.encoders.base import present, spread
from streammm.encoders.cache import cached
from streammm.encoders.logmel import FRAME_SAMPLES, HOP_SAMPLES, NUM_MELS, LogMel, num_frames
from streammm.encoders.mobilenet import NUM_CLASSES, NUM_FEATURES, PATCH_FRAMES, MobileNet, read_onnx
from streammm.encoders.net import LastOutput, NetEncoder, Recipe
from streammm.encoders.openvino_cpu import code_digest
from streammm.encoders.placement import Placement
from streammm.encoders.runtime import Compiled, compile_net, upload
from streammm.encoders.weights import MODELS, YAMNET_CLASSES_FILE, YAMNET_FILE
from streammm.errors import EncodeError
from streammm.types import Embeddings, Modality, Segment

PATCH_SAMPLES = (PATCH_FRAMES - 1) * HOP_SAMPLES + FRAME_SAMPLES
"""0.975 s: a shorter waveform is filled up with zeros."""
PATCH_HOP_FRAMES = 48
"""Patches start at most so far apart."""
_EXAMPLE = torch.zeros((1, PATCH_FRAMES, NUM_MELS))


class YamNet:
    """YAMNet over patches of 0.96 s that cover the waveform evenly; a segment gets the mean of its patches.

    ``Embeddings.tags`` are the scores of the 521 AudioSet classes, each by itself in [0, 1]; ``vectors`` the pooled
    features. ``classes`` is empty until ``setup``.
    """

    name = "yamnet"
    modality: Modality = "audio"
    dim = NUM_FEATURES

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
        self._front_end = LogMel()
        self._run: Compiled | None = None

    def setup(self) -> None:
        if self._run is not None:
            return
        model = MODELS[self.name]
        self.classes = audioset_classes()
        model.file(YAMNET_FILE)  # it must be there even where a converted copy of the net is
        key = model.files[YAMNET_FILE] + code_digest(MobileNet)
        run = compile_net(make_net, _EXAMPLE, self.placement, key=key)
        self._front_end = self._front_end.to(run.placement.device)
        self._run = run

    def encode(self, segments: Sequence[Segment]) -> Embeddings:
        if self._run is None:
            raise EncodeError(f"{self.name}: encode was called before setup")
        rows = present(segments, self.modality)
        groups = [self._patches(s.waveform) for s, is_present in zip(segments, rows, strict=True) if is_present]
        tags = np.zeros((len(groups), NUM_CLASSES), np.float32)
        vectors = np.zeros((len(groups), NUM_FEATURES), np.float32)
        for i, (scores, embeddings) in enumerate(self._run(groups)):
            tags[i] = scores.mean(0)
            vectors[i] = embeddings.mean(0)
        return spread(self.modality, rows, vectors, tags)

    @torch.inference_mode()
    def _patches(self, waveform: npt.NDArray[np.float32]) -> Tensor:
        """Log-mel patches [N, 96, 64] on the front end's device."""
        samples = upload(waveform, self._front_end.window.device)
        samples = functional.pad(samples, (0, max(0, PATCH_SAMPLES - len(samples))))
        frames = self._front_end(samples)
        return torch.stack([frames[start : start + PATCH_FRAMES] for start in patch_starts(len(samples))])

    def tunable(self) -> NetEncoder:
        """The same net without its classes, as one that can be trained further; the front end stays as it is."""
        recipe = Recipe(
            name=self.name,
            modality=self.modality,
            make_net=lambda: LastOutput(make_net()),
            items=lambda segment: self._patches(segment.waveform).clone(),
            examples=[_EXAMPLE],
            identity=tuple(MODELS[self.name].files.values()),
            one_item=False,
        )
        return NetEncoder(recipe, self.placement)


def make_net() -> MobileNet:
    """The net with its published weights."""
    model = MODELS[YamNet.name]
    path = model.file(YAMNET_FILE)
    net = MobileNet()
    net.load_state_dict(cached(model.name, model.files[YAMNET_FILE], lambda: read_onnx(path)))
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
