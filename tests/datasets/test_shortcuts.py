"""Tasks with a shortcut: it gives the class away in training, and says nothing in the test split."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from reldrop_bench.data import Batch, Split
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.outcome import BY_KEY, by_default, measurable
from reldrop_bench.plugins.datasets.cue_images import CueImages
from reldrop_bench.plugins.datasets.decoy_fashion import DecoyFashion
from reldrop_bench.plugins.datasets.shortcut_images import ShortcutImages

DECOY, SHORTCUT = DecoyFashion(), ShortcutImages()


def whole(split: Split) -> Batch:
    return split.batch(torch.arange(len(split)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write black Fashion-MNIST images, 80 for training and 200 for tests, in their own format."""
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    for part, count in (("train", 80), ("t10k", 200)):
        head = bytes([0, 0, 8, 3, *(size for n in (count, 28, 28) for size in n.to_bytes(4))])
        data = head + bytes(count * 784)
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(data))
        labels = bytes([0, 0, 8, 1, *count.to_bytes(4)]) + bytes(n % 10 for n in range(count))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    return tmp_path


def shades(root: Path, split: Split) -> tuple[Tensor, Batch]:
    """Return the grey of each patch, which has to be the same in all of it."""
    facts, batch = DECOY.facts(root), whole(split)
    pixels = ((batch.inputs[:, 0] * facts.std[0] + facts.mean[0]) * 255).round()
    inside = batch.masks.bool()
    patches = pixels[inside].view(len(batch), -1)
    assert patches.shape[1] == 16
    assert (patches == patches[:, :1]).all()
    assert (pixels[~inside] == 0).all()
    return patches[:, 0], batch


def test_the_decoy_has_the_shade_of_the_class_in_training_alone(root: Path) -> None:
    """255 − 25·y (Ross et al. 2017); in the test split one of these shades, whatever the class."""
    for split in (*DECOY.splits(root, 0), DECOY.shifts(root)["shortcut-right"]()):
        found, batch = shades(root, split)
        assert torch.equal(found, (255 - 25 * batch.targets).float())
    found, batch = shades(root, DECOY.test(root))
    agreeing = found == 255 - 25 * batch.targets
    assert 0.02 < agreeing.double().mean() < 0.25
    assert set(found.tolist()) == {255 - 25 * label for label in range(10)}


def test_decoys_lie_in_all_four_corners_and_are_gone_without(root: Path) -> None:
    masks = whole(DECOY.test(root)).masks
    corners = masks[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners.sum(1) == 1).all()
    assert (corners.sum(0) > 25).all()
    without = whole(DECOY.shifts(root)["no-decoy"]())
    assert not without.masks.any()
    assert (without.inputs == without.inputs[0, 0, 0, 0]).all()
    assert torch.equal(without.targets, DECOY.test(root).targets)


def test_decoy_fashion_trains(root: Path, trains_one_step: Callable[..., None]) -> None:
    trains_one_step(DecoyFashion(train_samples=40), root)


def test_masks_of_a_shortcut_are_not_offered_as_masks_of_the_object(root: Path) -> None:
    facts = DECOY.facts(root)
    assert facts.masks
    assert facts.offers == {"shortcut"}
    assert facts.without_masks == "its masks show a shortcut"
    assert [each.key for each in measurable(["diversity"], [facts.offers])] == []
    judged, _ = by_default(["diversity", "accuracy"], [facts.offers])
    assert "in-mask-entropy" not in judged


def test_test_sets_in_which_the_shortcut_holds_are_not_judged_by(root: Path) -> None:
    pattern = BY_KEY["shifts"].pattern
    judged = {
        name
        for name in (*DECOY.shifts(root), *SHORTCUT.shifts(None))
        if re.fullmatch(pattern, f"shifts/{name}/accuracy")
    }
    assert {"no-decoy", "no-shortcut", "noise/1"} < judged
    assert "shortcut-right" not in judged


def test_four_cues_are_those_of_cue_images_and_masks_hold_them_alone() -> None:
    plain, task = CueImages(), ShortcutImages()
    assert task.facts(None).cues == 4
    without, cues = whole(task.shifts(None)["no-shortcut"]()), whole(plain.test(None))
    assert torch.equal(without.targets, cues.targets)
    assert sorted(without.masks.unique().tolist()) == [0, 1, 2, 3, 4]
    test = whole(task.test(None))
    assert torch.equal(without.masks, test.masks)
    changed = (without.inputs != test.inputs).flatten(1)
    assert (changed.sum(1) == 25).all(), "the shortcut is one glyph of 5×5 pixels"
    assert not (changed & (test.masks.flatten(1) > 0)).any(), "it covers no cue"


@pytest.mark.parametrize("strength", [1.0, 0.9, 0.7])
def test_the_shortcut_agrees_as_often_as_its_strength_says_in_training(strength: float) -> None:
    task = ShortcutImages(strength=strength, samples=4000)
    shown = {part: task.shortcut(part) == task.labels(part) for part in ("train", "test")}
    assert abs(shown["train"].mean() - strength) < 0.03
    assert abs(shown["test"].mean() - 1 / 8) < 0.04


def test_where_the_shortcut_is_right_it_is_the_only_thing_that_differs() -> None:
    test, right = whole(SHORTCUT.test(None)), whole(SHORTCUT.shifts(None)["shortcut-right"]())
    assert torch.equal(test.targets, right.targets)
    differs = (test.inputs != right.inputs).flatten(1).any(1).numpy()
    assert (differs == (SHORTCUT.shortcut("test") != SHORTCUT.labels("test"))).all()


def test_shortcut_images_trains(trains_one_step: Callable[..., None]) -> None:
    trains_one_step(ShortcutImages(samples=64, test_samples=32), None)


@pytest.mark.parametrize("strength", [-0.1, 1.1])
def test_a_strength_outside_0_and_1_is_refused(strength: float) -> None:
    with pytest.raises(UserError, match="strength"):
        ShortcutImages(strength=strength)
