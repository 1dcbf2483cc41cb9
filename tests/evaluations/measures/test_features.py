"""Dimensions and likeness of features, against cases by hand and numpy's decompositions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import entropy, ortho_group
from torch import Tensor, nn

from reldrop_bench.evaluations._measures import features
from reldrop_bench.evaluations._measures.penultimate import FeaturesError, penultimate_features


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def collected(rows: Tensor, size: int = 1000) -> features.Rows:
    found = features.Rows()
    for part in rows.split(size):
        found.add(part)
    return found


def spectrum(rows: Tensor) -> Tensor:
    return collected(rows).eigenvalues()


def vendi(rows: Tensor) -> float | None:
    unit, some = features.unit_rows(rows)
    return features.vendi_score(collected(unit[some]).eigenvalues(centred=False))


@pytest.mark.parametrize("shape", [(40, 6), (6, 40), (9, 9), (200, 1), (1, 5)])
@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize("centred", [True, False])
def test_eigenvalues_are_numpys_whatever_the_batches(shape, size, centred):
    rows = normal(*shape) + 3
    values = rows.numpy() - (rows.numpy().mean(0) if centred else 0)
    expected = np.linalg.svd(values, compute_uv=False) ** 2 / len(rows)
    found = np.sort(collected(rows, size).eigenvalues(centred))[::-1]
    np.testing.assert_allclose(found[: len(expected)], expected, atol=1e-12)
    assert len(found) == min(shape)


def test_a_large_mean_does_not_drown_the_spread():
    rows = normal(500, 4)
    for size in (7, 1000):
        found = collected(rows + 1e6, size).eigenvalues()
        torch.testing.assert_close(found, spectrum(rows), rtol=1e-6, atol=0)


def test_dimensions_by_hand():
    square = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    line = torch.tensor([[1.0, 5], [2, 5], [3, 5]])
    stretched = square * torch.tensor([3.0, 1.0])  # singular values 3:1, variances 9:1
    for rows, rank, ratio in (
        (square, 2, 2),
        (line, 1, 1),
        (stretched, np.exp(entropy([0.75, 0.25])), 100 / 82),
    ):
        assert features.effective_rank(spectrum(rows)) == pytest.approx(rank)
        assert features.participation_ratio(spectrum(rows)) == pytest.approx(ratio)


@pytest.mark.parametrize("shape", [(50, 7), (7, 50)])
def test_dimensions_are_those_of_numpys_singular_values(shape):
    rows = normal(*shape)
    sigma = np.linalg.svd(rows.numpy() - rows.numpy().mean(0), compute_uv=False)
    rank, ratio = (
        features.effective_rank(spectrum(rows)),
        features.participation_ratio(spectrum(rows)),
    )
    assert rank == pytest.approx(np.exp(entropy(sigma)), rel=1e-6)
    assert ratio == pytest.approx((sigma**2).sum() ** 2 / (sigma**4).sum())
    assert 1 <= ratio <= rank <= min(shape[0] - 1, shape[1]) + 1e-9


def test_dimensions_are_free_of_scale_place_rotation_and_order():
    rows = normal(30, 5)
    turned = torch.from_numpy(ortho_group.rvs(5, random_state=0))
    for other in (rows * 1e-6, rows + 100, rows @ turned, rows.flip(0)):
        for measure in (features.effective_rank, features.participation_ratio):
            assert measure(spectrum(other)) == pytest.approx(measure(spectrum(rows)), rel=1e-6)


def test_features_that_do_not_vary_have_no_dimensions():
    for rows in (torch.full((5, 3), 0.1), torch.full((5, 9), 1e7), torch.zeros(4, 2), normal(1, 6)):
        assert features.effective_rank(spectrum(rows)) is None
        assert features.participation_ratio(spectrum(rows)) is None


def test_vendi_by_hand():
    axes = torch.eye(4)
    assert vendi(axes) == pytest.approx(4)
    assert vendi(axes[[0, 0, 0]] * torch.tensor([[1.0], [5], [9]])) == pytest.approx(1)
    assert vendi(axes[[0, 0, 1, 1]]) == pytest.approx(2)
    assert vendi(axes[[0, 0, 0, 1]]) == pytest.approx(np.exp(entropy([0.75, 0.25])))
    assert vendi(torch.zeros(3, 4)) is None
    assert vendi(torch.cat([axes, torch.zeros(3, 4)])) == pytest.approx(4)


@pytest.mark.parametrize("shape", [(30, 4), (12, 50)])
def test_vendi_is_that_of_the_kernels_eigenvalues(shape):
    rows = normal(*shape).numpy() + 0.5
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    values = np.linalg.eigvals(unit @ unit.T / len(rows)).real
    values = values[values > 1e-12]
    expected = np.exp(-(values * np.log(values)).sum())
    assert vendi(torch.from_numpy(rows)) == pytest.approx(expected)
    scaled = torch.from_numpy(rows) * normal(len(rows), 1).abs()
    assert vendi(scaled.flip(0)) == pytest.approx(expected)


def test_cka_by_hand():
    x = torch.tensor([[1.0], [-1], [1], [-1]])
    y = torch.tensor([[1.0], [1], [-1], [-1]])
    assert features.linear_cka(x, 3 * x + 7) == pytest.approx(1)
    assert features.linear_cka(x, y) == pytest.approx(0)
    # ‖YᵀX‖² = 16² (x with itself), ‖XᵀX‖ = 16 / 4 …: 1 / √2 for one of two equal directions.
    assert features.linear_cka(x, torch.cat([x, y], 1)) == pytest.approx(1 / np.sqrt(2))


@pytest.mark.parametrize("shape", [(40, 5, 8), (8, 30, 20)])
def test_cka_is_that_of_centred_kernels(shape):
    n, d, e = shape
    x, y = normal(n, d), normal(n, e, seed=1) + 2
    y[:, :d] += x[:, :e]
    centre = np.eye(n) - 1 / n
    k, m = (centre @ (z @ z.T).numpy() @ centre for z in (x, y))
    expected = np.sum(k * m) / np.sqrt(np.sum(k * k) * np.sum(m * m))  # HSIC, Kornblith et al.
    assert features.linear_cka(x, y) == pytest.approx(expected)
    assert features.linear_cka(y, x) == pytest.approx(expected)
    turned = torch.from_numpy(ortho_group.rvs(d, random_state=0))
    assert features.linear_cka(x @ turned * 1e-3 - 5, y.float()) == pytest.approx(
        expected, rel=1e-5
    )


def test_cka_needs_features_that_vary():
    x = normal(6, 3)
    for constant in (torch.zeros(6, 2), torch.full((6, 9), 0.1), torch.full((6, 2), 1e7)):
        assert features.linear_cka(x, constant) is None
        assert features.linear_cka(constant, x) is None
    assert features.linear_cka(x[:1], x[:1]) is None


def test_critical_sets_by_hand():
    rows = [
        [[0, 3, 0, 0], [0, 4, 1, 0], [0, 0, 0, 0]],  # two features choose point 1; one is off
        [[5, 0, 0, 0], [0, 5, 0, 0], [0, 0, 5, 5]],  # of two equal points the first counts
        [[2, 2, 2, 2], [0, 0, 0, 0], [7, 7, 7, 7]],  # no point decides anything
    ]
    found = features.critical_set_fraction(torch.tensor(rows, dtype=torch.float32))
    assert found.values.tolist() == [0.25, 0.75, 0]
    assert found.defined.tolist() == [True, True, False]


def test_without_its_critical_set_a_maximum_changes_and_with_it_alone_it_does_not():
    values = normal(1, 6, 30).clamp(min=0)
    points = sorted(set(values.argmax(2)[0].tolist()))
    assert features.critical_set_fraction(values).values.item() == pytest.approx(len(points) / 30)
    assert torch.equal(values[:, :, points].amax(2), values.amax(2))
    shuffled = values.flip(2)
    assert torch.equal(
        features.critical_set_fraction(shuffled).values,
        features.critical_set_fraction(values).values,
    )


class TwoHeads(nn.Module):
    """Registers its last layer first, and has a layer that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.unused = nn.Linear(5, 2), nn.Linear(9, 9)
        self.first = nn.Linear(3, 5)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(self.first(inputs).relu())


