"""Verdicts can be trusted: how often they are wrong where the truth is known, by simulation.

The very functions that the report calls judge simulated benchmarks of two or more methods. A rate is
the share of benchmarks with a wrong verdict; none may be above 5.5 % but by chance, at a nominal 5 %. What spreads and
families do to it is in `test_level`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reldrop_bench.statistics.adjustment import holm
from reldrop_bench.statistics.equivalence import equivalence_p
from reldrop_bench.statistics.overall import overall_difference, stratified_t
from reldrop_bench.statistics.paired import against_baseline, pair
from reldrop_bench.statistics.permutation import sign_flip, sign_flip_p
from reldrop_bench.statistics.verdicts import verdict
from reldrop_bench.statistics.wilcoxon import many_to_one

MOST = 0.06
"""5.5 %, and two standard errors of 10,000 benchmarks; `test_level` is more exact."""
LEVEL = 0.05
CHUNK = 2_000_000

SEEDS = pytest.mark.parametrize("seeds", [3, 5, 10])
SETTINGS = pytest.mark.parametrize("tasks", [1, 4, 12])
SHAPES = pytest.mark.parametrize("shape", ["normal", "skewed", "heavy-tailed", "unequal", "items"])


def noise(shape: str, size: tuple[int, int, int, int], random: np.random.Generator) -> np.ndarray:
    """Draw scores (methods, benchmarks, tasks, seeds) of methods that are in truth the same.

    skewed: lognormal. heavy-tailed: Student's t with 2 degrees of freedom, whose variance is
    infinite. unequal: the widest task scatters 100 times as much as the narrowest. one wide: one
    task scatters 10 times as much as all others, where estimated degrees of freedom are worst.
    items: accuracies on 100 items, so that ties and equal differences occur.
    """
    tasks = size[2]
    if shape == "skewed":
        return random.lognormal(size=size)
    if shape == "heavy-tailed":
        return random.standard_t(2, size=size)
    if shape == "items":
        return random.binomial(100, 0.9, size=size) / 100
    scores = random.standard_normal(size)
    if shape == "unequal":
        scores *= np.geomspace(1, 100, tasks)[:, None]
    elif shape == "one wide":
        scores *= np.where(np.arange(tasks) == 0, 10.0, 1.0)[:, None]
    return scores


def benchmarks(
    shape: str, number: int, tasks: int, seeds: int, methods: int = 2
) -> Iterator[np.ndarray]:
    """Yield, in parts, differences (methods - 1, benchmarks, tasks, seeds) to the first method."""
    random = np.random.default_rng([number, tasks, seeds, methods, *map(ord, shape)])
    part = max(1, CHUNK // (methods * tasks * seeds))
    for start in range(0, number, part):
        scores = noise(shape, (methods, min(part, number - start), tasks, seeds), random)
        yield scores[1:] - scores[:1]


def overall(differences: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return mean, error, degrees of freedom, the least of them and p (...) for differences (..., tasks, seeds)."""
    counts = np.full(differences.shape[-2], differences.shape[-1])
    return stratified_t(differences.mean(axis=-1), differences.var(axis=-1, ddof=1), counts)


