"""What logits say of their samples' labels."""

from __future__ import annotations

from torch import Tensor


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Return 1 where the highest logit is the label's and 0 elsewhere, (N,) float64.

    logits (N, K), labels (N,).
    """
    return (logits.argmax(1) == labels).double()


def label_probability(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the softmax probability of each label, (N,) float64; logits (N, K), labels (N,)."""
    return logits.double().softmax(1).gather(1, labels[:, None])[:, 0]
