"""torchaudio's self-supervised models of speech, by the names of their bundles: `torchaudio:WAV2VEC2_BASE`.

Vectors are the mean over time of the last layer. `BUNDLE@FILE` runs the bundle's net with weights of one's own.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torchaudio
from torch import Tensor, nn
from torchaudio.pipelines import Wav2Vec2Bundle

from streammm.encoders.checkpoint import digest, first_line, read_state
from streammm.encoders.net import NetEncoder, Recipe
from streammm.encoders.placement import Placement
from streammm.encoders.sound import Sound
from streammm.errors import ConfigError
from streammm.types import Modality


def make(rest: str, modality: Modality, placement: Placement) -> NetEncoder:
    """The encoder `torchaudio:` + ``rest``.

    Raises:
        ConfigError: there is no such bundle, or it is none whose features can be used.
    """
    name, _, own = rest.partition("@")
    bundle: Any = getattr(torchaudio.pipelines, name, None)
    if not isinstance(bundle, Wav2Vec2Bundle):
        raise ConfigError(f"torchaudio has no bundle {name!r} of that kind; there are {', '.join(_names())}")
    file = Path(own) if own else None
    sound = Sound(round(bundle.sample_rate))

    def make_net() -> nn.Module:
        source = bundle if file is None else _with_weights(bundle, file)
        try:
            net = source.get_model(dl_kwargs={"weights_only": True, "progress": False})
        except OSError as error:
            folder = Path(torch.hub.get_dir(), "checkpoints")
            raise ConfigError(
                f"the weights of torchaudio:{name} cannot be fetched ({first_line(error)}): put {_address(bundle)} "
                f"into {folder}, or name a file of yours: torchaudio:{name}@FILE"
            ) from error
        except (pickle.UnpicklingError, RuntimeError) as error:
            raise ConfigError(f"the weights {file or name} are not those of torchaudio:{name}") from error
        return _LastLayer(net)

    recipe = Recipe(
        name=f"torchaudio:{rest}",
        modality="audio",
        make_net=make_net,
        items=sound,
        examples=[torch.zeros(1, sound.rate_hz), torch.full((1, sound.least), 0.1)],
        identity=(_address(bundle),) if file is None else (name, digest(file)),
        num_free_axes=2,
    )
    return NetEncoder(recipe, placement)


class _LastLayer(nn.Module):
    """The mean over time of the last layer's features."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, waveforms: Tensor) -> Tensor:
        layers, _ = self.net.extract_features(waveforms.to(next(self.net.parameters()).dtype))  # type: ignore[operator]
        last: Tensor = layers[-1]
        return last.float().mean(1)


def catalogue() -> Iterator[str]:
    """A line for each bundle."""
    for name in _names():
        yield f"torchaudio:{name}  sound at {getattr(torchaudio.pipelines, name).sample_rate / 1000:g} kHz"


def _names() -> list[str]:
    return [n for n in dir(torchaudio.pipelines) if isinstance(getattr(torchaudio.pipelines, n), Wav2Vec2Bundle)]


def _with_weights(bundle: Any, file: Path) -> Any:
    """The bundle, its weights out of a file: it has no public way to say where they are."""
    own = copy.copy(bundle)
    own._get_state_dict = lambda _: read_state(file)
    return own


def _address(bundle: Any) -> str:
    path: str = bundle._path
    return path if path.startswith("https") else f"https://download.pytorch.org/torchaudio/models/{path}"
