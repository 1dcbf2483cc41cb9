"""What a benchmark will be able to show, before it is run: its power, from pairs and earlier results."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reldrop_bench.errors import UserError
from reldrop_bench.kinds.outcome import USUAL_MARGIN
from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.matrix.controls import ladders
from reldrop_bench.reporting.question import find_metric
from reldrop_bench.results import Results, Setting
from reldrop_bench.running.benchmark import Benchmark
from reldrop_bench.statistics.paired import pair
from reldrop_bench.statistics.power import (
    POWER,
    pairs_needed_a_setting,
    smallest_detectable_difference,
    smallest_exact_p,
)
from reldrop_bench.statistics.verdicts import LEVEL
from reldrop_bench.store.folder import BENCHMARK_FILE
from reldrop_bench.store.load import load_results

METRIC = "accuracy"
"""What earlier results are asked for where no metric is given."""


@dataclass(frozen=True)
class Reach:
    """What the comparison of one or more labels with the baseline can find at best.

    Numbers are None where they cannot be computed: with less than two pairs a setting, or (those of
    the metric) without earlier results. The families are those that the report adjusts by Holm's
    method; what is found "in a family" is found as its first and strictest member.
    """

    settings: tuple[str, ...]
    labels: tuple[str, ...]
    pairs: int
    """Seed pairs of a label, all settings together."""
    own: int
    """Members of the label's own family, which its verdicts go by: its outcomes. In one setting: its
    outcomes in all of its settings."""
    page: int | None
    """Members of the family of the whole page: the outcomes of all labels. None in one setting, which
    the report does not adjust so."""
    effect: float | None
    """Smallest mean difference, in standard deviations over seeds, that the t test finds with 80 %,
    not adjusted."""
    effect_own: float | None
    """The same in the label's own family."""
    effect_page: float | None
    """The same in the family of the page."""
    smallest_sign_flip_p: float
    smallest_wilcoxon_p: float
    """Of the pairs, for one setting; of the settings' means, for several."""
    difference: float | None = None
    """Smallest difference of the metric that the t test finds with 80 %, not adjusted."""
    difference_own: float | None = None
    difference_page: float | None = None
    seeds_needed: int | None = None
    """Seeds in each setting with which the wanted difference is found with 80 %, unadjusted."""


@dataclass(frozen=True)
class Spread:
    """How seed-paired differences scattered in earlier results."""

    folder: str
    metric: str
    deviations: Mapping[Setting, float] = field(default_factory=dict)
    """By setting: the standard deviation, pooled over labels."""
    pairs: Mapping[Setting, int] = field(default_factory=dict)
    """By setting: the pairs that it comes from, all labels together."""

    def of(self, setting: Setting) -> float:
        """Return a setting's deviation; where it is unknown, the root mean square of the others."""
        known = list(self.deviations.values())
        return self.deviations.get(setting, math.sqrt(float(np.mean(np.square(known)))))


@dataclass(frozen=True)
class PlannedPower:
    """The power of a benchmark: setting by setting, and for the mean over settings."""

    name: str
    baseline: str
    wanted: float
    """Difference of the metric that is to be found."""
    outcomes: int
    """What each label is judged by, at most."""
    settings: tuple[Reach, ...]
    overall: tuple[Reach, ...]
    """One for all labels that have the same pairs."""
    contrasts: tuple[Reach, ...]
    """Of guided labels with their controls, "label − rung": one for all that have the same pairs. Their own
    family is that of all contrasts."""
    spread: Spread | None

    def data(self) -> dict[str, Any]:
        """Return plain data, for JSON."""
        seen = None
        if self.spread is not None:
            rows = [
                {"task": task, "model": model, "deviation": deviation, "pairs": count}
                for (task, model), deviation in self.spread.deviations.items()
                for count in [self.spread.pairs[task, model]]
            ]
            seen = {"from": self.spread.folder, "metric": self.spread.metric, "settings": rows}
        return {
            "name": self.name,
            "baseline": self.baseline,
            "power": POWER,
            "level": LEVEL,
            "wanted": self.wanted,
            "outcomes": self.outcomes,
            "settings": [asdict(reach) for reach in self.settings],
            "overall": [asdict(reach) for reach in self.overall],
            "contrasts": [asdict(reach) for reach in self.contrasts],
            "observed": seen,
        }


def plan_power(
    benchmark: Benchmark,
    wanted: float | None = None,
    earlier: str | Path | None = None,
    metric: str | None = None,
) -> PlannedPower:
    """Return what the chosen cells of a benchmark can show against its baseline; reads only.

    wanted: the difference that `seeds_needed` is about (the margin of an accuracy unless given).
    earlier: folder of results whose seed-paired differences in `metric` (test accuracy unless given)
    say how much seeds scatter; the benchmark's own, where there are any with that metric, unless given.

    Raises
    ------
    UserError
        `wanted` is not above 0, `earlier` holds no results, or they do not hold the metric.
    """
    wanted = USUAL_MARGIN if wanted is None else wanted
    if not (math.isfinite(wanted) and wanted > 0):
        raise UserError(f"--effect {wanted!r} is not above 0; give a difference such as 0.01")
    baseline = benchmark.spec.baseline
    counts = _pairs(benchmark.cells, benchmark.chosen, baseline)
    spread = _observed(benchmark, earlier, metric)
    names = _names([setting for found in counts.values() for setting in found])
    # On a task that one of them does not apply to there are fewer: this errs on the safe side.
    outcomes = max(1, sum(outcome.primary for outcome in benchmark.outcomes))

    def reach(
        labels: Sequence[str], pairs: Mapping[Setting, int], own: int, page: int | None
    ) -> Reach:
        return _reach(labels, pairs, own, page, names, spread, wanted)

    by_setting: dict[Setting, list[str]] = defaultdict(list)
    alike: dict[tuple[tuple[Setting, int], ...], list[str]] = defaultdict(list)
    for label, found in counts.items():
        alike[tuple(found.items())].append(label)
        for setting in found:
            by_setting[setting].append(label)
    single = []
    for setting, labels in by_setting.items():
        pairs = {setting: max(counts[label][setting] for label in labels)}
        most = max(len(counts[label]) for label in labels)
        single.append(reach(labels, pairs, outcomes * most, None))
    overall = [
        reach(labels, dict(found), outcomes, outcomes * len(counts))
        for found, labels in alike.items()
    ]
    against: dict[tuple[tuple[Setting, int], ...], list[str]] = defaultdict(list)
    for label, rungs in ladders(benchmark.cells).items():
        cells = [cell for cell in benchmark.chosen if cell.regularizer.label == label]
        for rung, control in rungs.items():
            found = _pairs(benchmark.cells, cells, control).get(label, {})
            if found:
                against[tuple(found.items())].append(f"{label} − {rung}")
    family = outcomes * sum(map(len, against.values()))
    contrasts = [reach(texts, dict(found), family, None) for found, texts in against.items()]
    return PlannedPower(
        benchmark.spec.name,
        baseline,
        wanted,
        outcomes,
        tuple(single),
        tuple(overall),
        tuple(contrasts),
        spread,
    )


