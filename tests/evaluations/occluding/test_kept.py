"""Occluded inputs that are kept for the next model: the same bits, within a limit."""

from __future__ import annotations

import torch

from reldrop_bench.evaluations._occluding.kept import KEPT, Kept
from reldrop_bench.evaluations.occlusion import OcclusionRobustness


def test_one_owner_keeps_up_to_the_limit_and_another_empties_it():
    made = []

    def make(name):
        made.append(name)
        return torch.zeros(10)  # 40 bytes

    kept = Kept(limit=100)
    for _ in range(2):
        for name in "abc":
            kept.get("one", name, lambda name=name: make(name))
    assert made == ["a", "b", "c", "c"]  # the third is too much
    kept.get("two", "a", lambda: make("a"))
    kept.get("one", "a", lambda: make("a"))
    assert made[4:] == ["a", "a"]


def test_the_next_model_gets_the_same_rows_and_other_data_gets_its_own(
    context_of, cue_reader, measure, glyphs
):
    evaluation = OcclusionRobustness(max_samples=40, fills=("inpaint",))

    def rows(task):
        return measure(evaluation, context_of(cue_reader((0, 1)), task))

    KEPT.clear()
    first = rows(glyphs())
    assert rows(glyphs()).equals(first)
    KEPT.clear()
    assert rows(glyphs()).equals(first)
    other = context_of(cue_reader((0, 1)), glyphs())
    clean = other.test
    # The same task by name, with other pixels: as if its files had changed.
    other.test_split = type(clean)(clean.inputs.flip(0), clean.targets, clean.masks)
    changed = measure(evaluation, other)
    KEPT.clear()
    assert measure(evaluation, other).equals(changed)
    assert not changed.equals(first)
