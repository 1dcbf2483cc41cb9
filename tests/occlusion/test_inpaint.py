"""Inpainting equals the reference implementation of ROAD, for any hidden region."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from reldrop_bench.data import Facts
from reldrop_bench.occlusion.fill import occlude
from reldrop_bench.occlusion.inpaint import NOISE, inpaint


def images(count: int, height: int, width: int) -> Tensor:
    g = torch.Generator().manual_seed(1)
    rough, smooth = (
        torch.randn(count, 3, height, width, generator=g),
        torch.randn(count, 3, 4, 4, generator=g),
    )
    return 0.5 * rough + torch.nn.functional.interpolate(smooth, (height, width), mode="bilinear")


def masks(kind: str, count: int, height: int, width: int) -> Tensor:
    """Hide a growing part of each image."""
    g = torch.Generator().manual_seed(2)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    key = torch.rand(count, height, width, generator=g)
    if kind == "blocks":
        key = key[:, rows // 5, columns // 5]
    elif kind == "border":
        key = torch.minimum(
            torch.minimum(rows, height - 1 - rows), torch.minimum(columns, width - 1 - columns)
        ).expand(count, -1, -1)
    elif kind == "centre":
        key = ((rows - height / 2) ** 2 + (columns - width / 2) ** 2).expand(count, -1, -1)
    fraction = torch.linspace(0.05, 0.99, count)
    threshold = torch.stack([k.float().quantile(f) for k, f in zip(key, fraction, strict=True)])
    hidden = key < threshold[:, None, None]
    assert (~hidden).flatten(1).any(1).all()
    return hidden


@pytest.mark.parametrize("kind", ["random", "blocks", "border", "centre"])
@pytest.mark.parametrize(("height", "width"), [(24, 24), (32, 32), (13, 21)])
def test_equals_quantus_noisy_linear_imputation(kind: str, height: int, width: int) -> None:
    reference = pytest.importorskip("quantus.functions.perturb_func").noisy_linear_imputation
    inputs, hidden = images(6, height, width), masks(kind, 6, height, width)
    found = inpaint(inputs, hidden, 0.0)
    for image, mask, own in zip(inputs.double(), hidden, found, strict=True):
        where = np.flatnonzero(mask.numpy())
        expected = reference(image.numpy(), where, noise=0.0)
        np.testing.assert_allclose(own.numpy(), expected, atol=1e-3)


def test_hidden_pixels_are_the_weighted_mean_of_their_neighbours() -> None:
    inputs = torch.arange(9.0, dtype=torch.float64).view(1, 1, 3, 3) ** 2
    hidden = torch.zeros(1, 3, 3, dtype=torch.bool)
    hidden[0, 1, 1] = True
    found = inpaint(inputs, hidden, 0.0)[0, 0, 1, 1]
    assert found == pytest.approx((1 + 9 + 25 + 49) / 6 + (0 + 4 + 36 + 64) / 12)
    # A corner has two direct neighbours and a diagonal one.
    hidden = torch.zeros(1, 3, 3, dtype=torch.bool)
    hidden[0, 0, 0] = True
    found = inpaint(inputs, hidden, 0.0)[0, 0, 0, 0]
    assert found == pytest.approx((1 / 6 + 9 / 6 + 16 / 12) / (5 / 12))


def test_a_plane_comes_back_inside_a_hole() -> None:
    rows, columns = torch.meshgrid(torch.arange(30.0), torch.arange(30.0), indexing="ij")
    plane = (0.1 * rows - 0.05 * columns).expand(1, 1, 30, 30)
    hidden = torch.zeros(1, 30, 30, dtype=torch.bool)
    hidden[0, 3:26, 5:27] = True
    torch.testing.assert_close(inpaint(plane, hidden, 0.0), plane, atol=1e-3, rtol=0)


def test_what_was_hidden_tells_nothing() -> None:
    inputs, hidden = images(4, 20, 20), masks("blocks", 4, 20, 20)
    other = torch.where(hidden.unsqueeze(1), 100.0, inputs)
    assert torch.equal(inpaint(inputs, hidden, 0.0), inpaint(other, hidden, 0.0))


def test_an_image_hidden_whole_becomes_the_fill_value() -> None:
    facts = Facts("image", ("a",), (3, 24, 24), (0.0,) * 3, (1.0,) * 3, fill=0.7)
    hidden = torch.ones(2, 24, 24, dtype=torch.bool)
    hidden[1, 0] = False
    inputs = images(2, 24, 24)
    found = occlude(inputs, hidden, "inpaint", facts, torch.Generator().manual_seed(0))
    assert (found[0] - 0.7).mean().abs() < 0.002
    assert (found[0] - 0.7).std() == pytest.approx(NOISE, rel=0.1)
    assert torch.equal(inpaint(inputs, hidden, 0.7)[0], torch.full((3, 24, 24), 0.7))


def test_an_image_does_not_depend_on_the_batch() -> None:
    inputs, hidden = images(6, 24, 24), masks("blocks", 6, 24, 24)
    together = inpaint(inputs, hidden, 0.0)
    for place in range(6):
        alone = inpaint(inputs[place : place + 1], hidden[place : place + 1], 0.0)
        torch.testing.assert_close(alone[0], together[place], atol=1e-5, rtol=0)


def test_the_noise_has_the_standard_deviation_of_road() -> None:
    facts = Facts("image", ("a",), (3, 32, 32), (0.0,) * 3, (1.0,) * 3)
    inputs, hidden = images(6, 32, 32), masks("random", 6, 32, 32)
    found = occlude(inputs, hidden, "inpaint", facts, torch.Generator().manual_seed(0))
    noise = (found - inpaint(inputs, hidden, 0.0)).movedim(1, -1)[hidden]
    assert noise.std() == pytest.approx(NOISE, rel=0.05)
