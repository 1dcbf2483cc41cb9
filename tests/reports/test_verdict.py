"""The verdict says what the tests show and no more, and nothing but a pair's own cells decides it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from reldrop_bench.kinds.section import Block, Prose, Table
from reldrop_bench.plugins import registry
from reldrop_bench.reporting.judgement import judge, judge_tasks
from reldrop_bench.reporting.outcomes import outcomes, values
from reldrop_bench.reporting.pairs import paired
from reldrop_bench.reporting.style import Style
from reldrop_bench.results import METRIC_COLUMNS, Results
from reldrop_bench.statistics.adjustment import holm
from reldrop_bench.statistics.paired import paired_difference

Make = Callable[..., Results]
OWN = [
    "settings", "settings_expected", "n", "n_expected", "mean", "low", "high", "p", "p_sign_flip",
    "smallest_p_sign_flip", "p_equivalence", "p_pair", "verdict",
]  # fmt: skip
"""Columns of `judge` that depend on a label's and the baseline's own cells alone."""


def built(results: Results) -> list[Block]:
    style = Style(results.labels, results.baseline)
    with style.theme():
        return list(registry.create("sections", "verdict", {}).build(results, style))


def prose(results: Results, kind: str | None = None) -> list[str]:
    return [
        block.text
        for block in built(results)
        if isinstance(block, Prose) and kind in (None, block.kind)
    ]


def tables(results: Results) -> dict[str, Table]:
    return {block.name: block for block in built(results) if isinstance(block, Table)}


def of_scores(scores: dict[str, np.ndarray], baseline: str = "none") -> Results:
    """Return results of one outcome from scores (tasks, seeds) by label; NaN: a failed cell."""
    cells, metrics = [], []
    for label, table in scores.items():
        for task, row in enumerate(table):
            for seed, value in enumerate(row):
                identity = {
                    "key": f"{task}-{label}-{seed}",
                    "task": f"task {task}",
                    "model": "net",
                    "regularizer": "plugin",
                    "label": label,
                    "seed": seed,
                }
                failed = bool(np.isnan(value))
                cells.append(identity | {"status": "failed" if failed else "done"})
                if not failed:
                    what = {"evaluation": "accuracy", "split": "test", "metric": "accuracy"}
                    metrics.append(identity | what | {"value": value})
    return Results(
        "scores",
        baseline,
        tuple(scores),
        pd.DataFrame(cells),
        pd.DataFrame(metrics, columns=list(METRIC_COLUMNS)),
        declared={("accuracy", "accuracy"): ("higher", "")},
    )


def some_scores(tasks: int = 3, seeds: int = 4, labels: int = 4, seed: int = 0) -> Results:
    random = np.random.default_rng(seed)
    base = random.normal(0.8, 0.02, (tasks, seeds))
    names = ["none", *(f"label {number}" for number in range(1, labels))]
    return of_scores(
        {
            name: base + random.normal(0.01 * place, 0.01, base.shape)
            for place, name in enumerate(names)
        }
    )


def test_no_gain_is_called_no_gain(make_results: Make) -> None:
    results = make_results(tasks=("digits",), gains=(0.0,))
    first, *others = prose(results, "headline")
    none = "no regularizer is shown to be better than “none”."
    assert first.startswith(f"Accuracy under foreign shift: {none}")
    assert any(text.startswith(f"Test accuracy (exploratory): {none}") for text in others)
    assert not any("better than “none” by" in text for text in [first, *others])


def test_a_large_gain_is_named_with_its_size() -> None:
    base = np.array([[0.8, 0.81, 0.79, 0.8, 0.8, 0.82]])
    noise = np.array([[0.001, -0.001, 0.002, 0.0, -0.002, 0.001]])
    results = of_scores({"none": base, "good": base + 0.03 + noise, "bad": base - 0.06 - noise})
    (text,) = prose(results, "headline")
    assert "better than “none”: “good” by +0.030" in text
    assert "Worse than “none”: “bad” by −0.060" in text
    words = judge(results).set_index("label")
    assert words["verdict"].to_dict() == {"good": "better", "bad": "worse"}
    assert words["holds"].all()


def test_a_small_difference_that_is_certain_is_called_equivalent() -> None:
    base = np.array([[0.8, 0.81, 0.79, 0.8, 0.8, 0.82]])
    noise = np.array([[0.001, -0.001, 0.002, -0.001, -0.002, 0.001]])
    results = of_scores({"none": base, "same": base + noise})
    assert judge(results)["verdict"].tolist() == ["equivalent"]
    assert "Equivalent to it within ±0.01: “same”." in prose(results, "headline")[0]
    assert judge(replace(results, margin=0.0005))["verdict"].tolist() == ["unclear"]


def test_one_task_is_the_paired_t_test() -> None:
    results = some_scores(tasks=1, seeds=5)
    frame = values(results, outcomes(results)[0])
    wide = frame.pivot(index="seed", columns="label", values="value")
    for row in judge(results).to_dict("records"):
        expected = paired_difference(wide[row["label"]] - wide["none"])
        for name in ("mean", "low", "high", "p"):
            assert row[name] == pytest.approx(getattr(expected, name), rel=1e-12)


def test_order_of_rows_and_labels_changes_nothing() -> None:
    results = some_scores()
    known = judge(results).set_index("label").sort_index()
    for number in range(5):
        shuffled = replace(
            results,
            labels=tuple(np.random.default_rng(number).permutation(results.labels)),
            cells=results.cells.sample(frac=1, random_state=number, ignore_index=True),
            metrics=results.metrics.sample(frac=1, random_state=number, ignore_index=True),
        )
        found = judge(shuffled).set_index("label").sort_index()
        pd.testing.assert_frame_equal(found, known, check_exact=True)


def without(results: Results, label: str) -> Results:
    return replace(
        results,
        labels=tuple(each for each in results.labels if each != label),
        cells=results.cells[results.cells["label"] != label],
        metrics=results.metrics[results.metrics["label"] != label],
    )


@pytest.mark.parametrize("removed", ["cutout", "guided block", "mixing"])
def test_other_labels_change_no_verdict_of_a_pair(make_results: Make, removed: str) -> None:
    results = make_results(seeds=4, failed=(("digits", "mixing", 1),))
    whole = judge(results).set_index(["label", "outcome"])[OWN]
    part = judge(without(results, removed)).set_index(["label", "outcome"])[OWN]
    pd.testing.assert_frame_equal(part, whole.drop(index=removed, level="label"), check_exact=True)
    lined_up = [paired(results, outcome) for outcome in outcomes(results)]
    fewer = [paired(without(results, removed), outcome) for outcome in outcomes(results)]
    keys = ["label", "outcome", "task", "model"]
    tasks = judge_tasks(results, lined_up).set_index(keys).sort_index()
    rest = judge_tasks(without(results, removed), fewer).set_index(keys).sort_index()
    pd.testing.assert_frame_equal(rest, tasks.drop(index=removed, level="label"), check_exact=True)


def test_a_bad_label_does_not_bring_a_saturated_task_into_another_pair() -> None:
    full = np.array([[1.0, 0.999, 1.0], [0.8, 0.82, 0.81]])
    good = full + np.array([[0, 0, 0], [0.02, 0.03, 0.025]])
    two = of_scores({"none": full, "good": good})
    three = of_scores({"none": full, "good": good, "bad": full - 0.3})
    one, same = judge(two).iloc[0], judge(three).iloc[0]
    assert one["settings"] == same["settings"] == 1
    assert one["mean"] == same["mean"] == pytest.approx(0.025)
    # What is worse on a saturated task is not hidden.
    assert judge(three).iloc[1]["settings"] == 2


def test_saturated_tasks_are_flagged_and_left_out(make_results: Make) -> None:
    results = make_results(tasks=("cue-images",))
    assert any("Saturated" in text for text in prose(results, "warning"))
    assert set(tables(results)["verdict"].frame["accuracy (exploratory)"]) == {"saturated"}
    assert set(tables(results)["verdict-accuracy-by-task"].frame["verdict"]) == {"saturated"}


def test_a_family_is_the_outcomes_of_one_label(make_results: Make) -> None:
    frame = judge(make_results(seeds=5))
    for _, own in frame.groupby(["label", "role"]):
        assert own["p_pair"].tolist() == holm(own["p"].to_numpy()).tolist()
    for _, page in frame.groupby("role"):
        assert page["p_page"].tolist() == holm(page["p"].to_numpy()).tolist()
    assert (frame["p_page"] >= frame["p_pair"]).all()


def test_three_seeds_of_one_task_cannot_flip_enough_signs() -> None:
    results = some_scores(tasks=1, seeds=3)
    assert any("cannot be significant with n=3 pairs" in text for text in prose(results, "note"))
    texts = tables(results)["verdict-accuracy"].frame["p (sign flips)"]
    assert set(texts) == {"cannot be significant with n=3"}
    many = tables(some_scores(tasks=1, seeds=8))["verdict-accuracy"].frame["p (sign flips)"]
    assert not many.str.contains("cannot").any()


def test_missing_pairs_are_counted_where_they_matter() -> None:
    scores = np.full((2, 3), 0.8) + np.arange(6).reshape(2, 3) / 100
    other = scores + np.array([[0.01, 0.02, np.nan], [np.nan, np.nan, np.nan]])
    results = of_scores({"none": scores, "holes": other})
    (row,) = judge(results).to_dict("records")
    assert (row["settings"], row["settings_expected"]) == (1, 2)
    assert (row["n"], row["n_expected"]) == (2, 6)
    assert any("1 of 1 comparison lacks pairs" in text for text in prose(results, "warning"))
    (text,) = tables(results)["verdict"].frame["accuracy"]
    assert "(n=2/6)" not in text
    # .015 on one of two tasks; at worst 0 on the other, where the baseline has .84.
    assert row["worst"] == pytest.approx((0.015 - scores[1].mean()) / 2)
    assert text.startswith("incomplete +0.015 on 1/2 tasks\nat worst −0.41")


def test_a_failed_baseline_leaves_nothing_to_compare(make_results: Make) -> None:
    failed = tuple(("digits", "none", seed) for seed in range(3))
    (reason,) = built(make_results(tasks=("digits",), failed=failed))
    assert isinstance(reason, Prose)
    assert "nothing can be compared" in reason.text


def test_an_outcome_of_several_metrics_needs_all_of_them(make_results: Make) -> None:
    results = make_results(tasks=("digits",))
    shifts = next(outcome for outcome in outcomes(results) if outcome.key == "shifts")
    whole = values(results, shifts)
    rows = results.metrics
    own = rows[(rows["evaluation"] == "shifts") & (rows["label"] == "cutout") & (rows["seed"] == 1)]
    mean = whole[(whole["label"] == "cutout") & (whole["seed"] == 1)]["value"]
    assert mean.item() == pytest.approx(own["value"].mean())
    fewer = values(replace(results, metrics=rows.drop(index=own.index[0])), shifts)
    lost = fewer[(fewer["label"] == "cutout") & (fewer["seed"] == 1)]["value"]
    assert lost.isna().all()
    assert fewer["value"].isna().sum() == 1


def test_one_metric_judges_alone_and_knows_its_direction(make_results: Make) -> None:
    results = replace(make_results(tasks=("digits",), seeds=6), metric="diversity/test/gini")
    (outcome,) = outcomes(results)
    assert outcome.direction == "lower"
    frame = judge(results)
    assert frame["p_equivalence"].isna().all()
    decided = frame[frame["verdict"].isin(["better", "worse"])]
    assert ((decided["mean"] < 0) == (decided["verdict"] == "better")).all()


def test_two_models_are_two_settings_and_one_task(make_results: Make) -> None:
    one = make_results(tasks=("digits",), seeds=2)
    both = {name: getattr(one, name) for name in ("cells", "metrics")}
    doubled = replace(
        one,
        **{
            name: pd.concat([frame, frame.assign(model="wide")], ignore_index=True)
            for name, frame in both.items()
        },
    )
    frame = tables(doubled)["verdict-accuracy-by-task"].frame
    assert set(frame["task"]) == {"digits · net", "digits · wide"}
    # Of equal cells the mean is that of either model: it is no further evidence.
    both_models, alone = judge(doubled), judge(one)
    assert set(both_models["settings"]) == {1}
    np.testing.assert_allclose(both_models["p"], alone["p"])


def test_a_metric_without_a_better_direction_is_higher_or_lower() -> None:
    base = np.array([[0.2, 0.21, 0.19, 0.2, 0.2, 0.22]])
    noise = np.array([[0.001, -0.001, 0.002, 0.0, -0.002, 0.001]])
    results = of_scores({"none": base, "up": base + 0.05 + noise, "down": base - 0.05 - noise})
    neutral = replace(results, metric="accuracy/test/accuracy", declared={})
    assert judge(neutral).set_index("label")["verdict"].to_dict() == {
        "up": "higher",
        "down": "lower",
    }
    (text,) = prose(neutral, "headline")
    assert "neither direction is better" in text
    assert "better than" not in text
    style = Style(neutral.labels, neutral.baseline)
    with style.theme():
        (reason,) = registry.create("sections", "significance", {}).build(neutral, style)
    assert "there are no ranks" in reason.text


def test_a_margin_that_was_given_applies_to_any_metric(make_results: Make) -> None:
    results = replace(make_results(tasks=("digits",), seeds=6), metric="calibration/test/ece")
    assert judge(results)["p_equivalence"].isna().all()
    assert any("no margin is known" in text for text in prose(results, "note"))
    assert judge(replace(results, margin=0.5))["verdict"].eq("equivalent").any()


def test_pairs_that_do_not_differ_cannot_flip() -> None:
    base = np.full((1, 10), 0.8) + np.arange(10) / 1000
    gain = np.zeros((1, 10))
    gain[0, :3] = 0.02, 0.03, 0.01
    results = of_scores({"none": base, "mostly same": base + gain})
    (text,) = tables(results)["verdict-accuracy"].frame["p (sign flips)"]
    assert text == "cannot be significant: 3 of 10 pairs differ"


def test_a_missing_cell_keeps_a_task_from_being_called_saturated() -> None:
    full = np.ones((1, 5))
    holes = np.array([[1.0, np.nan, np.nan, 1.0, 1.0]])
    results = of_scores({"none": full, "holes": holes, "same": full})
    (row,) = judge(results).to_dict("records")
    assert (row["label"], row["n"], row["n_expected"]) == ("holes", 3, 5)


def test_what_only_another_label_was_measured_by_changes_no_pair(make_results: Make) -> None:
    results = make_results(tasks=("digits",), seeds=4)
    rows = results.metrics[results.metrics["label"] == "mixing"]
    clean = rows[(rows["evaluation"] == "accuracy") & (rows["metric"] == "accuracy")]
    further = [
        clean.assign(evaluation="shifts", split="fog/1"),
        clean.assign(evaluation="cues", split="removed-01"),
    ]
    more = replace(results, metrics=pd.concat([results.metrics, *further], ignore_index=True))
    whole = judge(results).set_index(["label", "outcome"])[OWN].drop(index="mixing", level="label")
    part = judge(more).set_index(["label", "outcome"])[OWN].drop(index="mixing", level="label")
    pd.testing.assert_frame_equal(part, whole, check_exact=True)


def test_shifts_weigh_by_kind_and_leave_removed_cues_to_their_own_outcome(
    make_results: Make,
) -> None:
    results = make_results(tasks=("digits", "cue-points"))
    shifts = next(outcome for outcome in outcomes(results) if outcome.key == "shifts")
    rows = results.metrics[results.metrics["evaluation"] == "shifts"]
    lost = rows.index[(rows["split"] == "noise/2") & (rows["task"] == "digits")]
    found = values(replace(results, metrics=results.metrics.drop(index=lost)), shifts)
    assert set(found["task"]) == {"digits"}
    own = rows.drop(index=lost)
    own = own[(own["task"] == "digits") & (own["label"] == "none") & (own["seed"] == 0)]
    kinds = own.groupby(own["split"].str.partition("/")[0])["value"].mean()
    assert len(kinds) == 4
    value = found[(found["label"] == "none") & (found["seed"] == 0)]["value"].item()
    assert value == pytest.approx(kinds.mean())
