"""What a number of seed-paired differences can show at best: known before anything is run.

An effect d_z is a mean difference in units of its own standard deviation over seeds. All tests are
two-sided.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import scipy

from reldrop_bench.statistics.overall import stratified_t
from reldrop_bench.statistics.student import student_quantile
from reldrop_bench.statistics.verdicts import LEVEL

POWER = 0.8
"""Of a test that is called able to find a difference."""
MOST_PAIRS = 1_000_000
"""No search for a number of pairs goes on beyond this."""

_DRAWS = 10_000
_BISECTIONS = 60


@cache
def paired_power(n: int, effect: float, level: float = LEVEL) -> float:
    """Return the probability that a paired t test on n pairs finds an effect d_z.

    0 for n < 2, where there is no test. From the noncentral t distribution with n - 1 degrees of
    freedom and noncentrality d_z √n.
    """
    if n < 2:
        return 0.0
    critical = float(scipy.special.stdtrit(n - 1, 1 - level / 2))
    shift = abs(effect) * math.sqrt(n)
    below = scipy.special.nctdtr(n - 1, shift, -critical)  # NaN where it is too small to compute
    return float(1 - scipy.special.nctdtr(n - 1, shift, critical) + np.nan_to_num(below))


def _smallest(reached: Callable[[float], float], power: float, start: float = 1.0) -> float:
    """Return the smallest positive number at which an increasing power is reached."""
    low, high = 0.0, start
    while reached(high) < power:
        high *= 2
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if reached(middle) < power else (low, middle)
    return high


@cache
def smallest_detectable_effect(n: int, power: float = POWER, level: float = LEVEL) -> float | None:
    """Return the smallest |d_z| that a paired t test on n pairs finds with this power.

    None for n < 2. 0 where the level alone reaches the power.
    """
    if n < 2:
        return None
    if power <= level:
        return 0.0
    return _smallest(lambda effect: paired_power.__wrapped__(n, effect, level), power)


@cache
def pairs_needed(effect: float, power: float = POWER, level: float = LEVEL) -> int | None:
    """Return the smallest number of pairs with which a paired t test finds an effect d_z.

    None for effect 0, and where more than `MOST_PAIRS` would be needed.
    """
    return _fewest(lambda n: paired_power(n, effect, level), power) if effect else None


def _fewest(reached: Callable[[int], float], power: float) -> int | None:
    """Return the smallest n >= 2 at which an increasing power is reached."""
    low, high = 1, 2
    while reached(high) < power:
        low, high = high, high * 2
        if high > MOST_PAIRS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if reached(middle) < power else (low, middle)
    return high


class _OverallTest:
    """The power of the t test on the mean over settings, for normal differences.

    That test (`overall.stratified_t`) estimates a variance a setting, and its degrees of freedom
    from them. With a few pairs a setting the estimates scatter so much that a noncentral t with the
    true degrees of freedom promises too much power, by up to 10 points. So the power is averaged over
    drawn variance estimates, which are independent of the means; given them, it is a normal
    probability.
    """

    def __init__(self, variances: np.ndarray, counts: np.ndarray, level: float, seed: int) -> None:
        """variances: of the differences, (T,), positive; counts: pairs, (T,), 2 or more."""
        random = np.random.default_rng(seed)
        freedom = counts - 1.0
        self.error = math.sqrt((variances / counts).sum())
        """Standard error of the sum of the settings' means."""
        drawn = random.chisquare(freedom, size=(_DRAWS, len(counts))) * variances / freedom
        _, error, df, least, _ = stratified_t(np.zeros_like(drawn), drawn, counts)
        self._half = student_quantile(level / 2, df, least) * error * len(counts) / self.error

    def power(self, shift: float) -> float:
        """Return the power for a mean of `shift` standard errors."""
        ndtr = scipy.special.ndtr
        return float((ndtr(shift - self._half) + ndtr(-shift - self._half)).mean())


