"""Nets of the user's own as files, and what they want: what `torchscript.py` and `onnx_models.py` share.

FILE.json (or FILE.yaml) beside the file says what the net wants, see `Wanted`. A net gives vectors [N, D], or class
scores [N, C] where there are ``classes``, or both. Such files hold computations that are run, TorchScript even code:
they are taken from this machine's disk only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn

from streammm.encoders.base import Picture
from streammm.encoders.checkpoint import digest, first_line
from streammm.encoders.net import CLIP_GPU_BATCH, NetEncoder, Normalised, Recipe, TextNetEncoder, clip_of, frames_of
from streammm.encoders.placement import Placement
from streammm.encoders.runtime import GPU_BATCH
from streammm.encoders.sound import Sound
from streammm.errors import ConfigError
from streammm.types import SAMPLE_RATE_HZ, Modality


class Wanted(BaseModel):
    """What stands beside an exported net.

    Pictures: ``pixels`` of a side, ``shorter_side`` before cutting, ``layout`` of the axes (N items, C channels, T
    time), ``mean`` and ``std`` of pixels in [0, 1], or ``raw`` for uint8; ``num_frames`` of a clip. Sound: ``samples``
    where the net takes one length only, ``sample_rate_hz``. Text: ``tokenizer``, a file of the library tokenizers, and
    ``most_tokens``. ``classes`` are names in the order of their scores, of which ``activation`` makes probabilities.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pixels: int | None = Field(None, gt=0)
    shorter_side: int | None = Field(None, gt=0)
    layout: Literal["NCHW", "NHWC", "NCTHW", "NTCHW", "NTHWC"] | None = None
    num_frames: int | None = Field(None, gt=0)
    raw: bool = False
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    samples: int | None = Field(None, gt=0)
    sample_rate_hz: int = Field(SAMPLE_RATE_HZ, gt=0)
    tokenizer: str | None = None
    most_tokens: int = Field(512, gt=0)
    classes: tuple[str, ...] = ()
    activation: Literal["softmax", "sigmoid", "none"] = "softmax"


def file_of(rest: str) -> Path:
    """The file that is named.

    Raises:
        ConfigError: there is none of that name.
    """
    path = Path(rest)
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    return path


def wanted_by(path: Path) -> Wanted:
    """What stands beside a file, or nothing.

    Raises:
        ConfigError: it cannot be read, or has keys that mean nothing.
    """
    for beside in (path.with_name(path.name + ".json"), path.with_name(path.name + ".yaml"), path.with_suffix(".json")):
        if beside.is_file():
            try:
                return Wanted.model_validate(yaml.safe_load(beside.read_text(encoding="utf-8")) or {})
            except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
                raise ConfigError(f"{beside} cannot be read: {first_line(error)}") from error
            except ValidationError as error:
                problem = error.errors()[0]
                where = ".".join(str(part) for part in problem["loc"])
                raise ConfigError(f"{beside}: {where}: {problem['msg']}, got {problem['input']!r}") from error
    return Wanted()


