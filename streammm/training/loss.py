"""Logits and what is known of the truth -> what training makes smaller."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from streammm.fusion.card import Task


def segment_loss(
    logits: Tensor, targets: Tensor, known: Tensor, task: Task, class_weights: Tensor, smoothing: float = 0.05
) -> Tensor:
    """Mean loss of the segments whose labels are known; zero where there are none.

    Cross-entropy with smoothed labels (Szegedy et al., arXiv:1512.00567), or, for several labels at once, binary
    cross-entropy in which a label that is there weighs as much as its class does.

    Shape:
        - logits, targets: float32 [..., K]
        - known: bool [...]
        - class_weights: float32 [K]
    """
    if not known.any():
        return logits.sum() * 0.0
    logits, targets = logits[known], targets[known]
    if task == "multi_label":
        return functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=class_weights)
    each = functional.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="none")
    weights = (targets * class_weights).sum(-1)
    return (each * weights).sum() / weights.sum().clamp_min(1e-9)


def source_loss(logits: Tensor, weak: Tensor, is_there: Tensor, has_weak: Tensor, task: Task) -> Tensor:
    """Mean loss of the sources of which is known what is somewhere in them; zero where there are none.

    Probabilities of the segments are pooled by linear softmax, sum p^2 / sum p, which lets sure segments speak for the
    source (Wang, Li and Metze, arXiv:1810.09050).

    Shape:
        - logits: float32 [B, T, K]
        - weak: float32 [B, K]
        - is_there: bool [B, T]
        - has_weak: bool [B]
    """
    if not has_weak.any():
        return logits.sum() * 0.0
    pooled, weak = pool(logits, is_there, task)[has_weak], weak[has_weak]
    if task == "multi_label":
        return functional.binary_cross_entropy(pooled, weak)
    return -(weak * pooled.log()).sum(-1).mean()


def pool(logits: Tensor, is_there: Tensor, task: Task) -> Tensor:
    """Probabilities of whole sources, float32 [B, K], from the logits of their segments; see `source_loss`."""
    probabilities = logits.sigmoid() if task == "multi_label" else logits.softmax(-1)
    probabilities = probabilities * is_there[..., None]
    return (probabilities.square().sum(1) / probabilities.sum(1).clamp_min(1e-6)).clamp(1e-6, 1 - 1e-6)


def balanced_weights(targets: Tensor, task: Task) -> Tensor:
    """A weight for each class by how rare it is: float32 [K].

    Args:
        targets: float32 [N, K] of all labels in training.
    """
    counts = targets.sum(0)
    if task == "multi_label":
        return ((len(targets) - counts) / counts.clamp_min(1.0)).clamp(1.0, 10.0)
    weights = counts.sum() / (len(counts) * counts.clamp_min(1.0))
    return torch.where(counts > 0, weights.clamp(0.1, 10.0), 1.0)


def drop_modalities(present: Tensor, share: float, draw: torch.Generator | None = None) -> Tensor:
    """Takes modalities away at random, so that each learns to do without the others: bool [B, T, M].

    Half of the share takes a modality from a whole sequence, half from single segments. At least one stays wherever
    there was one.
    """

    def kept(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=draw) >= share / 2

    size, length, num_modalities = present.shape
    left = present & kept(size, 1, num_modalities) & kept(size, length, num_modalities)
    priority = torch.rand(size, length, num_modalities, generator=draw) * present
    rescued = functional.one_hot(priority.argmax(-1), num_modalities).bool() & present
    return torch.where(left.any(-1, keepdim=True), left, rescued)
