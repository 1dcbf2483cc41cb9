"""The cue tasks: each cue lies where its mask says, and removing it changes nothing else."""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest
import scipy.stats
import torch

from reldrop_bench.data import Batch
from reldrop_bench.kinds.task import Task
from reldrop_bench.plugins.datasets import cue_images, cue_points
from reldrop_bench.plugins.datasets.cue_images import CueImages
from reldrop_bench.plugins.datasets.cue_points import CuePoints

PLACES: tuple[cue_images.Places, ...] = ("anywhere", "quadrants")
TASKS = [cls(places=places) for cls in (CueImages, CuePoints) for places in PLACES]
IDS = [f"{kind}, {places}" for kind in ("images", "points") for places in PLACES]
SUBSETS = cue_images.cue_subsets(4)


# Written by numpy 2.4.6 on x86-64 Linux; numpy 1.26.4 gave the same.
IMAGES = {
    "labels": "5b1e6f457707f5fb",
    "places": "9212b24d06891805",
    "places anywhere": "c7e0ea6497565f59",
    "glyphs": "07797e1a565f270f",
    "split": "cc723352435c54cf",
}
POINTS = {
    "labels": "f9c217cc4977e9cd",
    "order": "a9b831db458f461a",
    "places anywhere": "b9c04d9c722701ec",
    "clutter": "bc25737ea854fb06",
    "split": "2e9b5de924405ab3",
}


def whole(task: Task, shift: str | None = None) -> Batch:
    split = task.test(None) if shift is None else task.shifts(None)[shift]()
    return split.batch(torch.arange(len(split)))


def fingerprint(*arrays: np.ndarray) -> str:
    """Return a hash of integers that does not depend on the machine's byte order."""
    data = b"".join(array.astype("<i8").tobytes() for array in arrays)
    return hashlib.sha256(data).hexdigest()[:16]


@pytest.mark.parametrize("task", TASKS, ids=IDS)
def test_every_subset_of_cues_has_a_shift(task: Task) -> None:
    removed = {name for name in task.shifts(None) if name.startswith("removed-")}
    expected = {f"removed-{format(n, '04b')}" for n in range(1, 16)}
    bits = {
        "removed-" + "".join("1" if str(cue) in name[8:] else "0" for cue in range(4))
        for name in removed
    }
    assert bits == expected
    assert all(re.fullmatch("removed-0?1?2?3?", name) for name in removed)
    assert len(removed) == 15
    assert task.facts(None).cues == 4


@pytest.mark.parametrize("cues", SUBSETS, ids=cue_images.removal_name)
@pytest.mark.parametrize("task", TASKS, ids=IDS)
def test_removing_cues_changes_their_places_alone(task: Task, cues: tuple[int, ...]) -> None:
    clean, removed = whole(task), whole(task, cue_images.removal_name(cues))
    gone = torch.isin(clean.masks, torch.tensor([cue + 1 for cue in cues], dtype=torch.uint8))
    assert torch.equal((clean.inputs != removed.inputs).any(1), gone)
    assert torch.equal(removed.masks, clean.masks.masked_fill(gone, 0))
    assert torch.equal(removed.targets, clean.targets)


def test_a_removed_cue_is_the_same_clutter_whatever_else_is_removed() -> None:
    task = CuePoints()
    clean, alone, all_four = whole(task), whole(task, "removed-2"), whole(task, "removed-0123")
    third = (clean.masks == 3)[:, None].expand_as(clean.inputs)
    assert torch.equal(alone.inputs[third], all_four.inputs[third])


@pytest.mark.parametrize("places", PLACES)
def test_glyphs_are_whole_and_have_their_contrast(places: cue_images.Places) -> None:
    task = CueImages(noise=0, background=0, places=places)
    batch, (mean, std) = whole(task), (task.facts(None).mean[0], task.facts(None).std[0])
    pixels = batch.inputs[:, 0] * std + mean
    for cue, contrast in enumerate((1.0, 0.8, 0.6, 0.5)):
        drawn = batch.masks == cue + 1
        assert (drawn.any(2).sum(1) == 5).all()
        assert (drawn.any(1).sum(1) == 5).all()
        assert (drawn.sum((1, 2)) == 25).all()
        rows, columns = divmod(cue, 2)
        quadrant = drawn[:, 12 * rows : 12 * rows + 12, 12 * columns : 12 * columns + 12]
        assert (quadrant.sum((1, 2)) == 25).all() == (places == "quadrants")
        values = pixels[drawn].view(-1, 25)
        assert torch.allclose(values.abs(), torch.tensor(contrast), atol=1e-4)
        # One pattern a class: the same sample by sample, and no two classes share it.
        patterns = [values[batch.targets == label].sign().unique(dim=0) for label in range(8)]
        assert all(len(pattern) == 1 for pattern in patterns)
        assert len(torch.cat(patterns).unique(dim=0)) == 8
    assert pixels[batch.masks == 0].abs().max() < 1e-4


def test_glyphs_lie_at_every_allowed_place() -> None:
    places = cue_images.scene(CueImages(places="quadrants"), "train").places
    corners = 12 * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    offsets = places - corners
    assert [np.unique(offsets[:, cue, axis]).tolist() for cue in range(4) for axis in (0, 1)] == [
        list(range(8))
    ] * 8


