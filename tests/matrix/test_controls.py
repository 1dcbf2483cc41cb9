"""Controls that a spec asks for: which are added, under which label, and what they share."""

from __future__ import annotations

from typing import Any

import pytest

from reldrop_bench.errors import UserError
from reldrop_bench.matrix.cells import CellSpec, expand
from reldrop_bench.matrix.controls import ladders
from reldrop_bench.matrix.spec import load_spec


def cells(regularizers: list[Any], **more: Any) -> list[CellSpec]:
    spec = {"name": "c", "tasks": ["digits"], "regularizers": regularizers, "seeds": 1}
    return expand(load_spec(spec | {"evaluations": ["accuracy"]} | more)).cells


def by_label(regularizers: list[Any], **more: Any) -> dict[str, CellSpec]:
    return {cell.regularizer.label: cell for cell in cells(regularizers, **more)}


BLOCK = {"name": "reldrop-block", "k": 10, "label": "mine"}


def test_every_rung_differs_from_its_method_in_the_score_alone() -> None:
    found = by_label(["none", "cutout", BLOCK], controls=True)
    assert list(found) == ["none", "cutout", "mine", "mine, random", "mine, other-sample"]
    guided = dict(found["mine"].regularizer.parameters)
    for rung in ("random", "other-sample"):
        parameters = dict(found[f"mine, {rung}"].regularizer.parameters)
        assert parameters == guided | {"score": rung}
    assert ladders(found.values()) == {
        "mine": {"random": "mine, random", "other-sample": "mine, other-sample"}
    }


def test_an_entry_asks_for_itself_alone_and_can_refuse() -> None:
    lists = {"reldrop-block": {"k": [1, 10], "controls": True}}
    found = by_label(["none", lists, "reldrop-pixel"])
    assert [label for label in found if "," in label] == [
        "reldrop-block k=1, random",
        "reldrop-block k=1, other-sample",
        "reldrop-block k=10, random",
        "reldrop-block k=10, other-sample",
    ]
    found = by_label(["none", BLOCK | {"controls": False}, "reldrop-pixel"], controls=True)
    assert "mine, random" not in found
    assert "reldrop-pixel, random" in found
    assert ladders(found.values())["mine"] == {"random": "", "other-sample": ""}


def test_a_control_that_is_there_is_used_whatever_it_is_called() -> None:
    own = {"name": "reldrop-block", "k": 10, "score": "random", "label": "anywhere"}
    found = by_label(["none", own, BLOCK], controls=True)
    assert list(found) == ["none", "anywhere", "mine", "mine, other-sample"]
    assert ladders(found.values())["mine"]["random"] == "anywhere"
    other = by_label(["none", own | {"k": 9}, BLOCK])
    assert set(ladders(other.values())["mine"].values()) == {""}, "another k is another method"


def test_controls_explain_by_the_method_of_what_they_control() -> None:
    entry = {"name": "reldrop-pixel", "label": "mine", "relevance": "gradient-x-input"}
    found = by_label(["none", entry, "reldrop-pixel"], controls=True)
    for rung in ("random", "other-sample"):
        assert found[f"mine, {rung}"].relevance.name == "gradient-x-input"
        assert found[f"reldrop-pixel, {rung}"].relevance.name != "gradient-x-input"
    assert ladders(found.values())["mine"]["random"] == "mine, random"
    assert ladders(found.values())["reldrop-pixel"]["random"] == "reldrop-pixel, random"


def test_where_a_method_is_left_out_its_controls_are() -> None:
    spec = {"tasks": ["digits", "cue-points"], "controls": True}
    skip = {"digits": ["reldrop-ball"], "cue-points": ["mine"]}
    found = cells(["none", BLOCK, "reldrop-ball"], skip=skip, **spec)
    for cell in found:
        fits = "ball" if cell.task.name == "cue-points" else "mine"
        assert cell.regularizer.label == "none" or fits in cell.regularizer.label
    assert len(found) == 2 * 4


def test_controls_are_guided_by_nothing_of_the_own_sample() -> None:
    found = by_label(["none", BLOCK, "reldrop-pixel"], controls=True)
    guided = {label for label, cell in found.items() if cell.regularizer.plugin.guided}
    assert guided == {"mine", "reldrop-pixel"}
    off = by_label(["none", {"name": "reldrop-block", "probability": 0.0}], controls=True)
    assert list(off) == ["none", "reldrop-block"], "what does nothing needs no control"


@pytest.mark.parametrize(
    ("regularizers", "said"),
    [
        (["none", {"cutout": {"controls": True}}], "'cutout' has no controls"),
        (["none", {"reldrop-block": {"controls": "random"}}], "controls is true or false"),
        (
            ["none", {"name": "cutout", "label": "mine, random"}, BLOCK | {"controls": True}],
            "two regularizers have the label 'mine, random'",
        ),
    ],
)
def test_what_cannot_be_asked_for_is_told_in_a_line(regularizers: list[Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as told:
        cells(regularizers)
    assert "\n" not in str(told.value)


def test_contrasts_name_labels_of_the_spec() -> None:
    found = cells(["none", "cutout", BLOCK], controls=True, contrasts=[["cutout", "mine, random"]])
    assert len(found) == 5
    with pytest.raises(UserError, match=r"contrasts: 'mixup' is no regularizer of the spec"):
        cells(["none", "cutout"], contrasts=[["cutout", "mixup"]])
    with pytest.raises(UserError, match="contrasts"):
        cells(["none", "cutout"], contrasts=[["cutout"]])
