"""Properties of the corruptions that make shifted test sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reldrop_bench import corruptions
from reldrop_bench.data import TensorSplit

IMAGE = [
    corruptions.image_noise,
    corruptions.image_blur,
    corruptions.image_translation,
    corruptions.image_occlusion,
]
CLOUD = [
    corruptions.cloud_jitter,
    corruptions.cloud_dropping,
    corruptions.cloud_rotation,
    corruptions.cloud_clutter,
]


def images(count: int = 6, channels: int = 2, height: int = 9, width: int = 7) -> TensorSplit:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, channels, height, width, generator=generator)
    masks = (inputs[:, 0] > 0).to(torch.uint8)
    return TensorSplit(inputs, torch.arange(count), masks)


def clouds(count: int = 6, channels: int = 6, points: int = 40) -> TensorSplit:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, channels, points, generator=generator)
    if channels == 6:
        inputs[:, 3:] = torch.nn.functional.normalize(inputs[:, 3:], dim=1)
    # The mask names the point, so that a test can follow it.
    return TensorSplit(
        inputs, torch.arange(count), torch.arange(1, points + 1, dtype=torch.uint8).repeat(count, 1)
    )


@pytest.mark.parametrize("corruption", [*IMAGE, *CLOUD])
def test_severity_zero_is_the_identity(corruption: corruptions.Corruption) -> None:
    split = images() if corruption in IMAGE else clouds()
    after = corruption(split, 0, np.random.default_rng(0))
    assert torch.allclose(after.inputs, split.inputs, atol=1e-6)
    assert after.masks is not None
    assert torch.equal(after.masks, split.masks)


@pytest.mark.parametrize("corruption", [*IMAGE, *CLOUD])
def test_inputs_stay_untouched_and_a_seed_gives_the_same_bits(
    corruption: corruptions.Corruption,
) -> None:
    split = images() if corruption in IMAGE else clouds()
    before = split.inputs.clone()
    first = corruption(split, 0.5, np.random.default_rng(3))
    again = corruption(split, 0.5, np.random.default_rng(3))
    assert torch.equal(split.inputs, before)
    assert torch.equal(first.inputs, again.inputs)
    assert first.inputs.shape == before.shape
    assert first.inputs.dtype == torch.float32
    assert first.inputs.is_contiguous()
    assert torch.equal(first.targets, split.targets)


@pytest.mark.parametrize("corruption", [*IMAGE, *CLOUD])
def test_one_sample_without_masks(corruption: corruptions.Corruption) -> None:
    split = images(1) if corruption in IMAGE else clouds(1, channels=3)
    after = corruption(TensorSplit(split.inputs, split.targets), 0.5, np.random.default_rng(0))
    assert after.masks is None
    assert after.inputs.shape == split.inputs.shape


@given(severity=st.floats(0, 1), height=st.integers(1, 12), width=st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_occlusion_hides_one_square_of_the_wanted_side(
    severity: float, height: int, width: int
) -> None:
    split = TensorSplit(torch.ones(5, 3, height, width), torch.zeros(5, dtype=torch.int64))
    hidden = corruptions.image_occlusion(split, severity, np.random.default_rng(0)).inputs == 0
    side = round(severity * min(height, width))
    assert (hidden.any(3).sum(2) == side).all()
    assert (hidden.any(2).sum(2) == side).all()
    assert (hidden.sum((2, 3)) == side**2).all()


def test_occlusion_clears_the_mask_where_it_hides() -> None:
    split = TensorSplit(
        torch.ones(4, 1, 8, 8), torch.zeros(4).long(), torch.ones(4, 8, 8, dtype=torch.uint8)
    )
    after = corruptions.image_occlusion(split, 0.5, np.random.default_rng(0))
    assert after.masks is not None
    assert torch.equal(after.masks == 0, after.inputs[:, 0] == 0)


@pytest.mark.parametrize("pixels", [1, 2, 3])
def test_translation_moves_each_image_along_one_axis(pixels: int) -> None:
    split = images(40)
    after = corruptions.image_translation(split, pixels, np.random.default_rng(0))
    seen = set()
    for image, mask, moved, moved_mask in zip(
        split.inputs, split.masks, after.inputs, after.masks, strict=True
    ):
        for name, old, new in (
            (
                "down",
                (..., slice(None, -pixels), slice(None)),
                (..., slice(pixels, None), slice(None)),
            ),
            (
                "up",
                (..., slice(pixels, None), slice(None)),
                (..., slice(None, -pixels), slice(None)),
            ),
            ("right", (..., slice(None, -pixels)), (..., slice(pixels, None))),
            ("left", (..., slice(pixels, None)), (..., slice(None, -pixels))),
        ):
            if torch.equal(image[old], moved[new]):
                assert torch.equal(mask[old], moved_mask[new])
                seen.add(name)
                break
        else:
            pytest.fail("an image was not merely moved")
    assert seen == {"down", "up", "right", "left"}


def test_blur_keeps_constants_and_lowers_the_variance() -> None:
    constant = TensorSplit(torch.full((2, 1, 8, 8), 1.5), torch.zeros(2).long())
    blurred = corruptions.image_blur(constant, 1.0, np.random.default_rng(0)).inputs
    assert torch.allclose(blurred, constant.inputs, atol=1e-6)
    stds = [
        corruptions.image_blur(images(), sigma, np.random.default_rng(0)).inputs.std().item()
        for sigma in (0.3, 0.6, 1.2)
    ]
    assert stds == sorted(stds, reverse=True)


def test_noise_has_the_wanted_standard_deviation() -> None:
    split = TensorSplit(torch.zeros(50, 1, 20, 20), torch.zeros(50).long())
    noise = corruptions.image_noise(split, 0.7, np.random.default_rng(0)).inputs
    assert noise.std().item() == pytest.approx(0.7, rel=0.02)


@given(fraction=st.floats(0, 1), points=st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_dropping_keeps_the_wanted_points_and_copies_only_kept_ones(
    fraction: float, points: int
) -> None:
    split = clouds(3, 6, points)
    after = corruptions.cloud_dropping(split, fraction, np.random.default_rng(0))
    source = after.masks.long() - 1
    kept = max(1, points - round(fraction * points))
    expected = split.inputs.gather(2, source[:, None].expand(-1, 6, -1))
    assert torch.equal(after.inputs, expected)
    assert [len(row.unique()) for row in source] == [kept] * 3
    assert ((source == torch.arange(points)).sum(1) == kept).all()


def test_rotation_keeps_lengths_and_the_angle_between_point_and_normal() -> None:
    split = clouds()
    after = corruptions.cloud_rotation(split, 180.0, np.random.default_rng(0)).inputs
    assert torch.allclose(after[:, :3].norm(dim=1), split.inputs[:, :3].norm(dim=1), atol=1e-5)
    assert torch.allclose(
        (after[:, :3] * after[:, 3:]).sum(1),
        (split.inputs[:, :3] * split.inputs[:, 3:]).sum(1),
        atol=1e-4,
    )


def test_rotation_angles_stay_below_the_severity_and_reach_it() -> None:
    frame = TensorSplit(torch.eye(3).repeat(500, 1, 1), torch.zeros(500).long())
    turned = corruptions.cloud_rotation(frame, 30.0, np.random.default_rng(0)).inputs
    trace = turned.diagonal(dim1=1, dim2=2).sum(1)
    angles = torch.rad2deg(torch.acos(((trace - 1) / 2).clamp(-1, 1)))
    assert angles.max() <= 30.1
    assert angles.max() > 28
    assert torch.allclose(torch.linalg.det(turned), torch.ones(500), atol=1e-5)


def test_rotation_matrix_of_a_quarter_turn() -> None:
    quarter = corruptions.rotation_matrices(np.array([[0.0, 0.0, 2.0]]), np.array([np.pi / 2]))
    assert np.allclose(quarter[0] @ [1, 0, 0], [0, 1, 0])


@pytest.mark.parametrize("channels", [3, 6])
def test_clutter_replaces_the_wanted_points_and_marks_them(channels: int) -> None:
    split = clouds(channels=channels)
    after = corruptions.cloud_clutter(split, 0.25, np.random.default_rng(0))
    replaced = after.masks == 0
    assert (replaced.sum(1) == 10).all()
    assert torch.equal(replaced, (after.inputs != split.inputs).any(1))
    low, high = split.inputs[:, :3].amin(2), split.inputs[:, :3].amax(2)
    assert (after.inputs[:, :3].amin(2) >= low).all()
    assert (after.inputs[:, :3].amax(2) <= high).all()
    if channels == 6:
        assert torch.allclose(after.inputs[:, 3:].norm(dim=1), torch.ones(6, 40), atol=1e-5)


def test_jitter_leaves_normals_alone() -> None:
    split = clouds()
    after = corruptions.cloud_jitter(split, 0.1, np.random.default_rng(0)).inputs
    assert torch.equal(after[:, 3:], split.inputs[:, 3:])
    assert (after[:, :3] - split.inputs[:, :3]).std().item() == pytest.approx(0.1, rel=0.1)


def test_shifts_are_named_by_level_and_independent_of_the_order_of_calls() -> None:
    levels = {"noise": (corruptions.image_noise, (0.1, 0.2))}
    shifts = corruptions.corrupted(images, "task", levels)
    assert list(shifts) == ["noise/1", "noise/2"]
    second = shifts["noise/2"]().batch(torch.arange(6)).inputs
    shifts["noise/1"]()
    assert torch.equal(shifts["noise/2"]().batch(torch.arange(6)).inputs, second)
    other = corruptions.corrupted(images, "other task", levels)["noise/2"]()
    assert not torch.equal(other.batch(torch.arange(6)).inputs, second)