def smallest_detectable_difference(
    deviations: Sequence[float] | np.ndarray,
    counts: Sequence[int] | np.ndarray,
    power: float = POWER,
    level: float = LEVEL,
    seed: int = 0,
) -> float | None:
    """Return the smallest mean difference over settings that the overall t test finds.

    deviations (T,): standard deviation of the seed-paired differences in each setting, in the unit of
    the result; counts (T,): pairs a setting. Settings weigh equally, as in
    `overall.overall_difference`, which leaves out settings of less than two pairs (or of unknown
    deviation), and so does this. None where no setting is left or no difference varies.

    With equal deviations of 1 the result is in units of the deviation within a setting.
    """
    sizes = np.asarray(counts, dtype=np.float64)
    spread = np.asarray(deviations, dtype=np.float64)
    used = (sizes >= 2) & np.isfinite(spread)
    varying = used & (spread > 0)
    if not varying.any():
        return None
    # A setting without spread adds nothing to the error of the mean, but counts as a setting.
    total = int(used.sum())
    if varying.sum() == 1:
        (n,), (deviation,) = sizes[varying], spread[varying]
        effect = smallest_detectable_effect(int(n), power, level)
        return None if effect is None else effect * float(deviation) / total
    order = np.lexsort((sizes[varying], spread[varying]))  # the order of settings has no meaning
    key = (tuple(spread[varying][order]), tuple(sizes[varying][order]))
    return _smallest_sum(*key, power, level, seed) / total


@cache
def _smallest_sum(
    deviations: tuple[float, ...], counts: tuple[float, ...], power: float, level: float, seed: int
) -> float:
    if power <= level:
        return 0.0
    test = _OverallTest(np.square(deviations), np.asarray(counts), level, seed)
    return _smallest(test.power, power) * test.error


def pairs_needed_a_setting(
    difference: float,
    deviations: Sequence[float] | np.ndarray,
    power: float = POWER,
    level: float = LEVEL,
    seed: int = 0,
) -> int | None:
    """Return the number of pairs in every setting with which the overall t test finds a difference.

    deviations (T,): as for `smallest_detectable_difference`. None where no difference varies, for
    difference 0, and where more than `MOST_PAIRS` would be needed.
    """
    spread = np.asarray(deviations, dtype=np.float64)
    spread = np.sort(spread[np.isfinite(spread)])
    total = len(spread)
    spread = spread[spread > 0]
    if not len(spread) or not difference:
        return None
    if len(spread) == 1:
        return pairs_needed(abs(difference) * total / float(spread[0]), power, level)

    def reached(n: int) -> float:
        test = _OverallTest(spread**2, np.full(len(spread), n), level, seed)
        return test.power(abs(difference) * total / test.error)

    return _fewest(reached, power)


def smallest_exact_p(n: int) -> float:
    """Return the smallest two-sided p of an exact test of signs on n pairs, none of them 0.

    Such are the sign-flip test (pairs of all settings together) and Wilcoxon's: of the 2ⁿ equally
    likely sign patterns, the observed one and its mirror image are always as extreme as themselves.
    """
    return min(1.0, 2.0 ** (1 - n)) if n > 0 else 1.0


def limits_of(n: int, comparisons: int = 1, level: float = LEVEL) -> str:
    """Say in a few sentences what n pairs can show at best, in a family of `comparisons`."""
    effect = smallest_detectable_effect(n, level=level)
    if effect is None:
        return (
            f"Nothing can be significant with n={n}: an interval and a test need two pairs or more."
        )
    text = (
        f"With n={n} pairs a paired t test finds, with 80 % power, only effects of d_z ≥ "
        f"{effect:.2f} before any adjustment (a mean difference {effect:.2f} times its own "
        "standard deviation over seeds)"
    )
    if comparisons > 1:
        strict = smallest_detectable_effect(n, level=level / comparisons)
        text += f", and d_z ≥ {strict:.2f} as the first of {comparisons} Holm-adjusted comparisons"
    text += "."
    smallest = smallest_exact_p(n)
    if smallest >= level:
        text += (
            " A test that does not assume normal differences (Wilcoxon signed-rank) cannot be "
            f"significant with n={n}: its smallest two-sided p is {smallest:.3g}."
        )
    return text