def called_different(mean: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return whether the report's word for each is better or worse."""
    words = [verdict(*row, level=LEVEL) for row in zip(mean.flat, p.flat, strict=True)]
    return np.array([word in ("better", "worse") for word in words]).reshape(mean.shape)


def wrongly_different(shape: str, number: int, tasks: int, seeds: int) -> float:
    wrong = 0
    for (differences,) in benchmarks(shape, number, tasks, seeds):
        mean, *_, p = overall(differences)
        wrong += int(called_different(mean, p).sum())
    return wrong / number


@SEEDS
@SETTINGS
@SHAPES
def test_identical_methods_are_rarely_called_different(shape: str, tasks: int, seeds: int) -> None:
    assert wrongly_different(shape, 10_000, tasks, seeds) <= MOST


@SEEDS
def test_one_task_that_scatters_more_makes_no_wrong_verdicts(seeds: int) -> None:
    assert wrongly_different("one wide", 10_000, 4, seeds) <= MOST


@pytest.mark.slow
@SEEDS
@SETTINGS
@pytest.mark.parametrize(
    "shape", ["normal", "skewed", "heavy-tailed", "unequal", "items", "one wide"]
)
def test_identical_methods_are_rarely_called_different_in_many_benchmarks(
    shape: str, tasks: int, seeds: int
) -> None:
    assert wrongly_different(shape, 100_000, tasks, seeds) <= MOST


@SEEDS
@SETTINGS
def test_methods_that_scatter_differently_are_rarely_called_different(
    tasks: int, seeds: int
) -> None:
    random = np.random.default_rng([tasks, seeds])
    steady, unsteady = random.standard_normal((2, 10_000, tasks, seeds))
    mean, *_, p = overall(10 * unsteady - steady)
    assert called_different(mean, p).mean() <= MOST


@SEEDS
@SETTINGS
def test_a_difference_that_is_large_is_found(tasks: int, seeds: int) -> None:
    # A test that never rejects would pass all the others.
    for (differences,) in benchmarks("normal", 1000, tasks, seeds):
        mean, *_, p = overall(differences + 8)
        assert called_different(mean, p).mean() > 0.9


@SEEDS
@SETTINGS
@SHAPES
def test_sign_flips_rarely_call_identical_methods_different(
    shape: str, tasks: int, seeds: int
) -> None:
    number, part, wrong = 4000, 40, 0
    for (differences,) in benchmarks(shape, number, tasks, seeds):
        parts = differences.reshape(len(differences), -1) / (tasks * seeds)
        # A sample of signs that all benchmarks shared would have a level of its own.
        for start in range(0, len(parts), part):
            p = sign_flip_p(parts[start : start + part], resamples=999, seed=start)
            wrong += int((p < LEVEL).sum())
    assert wrong / number <= MOST
    if 2.0 ** (1 - tasks * seeds) >= LEVEL:
        assert wrong == 0  # it cannot be significant


def test_the_report_s_own_sample_of_signs_has_the_level() -> None:
    number, wrong = 4000, 0
    for (differences,) in benchmarks("normal", number, 4, 5):
        wrong += int((sign_flip_p(differences.reshape(len(differences), -1)) < LEVEL).sum())
    assert wrong / number <= MOST


@pytest.mark.parametrize("shape", ["normal", "skewed", "heavy-tailed", "unequal"])
@SEEDS
@SETTINGS
def test_holm_bounds_one_wrong_verdict_or_more_among_ten_methods(
    shape: str, tasks: int, seeds: int
) -> None:
    number, wrong = 5000, 0
    for differences in benchmarks(shape, number, tasks, seeds, methods=11):
        mean, *_, p = overall(differences)
        adjusted = np.moveaxis(holm(np.moveaxis(p, 0, -1)), -1, 0)
        wrong += int(called_different(mean, adjusted).any(axis=0).sum())
    assert wrong / number <= MOST


@SEEDS
@SETTINGS
def test_holm_over_outcomes_bounds_a_pair_and_holm_over_all_bounds_the_page(
    tasks: int, seeds: int
) -> None:
    # Ten methods and a baseline, three outcomes of a method that go together (r = 0.5).
    methods, outcomes, number = 10, 3, 2000
    random = np.random.default_rng([tasks, seeds])
    pairs = page = 0
    for _ in range(number // 200):
        own = random.standard_normal((outcomes, methods + 1, 200, tasks, seeds))
        scores = own + random.standard_normal(own.shape[1:])
        mean, *_, p = overall(scores[:, 1:] - scores[:, :1])  # each (outcomes, methods, 200)
        by_pair = np.moveaxis(holm(np.moveaxis(p, 0, -1)), -1, 0)
        pairs += int(called_different(mean, by_pair).any(axis=0).sum())
        family = p.reshape(outcomes * methods, 200)
        all_together = holm(family.T).T
        page += int(called_different(mean.reshape(family.shape), all_together).any(axis=0).sum())
    assert pairs / (methods * number) <= MOST
    # Of 2000 benchmarks: a standard error is half a point.
    assert page / number <= MOST


@SEEDS
@SETTINGS
@pytest.mark.parametrize("shape", ["normal", "skewed", "heavy-tailed", "unequal", "one wide"])
@pytest.mark.parametrize("scatter", [0.02, 0.5])
def test_a_difference_of_the_margin_is_rarely_called_equivalent(
    shape: str, scatter: float, tasks: int, seeds: int
) -> None:
    margin, number, wrong = 1.0, 10_000, 0
    for (differences,) in benchmarks(shape, number, tasks, seeds):
        mean, error, df, least, _ = overall(scatter * differences + margin)
        wrong += int((np.asarray(equivalence_p(mean, error, df, margin, least)) < LEVEL).sum())
    assert wrong / number <= MOST


@SEEDS
@SETTINGS
def test_methods_that_are_the_same_are_found_equivalent(tasks: int, seeds: int) -> None:
    for (differences,) in benchmarks("normal", 1000, tasks, seeds):
        mean, error, df, least, _ = overall(differences / 10)
        assert (np.asarray(equivalence_p(mean, error, df, 1.0, least)) < LEVEL).mean() > 0.9


def cells(random: np.random.Generator) -> pd.DataFrame:
    """Return scores of four methods on up to four tasks, some cells missing, some without a value."""
    shape = (4, random.integers(1, 5), random.integers(1, 6))
    names = ["label", "task", "seed"]
    index = pd.MultiIndex.from_product(
        [["none", "own", "x", "y"], *map(range, shape[1:])], names=names
    )
    frame = pd.DataFrame({"value": random.normal(size=len(index)).round(2)}, index=index)
    frame = frame.reset_index().assign(model="net")
    frame.loc[random.random(len(frame)) < 0.1, "value"] = np.nan
    return frame[random.random(len(frame)) > 0.1]


def judged(frame: pd.DataFrame) -> list[object]:
    """Return everything that is said about "own" against "none"."""
    pairs = pair(frame, "none")
    pairs = pairs[pairs["label"] == "own"]
    row = against_baseline(frame, "none")
    row = row[row["label"] == "own"].sort_values(["task", "model"]).drop(columns=["note"])
    groups = [group.to_numpy() for _, group in pairs.groupby("task")["difference"]]
    means = frame.groupby(["task", "label"])["value"].mean().unstack("label")
    means = means[means[["none", "own"]].notna().any(axis=1)]
    labels = list(means.columns)
    others = [label for label in labels if label != "none"]
    ranked = many_to_one(means.to_numpy(), labels.index("none"))[others.index("own")]
    found = overall_difference(groups)
    equivalence = equivalence_p(found.mean, found.error, found.df, 0.1, found.df_least)
    return [
        pairs.fillna(-9).values.tolist(),
        row.fillna(-9).values.tolist(),
        found,
        sign_flip(groups, resamples=200),
        ranked,
        repr(equivalence),
        verdict(found.mean, found.p, equivalence),
    ]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_nothing_but_a_pairs_own_cells_changes_what_is_said_of_it(seed: int) -> None:
    random = np.random.default_rng(seed)
    frame = cells(random)
    if not {"none", "own"} <= set(frame["label"]):
        return
    alone = judged(frame[frame["label"].isin(["none", "own"])])
    shuffled = frame.sample(frac=1, random_state=seed % 2**31)
    assert judged(frame) == alone
    assert judged(shuffled) == alone
    renamed = shuffled.replace({"label": {"x": "a first", "y": "z last"}})
    assert judged(renamed) == alone