def encoder_of(
    name: str, path: Path, modality: Modality, placement: Placement, wanted: Wanted, load: Callable[[], nn.Module]
) -> NetEncoder:
    """An encoder around a net whose inputs are as ``wanted`` says.

    Args:
        load: the net: a tensor in, a tensor or several out.

    Raises:
        ConfigError: too little is said.
    """
    beside = path.with_name(path.name + ".json")
    has_sidecar = beside.is_file()
    identity = (digest(path), wanted.model_dump_json())

    def outputs() -> nn.Module:
        return _Outputs(load(), wanted)

    if modality == "text":
        return _text(name, path, placement, wanted, outputs, identity)
    if modality == "audio":
        sound = Sound(wanted.sample_rate_hz, wanted.samples)
        lengths = [wanted.samples] if wanted.samples else [sound.rate_hz, sound.least]
        recipe = Recipe(
            name=name,
            modality=modality,
            make_net=outputs,
            items=sound,
            examples=[0.1 * torch.sin(torch.arange(n) / 5.0)[None] for n in lengths],
            identity=identity,
            classes=wanted.classes,
            num_free_axes=1 if wanted.samples else 2,
        )
        return NetEncoder(recipe, placement)
    if wanted.pixels is None or wanted.layout is None:
        raise ConfigError(f"{name}: say pixels and layout in {beside}{'' if has_sidecar else ', which is not there'}")
    if not wanted.raw and (wanted.mean is None or wanted.std is None):
        raise ConfigError(f"{name}: say mean and std of its pixels in {beside}, or raw for uint8")
    is_clip = "T" in wanted.layout
    if is_clip and wanted.num_frames is None:
        raise ConfigError(f"{name}: say num_frames of its clips in {beside}")
    layout, mean, std = wanted.layout, wanted.mean, wanted.std

    def normalised() -> nn.Module:
        raw = wanted.raw
        return Normalised(outputs(), None if raw else mean, None if raw else std, channels_at=layout.index("C"))

    picture = Picture(max(wanted.shorter_side or wanted.pixels, wanted.pixels), wanted.pixels)
    num_frames = wanted.num_frames or 1
    shape = (1, num_frames) if is_clip else (1,)
    recipe = Recipe(
        name=name,
        modality=modality,
        make_net=normalised,
        items=clip_of(name, picture, num_frames) if is_clip else frames_of(name, picture),
        examples=[torch.zeros((*shape, picture.crop, picture.crop, 3), dtype=torch.uint8)],
        identity=identity,
        classes=wanted.classes,
        picture=picture,
        one_item=is_clip,
        gpu_batch=CLIP_GPU_BATCH if is_clip else GPU_BATCH,
    )
    return NetEncoder(recipe, placement)


def _text(
    name: str,
    path: Path,
    placement: Placement,
    wanted: Wanted,
    outputs: Callable[[], nn.Module],
    identity: tuple[str, ...],
) -> TextNetEncoder:
    from tokenizers import Tokenizer

    if wanted.tokenizer is None:
        raise ConfigError(f"{name}: say in {path.name}.json which tokenizer it reads with, such as tokenizer.json")
    file = path.with_name(wanted.tokenizer)
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises plain exceptions
        raise ConfigError(f"{name}: {file} is no tokenizer: {first_line(error)}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(wanted.most_tokens)

    def tokens(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text).ids
        return ids

    recipe = Recipe(
        name=name,
        modality="text",
        make_net=outputs,
        items=lambda segment: torch.tensor([tokens(segment.text.strip())]),
        examples=[torch.tensor([tokens(text)]) for text in ("hello", "a man plays the guitar on stage")],
        identity=(*identity, digest(file)),
        classes=wanted.classes,
        num_free_axes=2,
    )
    return TextNetEncoder(recipe, placement, tokens)


class _Outputs(nn.Module):
    """Vectors and scores, out of one or two outputs of which the scores have as many columns as there are classes."""

    def __init__(self, net: nn.Module, wanted: Wanted) -> None:
        super().__init__()
        self.net = net
        self.num_classes = len(wanted.classes)
        self.activation = wanted.activation

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        found = self.net(x)
        outputs: Sequence[Tensor] = [found] if isinstance(found, Tensor) else list(found)
        outputs = [output.float() for output in outputs]
        if not self.num_classes:
            return outputs[0]
        scores = next((o for o in reversed(outputs) if o.shape[-1] == self.num_classes), None)
        if scores is None:
            shapes = ", ".join(str(tuple(o.shape)) for o in outputs)
            raise ValueError(f"{self.num_classes} classes are named, but it gives {shapes}")
        vectors = next((o for o in outputs if o is not scores), scores)
        if self.activation == "none":
            return vectors, scores
        return vectors, scores.softmax(-1) if self.activation == "softmax" else scores.sigmoid()
