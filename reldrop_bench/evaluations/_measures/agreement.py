"""How alike are two models' predictions on the same items?"""

from __future__ import annotations

from torch import Tensor


def prediction_disagreement(first: Tensor, second: Tensor) -> float:
    """Return the share of items whose predicted classes differ; both (N,). Also called churn."""
    return (first != second).double().mean().item()


def error_disagreement(first: Tensor, second: Tensor) -> float:
    """Return the share of items on which just one of two models is right: (n₀₁ + n₁₀) / N.

    first, second (N,) bool, whether an item is right. The disagreement measure of Kuncheva &
    Whitaker 2003. Its least and largest values depend on how often the two are right.
    """
    return (first != second).double().mean().item()


def error_kappa(first: Tensor, second: Tensor) -> float | None:
    """Return Cohen's kappa of being right: (o - e) / (1 - e).

    first, second (N,) bool, whether an item is right. o: the share of items on which both or neither
    is right; e: what that would be of independent models of these accuracies. 1: the same errors; 0:
    as often together as by chance; below 0: less. None where e = 1 (both always right, or both
    always wrong). Known as error consistency, Geirhos et al. 2020, arXiv 2006.16736. Kappa of the
    predicted classes would mostly say that both models are accurate.
    """
    a, b = first.double().mean().item(), second.double().mean().item()
    expected = a * b + (1 - a) * (1 - b)
    if bool((first & second).all()) or not bool((first | second).any()):
        return None
    return ((first == second).double().mean().item() - expected) / (1 - expected)
