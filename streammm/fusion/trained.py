"""A model directory -> a fusion that answers in the labels it was trained on, in the place of ``model.py``.

The directory holds ``model.json`` (labels, architecture, calibration) and ``model.safetensors``. Nothing in it is
executed: it may come from a stranger.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from streammm.errors import ConfigError
from streammm.fusion.card import MODEL_FILE, WEIGHTS_FILE, ModelCard, read_card
from streammm.fusion.learned import LearnedFusion, Logits
from streammm.fusion.model import Fused
from streammm.fusion.started import StartedFusion, num_tags, saved_vocabulary, vocabulary_tensors
from streammm.fusion.temporal import Flags, Scores, Seconds, State
from streammm.types import Embeddings, Modality

_VOCABULARY = "vocabulary."


class TrainedFusion:
    """A trained network and its calibration; arrays go in and come out.

    Args:
        card: what is known of it.
        network: with the weights that belong to it, on the CPU; it learns no more.
    """

    def __init__(self, card: ModelCard, network: LearnedFusion) -> None:
        self.card = card
        self.network = network.eval()
        self.look_ahead = network.look_ahead
        self.labels = tuple(card.labels[n] for n in card.places)
        self._places = card.places
        self.with_tags = tuple(m for m, d in input_dims(network).items() if d > network.dims[m])

    def init_state(self, batch: int) -> State:
        """As `LearnedFusion.init_state`."""
        return _arrays(self.network.init_state(batch))

    def input_of(self, made: Embeddings) -> Scores:
        """What of an encoder's embeddings it takes: float32 [T, D], and class scores behind it where it knows them."""
        return np.concatenate([made.vectors, made.tags], -1) if made.modality in self.with_tags else made.vectors

    @torch.inference_mode()
    def __call__(
        self,
        inputs: Mapping[Modality, Scores],
        present: Flags,
        start_seconds: Seconds,
        end_seconds: Seconds,
        state: State | None = None,
    ) -> tuple[Fused, State]:
        """As `ZeroShotFusion`; the last segments are answered with what there is of the look-ahead."""
        before = None if state is None else {name: torch.tensor(value) for name, value in state.items()}
        given = {modality: torch.tensor(values) for modality, values in inputs.items()}
        at = torch.tensor(present), torch.tensor(start_seconds), torch.tensor(end_seconds)
        logits, after = self.network(given, *at, before)
        return self._probabilities(logits), _arrays(after)

    def _probabilities(self, logits: Logits) -> Fused:
        """Logits as calibrated probabilities: of several labels at once they are independent of each other."""
        fused, other = self._split(logits.fused / self.card.temperature)
        by_modality, _ = self._split(logits.by_modality)
        return Fused(fused.numpy(), other.numpy(), by_modality.numpy(), logits.weights.numpy())

    def _split(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities of the labels, and that of none of them."""
        if self.card.task == "multi_label":
            found = logits.sigmoid()[..., self._places]
            return found, (1.0 - found).prod(-1)
        found = logits.softmax(-1)[..., self._places]
        return found, (1.0 - found.sum(-1)).clamp_min(0.0)


def load_model(path: Path) -> TrainedFusion:
    """The model in a directory.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    card = read_card(path)
    try:
        tensors = safetensors.load_file(path / WEIGHTS_FILE)
        arrays = {k.removeprefix(_VOCABULARY): tensors.pop(k) for k in list(tensors) if k.startswith(_VOCABULARY)}
        labels = [card.labels[n] for n in card.places]
        vocabulary = None if card.start is None else saved_vocabulary(arrays, labels, card.start)
        network = card.network(0.0, vocabulary)
        network.load_state_dict(tensors)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ConfigError(f"the model {path} cannot be read: {str(error).splitlines()[0]}") from error
    return TrainedFusion(card, network)


def _arrays(state: Mapping[str, Tensor]) -> dict[str, npt.NDArray[Any]]:
    return {name: value.numpy() for name, value in state.items()}


def save_model(path: Path, card: ModelCard, network: LearnedFusion) -> None:
    """Writes a model directory's two files."""
    path.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    if isinstance(network, StartedFusion):
        arrays = vocabulary_tensors(network.vocabulary)
        tensors |= {f"{_VOCABULARY}{name}": value.contiguous() for name, value in arrays.items()}
    safetensors.save_file(tensors, path / WEIGHTS_FILE)
    (path / MODEL_FILE).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def input_dims(network: LearnedFusion) -> dict[Modality, int]:
    """The lengths of what a network takes of each modality."""
    if not isinstance(network, StartedFusion):
        return dict(network.dims)
    return {m: d + num_tags(m, network.vocabulary) for m, d in network.dims.items()}
