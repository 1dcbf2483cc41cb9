"""How each metric of Quantus is set, and how its answer becomes one score a sample."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from reldrop_bench.seeding import derive_seed

from .._measures.area import area as curve_area
from .spaces import FLOOR, Case

Settings = dict[str, Any]

GRID = 8
"""Regions along the shorter side of an image."""
NOISE = {"image": 0.1, "cloud": 0.01}
"""Half the width of the uniform noise, in standard deviations of the data."""
NEIGHBOURS = 5


class Unusable(Exception):  # noqa: N818 - no error: the metric is left out with this reason
    """A metric cannot be taken of this data or model."""


@dataclass(frozen=True)
class Scores:
    """One value a sample (b,), NaN where there is none, and curves (b, P) over x (P,)."""

    values: np.ndarray
    x: np.ndarray | None = None
    curves: np.ndarray | None = None


def equal_steps(elements: int, wanted: int) -> int:
    """Return into how many equal steps the elements are taken: what divides them, near `wanted`.

    Raises
    ------
    Unusable
        Nothing from 2 to four times as many divides them.
    """
    fitting = [steps for steps in range(2, 4 * wanted + 1) if elements % steps == 0]
    if not fitting:
        raise Unusable(f"{elements} elements cannot be taken in at most {4 * wanted} equal steps")
    return min(fitting, key=lambda steps: abs(math.log(steps / wanted)))


def nothing(case: Case, budget: int) -> Settings:
    return {}


def top_tenth(case: Case, budget: int) -> Settings:
    return {"k": max(1, case.elements // 10)}


def above_floor(case: Case, budget: int) -> Settings:
    return {"eps": FLOOR}


def steps(case: Case, budget: int) -> Settings:
    count = equal_steps(case.elements, budget)
    return {"features_in_step": case.elements // count, "perturb_baseline": 0.0}


def steps_once(case: Case, budget: int) -> Settings:
    # Removal draws nothing, so once is enough. With an eps Quantus fails on a batch in which some
    # outputs are below it and others are not; what it guards is a factor that ranks ignore.
    return steps(case, budget) | {"nr_samples": 1, "eps": 0.0}


def subsets(case: Case, budget: int) -> Settings:
    size = max(1, case.elements // 8)
    return {"nr_runs": budget, "subset_size": size, "perturb_baseline": 0.0}


def regions(case: Case, budget: int) -> Settings:
    side = min(case.relevance.shape[1:])
    return {"patch_size": max(1, side // GRID), "perturb_baseline": 0.0}


def first_regions(case: Case, budget: int) -> Settings:
    return regions(case, budget) | {"regions_evaluation": budget}


def blocks(case: Case, budget: int) -> Settings:
    height, width = case.relevance.shape[1:]
    # Quantus pads other sizes and then removes elsewhere than it adds up.
    fitting = [
        side
        for side in range(1, math.gcd(height, width) + 1)
        if height % side == width % side == 0 and 2 <= height * width // side**2 <= 4 * budget
    ]
    if not fitting:
        raise Unusable(f"{height} x {width} pixels cannot be cut into at most {4 * budget} squares")
    side = min(fitting, key=lambda side: abs(math.log(height * width / side**2 / budget)))
    return {
        "perturb_patch_sizes": [side],
        "n_perturb_samples": 1,
        "perturb_baseline": 0.0,
        "loss_func": unexplained,
    }


def unexplained(a: np.ndarray, b: np.ndarray, **_: Any) -> np.ndarray:
    """Return which share of the output's changes the relevance leaves unexplained: (b,), 0 to 1.

    a: how far the output fell, b: the relevance removed so far, both (b, P) after block upon block,
    which Quantus does not put back; so the growths are compared. Relevance is scaled as suits it
    best, but not below zero: how large a map is says nothing here.
    """
    change, share = (np.diff(part, prepend=0.0, axis=1) for part in (a, b))
    power = (share**2).sum(1)
    scale = (change * share).sum(1).clip(min=0) / np.where(power > 0, power, 1.0)
    left = ((change - scale[:, None] * share) ** 2).sum(1)
    return left / (change**2).sum(1)


def cosine_distance(a: np.ndarray, b: np.ndarray, **_: Any) -> float:
    """Return 1 - cosine of two maps. As a function, since Quantus gives all a variance, too."""
    return float(1 - a @ b / np.sqrt((a @ a) * (b @ b)))


def nearest(distances: np.ndarray) -> np.ndarray:
    """Return 0 where sample j is among the `NEIGHBOURS` nearest of sample i, else 1; (n, n).

    In place of Quantus' division by the largest distance, which hangs on a single odd map and
    leaves samples without any neighbour, whom it scores 0.
    """
    others = distances + np.diag(np.full(len(distances), np.inf))
    count = min(NEIGHBOURS, len(distances) - 1)
    order = np.argsort(others, axis=1, kind="stable")[:, :count]
    far = np.ones_like(distances)
    np.put_along_axis(far, order, 0.0, axis=1)
    return far


def neighbours(case: Case, budget: int) -> Settings:
    if len(case.items) < 2:
        raise Unusable("it compares samples, and there is one alone")
    if len(case.logits.argmax(1).unique()) < 2:
        raise Unusable("the model gives all samples the same class")
    return {"threshold": 0.5, "distance_func": cosine_distance, "normalise_func": nearest}


def _uniform(case: Case) -> Settings:
    from quantus.functions.perturb_func import batch_uniform_noise

    # Where Quantus sets an upper bound itself, the noise would be a shift: none means symmetric.
    bounds = {"lower_bound": NOISE[case.context.facts.modality], "upper_bound": None}
    return {"perturb_func": batch_uniform_noise, "perturb_func_kwargs": bounds}


def noise(case: Case, budget: int) -> Settings:
    return _uniform(case) | {"nr_samples": budget}


def relative(case: Case, budget: int) -> Settings:
    return noise(case, budget) | {"eps_min": FLOOR}


def representation(case: Case, budget: int) -> Settings:
    return relative(case, budget) | {
        "layer_names": [f"network.{penultimate_layer(case.context.model)}"]
    }


def penultimate_layer(network: nn.Module) -> str:
    """Return the name of the last layer that is registered before the last linear one."""
    layers = [(name, layer) for name, layer in network.named_modules() if not any(layer.children())]
    linear = [index for index, (_, layer) in enumerate(layers) if isinstance(layer, nn.Linear)]
    if not linear or linear[-1] == 0:
        raise Unusable("the model has no layer before a last linear one")
    return layers[linear[-1] - 1][0]


def translations(case: Case, budget: int) -> Settings:
    return {"nr_steps": budget}


def other_class(case: Case, budget: int) -> Settings:
    from quantus.functions.similarity_func import correlation_spearman

    classes = len(case.context.facts.classes)
    if classes < 2:
        raise Unusable("the task has one class alone, so there is no other to explain")
    return {
        "num_classes": classes,
        "seed": _small_seed(case, "class"),
        "similarity_func": correlation_spearman,
    }


def last_layer(case: Case, budget: int) -> Settings:
    """Randomise all layers; the layers in between are explained where the budget is not 0."""
    if not any(hasattr(layer, "reset_parameters") for layer in case.context.model.modules()):
        raise Unusable("the model has no layer whose weights can be drawn anew (reset_parameters)")
    # The same weights for every batch, and, as each layer is drawn alone, in either direction.
    seed = derive_seed("evaluation", case.context.task.name, "quantus", "weights") % 2**31
    return {"seed": seed, "skip_layers": budget == 0}


def _small_seed(case: Case, stream: str) -> int:
    return derive_seed(*case.seed(stream)) % 2**31


def plain(raw: Any, case: Case) -> Scores:
    return Scores(np.asarray(raw, dtype=np.float64))


def mean_drop(raw: Any, case: Case) -> Scores:
    """Return the mean fall over the steps, the start with nothing removed included."""
    falls = np.asarray(raw, dtype=np.float64)
    return Scores(falls.sum(1) / (falls.shape[1] + 1))


def area(raw: Any, case: Case) -> Scores:
    """Return the area under the curve by trapezoids, from nothing to everything removed."""
    later = np.asarray(raw, dtype=np.float64)
    curves = np.concatenate([case.probability()[:, None], later], axis=1)
    x = np.linspace(0, 1, curves.shape[1])
    return Scores(curve_area(curves, x), x, curves)


def by_layer(raw: Any, case: Case) -> Scores:
    """Return the similarity with all weights drawn anew, and its curve where layers were kept."""
    curves = np.stack([np.asarray(part, dtype=np.float64) for part in raw.values()], axis=1)
    if curves.shape[1] <= 2:
        return Scores(curves[:, -1])
    return Scores(curves[:, -1], np.linspace(0, 1, curves.shape[1]), curves)
