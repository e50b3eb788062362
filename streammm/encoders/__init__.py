"""Encoders: segments in, embeddings and tags out, one class for each published model.

``ENCODERS`` maps a configuration name to its class. A class is imported when it is looked up: this package itself
does without torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping

from streammm.encoders.base import Encoder

__all__ = ["ENCODERS", "Encoder"]

_PLACES = {
    "efficientnet_lite0": ("streammm.encoders.image", "EfficientNetLite0"),
    "yamnet": ("streammm.encoders.audio", "YamNet"),
    "minilm": ("streammm.encoders.text", "MiniLM"),
}


class _Encoders(Mapping[str, type]):
    """Classes by name, each imported when it is first asked for."""

    def __getitem__(self, name: str) -> type:
        module, class_name = _PLACES[name]
        found: type = getattr(importlib.import_module(module), class_name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


ENCODERS: Mapping[str, type] = _Encoders()
