"""How the terminal shows the power of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reldrop_bench.planned_power import LEVEL, POWER, PlannedPower, Reach
from reldrop_bench.statistics.power import smallest_wilcoxon_p


def print_power(power: PlannedPower, console: Console) -> None:
    """Print the two tables and what they mean."""
    if not power.overall:
        console.print(f"no label is compared with the baseline {power.baseline!r}", markup=False)
        return
    console.print(
        f"{power.name}: what comparisons with {power.baseline!r} find with {POWER:.0%} power at level "
        f"{LEVEL:g}, two-sided",
        markup=False,
    )
    console.print("\nin each task, one label:", markup=False)
    _print_table(power, power.settings, console)
    console.print("\nmean over tasks:", markup=False)
    _print_table(power, power.overall, console, overall=True)
    console.print()
    for line in _remarks(power):
        console.print(line, markup=False)


def _print_table(
    power: PlannedPower, reaches: Sequence[Reach], console: Console, overall: bool = False
) -> None:
    columns = ["tasks" if overall else "task", "pairs", "effect", "(Holm)", "least p"]
    if power.spread is not None:
        columns += ["difference", "(Holm)", "seeds"]
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True)
    if overall:
        table.add_column("labels")
    for reach in reaches:
        row = [str(len(reach.settings)) if overall else reach.settings[0], str(reach.pairs)]
        row += [_number(reach.effect, 2), _number(reach.effect_holm, 2)]
        row.append(f"{reach.smallest_sign_flip_p:.2g}")
        if power.spread is not None:
            row += [_number(reach.difference, 4), _number(reach.difference_holm, 4)]
            row.append("–" if reach.seeds_needed is None else str(reach.seeds_needed))
        if overall:
            row.append(_labels(reach, power))
        table.add_row(*map(escape, row))
    console.print(table)


def _labels(reach: Reach, power: PlannedPower) -> str:
    if len(power.overall) == 1:
        return f"each of {len(reach.labels)}"
    shown = ", ".join(reach.labels[:3])
    rest = len(reach.labels) - 3
    return f"{shown} and {rest} more" if rest > 0 else shown


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _remarks(power: PlannedPower) -> list[str]:
    lines = [
        "effect: the smallest mean difference that the t test finds, in standard deviations over the "
        "seeds of a task. (Holm): as the first of a family, of the labels compared in the task, or of "
        "all labels. least p: the smallest that an exact sign-flip or Wilcoxon test on these pairs can give."
    ]
    for count in sorted({reach.pairs for reach in power.settings}):
        here = [reach for reach in power.settings if reach.pairs == count]
        smallest = here[0].smallest_sign_flip_p
        if smallest >= LEVEL:
            tasks = ", ".join(name for reach in here for name in reach.settings)
            lines.append(
                f"a test without assumptions (sign-flip, Wilcoxon) cannot be significant with n={count} "
                f"in {tasks}: its smallest p is {smallest:.3g}"
            )
    lines += [
        f"that a label is better on other tasks, too, cannot be significant with {count} tasks: "
        f"the smallest p of a Wilcoxon test over them is {smallest_wilcoxon_p(count):.3g}"
        for count in sorted({len(reach.settings) for reach in power.overall})
        if count > 1 and smallest_wilcoxon_p(count) >= LEVEL
    ]
    if power.spread is None:
        lines.append(
            "no earlier results tell how much seeds scatter: give some with --from DIR for the smallest "
            "difference and the seeds that a given one needs (--effect)"
        )
        return lines
    spread = power.spread
    seen = ", ".join(
        f"{task} · {model} {deviation:.4f} ({spread.pairs[task, model]} pairs)"
        for (task, model), deviation in spread.deviations.items()
    )
    lines.append(
        f"difference: the same for {spread.metric}. seeds: what a difference of {power.wanted:g} needs, "
        f"without Holm. They go by the standard deviation of seed-paired differences in {spread.folder}: "
        f"{seen}; a task that is not among them counts as their root mean square"
    )
    return lines
