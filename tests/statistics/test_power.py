"""Power against statsmodels, published values and simulation of the report's own test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from reldrop_bench.statistics.overall import overall_difference, stratified_t
from reldrop_bench.statistics.permutation import sign_flip
from reldrop_bench.statistics.power import (
    limits_of,
    paired_power,
    pairs_needed,
    pairs_needed_a_setting,
    smallest_detectable_difference,
    smallest_detectable_effect,
    smallest_exact_p,
)

REPETITIONS = 20_000


def simulated_power(
    difference: float, deviations: list[float], counts: list[int], level: float = 0.05
) -> float:
    """Return how often the overall test of the report finds a difference, normal errors."""
    random = np.random.default_rng(3)
    means, variances = [], []
    for deviation, count in zip(deviations, counts, strict=True):
        values = random.normal(difference, deviation, size=(REPETITIONS, count))
        means.append(values.mean(axis=1))
        variances.append(values.var(axis=1, ddof=1))
    *_, p = stratified_t(np.stack(means, 1), np.stack(variances, 1), np.array(counts))
    return float((p < level).mean())


@pytest.mark.parametrize("n", [2, 3, 5, 10, 20, 100])
@pytest.mark.parametrize("effect", [0.0, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("level", [0.05, 0.005])
def test_power_agrees_with_statsmodels(n: int, effect: float, level: float) -> None:
    reference = TTestPower().power(effect, n, level, alternative="two-sided")
    if np.isnan(reference):  # it cannot compute a tail that is as good as empty
        reference = TTestPower().power(effect, n, level / 2, alternative="larger")
    assert paired_power(n, effect, level) == pytest.approx(reference, abs=1e-6)
    assert paired_power(n, -effect, level) == paired_power(n, effect, level)


# The values of Cohen-style tables for 80 % power at the two-sided level 0.05.
@pytest.mark.parametrize(("n", "effect"), [(3, 3.26), (5, 1.68), (10, 1.00), (20, 0.66)])
def test_smallest_detectable_effect_has_the_known_values(n: int, effect: float) -> None:
    assert smallest_detectable_effect(n) == pytest.approx(effect, abs=0.005)


@pytest.mark.parametrize(("n", "level"), [(2, 0.05), (3, 0.0025), (5, 0.0025), (100, 0.05)])
def test_smallest_detectable_effect_reaches_the_power(n: int, level: float) -> None:
    effect = smallest_detectable_effect(n, level=level)
    assert effect is not None
    critical = stats.t.ppf(1 - level / 2, n - 1)
    assert stats.nct.sf(critical, n - 1, effect * np.sqrt(n)) == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize("n", [3, 5, 10, 20])
@pytest.mark.parametrize("power", [0.3, 0.5, 0.8, 0.95])
def test_the_report_s_test_has_the_power_that_theory_says(n: int, power: float) -> None:
    effect = smallest_detectable_effect(n, power)
    assert effect is not None
    assert simulated_power(effect, [1.0], [n]) == pytest.approx(power, abs=0.03)


@pytest.mark.parametrize("effect", [0.2, 0.5, 1.0, 2.0])
def test_pairs_needed_agree_with_statsmodels(effect: float) -> None:
    n = pairs_needed(effect)
    assert n == np.ceil(TTestPower().solve_power(effect, power=0.8, alpha=0.05))
    assert paired_power(n, effect) >= 0.8 > paired_power(n - 1, effect)


def test_no_number_of_pairs_finds_nothing_or_next_to_nothing() -> None:
    assert pairs_needed(0.0) is None
    assert pairs_needed(1e-5) is None
    assert pairs_needed_a_setting(0.0, [1.0, 1.0]) is None
    assert pairs_needed_a_setting(0.1, [0.0, float("nan")]) is None


@pytest.mark.parametrize(
    ("deviations", "counts"),
    [
        ([1.0] * 4, [3] * 4),
        ([1.0] * 12, [3] * 12),
        ([0.1, 0.3, 1.0, 3.0], [3] * 4),
        ([1.0, 2.0, 3.0, 4.0], [5] * 4),
        ([1.0, 1.0], [10, 10]),
        ([1.0, 10.0], [3, 20]),
        ([1.0, 1.0], [2, 2]),
    ],
)
@pytest.mark.parametrize("power", [0.5, 0.8])
def test_the_overall_test_finds_the_smallest_detectable_difference(
    deviations: list[float], counts: list[int], power: float
) -> None:
    difference = smallest_detectable_difference(deviations, counts, power)
    assert difference is not None
    assert simulated_power(difference, deviations, counts) == pytest.approx(power, abs=0.03)


def test_one_setting_is_the_paired_test() -> None:
    effect = smallest_detectable_effect(5)
    assert effect is not None
    assert smallest_detectable_difference([0.2], [5]) == pytest.approx(0.2 * effect)
    assert pairs_needed_a_setting(0.1, [0.2]) == pairs_needed(0.5)


def test_a_difference_scales_with_its_unit_and_not_with_the_order_of_settings() -> None:
    first = smallest_detectable_difference([1.0, 2.0, 3.0], [3, 4, 5])
    assert smallest_detectable_difference([3.0, 1.0, 2.0], [5, 3, 4]) == first
    scaled = smallest_detectable_difference([0.01, 0.02, 0.03], [3, 4, 5])
    assert scaled == pytest.approx(0.01 * first, rel=1e-9)


def test_settings_that_cannot_be_tested_are_left_out_as_by_the_test_itself() -> None:
    whole = smallest_detectable_difference([1.0, 1.0], [5, 5])
    assert smallest_detectable_difference([1.0, 1.0, float("nan"), 1.0], [5, 5, 5, 1]) == whole
    assert smallest_detectable_difference([1.0], [1]) is None
    assert smallest_detectable_difference([0.0], [5]) is None
    # A setting without spread counts as a setting: it dilutes a difference that others show.
    found = overall_difference([[0.0, 0.0, 0.0], [0.9, 1.0, 1.1]])
    assert found.settings == 2
    half = smallest_detectable_difference([0.0, 1.0], [3, 3])
    assert half == pytest.approx(smallest_detectable_effect(3) / 2)  # type: ignore[operator]


def test_seeds_needed_are_the_fewest_that_reach_the_power() -> None:
    deviations = [0.02, 0.03, 0.05]
    n = pairs_needed_a_setting(0.02, deviations)
    assert n is not None
    assert smallest_detectable_difference(deviations, [n] * 3) <= 0.02  # type: ignore[operator]
    assert smallest_detectable_difference(deviations, [n - 1] * 3) > 0.02  # type: ignore[operator]


@pytest.mark.parametrize("n", [2, 3, 5, 6, 8])
def test_smallest_p_of_tests_without_assumptions(n: int) -> None:
    best = stats.wilcoxon(np.arange(1, n + 1), method="exact").pvalue
    assert smallest_exact_p(n) == pytest.approx(best)
    assert smallest_exact_p(n) == pytest.approx(sign_flip([np.arange(1.0, n + 1)]).p)


def test_sign_flips_of_all_settings_count_together() -> None:
    found = sign_flip([[1.0, 1.1, 1.2], [0.9, 1.0, 1.3]])
    assert found.p == pytest.approx(smallest_exact_p(6))


def test_limits_say_what_cannot_be_significant() -> None:
    assert "Nothing can be significant with n=1" in limits_of(1)
    assert "cannot be significant with n=3" in limits_of(3)
    assert "0.25" in limits_of(3)
    assert "cannot be significant" not in limits_of(8)
    assert "20 Holm-adjusted" in limits_of(8, 20)
