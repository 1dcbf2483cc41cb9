"""What single sections show of the evaluations: every number where it belongs, every hole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

import pandas as pd
import pytest

from reldrop_bench.kinds.section import Block, Figure, Prose, Table
from reldrop_bench.plugins import registry
from reldrop_bench.reporting.paging import label_pages, pages
from reldrop_bench.reporting.style import Style
from reldrop_bench.reporting.tables import texts
from reldrop_bench.results import Results

Make = Callable[..., Results]
SECTIONS = (
    "ablations", "cost", "cues", "diversity", "failures", "faithfulness", "learning-curves",
    "occlusion", "quantus",
)  # fmt: skip
FEW = ("none", "cutout")


def blocks_of(name: str, results: Results) -> Sequence[Block]:
    style = Style(results.labels, results.baseline)
    with style.theme():
        return registry.create("sections", name, {}).build(results, style)


def tables_of(name: str, results: Results) -> dict[str, Table]:
    return {block.name: block for block in blocks_of(name, results) if isinstance(block, Table)}


def cell(table: Table, label: str, column: str, **where: str) -> str:
    frame = table.frame[table.frame["label"] == label]
    for name, value in where.items():
        frame = frame[frame[name] == value]
    (text,) = frame[column]
    return str(text)


@pytest.fixture(scope="module")
def one_task(make_results: Make) -> Results:
    """A task with cues and few labels."""
    return make_results(tasks=("cue-images",), labels=(*FEW, "guided block"), seeds=2)


@pytest.mark.parametrize("name", SECTIONS)
def test_rows_in_any_order_give_the_same(name: str, one_task: Results) -> None:
    shuffled = replace(
        one_task,
        metrics=one_task.metrics.sample(frac=1, random_state=0, ignore_index=True),
        epochs=one_task.epochs.sample(frac=1, random_state=0, ignore_index=True),
    )
    first, second = tables_of(name, one_task), tables_of(name, shuffled)
    assert first.keys() == second.keys()
    for key, table in first.items():
        columns = sorted(table.frame)
        pd.testing.assert_frame_equal(table.frame[columns], second[key].frame[columns])


@pytest.mark.parametrize("name", SECTIONS)
def test_every_table_has_the_labels_that_failed(name: str, with_holes: Results) -> None:
    """A label without a single value on a task has a row, and no number in it."""
    names = [key for key in tables_of(name, with_holes) if key.endswith("cue-points")]
    tables = tables_of(name, with_holes)
    for key in names:
        table = tables[key]
        row = table.frame[table.frame["label"] == "cutout"].drop(columns=["label"])
        row = row.drop(columns=[c for c in ("method", "order") if c in row])
        assert len(row), key
        assert all(str(text).startswith("–") for text in row.to_numpy().ravel()), key


@pytest.mark.parametrize(
    ("section", "table", "label", "column"),
    [
        ("diversity", "diversity-maps-digits", "cutout", "gini (lower)"),
        ("diversity", "diversity-maps-digits", "cutout", "SRG"),
        ("diversity", "diversity-agreement-digits", "cutout", "error kappa to the baseline"),
        ("quantus", "quantus-complexity-digits", "mixing", "Complexity"),
        ("cues", "cues-effective-cue-images", "cutout", "agreement"),
    ],
)
def test_a_value_that_was_left_out_is_a_hole(
    section: str, table: str, label: str, column: str, with_holes: Results
) -> None:
    found = tables_of(section, with_holes)[table]
    text = cell(found, label, column)
    assert text.endswith("(n=2/3)")
    assert (found.tones or {})[text] == "warn"


def test_an_srg_counts_only_with_every_fill(with_holes: Results, complete: Results) -> None:
    for results, expected in ((with_holes, 2), (complete, 3)):
        data = tables_of("diversity", results)["diversity-maps-digits"].data
        assert data is not None
        row = data[(data["label"] == "cutout") & (data["column"] == "SRG")]
        assert row["n"].tolist() == [expected]
        assert row["mean"].tolist() == pytest.approx([0.45])


def test_diversity_stands_beside_accuracy_and_control(complete: Results) -> None:
    tables = tables_of("diversity", complete)
    maps = tables["diversity-maps-cue-images"]
    assert list(maps.frame)[:3] == ["label", "clean accuracy", "SRG"]
    assert "samples" not in maps.frame
    control = tables["diversity-maps-control-cue-images"]
    assert control.folded
    assert not {"clean accuracy", "SRG"} & set(control.frame)
    assert list(tables["diversity-features-digits"].frame)[3:] == [
        "effective rank (higher)",
        "participation ratio",
        "vendi score",
    ]
    prose = " ".join(b.text for b in blocks_of("diversity", complete) if isinstance(b, Prose))
    assert "may only mean a noisy map" in prose


def test_no_model_is_compared_with_itself(complete: Results) -> None:
    table = tables_of("diversity", complete)["diversity-agreement-digits"]
    assert cell(table, "none", "CKA to the baseline") == "itself"
    assert "(n=" not in " ".join(map(str, table.frame.to_numpy().ravel()))
    assert table.data is not None
    seeds = table.data[table.data["column"].str.endswith("between seeds")]
    assert set(seeds["n_expected"]) == {2}


def test_diversity_without_accuracy_or_faithfulness(complete: Results) -> None:
    metrics = complete.metrics
    bare = replace(complete, metrics=metrics[metrics["evaluation"] == "diversity"])
    frame = tables_of("diversity", bare)["diversity-maps-digits"].frame
    assert list(frame)[1] == "attribution entropy (higher)"


def test_faithfulness_compares_methods_within_a_label(complete: Results) -> None:
    tables = tables_of("faithfulness", complete)
    frame = tables["faithfulness-digits"].frame
    assert frame["method"].tolist() == ["rule-a", "gradient"] * 6
    assert frame["label"].tolist() == [label for label in complete.labels for _ in range(2)]
    areas = tables["faithfulness-areas-digits"]
    assert list(areas.frame)[2:] == [
        f"{fill} fill, {way}" for fill in ("inpaint", "mean") for way in ("MRF", "random", "LRF")
    ]
    for method in ("rule-a", "gradient"):
        most, chance, least = (
            float(cell(areas, "none", column, method=method).split()[0])
            for column in list(areas.frame)[2:5]
        )
        assert chance - most == pytest.approx(0.3, abs=0.002)
        assert least - chance == pytest.approx(0.2, abs=0.002)


def test_constant_maps_are_told(complete: Results) -> None:
    warnings = [
        b.text for b in blocks_of("faithfulness", complete) if getattr(b, "kind", "") == "warning"
    ]
    assert len(warnings) == 1
    assert "digits, “cutout”, rule-a: 9" in warnings[0]
    assert "“none”" not in warnings[0]


def test_quantus_says_which_way_is_better(complete: Results) -> None:
    tables = tables_of("quantus", complete)
    assert "PixelFlipping (lower)" in tables["quantus-faithfulness-digits"].frame
    assert list(tables["quantus-complexity-digits"].frame)[1:] == [
        "Complexity",
        "EffectiveComplexity",
    ]
    assert "quantus-localisation-digits" not in tables
    assert "AUC (higher)" in tables["quantus-localisation-cue-images"].frame
    assert tables["quantus-complexity-differences-digits"].folded
    assert "exploratory" in tables["quantus-complexity-differences-digits"].caption


def test_digits_suit_the_size_of_the_numbers() -> None:
    frame = pd.DataFrame(
        {
            "column": ["big", "big", "unit", "small", "none", "minus"],
            "mean": [48800.0, 0.0, 0.97, 0.00523, float("nan"), -0.0001],
            "sd": [1.0] * 6,
            "n": [2, 2, 2, 2, 0, 2],
            "n_expected": [2] * 6,
        }
    )
    written = texts(frame, None)
    assert written == [
        "48800 ± 1",
        "0 ± 1",
        "0.970 ± 1.000",
        "0.00523 ± 1.00000",
        "– (n=0/2)",
        "−0.000100 ± 1.000000",
    ]
    assert texts(frame.tail(1))[0] == "0.000 ± 1.000"


def test_mass_by_cue_holds_nothing_else(complete: Results) -> None:
    tables = tables_of("cues", complete)
    cues = [f"cue {number}" for number in range(4)]
    for kind in ("mass", "shapley"):
        assert list(tables[f"cues-{kind}-cue-images"].frame) == ["label", *cues]


def test_samples_without_relevance_are_shown_where_there_are_some(complete: Results) -> None:
    tables = tables_of("cues", complete)
    column = "samples without relevance on a cue"
    assert column not in tables["cues-effective-cue-images"].frame
    assert cell(tables["cues-effective-cue-points"], "none", column) == "2.00 ± 0.00"
    columns = list(tables["cues-effective-cue-images"].frame)
    assert columns[1:3] == ["effective cues, causal", "effective cues, by relevance"]


def test_cost_has_passes_and_energy_where_there_are_any(
    with_holes: Results, complete: Results
) -> None:
    table = tables_of("cost", with_holes)["cost"]
    assert cell(table, "none", "passes per step", task="cue-images") == "3.00"
    assert cell(table, "mixing", "passes per step", task="digits") == "3.00 (n=2/3)"
    assert cell(table, "none", "passes of an explanation", task="digits") == "–"
    assert cell(table, "guided block", "passes of an explanation", task="digits") == "3.10"
    block = cell(table, "guided block", "passes of an explanation", task="cue-images")
    assert block == "3.10 (n=2/3)"
    assert cell(table, "cutout", "energy [kJ]", task="cue-points") == "– (n=0/3)"
    silent = replace(complete, cells=complete.cells.assign(energy=float("nan")))
    assert "energy [kJ]" not in tables_of("cost", silent)["cost"].frame


def test_epochs_to_a_target_say_how_many_seeds_reached_it(with_holes: Results) -> None:
    table = tables_of("learning-curves", with_holes)["generalization-digits"]
    column = "epochs to 0.5"
    assert cell(table, "mixing", column) == "3.0 (3/3 seeds)"
    assert cell(table, "cutout", column) == "3.0 (2/3 seeds)"
    assert cell(table, "none", column) == "3.0 (2/2 seeds, 1 missing)"
    tones = table.tones or {}
    assert tones["3.0 (2/3 seeds)"] == tones["3.0 (2/2 seeds, 1 missing)"] == "warn"
    assert "3.0 (3/3 seeds)" not in tones


def test_a_target_that_nobody_reached_has_a_column(make_results: Make) -> None:
    never = tuple(("digits", label, seed, "epochs_to_0.5") for label in FEW for seed in range(2))
    results = make_results(tasks=("digits",), labels=FEW, seeds=2, left_out=never)
    table = tables_of("learning-curves", results)["generalization-digits"]
    assert set(table.frame["epochs to 0.5"]) == {"never (0/2 seeds)"}


def test_the_gap_is_drawn_only_where_it_was_recorded(one_task: Results) -> None:
    for gaps, rows in ((one_task.epochs["clean_train_accuracy"], 3), (float("nan"), 2)):
        results = replace(one_task, epochs=one_task.epochs.assign(clean_train_accuracy=gaps))
        (figure,) = [b for b in blocks_of("learning-curves", results) if isinstance(b, Figure)]
        assert len(figure.figure.axes) == rows
        assert ("gap" in figure.caption) == (rows == 3)


def test_areas_stand_beside_the_clean_accuracy(complete: Results) -> None:
    tables = tables_of("occlusion", complete)
    for name in ("occlusion-cue-points", "occlusion-normalised-cue-points"):
        frame = tables[name].frame
        assert list(frame)[:3] == ["order", "label", "clean accuracy"]
        assert list(dict.fromkeys(frame["order"])) == ["random", "mask", "reference"]
    assert "origin (biased)" in tables["occlusion-cue-points"].frame
    notes = [b.text for b in blocks_of("occlusion", complete) if getattr(b, "kind", "") == "note"]
    assert len(notes) == 1
    assert "biased" in notes[0]


def many_orders(results: Results) -> Results:
    """Give every occlusion curve to four orders and five fills."""
    chosen = results.curves["metric"] == "random/mean/accuracy"
    curve = results.curves[chosen & (results.curves["evaluation"] == "occlusion")]
    orders = ("random", "random-blocks", "mask", "reference")
    fills = ("mean", "noise", "blur", "other-sample", "inpaint")
    copies = [curve.assign(metric=f"{order}/{fill}/accuracy") for order in orders for fill in fills]
    rest = results.curves[results.curves["evaluation"] != "occlusion"]
    return replace(results, curves=pd.concat([rest, *copies], ignore_index=True))


@pytest.mark.parametrize("name", ["occlusion", "diversity", "faithfulness", "learning-curves"])
def test_panels_neither_overlap_nor_leave_the_figure(name: str, complete: Results) -> None:
    results = many_orders(complete) if name == "occlusion" else complete
    style = Style(results.labels, results.baseline)
    with style.theme():
        blocks = registry.create("sections", name, {}).build(results, style)
        figures = [block.figure for block in blocks if isinstance(block, Figure)]
        assert figures
        for figure in figures:
            assert figure.get_figwidth() <= 8.6  # what the page shows without shrinking much
            figure.draw_without_rendering()
            boxes = [axis.get_tightbbox() for axis in figure.axes if axis.get_visible()]
            boxes += [legend.get_window_extent() for legend in figure.legends]
            page = figure.bbox.padded(2)
            for box in boxes:
                assert box.x0 >= page.x0, name
                assert box.x1 <= page.x1, name
                assert box.y0 >= page.y0, name
                assert box.y1 <= page.y1, name
            for one, other in combinations(boxes, 2):
                apart = one.padded(-2).overlaps(other.padded(-2))
                assert not apart, (name, one, other)
            for axis in figure.axes:
                if axis.get_visible():
                    size = axis.get_window_extent()
                    assert min(size.width, size.height) >= 0.5 * figure.dpi


def figures_of(name: str, results: Results) -> list[Figure]:
    return [block for block in blocks_of(name, results) if isinstance(block, Figure)]


@pytest.fixture(scope="module")
def many_labels(make_results: Make) -> Results:
    """More labels than one figure can show."""
    labels = ("none", *(f"a method with a rather long name, number {i:02}" for i in range(1, 17)))
    return make_results(tasks=("cue-points",), labels=labels, seeds=2)


@pytest.mark.parametrize(("name", "most"), [("gallery", 8), ("learning-curves", 9)])
def test_many_labels_come_on_pages_with_the_baseline(
    name: str, most: int, many_labels: Results
) -> None:
    figures = figures_of(name, many_labels)
    assert len(figures) == (3 if name == "gallery" else 2)
    assert all(f"page {n} of" in figure.caption for n, figure in enumerate(figures, start=1))
    for label in many_labels.labels:
        pages_with = sum(label in figure.alt for figure in figures)
        assert pages_with == (len(figures) if label == "none" else 1)
    for figure in figures:
        assert sum(label in figure.alt for label in many_labels.labels) <= most
        assert figure.figure.get_figwidth() <= 8.6


def test_the_gallery_says_what_a_label_does_not_do(complete: Results) -> None:
    figures = figures_of("gallery", complete)
    texts_of = [[text.get_text() for text in figure.figure.axes[0].texts] for figure in figures]
    # The baseline alters none of three samples; every other label alters all.
    assert [found.count("not altered") for found in texts_of] == [3, 3, 3]
    assert all(found.count("input") == 1 for found in texts_of)


def test_the_gallery_keeps_quiet_about_labels_of_other_tasks(complete: Results) -> None:
    cells, samples = (
        frame[(frame["task"] != "digits") | (frame["label"] != "mixing")]
        for frame in (complete.cells, complete.samples)
    )
    (digits,) = [
        figure
        for figure in figures_of("gallery", replace(complete, cells=cells, samples=samples))
        if figure.name == "gallery-digits"
    ]
    assert "Without samples" not in digits.caption
    lost = replace(complete, samples=samples)
    (digits,) = [f for f in figures_of("gallery", lost) if f.name == "gallery-digits"]
    assert digits.caption.endswith("Without samples: mixing.")


@pytest.mark.parametrize(("labels", "bands"), [(("none", "cutout"), True), (None, False)])
def test_bands_are_drawn_where_they_can_be_told_apart(
    labels: tuple[str, ...] | None, bands: bool, make_results: Make, complete: Results
) -> None:
    results = complete if labels is None else make_results(tasks=("digits",), labels=labels)
    (figure,) = figures_of("learning-curves", results)
    assert any(axis.collections for axis in figure.figure.axes) == bands
    assert ("with a band of ± 1 standard deviation" in figure.caption) == bands
    notes = [
        b.text for b in blocks_of("learning-curves", results) if getattr(b, "kind", "") == "note"
    ]
    assert bool(notes) == bands


def test_a_band_is_one_standard_deviation(make_results: Make) -> None:
    results = make_results(tasks=("digits",), labels=("none",), seeds=3)
    (figure,) = figures_of("learning-curves", results)
    (band,) = figure.figure.axes[0].collections
    heights = band.get_paths()[0].vertices
    last = results.epochs[results.epochs["epoch"] == 5]["validation_accuracy"]
    at_end = heights[heights[:, 0] == 5][:, 1]
    assert at_end.max() == pytest.approx(min(1, last.mean() + last.std()))
    assert at_end.min() == pytest.approx(last.mean() - last.std())


def test_many_tasks_come_on_pages(make_results: Make) -> None:
    tasks = tuple(f"digits {number}" for number in range(6))
    results = make_results(tasks=tasks, labels=FEW, seeds=2)
    figures = figures_of("learning-curves", results)
    assert [len(figure.figure.axes) for figure in figures] == [9, 9]
    titles = [axis.get_title() for figure in figures for axis in figure.figure.axes]
    assert [title for title in titles if title] == list(tasks)


def test_what_is_true_of_the_whole_comes_first(complete: Results) -> None:
    results = replace(complete, remarks=("The sets differ in their recipe.", "Another <remark>."))
    first, second, *_ = blocks_of("completeness", results)
    for block, text in ((first, results.remarks[0]), (second, results.remarks[1])):
        assert block == Prose(text, "warning")


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [(0, 3, []), (3, 3, [3]), (4, 3, [2, 2]), (7, 3, [2, 2, 3]), (1, 9, [1])],
)
def test_pages_are_few_and_filled_alike(count: int, size: int, expected: list[int]) -> None:
    found = pages(range(count), size)
    assert [len(page) for page in found] == expected
    assert [item for page in found for item in page] == list(range(count))


def test_each_page_of_labels_begins_with_the_baseline() -> None:
    labels = ["a", "base", "b", "c", "d"]
    assert label_pages(labels, "base", 5) == [labels]
    assert label_pages(labels, "base", 3) == [["base", "a", "b"], ["base", "c", "d"]]
    assert label_pages(labels, "other", 3) == [["a", "base"], ["b", "c", "d"]]
