"""A net of the user's own as TorchScript: `torchscript:FILE`, for any modality. It holds code, which is run."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from streammm.encoders.checkpoint import first_line
from streammm.encoders.exported import encoder_of, file_of, wanted_by
from streammm.encoders.net import NetEncoder
from streammm.encoders.placement import Placement
from streammm.errors import ConfigError
from streammm.types import Modality


def make(rest: str, modality: Modality, placement: Placement) -> NetEncoder:
    """The encoder `torchscript:` + ``rest``.

    Raises:
        ConfigError: the file is missing, or what it wants is not said.
    """
    path = file_of(rest)

    def load() -> nn.Module:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch says that TorchScript is deprecated
                net: nn.Module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            raise ConfigError(f"{path} is no TorchScript: {first_line(error)}") from error
        return net

    return encoder_of(f"torchscript:{rest}", path, modality, placement, wanted_by(path), load)
