from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import cohen_kappa_score

from reldrop_bench.evaluations._measures.predictions import (
    correct,
    disagreement,
    error_kappa,
    label_probability,
)


def flags(text: str) -> torch.Tensor:
    return torch.tensor([letter == "r" for letter in text])


def test_by_hand():
    # 8 items: both right 4, both wrong 1, one of them 3; accuracies 6/8 and 5/8.
    first, second = flags("rrrrrrww"), flags("rrrrwwwr")
    assert disagreement(first, second) == pytest.approx(3 / 8)
    expected = 6 / 8 * 5 / 8 + 2 / 8 * 3 / 8
    assert error_kappa(first, second) == pytest.approx((5 / 8 - expected) / (1 - expected))
    # Both wrong and yet not alike: predictions differ where errors do not.
    classes = torch.tensor([0, 1, 2]), torch.tensor([0, 2, 1])
    assert disagreement(*classes) == pytest.approx(2 / 3)


def test_the_label_by_hand():
    logits, labels = torch.tensor([[0.0, 2.0], [0.0, 0.0], [1.0, 0.0]]), torch.tensor([1, 1, 1])
    assert correct(logits, labels).tolist() == [1, 0, 0]
    expected = [1 / (1 + math.exp(-2)), 1 / 2, 1 / (1 + math.e)]
    assert label_probability(logits, labels).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_sklearns(seed):
    generator = torch.Generator().manual_seed(seed)
    first = torch.rand(60, generator=generator) < 0.7
    second = torch.where(torch.rand(60, generator=generator) < 0.5, first, ~first)
    expected = cohen_kappa_score(first.numpy(), second.numpy())
    assert error_kappa(first, second) == pytest.approx(expected)
    assert error_kappa(second, first) == pytest.approx(expected)
    assert -1 <= expected <= 1


def test_extremes():
    assert error_kappa(flags("rrww"), flags("rrww")) == 1
    assert error_kappa(flags("rrww"), flags("wwrr")) == -1
    assert error_kappa(flags("rrrr"), flags("rrww")) == 0
    assert error_kappa(flags("rr"), flags("ww")) == 0


@pytest.mark.parametrize("text", ["r", "rrrrrrr", "www"])
def test_no_kappa_where_agreement_is_certain(text):
    assert error_kappa(flags(text), flags(text)) is None
