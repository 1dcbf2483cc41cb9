"""Which methods nobody beats in cost and benefit at once."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reldrop_bench.statistics.paired import paired_difference

FRONT, DOMINATED, CLEARLY = "on the front", "dominated", "dominated clearly"
SAME = 0.01
"""Costs that differ by less than this share are the same: nobody chooses a method for that."""


@dataclass(frozen=True)
class Point:
    """A label in a setting: log cost (n,) and benefit (n,) by seed, in one order of seeds for all.

    NaN where a cell has no value. More benefit is better, less cost is better.
    """

    cost: np.ndarray
    benefit: np.ndarray

    @property
    def means(self) -> tuple[float, float]:
        """Mean log cost and benefit over the seeds that have them; NaN where none has."""
        return _mean(self.cost), _mean(self.benefit)


def _mean(values: np.ndarray) -> float:
    there = np.sort(values[np.isfinite(values)])
    return float(there.mean()) if len(there) else float("nan")


@dataclass(frozen=True)
class Standing:
    """Where a label stands, and which label dominates it."""

    word: str
    by: str = ""


def places(points: Mapping[str, Point]) -> dict[str, Standing]:
    """Return for every label with a cost and a benefit where it stands among these.

    Dominated: on the seeds that both have, another label costs no more (up to `SAME`) and brings no
    less on average, and is better in one of the two. That takes means at their word. Clearly
    dominated: on the same seeds, the 95 % t interval of the other's gain excludes zero, and that of
    its cost excludes that it costs more (up to `SAME`); they are not adjusted for the number of
    comparisons.
    """
    complete = {label: point for label, point in points.items() if np.isfinite(point.means).all()}
    means = {label: point.means for label, point in complete.items()}
    names = list(complete)
    costs = np.array([point.cost for point in complete.values()])
    benefits = np.array([point.benefit for point in complete.values()])
    same = float(np.log1p(SAME))
    placed = {}
    for label, point in complete.items():
        dearer, gain = _means(costs - point.cost), _means(benefits - point.benefit)
        # NaN, no seed in common: false. A label has no gain over itself.
        beaten = (gain >= 0) & (dearer <= same) & ((gain > 0) | (dearer < -same))
        rivals = [names[number] for number in np.flatnonzero(beaten)]
        # The one with the most benefit, the cheapest of these: it does not depend on the order.
        rivals.sort(key=lambda other: (-means[other][1], means[other][0], other))
        clear = next((other for other in rivals if _clearly(complete[other], point)), None)
        if clear is not None:
            placed[label] = Standing(CLEARLY, clear)
        else:
            placed[label] = Standing(DOMINATED, rivals[0]) if rivals else Standing(FRONT)
    return placed


def _means(values: np.ndarray) -> np.ndarray:
    """Return the means (k,) of the finite values in each row of (k, n); NaN where there is none."""
    there = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(there, values, 0.0).sum(axis=1) / there.sum(axis=1)


def _clearly(rival: Point, point: Point) -> bool:
    gain = paired_difference(rival.benefit - point.benefit)
    dearer = paired_difference(rival.cost - point.cost)
    return gain.low > 0 and dearer.high <= float(np.log1p(SAME))
