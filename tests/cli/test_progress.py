"""How a run is shown while it goes on."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from reldrop_bench.cli.progress import ProgressDisplay
from reldrop_bench.running.benchmark import Options, prepare

MakeSet = Callable[..., Path]


def test_a_terminal_that_cannot_redraw_gets_a_line_a_cell(
    make_set: MakeSet, plugin_folder: Path, tmp_path: Path
) -> None:
    folder = make_set("set")
    spec = json.loads((folder / "benchmark.json").read_text(encoding="utf-8"))["spec"]
    benchmark = prepare(spec, Options(output=tmp_path / "out"))
    plan = benchmark.plan()
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, _environ={"TERM": "dumb"}, width=80)
    with ProgressDisplay(console, benchmark) as display:
        display.planned(plan)
        for planned in plan.to_do:
            display.finished(planned, "done")
    text = shown.getvalue()
    assert "\x1b" not in text
    assert "\r" not in text
    count = len(plan.to_do)
    assert count > 0
    for number in range(1, count + 1):
        assert f"{number}/{count} cells" in text
