"""What methods are judged by: one number a cell, for what a regularizer claims."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass

USUAL_MARGIN = 0.01
"""Differences of an accuracy within ± this are too small to matter where nothing else is said."""


@dataclass(frozen=True)
class Outcome:
    """One number a cell, made of the metrics whose "EVALUATION/SPLIT/METRIC" fits a pattern.

    Where several fit, the value is their mean (with a group `kind` in the pattern, the mean over
    kinds of the mean within each), and a cell that lacks one of them has none.
    """

    key: str
    text: str
    short: str
    pattern: str
    definition: str = ""
    direction: str = "higher"
    """Which direction is better: "higher", "lower" or "neither"."""
    bounded: bool = True
    """Whether it is an accuracy (or an area of accuracies) in 0..1, which can saturate."""
    margin: float | None = USUAL_MARGIN
    """Differences within ± margin are too small to matter; None: none is known."""
    needs: str = ""
    """The fact that a task has to offer: "cues" or "masks"."""
    elsewhere: Set[str] = frozenset()
    """Kinds that another outcome is about: they are not counted twice."""
    primary: bool = False
    """Whether conclusions rest on it; all others are exploratory."""

    @property
    def heading(self) -> str:
        """What heads a column or a panel of it."""
        return self.short if self.primary else f"{self.short} (exploratory)"

    @property
    def evaluation(self) -> str:
        """The evaluation that measures it."""
        return self.pattern.partition("/")[0]

    @property
    def saturates(self) -> bool:
        return self.bounded and self.direction == "higher"

    @property
    def by_kind(self) -> bool:
        """Whether it is a mean over kinds, which a method may have been trained with."""
        return "(?P<kind>" in self.pattern


OUTCOMES: tuple[Outcome, ...] = (
    Outcome(
        "cues",
        "accuracy without the two easiest cues",
        "cues 0, 1 removed",
        r"cues/removed-01/accuracy",
        "on tasks with redundant cues, the two easiest ones taken out of the test items",
        margin=0.03,
        needs="cues",
    ),
    Outcome(
        "shifts",
        "accuracy under foreign shift",
        "foreign shifts",
        # Test sets without some cues are shifts as well: they have an outcome of their own. Where a shortcut
        # holds, a model that takes it is the better one.
        r"shifts/(?!removed-|shortcut-)(?P<kind>[^/]+)(/.+)?/accuracy",
        "mean over the kinds of shift of a task, each the mean of its severities; kinds that a method or "
        "the one it is compared with is trained with are left out, and so is occlusion",
        margin=0.02,
        elsewhere=frozenset({"occlusion"}),
    ),
    Outcome(
        "accuracy",
        "test accuracy",
        "accuracy",
        r"accuracy/test/accuracy",
        "on the clean test split",
    ),
    Outcome(
        "occlusion",
        "accuracy under occlusion",
        "occlusion",
        # A fill at the origin puts a fake point where no surface is: it is shown, and not judged by.
        r"occlusion/test/random[^/]*/(?!origin/)[^/]+/auc",
        "area under the occlusion curve, mean over all random orders and fills but the biased one",
        margin=0.02,
    ),
    Outcome(
        "effective-cues",
        "effective number of cues",
        "effective cues",
        r"cues/test/causal_effective_cues",
        "how many cues the accuracy rests on, by Shapley values of their removal",
        bounded=False,
        margin=0.2,
        needs="cues",
    ),
    Outcome(
        "in-mask-entropy",
        "entropy of relevance in the mask",
        "in-mask entropy",
        r"diversity/test/in_mask_entropy",
        "how evenly relevance spreads over the object, 0 to 1; read it beside randomised weights",
        bounded=False,
        margin=0.02,
        needs="masks",
    ),
    Outcome(
        "calibration",
        "calibration error",
        "calibration error",
        r"calibration/test/ece",
        "expected calibration error on the clean test split",
        direction="lower",
        bounded=False,
    ),
)
"""The claims that a regularizer makes, and what must not get worse."""
BY_KEY = {outcome.key: outcome for outcome in OUTCOMES}
LEADING = "accuracy"
"""What conclusions rest on where neither cues nor shifts are measured."""


def measurable(evaluations: Iterable[str], offers: Iterable[Set[str]]) -> list[Outcome]:
    """Return the outcomes of `OUTCOMES` that these evaluations measure on some task.

    offers: of each task, which of "masks" and "cues" it has.
    """
    measured, there = set(evaluations), frozenset[str]().union(*offers)
    return [
        outcome
        for outcome in OUTCOMES
        if outcome.evaluation in measured and (not outcome.needs or outcome.needs in there)
    ]


def by_default(
    evaluations: Iterable[str], offers: Iterable[Set[str]]
) -> tuple[list[str], list[str]]:
    """Return the keys of the primary and the secondary outcomes of a benchmark that names none.

    Primary is what guidance is for: the accuracy without cues where tasks know theirs, the accuracy under
    foreign shift where a task does not. In-mask entropy stands in for cues where no task knows any.
    """
    tasks = list(offers)
    there = [outcome.key for outcome in measurable(evaluations, tasks)]
    with_cues = ["cues" in task for task in tasks]
    wanted = ["cues"] * any(with_cues) + ["shifts"] * (not all(with_cues))
    primary = [key for key in there if key in wanted] or [key for key in there if key == LEADING]
    primary = primary or there[:1]
    stands_in = {"in-mask-entropy"} if any(with_cues) else set()
    return primary, [key for key in there if key not in primary and key not in stands_in]
