"""What the import and the first commands take, as a ratio to `import torch`.

    python -m benchmarks.speed.startup [--against PYTHON] [--rounds 5] [--clock cpu]

Each is a process of its own; all take turns within a round. Medians over the rounds, of the seconds
and of the ratios within a round. `--against` times another installation, a former version for
example, in the same rounds.
"""

import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.speed import _timing as timing

TORCH = "import torch"
FORMS = {
    "process": "", "seconds": ".2f", "/ torch": ".2f",
    "former s": ".2f", "former / torch": ".2f", "/ former": ".2f",
}  # fmt: skip


def commands(python: str) -> dict[str, list[str]]:
    """Return by name what is timed of the installation that a Python belongs to."""
    script = str(Path(python).absolute().with_name("reldrop-bench"))
    imports = (TORCH, "import reldrop_bench")
    return {
        **{statement: [python, "-c", statement] for statement in imports},
        **{f"reldrop-bench {word}": [script, word] for word in ("--help", "list")},
        # With a folder of one's own nothing is kept between calls: as the first call anywhere.
        "reldrop-bench list, all imported": [script, "list", "--plugins", "."],
    }


def main() -> None:
    parser = timing.argument_parser(__doc__, rounds=5)
    parser.add_argument("--against", metavar="PYTHON", help="Python of another installation")
    options = parser.parse_args()
    clock = timing.begin(options)
    pythons = [sys.executable, *([options.against] if options.against else [])]
    # In a folder of its own: Python would import a source tree that it is started in.
    with tempfile.TemporaryDirectory() as folder:
        run = partial(
            subprocess.run, check=True, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        runs = {
            f"{python} {name}": partial(run, command)
            for python in pythons
            for name, command in commands(python).items()
        }
        taken = timing.in_turn(runs, options.rounds, clock)
    rows = []
    for name in commands(sys.executable):
        row: dict[str, str | float] = {"process": name}
        own, *others = (taken[f"{python} {name}"] for python in pythons)
        torch, *other_torch = (taken[f"{python} {TORCH}"] for python in pythons)
        row |= {"seconds": statistics.median(own), "/ torch": timing.ratio(own, torch)}
        for former, former_torch in zip(others, other_torch, strict=True):
            row |= {
                "former s": statistics.median(former),
                "former / torch": timing.ratio(former, former_torch),
                "/ former": timing.ratio(own, former),
            }
        rows.append(row)
    timing.print_table(rows, FORMS)


if __name__ == "__main__":
    main()
