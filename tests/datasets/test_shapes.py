"""The shapes task against what is known of the solids."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util

import pytest
import torch

from reldrop_bench.errors import UserError
from reldrop_bench.plugins.datasets.shapes import SOLIDS, Shapes

FINGERPRINT = "11f4b61e1a1ce81e"  # written by numpy 2.4.6 on x86-64 Linux


def still(**parameters: object) -> Shapes:
    """Return unturned, unstretched solids without clutter, with normals."""
    defaults = {"rotation": "none", "stretch": 1, "clutter": 0, "normals": True}
    return Shapes.create({**defaults, "samples": 64, "test_samples": 64, **parameters})


def of(task: Shapes, solid: str) -> tuple[torch.Tensor, torch.Tensor]:
    test = task.test(None)
    chosen = test.targets == SOLIDS.index(solid)
    return test.inputs[chosen], test.masks[chosen]


@pytest.mark.parametrize("rotation", ["none", "vertical", "full"])
def test_clouds_lie_in_the_unit_sphere_and_normals_are_unit(rotation: str) -> None:
    inputs = still(rotation=rotation, clutter=32, stretch=2).test(None).inputs
    assert inputs[:, :3].norm(dim=1).max() <= 1 + 1e-5
    assert torch.allclose(inputs[:, 3:].norm(dim=1), torch.ones(()), atol=1e-5)
    solid = inputs[:, :3, :-32].norm(dim=1).amax(1)
    assert torch.allclose(solid, torch.ones(()), atol=1e-5)


def test_clutter_has_part_0_and_the_solid_has_not() -> None:
    masks = Shapes(points=100, clutter=30, samples=64, test_samples=64).test(None).masks
    assert (masks == 0).sum(1).eq(30).all()


def test_points_of_a_sphere_lie_on_it_and_its_normals_point_outwards() -> None:
    inputs, masks = of(still(), "sphere")
    assert inputs[:, :3].norm(dim=1).min() > 0.99
    assert (inputs[:, :3] * inputs[:, 3:]).sum(1).min() > 0.99
    up, down = inputs[:, 2][masks == 2], inputs[:, 2][masks == 3]
    assert up.min() > -0.05
    assert down.max() < 0.05


def test_lids_and_sides_of_a_cylinder() -> None:
    inputs, masks = of(still(), "cylinder")
    height = inputs[:, 2]
    assert height[masks == 2].std() < 0.01
    assert height[masks == 2].mean() > height[masks == 1].max() - 0.01
    assert height[masks == 3].mean() < height[masks == 1].min() + 0.01
    assert inputs[:, 5][masks == 1].abs().max() < 1e-4


def test_the_bore_of_an_annulus_is_its_inner_side() -> None:
    inputs, masks = of(still(), "annulus")
    radius = inputs[:, :2].norm(dim=1)
    assert radius[masks == 4].max() < radius[masks == 1].min()


def test_stretching_keeps_points_evenly_spread_over_the_surface() -> None:
    """Of a box with sides a, b, c the two z faces have 2ab of the 2(ab + bc + ca) of area."""
    task = still(stretch=2, points=512, test_samples=400)
    inputs, masks = of(task, "box")
    extent = inputs[:, :3].amax(2) - inputs[:, :3].amin(2)
    a, b, c = extent.T
    expected = a * b / (a * b + b * c + c * a)
    found = (masks >= 2).float().mean(1)
    assert (found - expected).abs().mean() < 0.03
    assert (found - expected).mean().abs() < 0.015


def test_stretched_normals_stay_at_right_angles_to_the_surface() -> None:
    """On an ellipsoid x²/a² + y²/b² + z²/c² = 1 the normal is along (x/a², y/b², z/c²)."""
    inputs, _ = of(still(stretch=2, points=1024), "sphere")
    axes = inputs[:, :3].abs().amax(2, keepdim=True)
    gradient = torch.nn.functional.normalize(inputs[:, :3] / axes**2, dim=1)
    assert (gradient * inputs[:, 3:]).sum(1).mean() > 0.995


def test_vertical_rotation_keeps_heights_and_full_rotation_does_not() -> None:
    heights = {
        rotation: still(rotation=rotation).test(None).inputs[:, 2]
        for rotation in ("none", "vertical", "full")
    }
    assert torch.allclose(heights["none"], heights["vertical"], atol=1e-6)
    assert not torch.allclose(heights["none"], heights["full"], atol=0.1)


def test_more_clutter_than_points_is_refused() -> None:
    with pytest.raises(UserError, match="clutter = 64"):
        Shapes(points=64, clutter=64)


def test_published_fingerprint() -> None:
    """Seed 0 gives these labels and splits on every machine."""
    task = Shapes()
    splits = task.splits(None, 0)
    data = torch.cat(
        [splits.train.whole.targets, splits.validation.indices, task.test(None).targets]
    )
    assert hashlib.sha256(data.numpy().astype("<i8").tobytes()).hexdigest()[:16] == FINGERPRINT


def test_without_trimesh_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "trimesh" else find(name)
    )
    with pytest.raises(UserError, match=r"pip install 'reldrop-bench\[shapes\]'") as error:
        Shapes().facts(None)
    assert "\n" not in str(error.value)
    wanted = importlib.metadata.requires("reldrop-bench") or []
    assert any(each.startswith("trimesh") and each.endswith("extra == 'shapes'") for each in wanted)
