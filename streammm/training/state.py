"""Where a training stands, kept beside its model after every epoch: one that was stopped goes on as if it had not been.

Weights, moments of the optimizer and the best weights so far are tensors in one safetensors file, the rest is JSON in
its header; nothing is pickled. What is drawn at random depends on seed and epoch alone, so no generator is kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors import torch as safetensors
from torch import Tensor, nn

_FILE = "training.safetensors"


@dataclass(frozen=True, slots=True)
class Epoch:
    """How training stood after an epoch; ``score`` is what is to be large, worked out on validation.

    Number 0 is before the first, where a network begins with what its labels mean.
    """

    number: int
    train_loss: float
    validation_loss: float
    score: float


class TrainingState:
    """Weights, optimizer, history, and the best weights so far.

    Args:
        net: what is trained.
        optimizer: of its parameters.
        what: names the training; a state of another one is not taken up.
    """

    def __init__(self, net: nn.Module, optimizer: torch.optim.Optimizer, what: str) -> None:
        self._net = net
        self._optimizer = optimizer
        self._what = what
        self.history: list[Epoch] = []
        self.best_tensors = _copy(net)
        self.best: Epoch | None = None

    def add(self, epoch: Epoch) -> None:
        """Takes an epoch, and its weights if they are the best."""
        self.history.append(epoch)
        if self.best is None or (epoch.score, -epoch.validation_loss) > (self.best.score, -self.best.validation_loss):
            self.best, self.best_tensors = epoch, _copy(self._net)

    def is_stale(self, patience: int) -> bool:
        """True after so many epochs without a better one."""
        return self.best is not None and self.history[-1].number - self.best.number >= patience

    def save(self, folder: Path) -> None:
        """Writes it; a state appears whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"net.{name}": value for name, value in _copy(self._net).items()}
        tensors |= {f"best.{name}": value for name, value in self.best_tensors.items()}
        moments = self._optimizer.state_dict()["state"]
        tensors |= {f"adam.{n}.{name}": value.clone() for n, s in moments.items() for name, value in s.items()}
        metadata = {"what": self._what, "history": json.dumps([asdict(epoch) for epoch in self.history])}
        temporary = folder / f"{_FILE}.partial"
        safetensors.save_file(tensors, temporary, metadata)
        temporary.replace(folder / _FILE)

    def load(self, folder: Path) -> None:
        """Takes up what is kept of the same training, if anything is."""
        path = folder / _FILE
        if not path.exists():
            return
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("what") != self._what:
                return
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        self._net.load_state_dict(_below(tensors, "net."))
        for epoch in json.loads(metadata["history"]):
            self.add(Epoch(**epoch))
        self.best_tensors = _below(tensors, "best.")
        state = self._optimizer.state_dict()
        for name, value in _below(tensors, "adam.").items():
            number, key = name.split(".", 1)
            state["state"].setdefault(int(number), {})[key] = value
        self._optimizer.load_state_dict(state)


def _copy(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
