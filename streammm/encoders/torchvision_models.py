"""torchvision's classifiers of pictures and of video clips, by their names in its registry: `torchvision:NAME`.

`NAME@WEIGHTS` names weights of the registry (`resnet50@IMAGENET1K_V1`) or a file of one's own; without it they are the
registry's default. Normalisation, size and categories are those of the weights, of a file those of the default weights.
Pictures keep their shape where the recipes of some video models squeeze them, and a clip has 16 frames.
"""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from streammm.encoders.base import Picture
from streammm.encoders.checkpoint import digest, first_line, load_state, num_rows, read_state
from streammm.encoders.net import (
    CLIP_GPU_BATCH,
    NetEncoder,
    Normalised,
    Recipe,
    WithFeatures,
    clip_of,
    frames_of,
    last_layer,
)
from streammm.encoders.placement import Placement
from streammm.encoders.runtime import GPU_BATCH
from streammm.errors import ConfigError
from streammm.types import Modality

CLIP_FRAMES = 16
"""What r3d, mc3, r2plus1d and mvit were trained on, and enough for s3d (14) and swin3d."""

_MODULES = (torchvision.models, torchvision.models.video)


def make(rest: str, modality: Modality, placement: Placement) -> NetEncoder:
    """The encoder `torchvision:` + ``rest``.

    Raises:
        ConfigError: there is no such model, or no such weights.
    """
    name, _, wanted = rest.partition("@")
    if name not in _names():
        raise ConfigError(
            f"torchvision has no classifier {name!r}; `streammm models torchvision` lists those that there are"
        )
    file = _own_file(wanted)
    weights = _weights(name, wanted if file is None else "DEFAULT")
    transforms = weights.transforms()
    picture = Picture(max(*transforms.crop_size, min(transforms.resize_size)), transforms.crop_size[0])
    categories = tuple(weights.meta["categories"])
    if file is None:
        classes, identity = categories, (weights.url,)
    else:
        classes = categories if _num_classes(name, file) == len(categories) else ()
        identity = (digest(file),)

    def make_net() -> nn.Module:
        net = _load(name, weights) if file is None else _load_file(name, file)
        net = WithFeatures(net, last_layer(net)[1], "softmax" if classes else None)
        return Normalised(net, transforms.mean, transforms.std)

    is_clip = _is_video(name)
    shape = (1, CLIP_FRAMES) if is_clip else (1,)
    full_name = f"torchvision:{rest}"
    recipe = Recipe(
        name=full_name,
        modality="video",
        make_net=make_net,
        items=clip_of(full_name, picture, CLIP_FRAMES) if is_clip else frames_of(full_name, picture),
        examples=[torch.zeros((*shape, picture.crop, picture.crop, 3), dtype=torch.uint8)],
        identity=identity,
        classes=classes,
        descriptions=_descriptions(classes),
        picture=picture,
        one_item=is_clip,
        gpu_batch=CLIP_GPU_BATCH if is_clip else GPU_BATCH,
    )
    return NetEncoder(recipe, placement)


def catalogue() -> Iterator[str]:
    """A line for each model: its name, parameters, size of the default weights."""
    for name in _names():
        weights = torchvision.models.get_model_weights(name).DEFAULT
        others = ", ".join(w.name for w in type(weights) if w is not weights)
        kind = "clips" if _is_video(name) else "pictures"
        yield (
            f"torchvision:{name}  {kind}, {weights.meta['num_params'] / 1e6:.1f} million parameters, "
            f"{weights.meta['_file_size']:.1f} MB, {weights.name}" + (f"; also {others}" if others else "")
        )


def _names() -> list[str]:
    return [name for module in _MODULES for name in torchvision.models.list_models(module=module)]


def _is_video(name: str) -> bool:
    return name in torchvision.models.list_models(module=torchvision.models.video)


def _own_file(wanted: str) -> Path | None:
    return Path(wanted) if "/" in wanted or Path(wanted).suffix in (".pt", ".pth", ".safetensors") else None


def _weights(name: str, wanted: str) -> Any:
    there = torchvision.models.get_model_weights(name)
    try:
        return there[wanted or "DEFAULT"]
    except KeyError:
        names = ", ".join(there.__members__)
        raise ConfigError(f"torchvision:{name} has no weights {wanted!r}; there are {names}, or name a file") from None


def _load(name: str, weights: Any) -> nn.Module:
    place = Path(torch.hub.get_dir(), "checkpoints", Path(weights.url).name)
    try:
        weights.get_state_dict(progress=False, check_hash=True, weights_only=True)  # below this is not asked for
        net: nn.Module = torchvision.models.get_model(name, weights=weights)
    except OSError as error:
        raise ConfigError(
            f"the weights of torchvision:{name} cannot be fetched ({first_line(error)}): put {weights.url} at {place}, "
            f"or name a file of yours: torchvision:{name}@FILE"
        ) from error
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise ConfigError(f"{place} does not hold the weights of torchvision:{name}: {first_line(error)}") from error
    return net


def _load_file(name: str, file: Path) -> nn.Module:
    net: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=_num_classes(name, file))
    load_state(net, read_state(file), str(file))
    return net


def _num_classes(name: str, file: Path) -> int:
    """How many classes a net has whose weights are in a file: the rows of its last layer."""
    with torch.device("meta"):
        layer, _ = last_layer(torchvision.models.get_model(name, weights=None))
    rows = num_rows(file, f"{layer}.weight")
    if rows is None:
        raise ConfigError(f"the weights {file} are not those of torchvision:{name}: they have no {layer}.weight")
    return rows


def _descriptions(classes: tuple[str, ...]) -> tuple[str, ...]:
    """What the classes of ImageNet are, where it is those and timm is installed, which knows."""
    imagenet = tuple(torchvision.models.ResNet18_Weights.DEFAULT.meta["categories"])
    if classes != imagenet or importlib.util.find_spec("timm") is None:
        return ()
    from streammm.encoders.image import imagenet_classes

    return imagenet_classes()[1]
