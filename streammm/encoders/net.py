"""Encoders that are one torch net, whoever published it: a segment's items in, the mean over them out.

The items of a segment are its pictures, one clip of them, its sound or its tokens. A family of models says how to make
the items and the net; what is the same for all of them is here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from streammm.encoders.base import USUAL_PICTURE, Picture, present, spread
from streammm.encoders.cache import cached
from streammm.encoders.checkpoint import digest, first_line, load_state, read_state
from streammm.encoders.placement import Placement
from streammm.encoders.runtime import CPU_CHUNK, GPU_BATCH, Compiled, Items, Outputs, compile_net
from streammm.errors import ConfigError, EncodeError
from streammm.types import Embeddings, Modality, Segment

CLIP_GPU_BATCH = 4
_TOLERANCE = 0.02
"""By how much OpenVINO's numbers may differ from torch's, of the largest of them; fp32 differs by some 1e-5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a family knows of a model before its weights are loaded.

    ``make_net`` makes a net from a batch of items to vectors [N, D], or to vectors and the scores of ``classes``
    [N, C]. ``items`` gives a segment's items [I, ...]; ``examples`` are batches such as they can be, the first of one
    item. ``identity`` names the weights, so that other weights have another one. ``descriptions`` say what the classes
    are, where more than their names is known. With ``one_item`` a segment has one item as a rule.
    """

    name: str
    modality: Modality
    make_net: Callable[[], nn.Module]
    items: Callable[[Segment], Tensor]
    examples: Sequence[Tensor]
    identity: tuple[str, ...]
    classes: tuple[str, ...] = ()
    descriptions: tuple[str, ...] = ()
    picture: Picture = USUAL_PICTURE
    num_free_axes: int = 1
    one_item: bool = True
    gpu_batch: int = GPU_BATCH


class NetEncoder:
    """Runs a recipe; ``dim`` is 0 until ``setup``.

    It runs on torch where nothing is set: only the built-in nets are known to be the same on OpenVINO. Where OpenVINO
    is asked for, the converted net must give torch's numbers on the recipe's examples.
    """

    def __init__(self, recipe: Recipe, placement: Placement) -> None:
        self.recipe = recipe
        self.placement = replace(placement, runtime="torch") if placement.runtime == "auto" else placement
        self.name = recipe.name
        self.modality: Modality = recipe.modality
        self.classes = recipe.classes
        self.descriptions = recipe.descriptions
        self.picture = recipe.picture
        self.dim = 0
        self._tuned: Path | None = None
        self._trainable: nn.Module | None = None
        self._run: Compiled | None = None

    @property
    def identity(self) -> tuple[str, ...]:
        """Names the weights that run, the tuned ones too."""
        return (*self.recipe.identity, *((digest(self._tuned),) if self._tuned else ()))

    def tune(self, path: Path) -> None:
        """Runs the weights in a file, those of a `trainable_module` after training, in place of the published ones."""
        if self._run is not None:
            raise EncodeError(f"{self.name}: tune was called after setup")
        self._tuned = path

    def setup(self) -> None:
        if self._run is not None:
            return
        key = "\0".join((self.name, *self.identity, torch.__version__))
        first = self.recipe.examples[0]
        if self.placement.resolved().runtime == "openvino":
            run = self._converted(key)
        else:
            run = self._compiled(self.placement, key)
        outputs = self._infer(run, [first])[0]
        if len(outputs) != 1 + bool(self.classes) or any(output.ndim != 2 for output in outputs):
            shapes = ", ".join(str(output.shape) for output in outputs)
            raise ConfigError(f"{self.name}: a net gives vectors [N, D] and scores of its classes, got {shapes}")
        if self.classes and outputs[1].shape[1] != len(self.classes):
            raise ConfigError(f"{self.name} scores {outputs[1].shape[1]} classes, but {len(self.classes)} are named")
        self.dim = outputs[0].shape[1]
        self._run = run

    def encode(self, segments: Sequence[Segment]) -> Embeddings:
        if self._run is None:
            raise EncodeError(f"{self.name}: encode was called before setup")
        rows = present(segments, self.modality)
        groups = [self.items(segment) for segment, is_present in zip(segments, rows, strict=True) if is_present]
        tags = np.zeros((len(groups), len(self.classes)), np.float32)
        vectors = np.zeros((len(groups), self.dim), np.float32)
        for i, outputs in enumerate(self._infer(self._run, groups)):
            vectors[i] = outputs[0].mean(0)
            if self.classes:
                tags[i] = outputs[1].mean(0)
        return spread(self.modality, rows, vectors, tags)

    def items(self, segment: Segment) -> Tensor:
        """What the net looks at in a segment: [I, ...], for `features` and for `encode`."""
        return self.recipe.items(segment)

    def trainable_module(self) -> nn.Module:
        """The net in fp32 on its device, its parameters to be trained; always the same one, and not what `encode` runs.

        Its ``state_dict`` is what a file for `tune` holds.

        Raises:
            ConfigError: the weights are missing, or it is none of torch's.
        """
        if self._trainable is None:
            net = self._make_net().float().requires_grad_(True).to(self.placement.resolved().device)
            if next(net.parameters(), None) is None:
                raise ConfigError(f"{self.name} has nothing that can be trained")
            self._trainable = net
        return self._trainable

    def features(self, items: Tensor) -> Tensor:
        """Vectors [N, D] of the items [N, I, ...] of N segments, through `trainable_module` and its gradients."""
        outputs = self.trainable_module()(items.flatten(0, 1))
        vectors: Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
        return vectors.view(*items.shape[:2], -1).mean(1)

    def _make_net(self) -> nn.Module:
        net = self.recipe.make_net()
        if self._tuned:
            load_state(net, read_state(self._tuned), str(self._tuned))
        return net

    def _compiled(self, placement: Placement, key: str) -> Compiled:
        recipe = self.recipe
        try:
            return compile_net(
                self._make_net,
                recipe.examples[0],
                placement,
                key=key,
                num_free_axes=recipe.num_free_axes,
                cpu_chunk=1 if recipe.one_item else CPU_CHUNK,
                gpu_batch=recipe.gpu_batch,
            )
        except (EncodeError, TypeError, ValueError) as error:
            raise ConfigError(f"{self.name} cannot run: {first_line(error)}") from error

    def _converted(self, key: str) -> Compiled:
        """The net on OpenVINO. Converting follows one example through the net, and may miss what depends on shapes."""
        try:
            run = self._compiled(self.placement, key)
            results = [self._infer(run, [example])[0] for example in self.recipe.examples]
        except ConfigError:
            raise
        except Exception as error:  # its converter raises whatever it stumbles over, and comes to the point last
            why = str(error).strip().rpartition("\n")[2][:200]
            raise ConfigError(f"{self.name} cannot be run by openvino ({why}); set runtime.backend=torch") from error
        torch_run = self._compiled(replace(self.placement, runtime="torch", precision="fp32"), key)
        for example, found in zip(self.recipe.examples, results, strict=True):
            for ours, theirs in zip(found, self._infer(torch_run, [example])[0], strict=True):
                if not np.abs(ours - theirs).max() <= _TOLERANCE * max(1e-6, np.abs(theirs).max()):
                    raise ConfigError(f"{self.name} gives other numbers on openvino; set runtime.backend=torch")
        return run

    def _infer(self, run: Compiled, groups: Sequence[Items]) -> list[Outputs]:
        """Items of one shape at a time: they may be joined to one batch on a GPU."""
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for i, group in enumerate(groups):
            by_shape.setdefault(tuple(group.shape[1:]), []).append(i)
        results: list[Outputs] = [()] * len(groups)
        for indexes in by_shape.values():
            for i, outputs in zip(indexes, run([groups[i] for i in indexes]), strict=True):
                results[i] = outputs
        return results


class TextNetEncoder(NetEncoder):
    """A `NetEncoder` of texts, which also words labels: rows of `embed` have length one.

    Args:
        tokens: token numbers of a text, as many as the net can take at most.
    """

    def __init__(self, recipe: Recipe, placement: Placement, tokens: Callable[[str], Sequence[int]]) -> None:
        super().__init__(recipe, placement)
        self._tokens = tokens

    def embed(self, texts: Sequence[str], *, keep: bool = False) -> npt.NDArray[np.float32]:
        """Embeddings of texts: float32 [N, D], each row of length one.

        Args:
            keep: keep the result in the user's cache; for long lists that are the same at every start.

        Raises:
            EncodeError: ``setup`` was not called, or the runtime failed.
        """
        if self._run is None:
            raise EncodeError(f"{self.name}: embed was called before setup")
        if not keep:
            return self._embed(self._run, texts)
        placement = self._run.placement
        key = [self.name, *self.identity, placement.runtime, placement.precision, *texts]
        source = hashlib.sha256("\0".join(key).encode()).hexdigest()
        run = self._run
        return cached("texts", source, lambda: {"vectors": self._embed(run, texts)})["vectors"]

    def _embed(self, run: Compiled, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        groups = [torch.tensor([list(self._tokens(text))]) for text in texts]
        rows = [outputs[0][0] for outputs in self._infer(run, groups)]
        vectors = np.array(rows, np.float32).reshape(len(texts), self.dim)
        normed: npt.NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
        return normed


class Normalised(nn.Module):
    """Pixels as decoding makes them -> pixels as a net was trained on.

    Shape:
        - pictures: uint8 [N, H, W, 3], or clips uint8 [N, T, H, W, 3]
        - what ``net`` is given: the same with its channels as axis ``channels_at``, [N, 3, H, W] and [N, 3, T, H, W]
          unless something else is said; uint8 where there is no ``mean`` and ``std``
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        net: nn.Module,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        *,
        scale: float = 1 / 255,
        channels_at: int = 1,
    ) -> None:
        super().__init__()
        self.net = net
        self.scale = scale
        self.channels_at = channels_at
        self.is_raw = mean is None or std is None
        self.register_buffer("mean", torch.tensor(mean or (0.0,) * 3, dtype=torch.float32), persistent=False)
        self.register_buffer("std", torch.tensor(std or (1.0,) * 3, dtype=torch.float32), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor | tuple[Tensor, ...]:
        x = pictures
        if not self.is_raw:
            x = ((x.float() * self.scale - self.mean.float()) / self.std.float()).to(self.mean.dtype)
        outputs: Tensor | tuple[Tensor, ...] = self.net(x.movedim(-1, self.channels_at))
        return outputs


class WithFeatures(nn.Module):
    """A classifier that also tells what its last layer is given.

    Args:
        net: gives logits [N, C], or an object that has them as ``logits``.
        head: the part of it whose input are the features; axes behind the channels are averaged over.
        activation: ``softmax`` or ``sigmoid`` makes scores of the logits; None where the classes have no names.
        inputs: what ``net`` calls its input, where it wants it by name.
    """

    def __init__(
        self, net: nn.Module, head: nn.Module, activation: str | None = "softmax", inputs: str | None = None
    ) -> None:
        super().__init__()
        self.net = net
        self.activation = activation
        self.inputs = inputs
        self._seen: Tensor | None = None
        head.register_forward_pre_hook(self._look)

    def _look(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._seen = inputs[0]

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        output = self.net(x) if self.inputs is None else self.net(**{self.inputs: x})
        logits = output if isinstance(output, Tensor) else output.logits
        features, self._seen = self._seen, None
        assert features is not None
        features = features.flatten(2).mean(2).float() if features.ndim > 2 else features.float()
        if self.activation is None:
            return features
        return features, logits.float().softmax(-1) if self.activation == "softmax" else logits.float().sigmoid()


class LastOutput(nn.Module):
    """A net for what it gives last: the features of a classifier that gives its scores first."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor | tuple[Tensor, ...] = self.net(x)
        return outputs[-1] if isinstance(outputs, tuple) else outputs


def last_layer(net: nn.Module) -> tuple[str, nn.Module]:
    """The name of the last linear layer or convolution of a net, in the order of its definition, and the layer."""
    kinds = (nn.Linear, nn.Conv2d, nn.Conv3d)
    return [(name, module) for name, module in net.named_modules() if isinstance(module, kinds)][-1]


def frames_of(name: str, picture: Picture) -> Callable[[Segment], Tensor]:
    """Every frame is an item: uint8 [T, H, W, 3]."""

    def items(segment: Segment) -> Tensor:
        if segment.frames.shape[1:3] != (picture.crop, picture.crop):
            raise ValueError(f"{name} takes frames [T, {picture.crop}, {picture.crop}, 3], got {segment.frames.shape}")
        return torch.from_numpy(np.ascontiguousarray(segment.frames))

    return items


def clip_of(name: str, picture: Picture, num_frames: int) -> Callable[[Segment], Tensor]:
    """All frames together are one item, evenly resampled to as many as the net wants: uint8 [1, N, H, W, 3]."""
    frames = frames_of(name, picture)
    return lambda segment: frames(segment)[even(len(segment.frames), num_frames)][None]


def even(num_there: int, num_wanted: int) -> Tensor:
    """Which of the frames that are there to take: those at the centres of equal parts, some of them again if need be.

    Of 4 frames 8 are 0 0 1 1 2 2 3 3, of 8 frames 4 are 1 3 5 7.
    """
    return ((2 * torch.arange(num_wanted) + 1) * num_there) // (2 * num_wanted)
