"""`plan --power`: what a benchmark can show, before anything is run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from reldrop_bench import run
from reldrop_bench.cli import main
from reldrop_bench.results import Results
from reldrop_bench.running.benchmark import prepare
from reldrop_bench.running.power import plan_power
from reldrop_bench.statistics.power import (
    pairs_needed,
    smallest_detectable_difference,
    smallest_detectable_effect,
)

pytestmark = pytest.mark.usefixtures("plugin_folder")

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs a command: exit code, standard output and standard error."""

    def run_command(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        captured = capsys.readouterr()
        code = stop.value.code
        return (code if isinstance(code, int) else 0), captured.out, captured.err

    return run_command


@pytest.fixture
def spec(tiny_spec: dict[str, Any]) -> dict[str, Any]:
    """Return two models (settings), two labels beside the baseline, three seeds, what runs fast."""
    return tiny_spec | {
        "regularizers": ["none", {"cutout": {"size": 0.5}}, "mixup"],
        "model": [{"small-cnn": {"width": [4, 5]}}],
        "seeds": 3,
        "evaluations": ["accuracy"],
        "recipe": {"epochs": 2, "learning_rate": 0.2},
    }


@pytest.fixture
def spec_file(spec: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(spec))
    return path


def test_before_a_run_it_says_what_can_be_found(
    call: Call, spec_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, stdout, _ = call("plan", str(spec_file), "-o", str(out), "--power", "--json")
    assert code == 0
    power = json.loads(stdout)
    assert power["observed"] is None
    assert len(power["settings"]) == 2
    for row in power["settings"]:
        assert (row["pairs"], row["own"], row["page"]) == (3, 2, None), "one outcome, two settings"
        assert row["effect"] == pytest.approx(smallest_detectable_effect(3))
        assert row["effect_own"] == pytest.approx(smallest_detectable_effect(3, level=0.025))
        assert row["effect_page"] is None
        assert row["smallest_sign_flip_p"] == row["smallest_wilcoxon_p"] == 0.25
        assert row["difference"] is row["seeds_needed"] is None
    (overall,) = power["overall"]
    assert overall["labels"] == ["cutout", "mixup"]
    assert (len(overall["settings"]), overall["pairs"]) == (2, 6)
    assert (overall["own"], overall["page"]) == (1, 2), "one outcome of each of two labels"
    alone, page = (
        smallest_detectable_difference([1, 1], [3, 3], level=level) for level in (0.05, 0.025)
    )
    assert (overall["effect"], overall["effect_own"]) == pytest.approx((alone, alone))
    assert overall["effect_page"] == pytest.approx(page)
    assert overall["smallest_sign_flip_p"] == 2**-5
    assert overall["smallest_wilcoxon_p"] == 0.5
    assert not out.exists(), "nothing is written"

    code, stdout, _ = call("plan", str(spec_file), "-o", str(out), "--power")
    assert code == 0
    assert "cannot be significant with n=3" in stdout
    assert "cannot be significant with 2 tasks" in stdout
    assert "--from DIR" in stdout
    assert "own outcomes (1)" in stdout
    assert "page (2)" in stdout
    code, stdout, _ = call(
        "plan",
        str(spec_file),
        "-o",
        str(out),
        "--power",
        "--set",
        "seeds=10",
        "--only",
        "label=mixup",
    )
    assert "cannot be significant with n=" not in stdout


def test_labels_that_are_compared_on_other_tasks_stand_apart(spec: dict[str, Any]) -> None:
    first, second = "tiny-blobs samples=48", "tiny-blobs samples=64"
    two = spec | {
        "tasks": [{"tiny-blobs": {"samples": [48, 64]}}],
        "model": {"small-cnn": {"width": 4}},
        "skip": {second: ["mixup"]},
    }
    power = plan_power(prepare(two))
    by_labels = {reach.labels: reach for reach in power.overall}
    assert by_labels[("mixup",)].settings == (first,)
    assert by_labels[("cutout",)].settings == (first, second)
    assert {(reach.own, reach.page) for reach in power.overall} == {(1, 2)}
    # On the first task, the label that is on both has the larger family.
    assert [reach.own for reach in power.settings] == [2, 2]


def test_the_outcomes_are_the_primary_ones(
    spec: dict[str, Any],
) -> None:
    names = ["accuracy", "shifts", "calibration", "occlusion", "cost"]
    for primary, outcomes in ((None, 1), (["shifts"], 1), (["accuracy", "shifts", "occlusion"], 3)):
        declared = {} if primary is None else {"outcomes": {"primary": primary}}
        power = plan_power(prepare(spec | {"evaluations": names} | declared))
        (reach,) = power.overall
        assert (power.outcomes, reach.own, reach.page) == (outcomes, outcomes, 2 * outcomes)
        assert reach.effect_page == pytest.approx(
            smallest_detectable_difference([1, 1], [3, 3], level=0.05 / (2 * outcomes))
        )


def test_results_without_accuracy_are_nothing_to_go_by(
    call: Call, spec: dict[str, Any], spec_file: Path, tmp_path: Path
) -> None:
    out = str(tmp_path / "out")
    small = spec | {"regularizers": ["none", "mixup"], "evaluations": ["calibration"], "seeds": 2}
    run(small, output=out, workers=0)
    code, stdout, _ = call("plan", str(spec_file), "-o", out, "--power", "--json")
    assert code == 0
    assert json.loads(stdout)["observed"] is None
    code, stdout, _ = call("plan", str(spec_file), "-o", out, "--power", "--metric", "ece")
    assert code == 0
    assert "calibration/test/ece" in stdout

    # What is asked for has to be there.
    other = ["plan", str(spec_file), "-o", str(tmp_path / "new"), "--power", "--from", out]
    code, _, stderr = call(*other)
    assert code == 2
    assert "say with --metric" in stderr
    assert call(*other, "--metric", "ece")[0] == 0
    assert call("plan", str(spec_file), "-o", out, "--power", "--metric", "accuracy")[0] == 2


def deviation_of(results: Results, model: str) -> float:
    """Return the pooled standard deviation of seed-paired differences, cell by cell."""
    accuracy = {
        (row.model, row.label, row.seed): row.value
        for row in results.metrics.itertuples()
        if (row.evaluation, row.metric) == ("accuracy", "accuracy")
    }
    variances = [
        np.var([accuracy[model, label, s] - accuracy[model, "none", s] for s in range(3)], ddof=1)
        for label in ("cutout", "mixup")
    ]
    return float(np.sqrt(np.mean(variances)))


def test_finished_cells_tell_how_much_seeds_scatter(
    call: Call, spec: dict[str, Any], spec_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    results = run(spec, output=out, workers=0)
    known = {model: deviation_of(results, model) for model in results.cells["model"].unique()}
    assert max(known.values()) > 0

    code, stdout, _ = call("plan", str(spec_file), "-o", str(out), "--power", "--json")
    power = json.loads(stdout)
    assert code == 0
    assert power["observed"]["metric"] == "accuracy/test/accuracy"
    for row in power["observed"]["settings"]:
        assert row["deviation"] == pytest.approx(known[row["model"]])
        assert row["pairs"] == 6
    for row, deviation in zip(power["settings"], known.values(), strict=True):
        if deviation > 0:
            assert row["difference"] == pytest.approx(row["effect"] * deviation)
            assert row["seeds_needed"] == pairs_needed(0.01 / deviation)
    overall = smallest_detectable_difference(list(known.values()), [3, 3])
    assert power["overall"][0]["difference"] == pytest.approx(overall)

    # The same from another folder, for another spec and another effect.
    arguments = ["plan", str(spec_file), "-o", str(tmp_path / "new"), "--power", "--from", str(out)]
    arguments += ["--set", "seeds=5", "--effect", "0.1"]
    code, stdout, _ = call(*arguments, "--json")
    more = json.loads(stdout)
    assert more["overall"][0]["pairs"] == 10
    assert more["overall"][0]["difference"] < power["overall"][0]["difference"]
    assert more["overall"][0]["seeds_needed"] < power["overall"][0]["seeds_needed"]
    code, stdout, _ = call(*arguments)
    assert code == 0
    assert "accuracy/test/accuracy" in stdout
    assert str(out) in stdout

    code, _, stderr = call(*arguments, "--metric", "acuracy")
    assert code == 2
    assert "accuracy" in stderr


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--effect", "0.02"], "add --power"),
        (["--from", "results"], "add --power"),
        (["--power", "--effect", "0"], "not above 0"),
        (["--power", "--from", "no/such/folder"], "holds no results"),
    ],
)
def test_wrong_use_is_one_line(
    call: Call, spec_file: Path, tmp_path: Path, arguments: list[str], part: str
) -> None:
    code, _, stderr = call("plan", str(spec_file), "-o", str(tmp_path / "out"), *arguments)
    assert code == 2
    assert part in stderr
    assert len(stderr.strip().splitlines()) == 1


def test_contrasts_are_a_family_of_their_own(spec: dict[str, Any]) -> None:
    guided = {"reldrop-block": {"k": 1}}
    power = plan_power(prepare(spec | {"regularizers": ["none", guided], "controls": True}))
    (reach,) = power.contrasts
    assert reach.labels == ("reldrop-block − random", "reldrop-block − other-sample")
    assert (reach.own, reach.page) == (2 * power.outcomes, None)
    (overall,) = power.overall
    assert reach.pairs == overall.pairs, "as many seeds as against the baseline"
    expected = smallest_detectable_difference([1.0, 1.0], [3, 3], level=0.05 / reach.own)
    assert reach.effect_own == pytest.approx(expected)
    assert plan_power(prepare(spec)).contrasts == ()