def test_anywhere_a_place_says_nothing_of_the_cue() -> None:
    places = cue_images.separate_places(20000, np.random.default_rng(0))
    assert places.min() == 0
    assert places.max() == 19
    first, second = np.triu_indices(4, 1)
    apart = np.abs(places[:, first] - places[:, second]).max(2)
    assert (apart >= 5).all(), "no glyphs overlap"
    # Each cue has the same distribution of places: rows and columns of any two are told apart by chance.
    for cue in range(1, 4):
        for axis in (0, 1):
            assert scipy.stats.ks_2samp(places[:, 0, axis], places[:, cue, axis]).pvalue > 1e-3
    # As drawing one place after the other and starting anew at the first overlap gives it.
    random = np.random.default_rng(1)
    slow = []
    while len(slow) < 2000:
        drawn: list[np.ndarray] = []
        while len(drawn) < 4:
            drawn.append(random.integers(0, 20, 2))
            if any(np.abs(drawn[-1] - other).max() < 5 for other in drawn[:-1]):
                drawn = []
        slow.append(drawn)
    for axis in (0, 1):
        expected = np.array(slow)[:, :, axis].ravel()
        assert scipy.stats.ks_2samp(places[:, :, axis].ravel(), expected).pvalue > 1e-3


def test_corners_are_dealt_anew_for_each_cloud() -> None:
    drawn = cue_points.scene(CuePoints(samples=4000, jitter=0), "train")
    middle = (drawn.cues.max(2) + drawn.cues.min(2)) / 2
    corners = np.linalg.norm(middle[:, :, None] - cue_points.CENTRES, axis=3).argmin(2)
    assert (np.sort(corners, 1) == np.arange(4)).all(), "no two in one"
    counts = np.stack([np.bincount(corners[:, cue], minlength=4) for cue in range(4)])
    assert scipy.stats.chi2_contingency(counts).pvalue > 1e-3
    assert np.abs(drawn.cues).max() <= 1
    offsets = middle - cue_points.CENTRES[corners]
    # The middle of a class's constellation is not quite its region's: the spread is the offset's.
    of_class = offsets[drawn.labels == 0, 0]
    assert np.ptp(of_class, axis=0) == pytest.approx(0.2, rel=0.05)


def test_noise_and_background_have_the_wanted_strength() -> None:
    noise = cue_images.scene(CueImages(noise=0.7, background=0), "train").canvas
    smooth = cue_images.scene(CueImages(noise=0, background=0.7), "train").canvas
    assert noise.std() == pytest.approx(0.7, rel=0.02)
    assert smooth.std() == pytest.approx(0.7, rel=0.03)
    assert np.abs(np.diff(smooth, axis=1)).mean() < 0.3 * np.abs(np.diff(noise, axis=1)).mean()


def test_constellations_have_their_size_region_and_jitter() -> None:
    task = CuePoints(places="quadrants", clutter=64, jitter=1)
    batch, drawn = whole(task), cue_points.scene(task, "test")
    counts = torch.stack([(batch.masks == part).sum(1) for part in range(5)], 1)
    assert (counts == torch.tensor([64, 24, 24, 24, 24])).all()
    for cue, jitter in enumerate((0.02, 0.04, 0.06, 0.08)):
        spreads = [drawn.cues[drawn.labels == label, cue].std(0).mean() for label in range(8)]
        assert np.mean(spreads) == pytest.approx(jitter, rel=0.05)
        centre = drawn.cues[:, cue].mean((0, 1))
        assert np.sign(centre).tolist() == np.sign(cue_points.CENTRES[cue]).tolist()


def test_the_order_of_points_says_nothing() -> None:
    masks = whole(CuePoints(clutter=64)).masks
    shares = torch.stack([(masks == part).float().mean(0) for part in range(5)])
    expected = torch.tensor([64, 24, 24, 24, 24])[:, None] / 160
    assert (shares - expected).abs().max() < 0.08


@pytest.mark.parametrize("clutter", [0, 1, 200])
def test_clutter_adds_points(clutter: int) -> None:
    task = CuePoints(clutter=clutter, samples=32, test_samples=16)
    assert whole(task).inputs.shape == (16, 3, 96 + clutter)
    assert task.facts(None).input_shape == (3, 96 + clutter)


@pytest.mark.parametrize("task", TASKS, ids=IDS)
def test_classes_are_balanced(task: Task) -> None:
    counts = torch.bincount(whole(task).targets)
    assert counts.max() - counts.min() <= 1


def test_published_fingerprint_of_cue_images() -> None:
    """Seed 0 gives these labels, places and splits on every machine."""
    task = CueImages(places="quadrants")
    anywhere = cue_images.scene(CueImages(), "test").places
    train, test = cue_images.scene(task, "train"), cue_images.scene(task, "test")
    splits = task.splits(None, 0)
    found = {
        "labels": fingerprint(train.labels, test.labels),
        "places": fingerprint(train.places, test.places),
        "places anywhere": fingerprint(anywhere),
        "glyphs": fingerprint(train.glyphs),
        "split": fingerprint(splits.train.indices.numpy(), splits.validation.indices.numpy()),
    }
    assert found == IMAGES


def test_published_fingerprint_of_cue_points() -> None:
    """Seed 0 gives these labels, places (to 2⁻²⁰) and splits on every machine."""
    task = CuePoints(places="quadrants", clutter=64)
    anywhere = cue_points.scene(CuePoints(jitter=0), "test").cues
    train, test = cue_points.scene(task, "train"), cue_points.scene(task, "test")
    splits = task.splits(None, 0)
    found = {
        "labels": fingerprint(train.labels, test.labels),
        "order": fingerprint(train.order, test.order),
        "places anywhere": fingerprint(np.floor(anywhere * 2**20)),
        "clutter": fingerprint(np.floor(test.clutter * 2**20)),
        "split": fingerprint(splits.train.indices.numpy(), splits.validation.indices.numpy()),
    }
    assert found == POINTS
