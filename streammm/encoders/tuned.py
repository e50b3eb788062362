"""Published encoders that were trained further: `tuned:FILE`, weights as safetensors, with FILE.json beside it.

The JSON file names the encoder that they are weights of: it makes the net, and brings the items into their shape.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save_file

from streammm.encoders import BUILT_IN, Encoder, find
from streammm.encoders.checkpoint import first_line
from streammm.encoders.families import FAMILIES
from streammm.encoders.net import NetEncoder
from streammm.encoders.placement import Placement
from streammm.errors import ConfigError
from streammm.types import Modality

_FAMILY = "tuned"


def make(rest: str, modality: Modality, placement: Placement) -> NetEncoder:
    """The encoder `tuned:` + ``rest``.

    Raises:
        ConfigError: a file is missing or damaged, or the encoder that it is of is not there.
    """
    path = Path(rest)
    beside = path.with_suffix(".json")
    try:
        name = json.loads(beside.read_text(encoding="utf-8"))["encoder"]
        prefix = name.partition(":")[0]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} needs {beside.name} beside it, as it was saved: {first_line(error)}") from error
    is_known = name in BUILT_IN or (prefix in FAMILIES and prefix != _FAMILY)
    encoder = tunable(find(name, modality, **asdict(placement))) if is_known else None
    if encoder is None:
        raise ConfigError(f"{beside} names {name!r}, which is no encoder that can be tuned")
    encoder.tune(path)
    encoder.name = f"{_FAMILY}:{rest}"
    return encoder


def tunable(encoder: Encoder) -> NetEncoder | None:
    """An encoder as one that can be trained further; None for those that cannot."""
    if isinstance(encoder, NetEncoder):
        return encoder
    made: NetEncoder | None = encoder.tunable() if hasattr(encoder, "tunable") else None
    return made


def save_tuned(encoder: NetEncoder, path: Path) -> str:
    """Writes the weights of an encoder's trainable module; returns the name of the encoder that runs them."""
    state = encoder.trainable_module().state_dict()
    save_file({name: value.detach().cpu().clone().contiguous() for name, value in state.items()}, path)
    path.with_suffix(".json").write_text(json.dumps({"encoder": encoder.recipe.name}, indent=1), encoding="utf-8")
    return f"{_FAMILY}:{path.name}"
