"""Which labels differ in one parameter alone: what an ablation compares."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KIND = "regularizer"
"""The entry of a label's parameters that names its regularizer."""


@dataclass(frozen=True)
class Line:
    """Labels that differ in the swept parameter alone, by its value."""

    others: tuple[tuple[str, str], ...]
    """The other parameters that vary in this benchmark, with the values they have here."""
    points: tuple[tuple[Any, str], ...]
    """Value and label: numbers ascending, else as the spec orders them."""

    @property
    def text(self) -> str:
        """The values of the other parameters, "p = 0.5, score = random"; "" where there are none."""
        return ", ".join(f"{name} = {value}" for name, value in self.others)


@dataclass(frozen=True)
class Sweep:
    """A parameter of a regularizer that has several values while all others stay."""

    regularizer: str
    parameter: str
    lines: tuple[Line, ...]
    numeric: bool

    @property
    def text(self) -> str:
        """What is swept, "k of reldrop-block"."""
        return f"{self.parameter} of {self.regularizer}"

    @property
    def labels(self) -> set[str]:
        return {label for line in self.lines for _, label in line.points}

    @property
    def values(self) -> list[Any]:
        """All values of the parameter: numbers ascending, else as the spec orders them."""
        by_text = {spelled(value): value for line in self.lines for value, _ in line.points}
        return sorted(by_text.values()) if self.numeric else list(by_text.values())

    @property
    def logarithmic(self) -> bool:
        """Whether the values span two decades or more, all of them positive."""
        values = self.values
        return self.numeric and values[0] > 0 and math.log10(values[-1] / values[0]) > 1.99


def spelled(value: Any) -> str:
    """Return a parameter's value as the spec would write it; 1 and 1.0 are one."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, default=str)


def is_finite_number(value: Any) -> bool:
    """Whether a value has a place on a number axis."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def sweeps(parameters: Mapping[str, Mapping[str, Any]], labels: Sequence[str]) -> list[Sweep]:
    """Return every sweep among the labels, in their order.

    parameters: by label, its parameters and the name of its regularizer. A label that lacks a
    parameter which others of its regularizer have (a rule of relevance that a random score does not
    ask for) fits any value of it.
    """
    kinds: dict[str, list[str]] = {}
    for label in labels:
        if label in parameters:
            kinds.setdefault(str(parameters[label].get(KIND, "")), []).append(label)
    found = []
    for kind, members in kinds.items():
        names = dict.fromkeys(name for label in members for name in parameters[label])
        varying = [
            name
            for name in names
            if name != KIND
            and len({spelled(parameters[m][name]) for m in members if name in parameters[m]}) > 1
        ]
        for name in varying:
            others = [other for other in varying if other != name]
            numeric = all(
                is_finite_number(parameters[m][name]) for m in members if name in parameters[m]
            )
            if lines := _lines(parameters, members, name, others, numeric):
                found.append(Sweep(kind, name, lines, numeric))
    return found


def _lines(
    parameters: Mapping[str, Mapping[str, Any]],
    members: Sequence[str],
    name: str,
    others: Sequence[str],
    numeric: bool,
) -> tuple[Line, ...]:
    having = [label for label in members if name in parameters[label]]
    rest = {
        label: {o: spelled(parameters[label][o]) for o in others if o in parameters[label]}
        for label in having
    }
    keys = list(dict.fromkeys(tuple(rest[label].items()) for label in having))
    lines: list[Line] = []
    for key in keys:
        fixed = dict(key)
        fitting = [
            label
            for label in having
            if all(rest[label].get(other, value) == value for other, value in fixed.items())
            and rest[label].keys() <= fixed.keys()
        ]
        points = [(parameters[label][name], label) for label in fitting]
        if len({spelled(value) for value, _ in points}) > 1:
            if numeric:
                points.sort(key=lambda point: point[0])
            lines.append(Line(key, tuple(points)))
    whole = [{label for _, label in line.points} for line in lines]
    kept = [
        line
        for number, line in enumerate(lines)
        if not any(whole[number] < other for other in whole)
    ]
    # What is the same on every line tells none apart.
    same = {other for other in others if len({dict(line.others).get(other) for line in kept}) == 1}
    return tuple(
        Line(tuple(pair for pair in line.others if pair[0] not in same), line.points)
        for line in kept
    )
