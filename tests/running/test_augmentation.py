"""Augmentations against torchvision's functions and formulas; masks and places move with the pixels."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torchvision.transforms.v2 import functional as V

from reldrop_bench.data import Batch, Facts
from reldrop_bench.kinds.recipe import AUGMENTATIONS, Augmentation
from reldrop_bench.running import augmentation
from reldrop_bench.running.augmentation import augment, resampled

IMAGE = Facts("image", ("a", "b"), (3, 12, 10), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), fill=0.5)
CLOUD = Facts("cloud", ("a", "b"), (6, 40), (0.0,) * 6, (1.0,) * 6)
IMAGES = [name for name, modality in AUGMENTATIONS.items() if modality == "image"]
CLOUDS = [name for name, modality in AUGMENTATIONS.items() if modality == "cloud"]


def images(count: int = 64) -> Batch:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand((count, 3, 12, 10), generator=generator)
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (IMAGE.mean, IMAGE.std))
    masks = torch.randint(0, 4, (count, 12, 10), generator=generator, dtype=torch.uint8)
    return Batch((pixels - mean) / std, torch.zeros(count).long(), masks)


def clouds(count: int = 64) -> Batch:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn((count, 6, 40), generator=generator)
    return Batch(inputs, torch.zeros(count).long(), torch.zeros(count, 40, dtype=torch.uint8))


def test_every_name_is_known() -> None:
    assert set(get_args(Augmentation)) == set(AUGMENTATIONS) == set(augmentation._AUGMENT)


@pytest.mark.parametrize("name", IMAGES)
def test_masks_and_places_follow_the_pixels(name: str) -> None:
    before = images()
    after = augment(before, [name], IMAGE, torch.Generator().manual_seed(1))
    assert after.inputs.shape == before.inputs.shape
    assert after.inputs.isfinite().all()
    places = after.places
    if places is None:  # nothing moved
        assert torch.equal(after.masks, before.masks)
        return
    inside = places >= 0
    came = before.masks.flatten(1).gather(1, places.clamp(min=0).flatten(1)).view_as(places)
    assert torch.equal(after.masks, came.where(inside, 0))
    assert inside.float().mean() > 0.5
    assert not torch.equal(after.masks, before.masks)
    again = augment(before, [name], IMAGE, torch.Generator().manual_seed(1))
    assert torch.equal(after.inputs, again.inputs)
    twice = augment(after, ["flip"], IMAGE, torch.Generator().manual_seed(2))
    known = twice.places >= 0
    back = before.masks.flatten(1).gather(1, twice.places.clamp(min=0).flatten(1)).view_as(places)
    assert torch.equal(twice.masks, back.where(known, 0))


def test_pixels_at_their_own_places_stay_as_they_are() -> None:
    before = images(4)
    rows = torch.arange(12.0)[None, :, None].expand(4, 12, 10)
    columns = torch.arange(10.0)[None, None, :].expand(4, 12, 10)
    after = resampled(before, IMAGE, rows, columns)
    torch.testing.assert_close(after.inputs, before.inputs, atol=1e-5, rtol=1e-5)
    assert torch.equal(after.masks, before.masks)
    moved = resampled(before, IMAGE, rows + 3, columns)
    torch.testing.assert_close(
        moved.inputs[:, :, :9], before.inputs[:, :, 3:], atol=1e-5, rtol=1e-5
    )
    assert (moved.inputs[:, :, 9:] == IMAGE.fill).all()
    assert (moved.places[:, 9:] == -1).all()
    assert (moved.masks[:, 9:] == 0).all()


def test_rotation_is_torchvisions(monkeypatch: pytest.MonkeyPatch) -> None:
    angle = 11.0
    before = images(3)
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.full(shape, (angle / 15 + 1) / 2))
    after = augment(before, ["rotate"], IMAGE, torch.Generator())
    shifted = V.rotate(
        before.inputs - IMAGE.fill, angle, interpolation=V.InterpolationMode.BILINEAR
    )
    torch.testing.assert_close(after.inputs, shifted + IMAGE.fill, atol=1e-4, rtol=1e-4)
    nearest = V.rotate(before.masks[:, None], angle)[:, 0]
    assert (after.masks == nearest).float().mean() > 0.97


def test_resized_crops_are_torchvisions() -> None:
    before = images()
    after = augment(before, ["resized-crop"], IMAGE, torch.Generator().manual_seed(3))
    areas = []
    for index, places in enumerate(after.places):
        rows, columns = places // 10, places % 10
        top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
        tall, wide = int(bottom - top) + 1, int(right - left) + 1
        areas.append(tall * wide / 120)
        cut = V.resized_crop(
            before.inputs[index], int(top), int(left), tall, wide, [12, 10], antialias=False
        )
        torch.testing.assert_close(after.inputs[index], cut, atol=1e-4, rtol=1e-4)
        assert 0.5 < wide / tall < 2
    assert 0.06 < min(areas) < 0.3
    assert 0.8 < max(areas) <= 1


def test_colour_jitter_is_torchvisions(monkeypatch: pytest.MonkeyPatch) -> None:
    factors = torch.tensor([1.3, 0.7, 1.2])
    draws = ((factors - 1) / 0.4 + 1) / 2
    before = images(5)
    monkeypatch.setattr(torch, "rand", lambda shape, **_: draws[:, None].expand(shape))
    after = augment(before, ["colour-jitter"], IMAGE, torch.Generator())
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (IMAGE.mean, IMAGE.std))
    expected = V.adjust_brightness(before.inputs * std + mean, 1.3)
    expected = V.adjust_saturation(V.adjust_contrast(expected, 0.7), 1.2)
    torch.testing.assert_close(after.inputs * std + mean, expected, atol=2e-3, rtol=1e-3)
    grey = Facts("image", ("a", "b"), (1, 12, 10), (0.4,), (0.2,))
    one = augment(
        before.replace(inputs=before.inputs[:, :1]), ["colour-jitter"], grey, torch.Generator()
    )
    assert one.inputs.shape == (5, 1, 12, 10)


def test_turning_keeps_height_lengths_and_normals() -> None:
    before = clouds()
    after = augment(before, ["turn"], CLOUD, torch.Generator().manual_seed(0))
    for part in (slice(0, 3), slice(3, 6)):
        torch.testing.assert_close(after.inputs[:, part][:, 2], before.inputs[:, part][:, 2])
        torch.testing.assert_close(
            after.inputs[:, part].norm(dim=1), before.inputs[:, part].norm(dim=1)
        )
    dot = (before.inputs[:, :3] * before.inputs[:, 3:]).sum(1)
    torch.testing.assert_close(
        (after.inputs[:, :3] * after.inputs[:, 3:]).sum(1), dot, atol=1e-4, rtol=1e-4
    )
    angle = torch.atan2(after.inputs[:, 1, 0], after.inputs[:, 0, 0]) - torch.atan2(
        before.inputs[:, 1, 0], before.inputs[:, 0, 0]
    )
    quarters = torch.bincount(((angle % (2 * math.pi)) / (math.pi / 2)).long(), minlength=4)
    assert quarters.min() > 6


def test_jitter_is_small_and_leaves_normals_alone() -> None:
    before = clouds(200)
    after = augment(before, ["jitter"], CLOUD, torch.Generator().manual_seed(0))
    moved = (after.inputs - before.inputs)[:, :3]
    assert torch.equal(after.inputs[:, 3:], before.inputs[:, 3:])
    assert moved.abs().max() <= 0.05 + 1e-6
    assert moved.std().item() == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize("name", CLOUDS)
def test_clouds_keep_their_masks(name: str) -> None:
    before = clouds()
    after = augment(before, [name], CLOUD, torch.Generator().manual_seed(0))
    assert torch.equal(after.masks, before.masks)
    assert not torch.equal(after.inputs, before.inputs)
