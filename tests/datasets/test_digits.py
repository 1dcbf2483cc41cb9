"""The digits task against scikit-learn's own data."""

from __future__ import annotations

import hashlib

import torch
from sklearn.datasets import load_digits

from reldrop_bench.plugins.datasets.digits import Digits

FINGERPRINT = "c14737d6ff25cefa"  # written by numpy 2.4.6 on x86-64 Linux


def test_all_digits_are_used_once_and_unnormalise_to_the_originals() -> None:
    task, digits = Digits(), load_digits()
    facts, pool, test = task.facts(None), task.splits(None, 0).train.whole, task.test(None)
    inputs = torch.cat([pool.inputs, test.inputs])
    pixels = ((inputs * facts.std[0] + facts.mean[0]) * 16).round().long().flatten(1)
    found = sorted(
        map(
            tuple, torch.cat([pixels, torch.cat([pool.targets, test.targets])[:, None]], 1).tolist()
        )
    )
    expected = sorted(
        (*image.astype(int).tolist(), int(target))
        for image, target in zip(digits.data, digits.target, strict=True)
    )
    assert found == expected


def test_the_test_split_is_30_percent_of_each_class_and_the_same_for_every_validation_share() -> (
    None
):
    test, counts = Digits().test(None), torch.bincount(torch.from_numpy(load_digits().target))
    assert ((torch.bincount(test.targets) / counts) - 0.3).abs().max() < 0.005
    assert torch.equal(Digits(validation=0.5).test(None).inputs, test.inputs)


def test_published_fingerprint() -> None:
    """Seed 0 gives these splits on every machine."""
    splits = Digits().splits(None, 0)
    data = torch.cat([splits.validation.indices, Digits().test(None).targets])
    assert hashlib.sha256(data.numpy().astype("<i8").tobytes()).hexdigest()[:16] == FINGERPRINT