def test_penultimate_features_are_what_the_last_called_layer_reads():
    model, inputs = TwoHeads(), normal(4, 3).float()
    found = penultimate_features(model, inputs)
    assert torch.equal(found, model.first(inputs).relu())
    assert not found.requires_grad
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_networks_without_such_features_say_why_and_keep_no_hook():
    def reason(model: nn.Module, inputs: Tensor) -> str:
        with pytest.raises(FeaturesError) as caught:
            penultimate_features(model, inputs)
        assert not any(module._forward_pre_hooks for module in model.modules())
        return str(caught.value)

    inputs = torch.ones(4, 3, 3)
    assert "no nn.Linear" in reason(nn.Flatten(), inputs)
    assert "(4, 3, 3)" in reason(nn.Linear(3, 2), inputs)
    assert "finite" in reason(nn.Linear(3, 2), torch.full((4, 3), torch.inf))
    broken = nn.Linear(7, 2)
    with pytest.raises(RuntimeError):
        penultimate_features(broken, inputs)
    assert not broken._forward_pre_hooks


def test_a_batch_of_nothing_changes_nothing():
    rows = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    plain, holed = features.Rows(), features.Rows()
    for part in rows.split(10):
        plain.add(part)
        holed.add(part)
        holed.add(part[:0])
    assert torch.equal(plain.eigenvalues(), holed.eigenvalues())
