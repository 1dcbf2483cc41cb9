"""Outcomes that a spec declares: defaults, short forms, what is refused, and when they were declared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
import pytest

from reldrop_bench.cli import main
from reldrop_bench.errors import UserError
from reldrop_bench.matrix.outcomes import (
    DeclaredOutcome,
    OutcomesEntry,
    declared_outcomes,
    restamped,
)
from reldrop_bench.matrix.spec import load_spec
from reldrop_bench.store.folder import Store

DIRECTIONS: Any = {
    "accuracy": {"accuracy": "higher"},
    "shifts": {"accuracy": "higher"},
    "cues": {"accuracy": "higher", "causal_effective_cues": "higher"},
    "diversity": {"in_mask_entropy": "higher"},
    "calibration": {"ece": "lower", "*/nll": "lower", "samples": "neither"},
}
CUES, MASKS, NOTHING = {"cues", "masks"}, {"masks"}, set[str]()


def declare(offers: list[set[str]], only: str = "", **entry: Any) -> list[DeclaredOutcome]:
    measured = {name: DIRECTIONS[name] for name in only.split()} if only else DIRECTIONS
    return declared_outcomes(OutcomesEntry.model_validate(entry), measured, offers)


def split(outcomes: list[DeclaredOutcome]) -> tuple[list[str], list[str]]:
    return (
        [outcome.name for outcome in outcomes if outcome.primary],
        [outcome.name for outcome in outcomes if not outcome.primary],
    )


@pytest.mark.parametrize(
    ("offers", "only", "primary", "secondary"),
    [
        ([CUES], "", ["cues"], ["shifts", "accuracy", "effective-cues", "calibration"]),
        ([MASKS], "", ["shifts"], ["accuracy", "in-mask-entropy", "calibration"]),
        ([CUES, NOTHING], "", ["cues", "shifts"], ["accuracy", "effective-cues", "calibration"]),
        ([CUES], "accuracy calibration", ["accuracy"], ["calibration"]),
        ([NOTHING], "calibration", ["calibration"], []),
        ([NOTHING], "diversity", [], []),
    ],
)
def test_primary_is_what_guidance_is_for(
    offers: list[set[str]], only: str, primary: list[str], secondary: list[str]
) -> None:
    assert split(declare(offers, only)) == (primary, secondary)


def test_a_spec_names_its_own() -> None:
    nll = {"name": "calibration/test/class/nll", "margin": 0.1}
    outcomes = declare([CUES], primary=["accuracy", {"cues": {"margin": 0.05}}], secondary=nll)
    assert split(outcomes) == (["accuracy", "cues"], ["calibration/test/class/nll"])
    assert [outcome.margin for outcome in outcomes] == [0.01, 0.05, 0.1]
    assert [outcome.direction for outcome in outcomes] == ["higher", "higher", "lower"]
    assert split(declare([CUES], "accuracy cues", primary="accuracy")) == (
        ["accuracy"], ["cues", "effective-cues"]
    )  # fmt: skip
    given = {"name": "calibration/test/samples", "direction": "higher"}
    (chosen, *_) = declare([CUES], primary=given)
    assert (chosen.name, chosen.direction, chosen.margin) == (
        "calibration/test/samples", "higher", None
    )  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"primary": "acuracy"}, "'acuracy' is neither an outcome nor EVALUATION/SPLIT/METRIC"),
        ({"primary": "occlusion"}, "is measured by the evaluation 'occlusion', which the spec does not"),
        ({"primary": "in-mask-entropy"}, "needs a task with masks"),
        ({"primary": "quantus/test/x"}, "the spec measures no 'quantus'"),
        ({"primary": "calibration/test/ecce"}, "is no metric of 'calibration'"),
        ({"primary": "calibration/test/samples"}, "neither direction is better"),
        ({"primary": {"name": "accuracy", "direction": "lower"}}, "higher is better"),
        ({"primary": "accuracy", "secondary": ["cues", "accuracy"]}, "'accuracy' stands twice"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_by_is_refused(entry: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as error:
        declare([{"cues"}], **entry)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "entry",
    [
        {"primary": []},
        {"primary": {"name": "accuracy", "margin": 0}},
        {"primary": {"name": "accuracy", "margin": float("nan")}},
        {"primary": {"name": "accuracy", "size": 1}},
        {"primary": 3},
        {"first": "accuracy"},
    ],
)
def test_what_is_no_outcome_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        OutcomesEntry.model_validate(entry)


def test_a_change_is_stamped_once_cells_are_done() -> None:
    first, other = declare([CUES]), declare([CUES], primary="accuracy")
    stamped = restamped([], first, 0, 54)
    assert [(each.done, each.cells) for each in stamped] == [(0, 54)]
    assert restamped(stamped, first, 12, 54) == stamped
    assert [each.outcomes for each in restamped(stamped, other, 0, 54)] == [other]
    late = restamped(stamped, other, 12, 54)
    assert [(each.done, each.outcomes) for each in late] == [(0, first), (12, other)]
    # Records of before they were declared.
    assert [each.done for each in restamped([], first, 12, 54)] == [12]


def test_further_seeds_are_a_declaration_of_their_own() -> None:
    first = declare([CUES])
    stamped = restamped([], first, 0, 54, [0, 1, 2])
    assert restamped(stamped, first, 12, 54, [0, 1]) == stamped, "fewer are no further look"
    (unlooked,) = restamped(stamped, first, 0, 54, [0, 1, 2, 3])
    assert (unlooked.done, unlooked.seeds) == (0, [0, 1, 2, 3])
    late = restamped(stamped, first, 54, 72, [0, 1, 2, 3])
    assert [(each.done, each.seeds) for each in late] == [(0, [0, 1, 2]), (54, [0, 1, 2, 3])]
    assert restamped(late, first, 72, 72, [0, 1, 2, 3]) == late


def test_what_was_declared_late_once_is_not_forgotten() -> None:
    first, other = declare([CUES]), declare([CUES], primary="accuracy")
    late = restamped(restamped([], first, 0, 54), other, 12, 54)
    assert [each.done for each in restamped(late, first, 0, 54)] == [12, 0]


def test_the_order_of_primary_outcomes_does_not_count() -> None:
    first = declare([CUES], primary=["accuracy", "cues"])
    turned = declare([CUES], primary=["cues", "accuracy"])
    (stamp,) = restamped(restamped([], first, 0, 54), turned, 54, 54)
    assert stamp.done == 0


def code_of(command: list[str]) -> object:
    with pytest.raises(SystemExit) as ended:
        main(command)
    return ended.value.code


SPEC = """
name: declared
tasks: [digits]
regularizers: [none]
seeds: 1
evaluations: [accuracy]
recipe: {epochs: 1}
"""


def test_what_a_run_declares_lies_beside_its_cells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, folder = tmp_path / "spec.yaml", tmp_path / "results"
    file.write_text(SPEC + "outcomes: {primary: {accuracy: {margin: 0.05}}}\n", encoding="utf-8")
    command = ["run", str(file), "--output", str(folder), "--workers", "0"]
    assert code_of(command) == 0
    record = Store(folder).read_benchmark()
    assert record is not None
    (stamp,) = record.declarations
    assert (stamp.done, stamp.cells) == (0, 1)
    assert [(o.name, o.primary, o.margin) for o in stamp.outcomes] == [("accuracy", True, 0.05)]
    capsys.readouterr()
    file.write_text(SPEC, encoding="utf-8")
    assert code_of(command) == 0
    record = Store(folder).read_benchmark()
    assert record is not None
    assert [(each.done, each.cells) for each in record.declarations] == [(0, 1), (1, 1)]
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "declared after 1 of 1 cell" in page
    # Cells that are taken over count, whatever the folder says of itself.
    (folder / "benchmark.json").unlink()
    assert code_of(command) == 0
    record = Store(folder).read_benchmark()
    assert record is not None
    assert [(each.done, each.cells) for each in record.declarations] == [(1, 1)]
    capsys.readouterr()
    file.write_text(SPEC + "outcomes: {primary: cues}\n", encoding="utf-8")
    assert code_of(command) == 2
    told = capsys.readouterr().err.strip()
    assert "\n" not in told
    assert "outcomes: 'cues' is measured by the evaluation 'cues'" in told
    file.write_text(
        SPEC + "outcomes: {primary: [{name: accuracy, margin: -1}]}\n", encoding="utf-8"
    )
    assert code_of(command) == 2
    told = capsys.readouterr().err.strip()
    assert "\n" not in told
    assert "outcomes.primary.0.margin = -1 is not allowed" in told
    assert Store(folder).read_benchmark() == record


def test_a_spec_keeps_what_it_states(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    entry = "outcomes: {primary: [accuracy, {calibration/test/ece: {margin: 0.1}}]}\n"
    file.write_text(SPEC + entry, encoding="utf-8")
    spec = load_spec(file)
    stated = spec.stated()["outcomes"]
    assert stated == {"primary": ["accuracy", {"name": "calibration/test/ece", "margin": 0.1}]}
    assert load_spec(spec.stated()).outcomes == spec.outcomes
    assert load_spec(spec.resolved().stated()).outcomes == spec.outcomes


def test_other_secondary_outcomes_change_nothing_of_the_stamp() -> None:
    first = declare([CUES], "cues accuracy", primary="cues")
    more = declare([CUES], "cues accuracy calibration", primary="cues")
    (stamp,) = restamped(restamped([], first, 0, 12), more, 12, 12)
    assert (stamp.done, stamp.outcomes) == (0, more)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"name": "calibration/test/c/nll", "direction": "higher"}, "lower is better"),
        ("accuracy/test/accuracy", "is the outcome 'accuracy'; call it so"),
    ],
)
def test_a_metric_has_one_name_and_one_direction(entry: Any, told: str) -> None:
    with pytest.raises(UserError, match=told):
        declare([CUES], primary=entry)


HOSTILE = '''
"""Says of itself what cannot be read."""

from reldrop_bench import Regularizer


class Hostile(Regularizer):
    """Hostile."""

    name = "hostile"

    @property
    def {what}(self):
        {how}
'''


@pytest.mark.parametrize(
    ("what", "how"),
    [
        ("guided", 'raise RuntimeError("no")'),
        ("trains_with", 'raise RuntimeError("no")'),
        ("trains_with", "return 3"),
    ],
)
def test_what_a_plugin_says_wrongly_of_itself_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, how: str
) -> None:
    (tmp_path / "regularizers").mkdir()
    code = HOSTILE.format(what=what, how=how)
    (tmp_path / "regularizers" / "hostile.py").write_text(code, encoding="utf-8")
    file = tmp_path / "spec.yaml"
    file.write_text(SPEC.replace("[none]", "[none, hostile]"), encoding="utf-8")
    out = str(tmp_path / "out")
    command = ["run", str(file), "--output", out, "--workers", "0", "--plugins", str(tmp_path)]
    assert code_of(command) == 2
    told = capsys.readouterr().err.strip()
    assert "\n" not in told
    assert "regularizer 'hostile'" in told
    assert what in told
