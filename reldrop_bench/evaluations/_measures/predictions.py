"""What logits say of their samples' labels, and how alike two models' predictions are."""

from torch import Tensor


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Return 1 where the highest logit is the label's and 0 elsewhere, (N,) float64.

    logits (N, K), labels (N,).
    """
    return (logits.argmax(1) == labels).double()


def label_probability(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the softmax probability of each label, (N,) float64; logits (N, K), labels (N,)."""
    return logits.double().softmax(1).gather(1, labels[:, None])[:, 0]


def disagreement(first: Tensor, second: Tensor) -> float:
    """Return the share of items that two models differ on, in whatever (N,) holds for each.

    Of predicted classes it is also called churn; of whether an item is right (bool) it is the
    disagreement measure of Kuncheva & Whitaker 2003, (n₀₁ + n₁₀) / N, whose least and largest values
    depend on how often the two are right.
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
