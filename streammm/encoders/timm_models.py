"""timm's models of pictures: `timm:NAME`, `timm:NAME@CHECKPOINT`, `timm:hf-hub:OWNER/MODEL` or `timm:FOLDER`.

The pretrained configuration says size, normalisation and classes. A folder holds ``config.json`` beside
``model.safetensors``, as timm saves for the Hugging Face hub; a checkpoint file is run with the configuration of NAME.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import try_to_load_from_cache
from timm.data import ImageNetInfo, infer_imagenet_subset, resolve_data_config
from timm.models import load_model_config_from_hf
from torch import Tensor, nn

from streammm.encoders.base import Picture
from streammm.encoders.checkpoint import digest, first_line, load_state, num_rows, read_state
from streammm.encoders.image import imagenet_classes
from streammm.encoders.net import NetEncoder, Normalised, Recipe, frames_of
from streammm.encoders.placement import Placement
from streammm.errors import ConfigError
from streammm.types import Modality

_HUB = "hf-hub:"
_WEIGHTS = "model.safetensors"


def make(rest: str, modality: Modality, placement: Placement) -> NetEncoder:
    """The encoder `timm:` + ``rest``.

    Raises:
        ConfigError: there is no such model or folder, or it cannot be fetched.
    """
    folder = Path(rest) if Path(rest).is_dir() else None
    name, file = rest, None
    if folder is None and not rest.startswith(_HUB):
        name, _, checkpoint = rest.partition("@")
        file = Path(checkpoint) if checkpoint else None
    pretrained = _pretrained(name, folder)
    data = resolve_data_config(pretrained_cfg=pretrained)
    size = data["input_size"][-1]
    picture = Picture(max(size, math.floor(size / data["crop_pct"])), size)
    num_classes = pretrained["num_classes"] if file is None else _num_classes(pretrained, file)
    classes, descriptions = _classes(pretrained) if num_classes == pretrained["num_classes"] else ((), ())

    def make_net() -> nn.Module:
        source = name if folder is None else f"local-dir:{folder}"
        try:
            net = timm.create_model(source, pretrained=folder is None and file is None, num_classes=num_classes)
        except (OSError, RuntimeError) as error:
            raise ConfigError(
                f"the weights of timm:{name} cannot be fetched ({first_line(error)}); they come from "
                f"{_origin(pretrained)}; a file of yours is named as timm:{name}@FILE"
            ) from error
        if folder is not None or file is not None:
            where = file or Path(str(folder), _WEIGHTS)
            load_state(net, read_state(where), str(where))
        return Normalised(_Timm(net, bool(classes)), data["mean"], data["std"])

    full_name = f"timm:{rest}"
    recipe = Recipe(
        name=full_name,
        modality="video",
        make_net=make_net,
        items=frames_of(full_name, picture),
        examples=[torch.zeros((1, size, size, 3), dtype=torch.uint8)],
        identity=_identity(name, pretrained, folder or file),
        classes=classes,
        descriptions=descriptions,
        picture=picture,
        one_item=False,
    )
    return NetEncoder(recipe, placement)


class _Timm(nn.Module):
    """Pooled features and, where its classes have names, their probabilities."""

    def __init__(self, net: Any, has_classes: bool) -> None:
        super().__init__()
        self.net = net
        self.has_classes = has_classes

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        seen = self.net.forward_features(x)
        features: Tensor = self.net.forward_head(seen, pre_logits=True).float().flatten(1)
        return (features, self.net.forward_head(seen).float().softmax(-1)) if self.has_classes else features


def catalogue() -> Iterator[str]:
    """A line for each pretrained model of the registry."""
    yield from (f"timm:{name}" for name in timm.list_models(pretrained=True))


def _pretrained(name: str, folder: Path | None) -> dict[str, Any]:
    """The pretrained configuration of a name, out of the registry, the hub or a folder."""
    if folder is not None:
        return _of_folder(folder)
    if name.startswith(_HUB):
        try:
            found: dict[str, Any] = load_model_config_from_hf(name.removeprefix(_HUB))[0]
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(
                f"timm:{name} cannot be fetched from the Hugging Face hub: {first_line(error)}"
            ) from error
        return found
    try:
        known = timm.get_pretrained_cfg(name) if timm.is_model(name.partition(".")[0]) else None
    except (RuntimeError, KeyError):
        known = None
    if known is None:
        near = ", ".join(timm.list_models(f"*{name.partition('.')[0][:6]}*")[:5])
        raise ConfigError(
            f"timm has no model {name!r}{f'; near are {near}' if near else ''}; `streammm models timm` lists all, "
            f"and a folder must hold config.json and {_WEIGHTS}"
        )
    values: dict[str, Any] = known.to_dict()
    return values


def _of_folder(folder: Path) -> dict[str, Any]:
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        found: dict[str, Any] = values["pretrained_cfg"]
        found = {"num_classes": values["num_classes"], "label_names": values.get("label_names"), **found}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{folder} is no folder of a timm model, with config.json: {first_line(error)}") from error
    if not (folder / _WEIGHTS).is_file():
        raise ConfigError(f"{folder} holds no {_WEIGHTS}; weights are read from safetensors only")
    return found


def _num_classes(pretrained: Mapping[str, Any], file: Path) -> int:
    """How many classes a net has whose weights are in a file: the rows of its classifier, 0 without one."""
    named = pretrained.get("classifier") or ""
    return num_rows(file, f"{named if isinstance(named, str) else named[0]}.weight") or 0


def _classes(pretrained: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and descriptions of the classes, () where they are not known."""
    if names := pretrained.get("label_names"):
        return tuple(names), ()
    subset = infer_imagenet_subset(dict(pretrained)) if pretrained["num_classes"] else None
    if subset is None:
        return (), ()
    if subset == "imagenet-1k":
        return imagenet_classes()
    info = ImageNetInfo(subset)
    numbers = range(info.num_classes())
    return (
        tuple(info.index_to_description(i) for i in numbers),
        tuple(info.index_to_description(i, detailed=True) for i in numbers),
    )


def _origin(pretrained: Mapping[str, Any]) -> str:
    repository = pretrained.get("hf_hub_id")
    if repository == "timm/":
        repository = f"timm/{pretrained['architecture']}.{pretrained['tag']}"
    return f"huggingface.co/{repository}" if repository else str(pretrained.get("url") or "nowhere: it has none")


def _identity(name: str, pretrained: Mapping[str, Any], own: Path | None) -> tuple[str, ...]:
    if own is not None:
        return (name.partition("@")[0] if own.is_file() else "", digest(own))
    if name.startswith(_HUB):
        repository, _, revision = name.removeprefix(_HUB).partition("@")
        there = try_to_load_from_cache(repository, "config.json", revision=revision or None)
        return (name, Path(there).parent.name if isinstance(there, str) else "")
    return (f"timm {timm.__version__}", name, _origin(pretrained))
