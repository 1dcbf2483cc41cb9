"""Mean corruption errors in the report, on numbers computed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reldrop_bench.kinds.section import Figure, Table
from reldrop_bench.plugins import registry
from reldrop_bench.reporting.style import Style
from reldrop_bench.results import CELL_COLUMNS, IDENTITY, METRIC_COLUMNS, Results

LABELS = ("plain", "strong")
ACCURACIES: Mapping[tuple[str, int], Mapping[str, float]] = {
    ("plain", 0): {"": 0.9, "noise/1": 0.8, "noise/2": 0.6, "blur/1": 0.5},
    ("strong", 0): {"": 0.9, "noise/1": 0.85, "noise/2": 0.75, "blur/1": 0.6},
    ("plain", 1): {"": 0.8, "noise/1": 0.7, "noise/2": 0.5, "blur/1": 0.6},
    ("strong", 1): {"": 0.85, "noise/1": 0.7, "noise/2": 0.7, "blur/1": 0.55},
}
"""By label and seed: the accuracy on each test set, "" the clean one."""

# Errors over severities of noise and blur: 0.3 and 0.5 against 0.2 and 0.4; 0.4 and 0.4 against 0.3
# and 0.45. Accuracy lost: 0.2 and 0.4 against 0.1 and 0.3; 0.2 and 0.2 against 0.15 and 0.3.
PLAIN = [(2 / 3 + 4 / 5) / 2, (3 / 4 + 9 / 8) / 2]
RELATIVE = [(1 / 2 + 3 / 4) / 2, (3 / 4 + 3 / 2) / 2]


def results_of(accuracies: Mapping[tuple[str, int], Mapping[str, float]]) -> Results:
    cells, metrics = [], []
    for (label, seed), values in accuracies.items():
        who = (f"{label}-{seed}", "digits", "net", "plugin", label, seed)
        cells.append(dict(zip(IDENTITY, who, strict=True)) | {"status": "done"})
        for split, value in values.items():
            where = ("shifts", split) if split else ("accuracy", "test")
            metrics.append(
                dict(zip(METRIC_COLUMNS, (*who, *where, "accuracy", value), strict=True))
            )
    frame = pd.DataFrame(cells, columns=list(CELL_COLUMNS))
    return Results("made-up", LABELS[0], LABELS, frame, pd.DataFrame(metrics))


def errors_of(results: Results) -> Table | None:
    style = Style(results.labels, results.baseline)
    with style.theme():
        blocks = registry.create("sections", "shifts", {}).build(results, style)
    assert any(isinstance(block, Figure) for block in blocks)
    tables = [block for block in blocks if isinstance(block, Table)]
    found = [table for table in tables if table.name == "shifts-corruption-error-digits"]
    return found[0] if found else None


@pytest.mark.parametrize(("column", "by_seed"), [("mCE", PLAIN), ("relative mCE", RELATIVE)])
def test_errors_are_those_by_hand_with_the_t_interval_over_seeds(
    column: str, by_seed: list[float]
) -> None:
    table = errors_of(results_of(ACCURACIES))
    assert table is not None
    assert table.data is not None
    assert table.frame["label"].tolist() == ["strong"]
    (row,) = table.data[table.data["column"] == column].to_dict("records")
    assert (row["n"], row["n_expected"]) == (2, 2)
    assert row["mean"] == pytest.approx(np.mean(by_seed))
    half = stats.t.ppf(0.975, 1) * np.std(by_seed, ddof=1) / np.sqrt(2)
    assert (row["low"], row["high"]) == pytest.approx((row["mean"] - half, row["mean"] + half))
    low, high = (f"{row[name]:.3f}".replace("-", "−") for name in ("low", "high"))
    assert table.frame[column].tolist() == [f"{np.mean(by_seed):.3f} [{low}, {high}]"]


def test_a_severity_that_is_missing_leaves_the_pair_out() -> None:
    holes = {
        key: {split: value for split, value in values.items() if (*key, split) != ("strong", 1, "noise/2")}
        for key, values in ACCURACIES.items()
    }  # fmt: skip
    table = errors_of(results_of(holes))
    assert table is not None
    assert table.frame["mCE"].tolist() == [f"{PLAIN[0]:.3f} [no interval] (n=1/2)"]


def test_a_baseline_without_an_error_has_nothing_to_be_related_to() -> None:
    perfect = {
        key: dict.fromkeys(values, 1.0) if key[0] == "plain" else values
        for key, values in ACCURACIES.items()
    }
    assert errors_of(results_of(perfect)) is None


def renamed(**splits: str) -> Results:
    return results_of(
        {
            key: {splits.get(split.replace("/", "_"), split): value for split, value in row.items()}
            for key, row in ACCURACIES.items()
        }
    )


def test_test_sets_without_levels_say_nothing() -> None:
    assert errors_of(renamed(noise_1="noise", noise_2="dark", blur_1="blur")) is None


def test_a_kind_counts_where_all_of_its_test_sets_have_a_level() -> None:
    table = errors_of(renamed(noise_1="noise/strong"))
    assert table is not None
    assert table.data is not None
    (row,) = table.data[table.data["column"] == "mCE"].to_dict("records")
    assert row["mean"] == pytest.approx((4 / 5 + 9 / 8) / 2)  # of blur alone


def test_seeds_and_labels_in_any_order_give_the_same() -> None:
    results = results_of(ACCURACIES)
    shuffled = replace(results, metrics=results.metrics.sample(frac=1, random_state=3))
    one, other = errors_of(results), errors_of(shuffled)
    assert one is not None
    assert other is not None
    pd.testing.assert_frame_equal(one.frame, other.frame)
