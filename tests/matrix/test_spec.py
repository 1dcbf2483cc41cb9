"""Specs: what they expand to, and that every mistake is one line that helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reldrop_bench.errors import UserError
from reldrop_bench.matrix.cells import expand, select
from reldrop_bench.matrix.spec import load_spec, shipped_specs

pytestmark = pytest.mark.usefixtures("plugin_folder")


def spec_of(**changes: Any) -> dict[str, Any]:
    return {
        "name": "t",
        "tasks": ["tiny-blobs"],
        "regularizers": ["none", "cutout"],
        "seeds": 2,
    } | changes


def labels(spec: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(cell.regularizer.label for cell in expand(load_spec(spec)).cells))


def test_matrix_is_the_product_of_tasks_seeds_and_regularizers() -> None:
    cells = expand(load_spec(spec_of(tasks=["tiny-blobs", "digits"], seeds=[3, 5]))).cells
    assert len(cells) == 2 * 2 * 2
    assert {cell.seed for cell in cells} == {3, 5}
    assert len({cell.key for cell in cells}) == len(cells)


def test_a_list_expands_to_one_entry_each() -> None:
    spec = spec_of(regularizers=["none", {"reldrop-block": {"probability": 0.5, "k": [1, 10]}}])
    assert labels(spec) == ["none", "reldrop-block k=1", "reldrop-block k=10"]
    spec = spec_of(
        regularizers=[
            "none",
            {"cutout": {"size": [0.1, 0.2]}},
            {"reldrop-block": {"k": [1, 2], "score": ["random", "relevance"]}},
        ]
    )
    assert len(labels(spec)) == 1 + 2 + 4


def test_entries_of_one_regularizer_get_labels_that_tell_them_apart() -> None:
    spec = spec_of(
        regularizers=[
            "none",
            {"cutout": {"size": 0.25}},
            {"name": "cutout", "size": 0.5, "label": "big hole"},
        ]
    )
    assert labels(spec) == ["none", "cutout", "big hole"]
    spec = spec_of(regularizers=["none", {"cutout": {"size": 0.25}}, {"cutout": {"size": 0.5}}])
    assert labels(spec) == ["none", "cutout size=0.25", "cutout size=0.5"]


def test_key_depends_on_what_decides_the_result_and_on_nothing_else() -> None:
    def key(**changes: Any) -> str:
        return expand(load_spec(spec_of(regularizers=["none"], seeds=[0], **changes))).cells[0].key

    assert key() == key(name="other") == key(baseline="none") == key(evaluations=["accuracy"])
    assert key() == key(relevance="random"), "no relevance in training: its method does not matter"
    assert (
        len(
            {
                key(),
                key(recipe={"epochs": 3}),
                key(threads=2),
                key(tasks=[{"tiny-blobs": {"samples": 32}}]),
            }
        )
        == 4
    )


def test_relevance_belongs_to_the_key_of_guided_regularizers_alone() -> None:
    def keys(relevance: str) -> list[str]:
        entries = [
            "none",
            "reldrop-block",
            {"name": "reldrop-block", "label": "r", "score": "gradient"},
        ]
        spec = spec_of(regularizers=entries, seeds=[0], relevance=relevance)
        return [cell.key for cell in expand(load_spec(spec)).cells]

    first, second = keys("gradient-x-input"), keys("lrp-epsilon-flat")
    assert [a == b for a, b in zip(first, second, strict=True)] == [True, False, True]


def test_an_entrys_own_relevance_guides_training_and_does_not_touch_evaluation() -> None:
    entry = {"name": "reldrop-block", "relevance": "gradient-x-input"}
    cells = expand(
        load_spec(spec_of(regularizers=["none", entry], seeds=[0], relevance="random"))
    ).cells
    assert [cell.evaluation_relevance.name for cell in cells] == ["random", "random"]
    assert cells[1].relevance.name == "gradient-x-input"


def test_the_rule_belongs_to_the_evaluations_that_explain() -> None:
    def keys(rule: str) -> dict[str, str]:
        cell = expand(load_spec(spec_of(regularizers=["none"], seeds=[0], relevance=rule))).cells[0]
        return {each.name: cell.evaluation_key(each) for each in cell.evaluations}

    first, second = keys("random"), keys("gradient-x-input")
    explaining = {"cues", "diversity", "faithfulness", "gallery", "occlusion"}
    assert {name for name in first if first[name] != second[name]} == explaining


def test_override_reads_values_as_yaml() -> None:
    loaded = load_spec(spec_of(), ["recipe.epochs=3", "seeds=[7]", "limits.seconds=5"])
    assert loaded.recipe == {"epochs": 3}
    assert loaded.seed_list == [7]
    assert loaded.limits.seconds == 5


def test_shipped_specs_expand() -> None:
    assert "quickstart" in shipped_specs()
    for name in shipped_specs():
        assert expand(load_spec(name)).cells


def test_quickstart_has_six_regularizers_on_three_tasks_with_three_seeds() -> None:
    cells = expand(load_spec("quickstart")).cells
    for task in {cell.task.label for cell in cells}:
        here = [cell for cell in cells if cell.task.label == task]
        assert len({cell.regularizer.label for cell in here}) >= 6
        assert len({cell.seed for cell in here}) >= 3
    assert len({cell.task.label for cell in cells}) >= 3


def test_select_takes_patterns() -> None:
    cells = expand(load_spec(spec_of())).cells
    assert {cell.regularizer.label for cell in select(cells, ["label=cut*"])} == {"cutout"}
    assert len(select(cells, ["label=cutout|none", "seed=1"])) == 2


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"tasks": ["digit"]}, ["task", "'digit'", "did you mean 'digits'"]),
        (
            {"regularizers": ["none", "reldrop-blok"]},
            ["regularizer", "did you mean 'reldrop-block'"],
        ),
        ({"model": "resnet81"}, ["model", "resnet81", "did you mean 'resnet18'"]),
        ({"relevance": "lrp"}, ["relevance", "'lrp'"]),
        ({"evaluations": ["acuracy"]}, ["evaluation", "did you mean 'accuracy'"]),
        ({"evaluations": []}, ["evaluations", "[]"]),
        ({"regularizers": ["none", {"cutout": {"relevance": "random"}}]}, ["cutout", "relevance"]),
        ({"regularizers": ["none", {"reldrop-block": {"relevance": ["random"]}}]}, ["['random']"]),
        (
            {"regularizers": ["none", "cutout", {"name": "cutout", "label": "x"}]},
            ["cutout", "same"],
        ),
        (
            {"regularizers": ["none", {"name": "cutout", "label": "a\nb"}]},
            ["label", "one line of visible characters"],
        ),
        ({"skip": {"tiny-blobs": ["none"]}}, ["skip", "baseline", "'none'"]),
        ({"recipe": {"augmentation": ["scale-shift"]}}, ["augmentation", "scale-shift", "cloud"]),
        ({"evaluations": [{"occlusion": {"fills": ["banana"]}}]}, ["fill", "'banana'"]),
        ({"model": []}, ["model"]),
        ({"evaluations": [{"name": "accuracy", "label": "x"}]}, ["accuracy", "'label'"]),
        ({"regularizer": ["none"]}, ["'regularizer'", "did you mean 'regularizers'"]),
        ({"recipe": {"epoch": 3}}, ["recipe", "'epoch'", "did you mean 'epochs'"]),
        ({"recipe": {"epochs": 0}}, ["recipe", "epochs", "0", "greater than or equal to 1"]),
        ({"recipe": {"optimizer": "lion"}}, ["optimizer", "'lion'", "'sgd'"]),
        ({"seeds": []}, ["seeds", "[]", "at least one seed"]),
        ({"seeds": 0}, ["seeds", "0", "at least one seed"]),
        ({"seeds": [1, 1]}, ["seeds", "twice"]),
        ({"regularizers": ["none", {"cutout": {"size": -0.5}}]}, ["cutout", "size", "-0.5"]),
        (
            {"regularizers": ["none", {"reldrop-block": {"probability": -0.1}}]},
            ["reldrop-block", "probability", "-0.1", "greater than or equal to 0"],
        ),
        (
            {"regularizers": ["none", {"reldrop-block": {"probability": "often"}}]},
            ["probability", "'often'"],
        ),
        (
            {"regularizers": ["none", {"reldrop-block": {"probability": float("nan")}}]},
            ["probability", "nan"],
        ),
        (
            {"regularizers": ["none", {"cutout": {"sise": 1}}]},
            ["cutout", "'sise'", "did you mean 'size'"],
        ),
        (
            {"regularizers": ["none", {"reldrop-block": {"preset": "papier"}}]},
            ["preset", "did you mean 'paper'"],
        ),
        ({"regularizers": ["none", {"cutout": {"size": []}}]}, ["cutout", "size", "no value"]),
        ({"regularizers": ["none", "none"]}, ["two", "'none'", "label"]),
        ({"contrasts": [["cutout", "cutout"]]}, ["contrasts", "cutout", "itself"]),
        (
            {"contrasts": [["cutout", "none"], ["none", "cutout"]]},
            ["contrasts", "stands twice", "remove"],
        ),
        ({"regularizers": ["cutout"]}, ["baseline", "'none'"]),
        (
            {"regularizers": ["none", "reldrop-ball"]},
            ["reldrop-ball", "cloud", "image", "fits no task"],
        ),
        (
            {"regularizers": ["none", "reldrop-ball"], "strict": True},
            ["reldrop-ball", "cloud", "image", "skip: {tiny-blobs: [reldrop-ball]}"],
        ),
        ({"skip": {"tiny-blobs": ["cutut"]}}, ["skip", "did you mean 'cutout'"]),
        ({"skip": {"digts": ["cutout"]}}, ["skip", "digts"]),
        ({"model": "pointnet"}, ["pointnet", "image", "tiny-blobs"]),
        ({"limits": {"seconds": -1}}, ["limits.seconds", "-1"]),
        ({"keep_models": "some"}, ["keep_models", "'some'", "'all'"]),
        ({"name": "../up"}, ["name", "../up"]),
        ({"tasks": []}, ["tasks", "[]"]),
    ],
)
def test_mistakes_are_one_line_with_key_value_and_what_is_allowed(
    changes: dict[str, Any], parts: list[str]
) -> None:
    with pytest.raises(UserError) as error:
        expand(load_spec(spec_of(**changes)))
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_missing_key_is_named() -> None:
    with pytest.raises(UserError, match="'tasks' is required"):
        load_spec({"name": "x", "regularizers": ["none"]})


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("name: [", "cannot be read"),
        ("- a\n- b\n", "not a mapping"),
        ("name: a\nname: b\n", "stands twice"),
        ("name: !!python/object/apply:os.getcwd []\n", "cannot be read"),
    ],
)
def test_unreadable_spec_file(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=part) as error:
        load_spec(path)
    assert "\n" not in str(error.value)


def test_unknown_spec_names_the_nearest_shipped_one() -> None:
    with pytest.raises(UserError, match="did you mean 'quickstart'"):
        load_spec("quickstar")
