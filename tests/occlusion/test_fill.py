"""Fills: only what is hidden changes, and it changes into what the fill's name says."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reldrop_bench.data import Facts
from reldrop_bench.errors import UserError
from reldrop_bench.occlusion.fill import FILLS, MASKED, draw_partners, occlude, replacement

IMAGE = Facts("image", ("a", "b"), (3, 12, 10), (0.5, 0.4, 0.3), (0.2, 0.2, 0.2))
CLOUD = Facts("cloud", ("a", "b"), (6, 40), (0.0,) * 6, (1.0, 1.0, 1.0, 0.5, 0.5, 0.5))
CASES = [(facts, fill) for facts in (IMAGE, CLOUD) for fill in FILLS[facts.modality]]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sample(facts: Facts, count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    g = generator(seed)
    inputs = torch.randn(count, *facts.input_shape, generator=g)
    return inputs, torch.rand(count, *facts.element_shape, generator=g) < 0.5


@pytest.mark.parametrize(("facts", "fill"), CASES)
@given(
    count=st.integers(0, 4),
    size=st.lists(st.integers(1, 9), min_size=2, max_size=2),
    hidden=st.sampled_from([0.0, 0.5, 1.0]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(max_examples=25, deadline=None)
def test_shape_type_and_shown_elements_stay(
    facts: Facts, fill: str, count: int, size: list[int], hidden: float, dtype: torch.dtype
) -> None:
    g = generator()
    shape = size if facts.modality == "image" else size[:1]
    inputs = torch.randn(count, facts.input_shape[0], *shape, generator=g).to(dtype)
    before = inputs.clone()
    mask = torch.rand(count, *shape, generator=g) < hidden
    state = torch.get_rng_state()
    out = occlude(inputs, mask, fill, facts, g)
    assert out.shape == inputs.shape
    assert out.dtype == dtype
    assert out.isfinite().all()
    shown = (~mask).unsqueeze(1).expand_as(inputs)
    assert torch.equal(out[shown], inputs[shown])
    assert torch.equal(inputs, before)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("facts", "fill"), CASES)
def test_same_seed_same_output(facts: Facts, fill: str) -> None:
    inputs, mask = sample(facts, 4)
    first, second = (occlude(inputs, mask, fill, facts, generator(3)) for _ in range(2))
    assert torch.equal(first, second)


def test_mean_is_the_fill_value_and_channel_mean_is_the_raw_mean() -> None:
    inputs, mask = sample(IMAGE, 2)
    mean = occlude(inputs, mask, "mean", IMAGE, generator()).movedim(1, -1)[mask]
    raw = occlude(inputs, mask, "channel-mean", IMAGE, generator()).movedim(1, -1)[mask]
    assert (mean == IMAGE.fill).all()
    assert torch.equal(raw, torch.tensor(IMAGE.mean).expand_as(raw))


def test_noise_is_standard_normal() -> None:
    facts = Facts("image", ("a",), (3, 100, 100), (0.0,) * 3, (1.0,) * 3)
    mask = torch.ones(1, 100, 100, dtype=torch.bool)
    out = occlude(torch.full((1, 3, 100, 100), 7.0), mask, "noise", facts, generator())
    assert out.mean().abs() < 0.03
    assert (out.std() - 1).abs() < 0.03


def test_blur_keeps_a_constant_and_the_mean_and_flattens_detail() -> None:
    mask = torch.ones(1, 32, 32, dtype=torch.bool)
    constant = torch.full((1, 3, 32, 32), 2.5)
    out = occlude(constant, mask, "blur", IMAGE, generator())
    torch.testing.assert_close(out, constant)
    row, column = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    checks = ((row + column) % 2).float().expand(1, 3, 32, 32)
    assert occlude(checks, mask, "blur", IMAGE, generator()).std() < 0.01 * checks.std()


@pytest.mark.parametrize("facts", [IMAGE, CLOUD])
def test_other_sample_is_never_the_sample_itself(facts: Facts) -> None:
    inputs, _ = sample(facts, 5)
    mask = torch.zeros(5, *facts.element_shape, dtype=torch.bool)
    mask[:, 1:] = True
    out = occlude(inputs, mask, "other-sample", facts, generator())
    hidden = mask.unsqueeze(1).expand_as(inputs)[0]
    for index in range(5):
        equal = [bool((out[index] == other)[hidden].all()) for other in inputs]
        assert sum(equal) == 1
        assert not equal[index]


def test_other_sample_alone_falls_back() -> None:
    inputs, mask = sample(IMAGE, 1)
    out = occlude(inputs, mask, "other-sample", IMAGE, generator())
    assert torch.equal(out, occlude(inputs, mask, "mean", IMAGE, generator()))
    inputs, mask = sample(CLOUD, 1)
    out = occlude(inputs, mask, "other-sample", CLOUD, generator(1))
    assert torch.equal(out, occlude(inputs, mask, "duplicate", CLOUD, generator(1)))


def test_partners_are_uniform_over_the_others() -> None:
    rows = torch.full((40_000,), 2)
    counts = torch.bincount(draw_partners(rows, 5, generator()), minlength=5)
    assert counts[2] == 0
    assert ((counts[[0, 1, 3, 4]] / 40_000 - 0.25).abs() < 0.01).all()


def test_duplicates_come_from_all_kept_points_of_the_same_cloud() -> None:
    inputs = torch.arange(2 * 3 * 2000.0).view(2, 3, 2000)
    mask = torch.zeros(2, 2000, dtype=torch.bool)
    mask[:, 10:] = True
    out = occlude(inputs, mask, "duplicate", CLOUD, generator())
    for before, after in zip(inputs, out, strict=True):
        source = (after[0] - before[0, 0]).long()
        assert torch.equal(after, before[:, source])  # whole points, not single coordinates
        counts = torch.bincount(source[10:], minlength=10)
        assert len(counts) == 10
        assert ((counts / 1990 - 0.1).abs() < 0.03).all()


def test_first_is_the_first_kept_point() -> None:
    inputs, mask = sample(CLOUD, 3)
    mask[:, :4] = True
    mask[:, 4] = False
    out = occlude(inputs, mask, "first", CLOUD, generator())
    expected = torch.where(mask[:, None], inputs[:, :, 4:5], inputs)
    assert torch.equal(out, expected)


@pytest.mark.parametrize("fill", FILLS["cloud"])
def test_a_cloud_hidden_whole_keeps_its_first_point(fill: str) -> None:
    inputs, _ = sample(CLOUD, 2)
    mask = torch.ones(2, 40, dtype=torch.bool)
    out = occlude(inputs, mask, fill, CLOUD, generator())
    assert torch.equal(out[:, :, 0], inputs[:, :, 0])
    if fill in {"duplicate", "first", "resample"}:
        assert torch.equal(out, inputs[:, :, :1].expand_as(inputs))


def test_cloud_noise_stays_in_the_box_with_unit_normals() -> None:
    inputs, mask = sample(CLOUD, 3)
    out = occlude(inputs, mask, "noise", CLOUD, generator())
    low, high = inputs[:, :3].amin(2, keepdim=True), inputs[:, :3].amax(2, keepdim=True)
    assert ((out[:, :3] >= low) & (out[:, :3] <= high)).all()
    normals = (out[:, 3:] * 0.5).movedim(1, -1)[mask]
    torch.testing.assert_close(normals.norm(dim=1), torch.ones(len(normals)))


@pytest.mark.parametrize(("facts", "wrong", "hint"), [(IMAGE, "meen", "mean"), (CLOUD, "mean", "")])
def test_unknown_fill_names_the_nearest(facts: Facts, wrong: str, hint: str) -> None:
    inputs, mask = sample(facts, 1)
    with pytest.raises(UserError, match=f"{wrong}.*{hint}"):
        occlude(inputs, mask, wrong, facts, generator())


def test_resampled_points_lie_between_a_kept_point_and_its_nearest_kept_neighbour() -> None:
    inputs, mask = (part.double() for part in sample(CLOUD, 3))
    mask = mask.bool()
    out = occlude(inputs, mask, "resample", CLOUD, generator())
    for cloud, hidden, new in zip(inputs, mask, out, strict=True):
        kept = cloud[:, ~hidden]
        distance = torch.cdist(kept[:3].T, kept[:3].T).fill_diagonal_(torch.inf)
        near = kept[:3, distance.argmin(1)]
        for point in new[:, hidden].T:
            # The normal names the kept point, as no two are alike.
            (source,) = (kept[3:] == point[3:, None]).all(0).nonzero()
            start, line = kept[:3, source], near[:, source] - kept[:3, source]
            along = ((point[:3, None] - start) * line).sum() / line.square().sum()
            assert 0 <= along <= 1
            torch.testing.assert_close(point[:3, None], start + along * line)


def test_resampling_draws_from_all_kept_points_and_all_along() -> None:
    # Pairs of points far from each other: a new one tells its pair and how far along it is.
    facts = Facts("cloud", ("a",), (3, 4000), (0.0,) * 3, (1.0,) * 3)
    inputs = torch.zeros(1, 3, 4000)
    inputs[0, 0, :8] = torch.tensor([0.0, 1, 10, 11, 20, 21, 30, 31])
    mask = torch.ones(1, 4000, dtype=torch.bool)
    mask[0, :8] = False
    new = occlude(inputs, mask, "resample", facts, generator())[0, 0, 8:]
    counts = torch.bincount((new / 10).long(), minlength=4)
    assert ((counts / 3992 - 0.25).abs() < 0.03).all()
    tenths = torch.bincount((new % 10 * 10).long().clamp(max=9), minlength=10)
    assert ((tenths / 3992 - 0.1).abs() < 0.02).all()


def test_one_kept_point_is_resampled_as_duplicates() -> None:
    inputs, _ = sample(CLOUD, 2)
    mask = torch.ones(2, 40, dtype=torch.bool)
    mask[:, 7] = False
    out = occlude(inputs, mask, "resample", CLOUD, generator())
    assert torch.equal(out, inputs[:, :, 7:8].expand_as(inputs))


@pytest.mark.parametrize(
    ("facts", "fill"), [(facts, fill) for facts, fill in CASES if fill not in MASKED]
)
def test_a_fill_that_reads_no_mask_can_be_made_once(facts: Facts, fill: str) -> None:
    inputs, mask = sample(facts, 4)
    once = replacement(inputs, fill, facts, generator(2))
    expected = occlude(inputs, mask, fill, facts, generator(2))
    assert torch.equal(torch.where(mask.unsqueeze(1), once, inputs), expected)
