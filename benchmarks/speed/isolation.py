"""What looking at plugins costs the quickstart: its cells' training, with and without, and a comparison a cell.

    python -m benchmarks.speed.isolation [--labels cutout reldrop-block] [--epochs 5] [--clock cpu]

A "!" marks a ratio above its limit. Where all plugins are built in, as there, no worker is started anew,
and the process is noted once and compared once a cell.
"""

import statistics
from functools import partial
from unittest import mock

from benchmarks.speed import _timing as timing
from reldrop_bench.matrix.cells import CellSpec, expand
from reldrop_bench.matrix.spec import load_spec
from reldrop_bench.running.inspection import Inspector
from reldrop_bench.running.integrity import State
from reldrop_bench.running.training import train

LIMIT = 1.03
FORMS = {
    "task": "", "regularizer": "", "ratio": ".3f", "ratio limit": ".2f", "s": ".2f",
    "a comparison, ms": ".1f",
}  # fmt: skip


def _plain(cell: CellSpec) -> None:
    """Train as it was before anything was looked at."""
    with (
        mock.patch.object(
            Inspector,
            "transform",
            lambda self, batch, step, index: self.regularizer.transform(batch, step),
        ),
        mock.patch.object(
            Inspector, "penalty", lambda self, *given: self.regularizer.penalty(*given)
        ),
    ):
        train(cell, None)


def _looked_at(cell: CellSpec) -> None:
    state = State.take()
    train(cell, None)
    state.put_back()


def _compare() -> None:
    State.take().put_back()


def main() -> None:
    parser = timing.argument_parser(__doc__, rounds=5)
    parser.add_argument("--labels", nargs="+", default=["none", "cutout", "reldrop-block"])
    parser.add_argument("--epochs", type=int, help="else those of the quickstart")
    options = parser.parse_args()
    clock = timing.begin(options)
    settings = [] if options.epochs is None else [f"recipe.epochs={options.epochs}"]
    spec = load_spec("quickstart", settings)
    rows = []
    for cell in expand(spec).cells:
        if cell.seed != spec.seed_list[0] or cell.regularizer.label not in options.labels:
            continue
        runs: dict[str, timing.Run] = {
            "plain": partial(_plain, cell),
            "looked at": partial(_looked_at, cell),
            "comparison": _compare,
        }
        taken = timing.in_turn(runs, options.rounds, clock)
        rows.append(
            {
                "task": cell.task.label,
                "regularizer": cell.regularizer.label,
                "ratio": timing.ratio(taken["looked at"], taken["plain"]),
                "ratio limit": LIMIT,
                "s": statistics.median(taken["plain"]),
                "a comparison, ms": 1000 * statistics.median(taken["comparison"]),
            }
        )
    timing.print_table(rows, FORMS)


if __name__ == "__main__":
    main()
