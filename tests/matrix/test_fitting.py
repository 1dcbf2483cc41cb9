"""What does not fit a task is left out there and named; nothing else is."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reldrop_bench.cli import main
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.section import Prose
from reldrop_bench.matrix.cells import Matrix, expand
from reldrop_bench.matrix.spec import load_spec
from reldrop_bench.plugins import registry
from reldrop_bench.results import told
from reldrop_bench.store.load import load_results

IMAGES = ("mixup", "reldrop-block", "reldrop-block, random", "reldrop-block, other-sample")
CLOUDS = ("random-point-dropout",)
SPEC: dict[str, Any] = {
    "name": "fitting",
    "tasks": ["digits", "cue-points"],
    "regularizers": ["none", "mixup", "reldrop-block", "random-point-dropout", "masked"],
    "controls": True,
    "seeds": 1,
    "evaluations": ["accuracy"],
}


MASKED = '''
from reldrop_bench import Regularizer


class Masked(Regularizer):
    """Does nothing with masks."""

    name = "masked"
    requires = {"masks"}
'''


@pytest.fixture(autouse=True)
def masked(tmp_path: Path, add_plugins: Callable[[Path], None]) -> None:
    file = tmp_path / "plugins" / "regularizers" / "masked.py"
    file.parent.mkdir(parents=True)
    file.write_text(MASKED)
    add_plugins(tmp_path / "plugins")


def matrix(**changes: Any) -> Matrix:
    offers = {
        "digits": set[str](),
        "cue-points": {"masks", "cues"},
        "cue-images": {"masks", "cues"},
    }
    return expand(load_spec(SPEC | changes), offers=lambda task: offers[task.name])


def there(found: Matrix) -> set[tuple[str, str]]:
    return {(cell.task.label, cell.regularizer.label) for cell in found.cells}


def test_every_pair_is_a_cell_or_named_with_its_reason() -> None:
    found = matrix()
    left_out = {(task, label) for task, reasons in found.unfit.items() for label in reasons}
    labels = {label for _, label in there(found)} | {label for _, label in left_out}
    assert there(found) | left_out == {
        (t, label) for t in ("digits", "cue-points") for label in labels
    }
    assert not there(found) & left_out
    assert {label for task, label in left_out if task == "cue-points"} == set(IMAGES)
    assert set(found.unfit["digits"]) == {"random-point-dropout", "masked"}
    assert found.unfit["digits"]["masked"] == "needs a task with masks"
    text = " ".join(told(found.unfit))
    assert re.search(r"left out on digits: “masked” \(needs a task with masks\)", text)
    assert all(f"“{label}”" in text for _, label in left_out)


def test_what_is_skipped_on_purpose_is_not_told_twice_and_takes_controls_along() -> None:
    tasks = [*SPEC["tasks"], "cue-images"]
    found = matrix(tasks=tasks, skip={"cue-points": ["mixup"], "digits": ["reldrop-block"]})
    assert "mixup" not in found.unfit["cue-points"]
    assert ("digits", "reldrop-block, random") not in there(found)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"strict": True},
            r"'random-point-dropout' on task 'digits': it works on cloud.*skip: \{digits: ",
        ),
        (
            {"tasks": ["digits"]},
            r"'random-point-dropout' fits no task of the spec: it works on cloud inputs",
        ),
        (
            {"tasks": ["digits"], "regularizers": ["none", "masked"]},
            "'masked' fits no task of the spec: it needs a task with masks",
        ),
        ({"baseline": "mixup"}, r"'mixup' on task 'cue-points'.*choose another baseline"),
        (
            {"skip": {"cue-points": ["random-point-dropout"]}},
            "'random-point-dropout' fits no task of the spec",
        ),
    ],
)
def test_what_cannot_be_meant_is_an_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        matrix(**changes)
    assert "\n" not in str(error.value)


def test_strict_takes_what_fits_or_is_skipped() -> None:
    skip = {"digits": ["random-point-dropout", "masked"], "cue-points": ["mixup", "reldrop-block"]}
    assert matrix(strict=True, skip=skip).unfit == {}


def test_plan_run_and_report_say_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = tmp_path / "fit.yaml"
    text = "name: fit\ntasks: [digits, shapes]\nregularizers: [none, cutout]\nseeds: 1\n"
    spec.write_text(f"{text}recipe: {{epochs: 1}}\nevaluations: [accuracy]\n")
    run = [str(spec), "--only", "task=digits", "--output", str(tmp_path / "out")]
    line = "left out on shapes: “cutout” (works on image inputs, the task has cloud inputs)"
    for command in (["plan", "--no-time"], ["run", "--workers", "0"]):
        with pytest.raises(SystemExit):
            main([command[0], *run, *command[1:]])
        assert line in " ".join("".join(capsys.readouterr()).split()), command
    results = load_results(tmp_path / "out")
    assert results.unfit == {
        "shapes": {"cutout": "works on image inputs, the task has cloud inputs"}
    }
    texts = [
        b.text
        for b in registry.create("sections", "completeness", {}).build(results, None)
        if isinstance(b, Prose)
    ]
    assert any(line in text for text in texts)
