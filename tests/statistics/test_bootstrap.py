"""Bootstrap intervals against scipy, exact enumeration and properties."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from reldrop_bench.statistics import aggregates
from reldrop_bench.statistics.bootstrap import (
    bootstrap_interval,
    jackknife_error,
    leave_one_out,
    resample,
    studentised_pays,
)

METHODS = ("automatic", "expanded")
RANDOM = np.random.default_rng(11)
SKEWED = RANDOM.lognormal(size=400)
RUNS = st.lists(
    st.lists(st.floats(0, 1), min_size=1, max_size=5).map(np.array), min_size=1, max_size=3
)


def test_one_setting_of_many_runs_agrees_with_scipy() -> None:
    reference = stats.bootstrap(
        (SKEWED,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    found = bootstrap_interval([SKEWED], aggregates.mean, "expanded", resamples=10_000)
    assert (found.low, found.high) == pytest.approx((reference.low, reference.high), rel=0.01)


def test_resamples_are_those_of_an_enumeration() -> None:
    runs = [np.array([0.1, 0.5, 0.9]), np.array([0.2, 0.3, 0.7])]
    means = [[np.mean(drawn) for drawn in itertools.product(run, repeat=3)] for run in runs]
    every = [(first + second) / 2 for first, second in itertools.product(*means)]
    drawn = aggregates.mean(resample([run[None] for run in runs], 50_000, RANDOM))[0]
    for level in (0.025, 0.3, 0.5, 0.975):
        assert np.quantile(drawn, level) == pytest.approx(np.quantile(every, level), abs=0.01)


def test_settings_are_resampled_apart() -> None:
    # Settings far apart: mixing their runs would make the interval wide.
    runs = [np.array([0.0, 0.01, 0.02]), np.array([10.0, 10.01, 10.02])]
    for method in METHODS:
        found = bootstrap_interval(runs, aggregates.mean, method)  # type: ignore[arg-type]
        assert 4.95 < found.low < 5.01 < found.high < 5.07


def test_jackknife_error_of_a_mean_is_the_standard_error() -> None:
    runs = [RANDOM.normal(size=5), RANDOM.normal(size=8), RANDOM.normal(size=1)]
    reference = np.sqrt(sum(run.var(ddof=1) / len(run) for run in runs[:2])) / 3
    assert jackknife_error(runs, aggregates.mean) == pytest.approx(reference)
    first, _, single = leave_one_out(runs, aggregates.mean)
    assert first[2] == pytest.approx(aggregates.mean([np.delete(runs[0], 2), *runs[1:]]))
    assert single == pytest.approx([aggregates.mean(runs)])


def test_expanded_is_as_wide_as_a_t_interval_where_the_statistic_is_normal() -> None:
    runs = [np.random.default_rng(number).normal(size=5) for number in range(12)]
    error = np.sqrt(sum(run.var(ddof=1) / len(run) for run in runs)) / 12
    half = stats.t.ppf(0.975, 48) * error
    found = bootstrap_interval(runs, aggregates.mean, "expanded", resamples=20_000)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)


def test_studentised_is_the_t_interval_for_normal_runs() -> None:
    runs = [np.random.default_rng(number).normal(size=5) for number in range(8)]
    assert studentised_pays([5] * 8)
    error = np.sqrt(sum(run.var(ddof=1) / len(run) for run in runs)) / 8
    half = stats.t.ppf(0.975, 32) * error
    found = bootstrap_interval(runs, aggregates.mean, resamples=4000)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


@pytest.mark.parametrize("counts", [[3], [2, 2], [10] * 12])
def test_studentised_is_not_tried_where_resamples_lack_spread_or_runs_are_many(
    counts: list[int],
) -> None:
    # Of the 27 resamples of three runs, three consist of one run only.
    assert not studentised_pays(counts)
    runs = [RANDOM.normal(size=n) for n in counts]
    expanded = bootstrap_interval(runs, aggregates.mean, "expanded", resamples=200)
    assert bootstrap_interval(runs, aggregates.mean, resamples=200) == expanded


@pytest.mark.parametrize("counts", [[3], [2, 2], [3, 3], [5], [10], [3] * 12, [10] * 12, [1, 1]])
def test_the_automatic_method_is_always_bounded(counts: list[int]) -> None:
    random = np.random.default_rng(5)
    for _ in range(20):
        runs = [random.normal(size=n) for n in counts]
        found = bootstrap_interval(runs, aggregates.mean, resamples=500)
        middle = bootstrap_interval(runs, aggregates.interquartile_mean, resamples=500)
        assert np.isfinite([found.low, found.high, middle.low, middle.high]).all()
        assert found.low <= aggregates.mean(runs) <= found.high


@settings(max_examples=40, deadline=None)
@given(RUNS, st.sampled_from(METHODS), st.randoms(use_true_random=False))
def test_an_interval_depends_on_seed_and_values_alone(
    runs: list[np.ndarray], method: str, random: object
) -> None:
    found = bootstrap_interval(runs, aggregates.interquartile_mean, method, resamples=50)  # type: ignore[arg-type]
    shuffled = [random.sample(list(run), len(run)) for run in runs]  # type: ignore[attr-defined]
    state = np.random.get_state()  # noqa: NPY002 - it must not change
    again = bootstrap_interval(shuffled, aggregates.interquartile_mean, method, resamples=50)  # type: ignore[arg-type]
    assert found == again
    assert np.array_equal(state[1], np.random.get_state()[1])  # noqa: NPY002
    assert not np.isnan([found.low, found.high]).any()
    assert found.low <= found.high


@pytest.mark.parametrize("method", METHODS)
def test_equal_runs_leave_nothing_to_doubt(method: str) -> None:
    found = bootstrap_interval([[0.3] * 4, [0.1] * 3], aggregates.mean, method)  # type: ignore[arg-type]
    assert (found.low, found.high) == pytest.approx((0.2, 0.2))


@pytest.mark.parametrize(
    ("runs", "part"),
    [([], "no setting"), ([[0.1], []], "setting 1"), ([[0.1, float("nan")]], "setting 0")],
)
def test_holes_are_refused(runs: list[list[float]], part: str) -> None:
    with pytest.raises(ValueError, match=part):
        bootstrap_interval(runs, aggregates.mean)
