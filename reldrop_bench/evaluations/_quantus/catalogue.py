"""Every metric of Quantus 0.6: offered with its settings, or refused with the reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from reldrop_bench.kinds.record import Direction, Metric
from reldrop_bench.plugins.base import MODALITIES

from . import settings as use
from .settings import Scores, Settings
from .spaces import Case, Maps

Size = Literal["fast", "standard", "full"]
SIZES: tuple[Size, ...] = ("fast", "standard", "full")
IMAGES = frozenset({"image"})

Space = Literal["maps", "masked logits", "masked probabilities", "inputs", "weights", "samples"]
"""What a metric works on. maps: the maps alone. masked …: masks over elements, with what the
network answers to what is left. inputs: real inputs, explained again. weights: the same, with copies
of the network. samples: all samples at once, which it compares with each other."""


@dataclass(frozen=True)
class Offered:
    """A metric of Quantus: what it says, on what it works, how it is set."""

    name: str
    """Its class in Quantus."""
    group: str
    direction: Direction
    measures: str
    space: Space
    maps: Maps = "signed"
    since: Size = "fast"
    """The smallest size that takes it."""
    budget: tuple[int, int, int] = (0, 0, 0)
    """How many predictions, draws or explanations it may take, by size."""
    unit: str = ""
    """What the budget counts."""
    cost: str = ""
    """What it takes, where that is more than the budget says."""
    settings: Callable[[Case, int], Settings] = use.nothing
    """Arguments of its class, from a batch and the budget."""
    scores: Callable[[Any, Case], Scores] = use.plain
    """From what it returns to one value a sample."""
    undefined: str = "the value is not finite"
    """Why a sample may have no value."""
    curve: str = ""
    """Name and meaning of its curve's values, where it has one."""
    seeded: bool = False
    median: bool = False
    """Whether the median over samples is reported: values of very different size."""
    modalities: frozenset[str] = MODALITIES

    @property
    def key(self) -> str:
        return f"{self.group}/{self.name}"

    def allowed(self, size: Size) -> int:
        return self.budget[SIZES.index(size)]

    @property
    def metric(self) -> Metric:
        counts = list(dict.fromkeys(map(str, self.budget)))
        counted = " or ".join([", ".join(counts[:-1]), counts[-1]] if counts[1:] else counts)
        return Metric(
            self.direction,
            self.measures + (" (median)" if self.median else ""),
            self.cost or (f"{counted} {self.unit}" if self.unit else "1 explanation"),
            self.seeded or "ordered" in self.maps,
            self.modalities,
        )


def _localisation(name: str, measures: str, maps: Maps, **more: Any) -> Offered:
    return Offered(name, "localisation", "higher", measures, "maps", maps, **more)


def _complexity(name: str, direction: Direction, measures: str, **more: Any) -> Offered:
    return Offered(name, "complexity", direction, measures, "maps", "absolute", **more)


def _faithfulness(
    name: str, direction: Direction, measures: str, space: Space, maps: Maps, **more: Any
) -> Offered:
    return Offered(
        name, "faithfulness", direction, measures, space, maps, unit="predictions", **more
    )


def _robustness(name: str, measures: str, maps: Maps = "signed", **more: Any) -> Offered:
    given: dict[str, Any] = {
        "budget": (1, 3, 10),
        "since": "standard",
        "settings": use.noise,
    } | more
    return Offered(
        name, "robustness", "lower", measures, "inputs", maps,
        unit="explanations, shared in this group", seeded=True, **given,
    )  # fmt: skip


def _stability(name: str, measures: str, settings: Any) -> Offered:
    return _robustness(
        name, f"largest relative change of the map over that of {measures}", "floored",
        settings=settings, median=True, undefined="noise changed the predicted class",
    )  # fmt: skip


def _randomisation(name: str, direction: Direction, measures: str, **more: Any) -> Offered:
    return Offered(name, "randomisation", direction, measures, "weights", seeded=True, **more)


_CONSTANT = "the output, or the relevance of what was removed, does not vary"
_NO_POSITIVE = "no element has positive relevance"