def _observed(
    benchmark: Benchmark, earlier: str | Path | None, metric: str | None
) -> Spread | None:
    """Return the spread in `earlier`, else in the benchmark's own folder; None where there is none."""
    folder = Path(earlier) if earlier is not None else benchmark.store.folder
    if earlier is None and not (folder / BENCHMARK_FILE).is_file():
        return None
    results = load_results(folder)
    try:
        path = find_metric(results, metric or results.metric or METRIC)
    except UserError:
        if metric is not None:
            raise
        if earlier is None:  # what there is by chance was not asked for
            return None
        raise UserError(
            f"{folder} does not hold one metric {METRIC!r}; say with --metric what differs"
        ) from None
    spread = _spread(results, str(folder), path, benchmark.spec.baseline)
    return spread if spread.deviations else None


def _pairs(
    cells: Sequence[CellSpec], chosen: Sequence[CellSpec], baseline: str
) -> dict[str, dict[Setting, int]]:
    """Count by label and setting the chosen cells that the baseline has a cell of the same seed for."""

    def place(cell: CellSpec) -> tuple[Setting, int]:
        return (cell.task.label, cell.model.label), cell.seed

    reference = {place(cell) for cell in cells if cell.regularizer.label == baseline}
    counts: dict[str, dict[Setting, int]] = {}
    for cell in chosen:
        label = cell.regularizer.label
        if label != baseline and place(cell) in reference:
            setting, _ = place(cell)
            own = counts.setdefault(label, {})
            own[setting] = own.get(setting, 0) + 1
    return counts


def _names(settings: Sequence[Setting]) -> dict[Setting, str]:
    """Name every setting: by its task if that will do."""
    known = list(dict.fromkeys(settings))
    tasks = [task for task, _ in known]
    return {
        (task, model): task if tasks.count(task) == 1 else f"{task} · {model}"
        for task, model in known
    }


def _spread(results: Results, folder: str, path: str, baseline: str) -> Spread:
    """Return how seed-paired differences of a metric scattered in results, pooled over labels."""
    rows = results.metrics
    here = rows["evaluation"] + "/" + rows["split"] + "/" + rows["metric"] == path
    values = rows.loc[here, ["task", "model", "label", "seed", "value"]]
    done = results.cells.loc[results.cells["status"] == "done", "key"]
    values = values[rows.loc[here, "key"].isin(done)]
    reference = baseline if baseline in set(values["label"]) else results.baseline
    paired = pair(values, reference).dropna(subset="difference")
    groups = paired.groupby(["task", "model", "label"], sort=False)["difference"]
    found = pd.DataFrame({"n": groups.size(), "variance": groups.var()}).query("n > 1")
    deviations: dict[Setting, float] = {}
    pairs: dict[Setting, int] = {}
    for (task, model), group in found.groupby(level=["task", "model"], sort=False):
        setting = str(task), str(model)
        variance = np.average(group["variance"], weights=group["n"] - 1)
        deviations[setting] = math.sqrt(float(variance))
        pairs[setting] = int(group["n"].sum())
    return Spread(folder, path, deviations, pairs)


def _reach(
    labels: Sequence[str],
    pairs: Mapping[Setting, int],
    own: int,
    page: int | None,
    names: Mapping[Setting, str],
    spread: Spread | None,
    wanted: float,
) -> Reach:
    counts = list(pairs.values())

    def smallest(deviations: Sequence[float] | None, family: int | None) -> float | None:
        if deviations is None or family is None:
            return None
        return smallest_detectable_difference(deviations, counts, POWER, LEVEL / family)

    alike = [1.0] * len(counts)
    seen = None if spread is None else [spread.of(setting) for setting in pairs]
    return Reach(
        settings=tuple(names[setting] for setting in pairs),
        labels=tuple(labels),
        pairs=sum(counts),
        own=own,
        page=page,
        effect=smallest(alike, 1),
        effect_own=smallest(alike, own),
        effect_page=smallest(alike, page),
        smallest_sign_flip_p=smallest_exact_p(sum(counts)),
        smallest_wilcoxon_p=smallest_exact_p(counts[0] if len(counts) == 1 else len(counts)),
        difference=smallest(seen, 1),
        difference_own=smallest(seen, own),
        difference_page=smallest(seen, page),
        seeds_needed=None if seen is None else pairs_needed_a_setting(wanted, seen, POWER, LEVEL),
    )
