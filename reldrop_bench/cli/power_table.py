"""How the terminal shows the power of a benchmark."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reldrop_bench.running.power import LEVEL, POWER, PlannedPower, Reach
from reldrop_bench.statistics.power import smallest_exact_p
from reldrop_bench.statistics.wording import counted


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
    _print_tasks(power, console)
    console.print("\nmean over tasks:", markup=False)
    _print_overall(power.overall, console, power.spread is not None)
    if power.contrasts:
        console.print("\nguided − control, mean over tasks:", markup=False)
        _print_overall(power.contrasts, console, power.spread is not None)
    console.print()
    for line in _remarks(power):
        console.print(line, markup=False)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _print_tasks(power: PlannedPower, console: Console) -> None:
    seen = power.spread is not None
    columns = ["task", "pairs", "least p", "effect", "(Holm)"]
    table = _table(*columns, *(["difference", "(Holm)", "seeds"] if seen else []))
    for reach in power.settings:
        row = [reach.settings[0], str(reach.pairs), f"{reach.smallest_sign_flip_p:.2g}"]
        row += [_number(reach.effect, 2), _number(reach.effect_own, 2)]
        if seen:
            row += [_number(reach.difference, 4), _number(reach.difference_own, 4), _seeds(reach)]
        table.add_row(*map(escape, row))
    console.print(table, soft_wrap=False)


def _print_overall(reaches: Sequence[Reach], console: Console, seen: bool) -> None:
    """Print a line for each family, which stand below one another to fit a narrow terminal."""
    columns = ["tasks", "pairs", "least p", "adjusted over", "effect"]
    table = _table(*columns, *(["difference", "seeds"] if seen else []), "labels")
    for reach in reaches:
        own = "all contrasts" if reach.page is None else "own outcomes"
        families = [
            ("nothing", reach.effect, reach.difference, _seeds(reach)),
            (f"{own} ({reach.own})", reach.effect_own, reach.difference_own, ""),
        ]
        if reach.page is not None:
            page = (f"page ({reach.page})", reach.effect_page, reach.difference_page, "")
            families.append(page)
        head = [str(len(reach.settings)), str(reach.pairs), f"{reach.smallest_sign_flip_p:.2g}"]
        for (family, effect, difference, seeds), label in zip(
            families, _labels(reach, len(families), len(reaches)), strict=True
        ):
            row = [*head, family, _number(effect, 2)]
            row += [_number(difference, 4), seeds] if seen else []
            table.add_row(*map(escape, [*row, label]))
            head = [""] * len(head)
    console.print(table, soft_wrap=False)


def _seeds(reach: Reach) -> str:
    return "–" if reach.seeds_needed is None else str(reach.seeds_needed)


def _labels(reach: Reach, lines: int, reaches: int) -> list[str]:
    """Return what stands in so many lines; `reaches`: of how many such rows it is one."""
    if reaches == 1:
        return [f"each of {len(reach.labels)}"] + [""] * (lines - 1)
    if len(reach.labels) > lines:
        return [*reach.labels[: lines - 1], f"and {len(reach.labels) - lines + 1} more"]
    return [*reach.labels, *[""] * (lines - len(reach.labels))]


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _remarks(power: PlannedPower) -> list[str]:
    lines = [
        "effect: the smallest mean difference that the t test finds, in standard deviations over the "
        "seeds of a task, as the strictest of its Holm family. The verdict on a label is adjusted over "
        f"its own primary outcomes, here {power.outcomes} at most; what holds for the page, over those of all "
        "labels; a single task (Holm), over all tasks and outcomes of the label; guided − control, over all "
        "such contrasts and primary outcomes. least p: the smallest "
        "that an exact sign-flip or Wilcoxon test on these pairs can give."
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
        f"the smallest p of a Wilcoxon test over them is {smallest_exact_p(count):.3g}"
        for count in sorted({len(reach.settings) for reach in power.overall})
        if count > 1 and smallest_exact_p(count) >= LEVEL
    ]
    if power.spread is None:
        lines.append(
            "no earlier results tell how much seeds scatter: give some with --from DIR for the smallest "
            "difference and the seeds that a given one needs (--effect)"
        )
        return lines
    spread = power.spread
    seen = ", ".join(
        f"{task} · {model} {deviation:.4f} ({counted(spread.pairs[task, model], 'pair')})"
        for (task, model), deviation in spread.deviations.items()
    )
    lines.append(
        f"difference: the same for {spread.metric}. seeds: what a difference of {power.wanted:g} needs, "
        f"without Holm. They go by the standard deviation of seed-paired differences in {spread.folder}: "
        f"{seen}; a task that is not among them counts as their root mean square"
    )
    return lines