_ENTRIES = (
    _localisation("PointingGame", "share of maps whose highest element is in the mask", "ordered"),
    _localisation(
        "TopKIntersection", "share of the top tenth of elements in the mask", "ordered",
        settings=use.top_tenth,
    ),
    _localisation(
        "RelevanceRankAccuracy", "share of the |M| highest elements in the mask M", "ordered"
    ),
    _localisation(
        "RelevanceMassAccuracy", "share of positive relevance in the mask", "positive",
        undefined=_NO_POSITIVE,
    ),
    _localisation("AttributionLocalisation", "share of absolute relevance in the mask", "absolute"),
    _localisation("AUC", "chance that relevance ranks inside above outside the mask", "signed"),
    _complexity("Sparseness", "neither", "Gini coefficient of absolute relevance, 0 to 1"),
    _complexity("Complexity", "neither", "entropy of absolute relevance in nats, 0 to log n"),
    _complexity(
        "EffectiveComplexity", "neither", "elements above a hundredth of the highest",
        settings=use.above_floor,
    ),
    _faithfulness(
        "PixelFlipping", "lower", "area under the class's probability, highest removed first",
        "masked probabilities", "ordered", budget=(8, 16, 32), settings=use.steps,
        scores=use.area, curve="probability", seeded=True,
    ),
    _faithfulness(
        "Sufficiency", "higher", f"share of the {use.NEIGHBOURS} nearest maps of the same "
        "predicted class", "samples", "signed", cost="1 prediction", settings=use.neighbours,
        modalities=IMAGES,
    ),
    _faithfulness(
        "FaithfulnessCorrelation", "higher", "correlation of relevance and fall of the logit over "
        "random subsets", "masked logits", "signed", since="standard", budget=(16, 32, 100),
        settings=use.subsets, undefined=_CONSTANT, seeded=True,
    ),
    _faithfulness(
        "FaithfulnessEstimate", "higher", "correlation of relevance and fall of the logit over "
        "steps of sorted elements", "masked logits", "ordered", since="standard",
        budget=(8, 16, 32), settings=use.steps, undefined=_CONSTANT, seeded=True,
    ),
    _faithfulness(
        "MonotonicityCorrelation", "higher", "rank correlation of absolute relevance and squared "
        "change of the logit", "masked logits", "absolute ordered",
        since="standard", budget=(8, 16, 32), settings=use.steps_once, undefined=_CONSTANT,
        seeded=True,
    ),
    _faithfulness(
        "RegionPerturbation", "higher", "mean fall of the probability as the highest squares go",
        "masked probabilities", "ordered", since="standard", budget=(8, 16, 30),
        settings=use.first_regions, scores=use.mean_drop, modalities=IMAGES, seeded=True,
    ),
    _faithfulness(
        "Infidelity", "lower", "share of the logit's changes that relevance leaves unexplained",
        "masked logits", "signed", since="standard", budget=(16, 16, 64), settings=use.blocks,
        modalities=IMAGES, undefined="the output does not vary",
    ),
    _faithfulness(
        "Selectivity", "lower", "area under the probability, highest squares removed first",
        "masked probabilities", "ordered", since="full", budget=(use.GRID**2,) * 3,
        settings=use.regions, scores=use.area, curve="probability", modalities=IMAGES, seeded=True,
    ),
    _robustness("AvgSensitivity", "mean relative change of the map under noise", since="fast"),
    _robustness("MaxSensitivity", "largest relative change of the map under noise"),
    _robustness("LocalLipschitzEstimate", "largest change of the map over that of the input"),
    _stability("RelativeInputStability", "the input", use.relative),
    _stability("RelativeOutputStability", "the logits", use.relative),
    _stability("RelativeRepresentationStability", "the last hidden layer", use.representation),
    _robustness(
        "Continuity", "largest change of the map over that of the input as the image moves",
        since="full", budget=(4, 4, 8), settings=use.translations,
        cost="4 or 8 explanations and predictions", modalities=IMAGES,
    ),
    _randomisation(
        "MPRT", "lower", "rank correlation with the map of the network with all weights drawn anew",
        budget=(0, 0, 1), settings=use.last_layer, scores=use.by_layer,
        undefined="a map does not vary", curve="layers",
        cost="1 explanation; in size full 1 for each layer",
    ),
    _randomisation(
        "RandomLogit", "lower", "rank correlation with the map of another class",
        since="standard", cost="1 explanation", settings=use.other_class,
        undefined="a map does not vary",
    ),
    _randomisation(
        "EfficientMPRT", "higher", "relative growth of the map's entropy as all weights are drawn "
        "anew", since="standard", settings=use.last_layer,
        cost="1 explanation, shared with MPRT, and 2 predictions",
        undefined="the entropy of the map is 0",
    ),
)  # fmt: skip

CATALOGUE: Mapping[str, Offered] = {entry.name: entry for entry in _ENTRIES}
"""What is offered, by the name of Quantus' class."""

_WINDOWS = "its windows run over the order of the points, which means nothing"
_BOTH: Mapping[str, str] = {
    "Monotonicity": (
        "it starts from the baseline and sets elements to the baseline: nothing ever changes, and "
        "every explanation scores 1"
    ),
    "SensitivityN": (
        "it correlates samples, whose maps have scales of their own, and sets the relevance of one "
        "step against the change by all steps up to it"
    ),
    "IROF": (
        "it calls np.trapz, which numpy 2.4 no longer has, and takes no channel-summed maps of "
        "images with three channels; PixelFlipping is close to it"
    ),
    "ROAD": (
        "it raises for channel-summed maps of images with three channels and scores the first "
        "batch alone; the evaluation 'faithfulness' with the fill 'inpaint' is ROAD"
    ),
    "Consistency": (
        "it needs samples with equal labels: those from the first five elements see a corner of the "
        "map, and other discretisations hardly ever give two maps the same label"
    ),
    "Focus": "it needs mosaics of four images, which no task has",
    "SmoothMPRT": "it ignores the explanation function that it is given and uses Quantus' own",
    "Completeness": "it asks whether two floats are exactly equal: always 0",
    "NonSensitivity": (
        "it calls all negative relevance insensitive, holds relevance and probability against one "
        "threshold, and takes a prediction for every single element"
    ),
    "InputInvariance": (
        "it shifts the bias of the first registered layer, which convolutions before batch "
        "normalisation do not have"
    ),
}
_CLOUDS: Mapping[str, str] = {
    "Sufficiency": "it compares maps point by point, and the points of two clouds are not the same",
    "RegionPerturbation": _WINDOWS,
    "Selectivity": _WINDOWS,
    "Infidelity": f"it fails on inputs without height and width, and {_WINDOWS}",
    "Continuity": f"it fails on inputs without height, and {_WINDOWS}",
}

REFUSED: Mapping[str, Mapping[str, str]] = {
    name: dict.fromkeys(sorted(MODALITIES), reason) for name, reason in _BOTH.items()
} | {name: {"cloud": reason} for name, reason in _CLOUDS.items()}
"""What cannot mean anything: Quantus' class → modality → reason."""
