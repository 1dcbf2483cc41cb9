"""Parts of several result sets that are the same thing: none of one set is put with another of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass
class Group(Generic[T]):
    """A setting or a label that one or more sets have, at most one of each set's."""

    owner: int
    """The first of these sets, by its index."""
    name: T
    """What that set calls it."""
    common: T
    """What it is called here."""
    number: int = 1
    members: dict[int, T] = field(default_factory=dict)
    """What each set calls it, by the index of the set."""


Differs = Callable[[int, T, int, T], str]
"""Says what differs between a part of a set (by index) and one of a later set; "" if nothing."""
Known = Callable[[int, T], bool]
"""Says whether anything of a part of a set (by index) tells what it is."""


def fitting(
    groups: Sequence[Group[T]],
    index: int,
    parts: Sequence[T],
    differs: Differs[T],
    is_known: Known[T],
) -> dict[T, Group[T]]:
    """Return the group that each part of a set belongs to: one of the same name, else an equal one.

    No two parts get the same group, so that nothing of a set is ever put together. A part of
    another name has to be `known`: where nothing tells, only the same name is taken for the same.
    """
    group_of: dict[T, Group[T]] = {}

    def fits(group: Group[T], part: T) -> bool:
        taken = any(group is other for other in group_of.values())
        # All members: one of which nothing is known would fit two that differ.
        return not taken and not any(
            differs(at, name, index, part) for at, name in group.members.items()
        )

    for part in parts:
        group = next((g for g in groups if g.name == part and fits(g, part)), None)
        if group is not None:
            group_of[part] = group
    for part in parts:
        if part not in group_of and is_known(index, part):
            tellable = (g for g in groups if any(is_known(*member) for member in g.members.items()))
            group = next((g for g in tellable if fits(g, part)), None)
            if group is not None:
                group_of[part] = group
    return group_of


def reason(
    same_name: Sequence[Group[T]], index: int, part: T, differs: Differs[T]
) -> tuple[int, str]:
    """Return from which set, by its index, a part of the same name differs, and in what."""
    for at, name in same_name[0].members.items():
        text = differs(at, name, index, part)
        if text:
            return at, text
    return same_name[0].owner, "another part of its own set is the same as that one"
