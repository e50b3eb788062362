"""The picture encoder: frames in, ImageNet scores and features out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from streammm.encoders.base import USUAL_PICTURE, present, spread
from streammm.encoders.openvino_cpu import code_digest
from streammm.encoders.placement import Placement
from streammm.encoders.runtime import Compiled, compile_net
from streammm.encoders.shapes import IMAGE_CLASSES, IMAGE_FEATURES, IMAGE_PIXELS
from streammm.encoders.weights import EFFICIENTNET_LITE0_FILE, MODELS, package_file
from streammm.errors import EncodeError
from streammm.types import Embeddings, Modality, Segment

if TYPE_CHECKING:
    from streammm.encoders.efficientnet import EfficientNetLite
    from streammm.encoders.net import NetEncoder

_EXAMPLE = np.zeros((1, IMAGE_PIXELS, IMAGE_PIXELS, 3), np.uint8)

_SAME_FIRST_LEMMA = {
    "n02012849": "crane (bird)",
    "n03126707": "crane (machine)",
    "n03710637": "maillot (tights)",
    "n03710721": "maillot (swimsuit)",
}


class EfficientNetLite0:
    """EfficientNet-Lite0 over every frame; a segment gets the mean of its frames.

    ``Embeddings.tags`` are the probabilities of the 1,000 ImageNet classes, ``vectors`` the pooled features.
    ``descriptions`` says of each class what it is, as "lemmas: definition" after WordNet; like ``classes`` it is
    empty until ``setup``.
    """

    name = "efficientnet_lite0"
    modality: Modality = "video"
    dim = IMAGE_FEATURES

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
        self.descriptions: tuple[str, ...] = ()
        self.placement = Placement(runtime, device, precision, threads, torch_compile)
        self._run: Compiled | None = None

    def setup(self) -> None:
        if self._run is not None:
            return
        self.classes, self.descriptions = imagenet_classes()
        model = MODELS[self.name]
        model.file(EFFICIENTNET_LITE0_FILE)  # it must be there even where a converted copy of the net is
        key = model.files[EFFICIENTNET_LITE0_FILE] + code_digest("streammm.encoders.efficientnet")
        self._run = compile_net(make_net, _EXAMPLE, self.placement, key=key)

    def encode(self, segments: Sequence[Segment]) -> Embeddings:
        if self._run is None:
            raise EncodeError(f"{self.name}: encode was called before setup")
        rows = present(segments, self.modality)
        there = [segment for segment, is_present in zip(segments, rows, strict=True) if is_present]
        for frames in (segment.frames for segment in there):
            if frames.shape[1:] != (IMAGE_PIXELS, IMAGE_PIXELS, 3):
                raise ValueError(f"{self.name} takes frames [T, {IMAGE_PIXELS}, {IMAGE_PIXELS}, 3], got {frames.shape}")
        tags = np.zeros((len(there), IMAGE_CLASSES), np.float32)
        vectors = np.zeros((len(there), IMAGE_FEATURES), np.float32)
        is_new = [_is_new(segment) for segment in there]
        groups = [segment.frames[new] for segment, new in zip(there, is_new, strict=True)]
        for i, (probabilities, features) in enumerate(self._run(groups)):
            which = np.cumsum(is_new[i]) - 1
            tags[i] = probabilities[which].mean(0)
            vectors[i] = features[which].mean(0)
        return spread(self.modality, rows, vectors, tags)

    def tunable(self) -> NetEncoder:
        """The same net without its classes, as one that can be trained further."""
        import torch

        from streammm.encoders.net import LastOutput, NetEncoder, Recipe, frames_of

        recipe = Recipe(
            name=self.name,
            modality=self.modality,
            make_net=lambda: LastOutput(make_net()),
            items=frames_of(self.name, USUAL_PICTURE),
            examples=[torch.from_numpy(_EXAMPLE)],
            identity=tuple(MODELS[self.name].files.values()),
            one_item=False,
        )
        return NetEncoder(recipe, self.placement)


def _is_new(segment: Segment) -> npt.NDArray[np.bool_]:
    """Which frames differ from the one before, bool [T]: a picture that is shown for long is looked at once."""
    frames, times = segment.frames, segment.frame_seconds
    same = [times[t] == times[t - 1] and np.array_equal(frames[t], frames[t - 1]) for t in range(1, len(frames))]
    return ~np.array([False, *same], np.bool_)


def make_net() -> EfficientNetLite:
    """The net with its published weights."""
    import torch

    from streammm.encoders.checkpoint import cached_state
    from streammm.encoders.efficientnet import EfficientNetLite, fold_batch_norm

    model = MODELS[EfficientNetLite0.name]
    path = model.file(EFFICIENTNET_LITE0_FILE)
    net = EfficientNetLite()
    state = cached_state(
        model.name,
        model.files[EFFICIENTNET_LITE0_FILE],
        lambda: fold_batch_norm(torch.load(path, map_location="cpu", weights_only=True)),
    )
    net.load_state_dict(state)
    return net


def imagenet_classes() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and descriptions of the 1,000 ImageNet classes, from the data files of timm.

    A name is the first lemma of the class's WordNet synset, save for two pairs of classes that share theirs. A
    description is all lemmas, a colon, and the definition.

    Raises:
        ConfigError: timm is not installed.
    """
    synsets = _info("imagenet_synsets.txt").split()
    lemmas = dict(line.split("\t", 1) for line in _info("imagenet_synset_to_lemma.txt").splitlines())
    definitions = dict(line.split("\t", 1) for line in _info("imagenet_synset_to_definition.txt").splitlines())
    names = tuple(_SAME_FIRST_LEMMA.get(synset) or lemmas[synset].split(", ")[0] for synset in synsets)
    return names, tuple(f"{lemmas[synset]}: {definitions[synset]}" for synset in synsets)


def _info(name: str) -> str:
    path = package_file("timm", f"data/_info/{name}", distribution="timm", needed_by="EfficientNet-Lite0")
    return path.read_text(encoding="utf-8")
