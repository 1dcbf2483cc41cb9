"""Outcomes as a spec declares them: which are primary, and from what size on a difference matters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from fnmatch import fnmatchcase
from typing import Any, Literal

import pydantic
from pydantic import Field

from reldrop_bench.errors import UserError, suggest
from reldrop_bench.kinds.outcome import BY_KEY, OUTCOMES, by_default
from reldrop_bench.kinds.record import Direction
from reldrop_bench.matrix.components import Stored

CONFIG = pydantic.ConfigDict(
    extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
)
"""Of what a spec holds."""
Directions = Mapping[str, Mapping[str, Direction]]
"""By evaluation and metric (or fnmatch pattern), which direction is better."""


class OutcomeEntry(pydantic.BaseModel):
    """An outcome in a spec: a name, or EVALUATION/SPLIT/METRIC."""

    model_config = CONFIG

    name: str
    """A named outcome, or EVALUATION/SPLIT/METRIC."""
    direction: Literal["higher", "lower"] | None = None
    """Which direction is better; null: as its evaluation says."""
    margin: float | None = Field(default=None, gt=0)
    """Differences within ± margin are too small to matter; null: that of the named outcome."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        """Read `NAME` and `{NAME: {margin: X}}` as other entries of a spec."""
        if isinstance(value, str):
            return {"name": value}
        if isinstance(value, Mapping) and "name" not in value and len(value) == 1:
            ((name, rest),) = value.items()
            if rest is None or isinstance(rest, Mapping):
                return {"name": name, **(rest or {})}
        return value

    @pydantic.model_serializer
    def _stated(self) -> str | dict[str, Any]:
        rest = {"direction": self.direction, "margin": self.margin}
        given = {key: value for key, value in rest.items() if value is not None}
        return {"name": self.name, **given} if given else self.name


class OutcomesEntry(pydantic.BaseModel):
    """What a benchmark is judged by, as its spec says it."""

    model_config = CONFIG

    primary: list[OutcomeEntry] | None = Field(default=None, min_length=1)
    """What conclusions rest on; null: what the tasks make it."""
    secondary: list[OutcomeEntry] | None = None
    """The exploratory rest; null: all else that is measured."""

    @pydantic.field_validator("primary", "secondary", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return value if value is None or isinstance(value, list) else [value]


class DeclaredOutcome(Stored):
    """What a benchmark is judged by, whatever the defaults will be."""

    name: str
    """A named outcome, or EVALUATION/SPLIT/METRIC."""
    primary: bool
    """Whether conclusions rest on it; all others are exploratory."""
    direction: Direction
    """Which direction is better."""
    margin: float | None
    """Differences within ± margin are too small to matter; null: none is known."""


class Declaration(Stored):
    """Outcomes, and when they were declared."""

    outcomes: list[DeclaredOutcome]
    """The primary ones first."""
    done: int = Field(ge=0)
    """Cells that were done when they were declared."""
    cells: int = Field(ge=0)
    """Cells that the benchmark had then."""
    seeds: list[int] = []
    """The seeds that were to be run; of former versions none."""


def declared_outcomes(
    entry: OutcomesEntry, directions: Directions, offers: Sequence[Set[str]]
) -> list[DeclaredOutcome]:
    """Return what a benchmark is judged by, the primary outcomes first.

    directions: of what is measured. offers: of each task, which of "masks" and "cues" it has.

    Raises
    ------
    UserError
        An outcome is unknown, stands twice, is not measured, or has no direction.
    """
    primary, secondary = by_default(directions, offers)
    chosen = _entries(primary) if entry.primary is None else entry.primary
    named = {each.name for each in chosen}
    if entry.secondary is None:
        rest = [name for name in [*primary, *secondary] if name not in named]
        others = _entries(name for name in rest if name in secondary or entry.primary is not None)
    else:
        others = entry.secondary
    names = [each.name for each in (*chosen, *others)]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"spec: outcomes: {name!r} stands twice")
    there = frozenset[str]().union(*offers)
    return [_declared(each, each in chosen, directions, there) for each in (*chosen, *others)]


def _entries(names: Iterable[str]) -> list[OutcomeEntry]:
    return [OutcomeEntry(name=name) for name in names]


def _declared(
    entry: OutcomeEntry, primary: bool, directions: Directions, offers: Set[str]
) -> DeclaredOutcome:
    name = entry.name
    if named := BY_KEY.get(name):
        if named.evaluation not in directions:
            raise UserError(
                f"spec: outcomes: {name!r} is measured by the evaluation {named.evaluation!r}, which the "
                "spec does not name; add it to evaluations"
            )
        if named.needs and named.needs not in offers:
            raise UserError(
                f"spec: outcomes: {name!r} needs a task with {named.needs}, and none of the spec has them"
            )
        if entry.direction not in (None, named.direction):
            raise UserError(
                f"spec: outcomes: of {name!r}, {named.direction} is better; leave it out"
            )
        margin = named.margin if entry.margin is None else entry.margin
        return DeclaredOutcome(
            name=name, primary=primary, direction=_direction(named.direction), margin=margin
        )
    if same := next((outcome.key for outcome in OUTCOMES if outcome.pattern == name), ""):
        raise UserError(f"spec: outcomes: {name!r} is the outcome {same!r}; call it so")
    evaluation, *parts = name.split("/")
    if len(parts) < 2:
        raise UserError(
            f"spec: outcomes: {name!r} is neither an outcome nor EVALUATION/SPLIT/METRIC, such as "
            f"calibration/test/ece; {suggest(name, [outcome.key for outcome in OUTCOMES])}"
        )
    if evaluation not in directions:
        raise UserError(
            f"spec: outcomes: {name!r}: the spec measures no {evaluation!r}; {suggest(evaluation, directions)}"
        )
    known = _known_direction(directions[evaluation], parts)
    direction = entry.direction or known
    if known in ("higher", "lower") and direction != known:
        raise UserError(f"spec: outcomes: of {name!r}, {known} is better; leave the direction out")
    if direction is None or known is None:
        raise UserError(
            f"spec: outcomes: {name!r} is no metric of {evaluation!r}; "
            f"{suggest(parts[-1], directions[evaluation])}"
        )
    if direction == "neither" and primary:
        raise UserError(
            f"spec: outcomes: of {name!r} neither direction is better; say which is: "
            f"{{name: {name}, direction: higher}}"
        )
    return DeclaredOutcome(name=name, primary=primary, direction=direction, margin=entry.margin)


def _direction(text: str) -> Direction:
    return "lower" if text == "lower" else "higher"


def _known_direction(metrics: Mapping[str, Direction], parts: Sequence[str]) -> Direction | None:
    """Return the direction of SPLIT/METRIC, either of which may hold a "/"; None for an unknown metric."""
    for start in range(1, len(parts)):
        metric = "/".join(parts[start:])
        for pattern, direction in metrics.items():
            if fnmatchcase(metric, pattern):
                return direction
    return None


def primary_of(outcomes: Iterable[DeclaredOutcome]) -> list[DeclaredOutcome]:
    """Return the primary outcomes, in an order that does not depend on how they are written."""
    return sorted((each for each in outcomes if each.primary), key=lambda each: each.name)


def restamped(
    before: Sequence[Declaration],
    outcomes: list[DeclaredOutcome],
    done: int,
    cells: int,
    seeds: Sequence[int] = (),
) -> list[Declaration]:
    """Return the declarations of a benchmark, the one in force last, `before` it those of former runs.

    Further seeds are a declaration of their own: who looks, and adds seeds until something is found, is wrong
    more often than the level says. What was replaced before any cell was done leaves no trace. Other secondary
    outcomes, which are exploratory, change nothing of when the primary ones were declared.
    """
    now = Declaration(outcomes=outcomes, done=done, cells=cells, seeds=list(seeds))
    if before and primary_of(before[-1].outcomes) == primary_of(outcomes):
        known = before[-1].seeds
        if not done or not known or set(seeds) <= set(known):
            return [
                *before[:-1],
                before[-1].model_copy(
                    update={"outcomes": outcomes}
                    | ({} if known and done else {"seeds": list(seeds)})
                ),
            ]
    return [*(each for each in before if done or each.done), now]
