"""What commands print fits a terminal of 80 columns, and a run ends with what it has shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from reldrop_bench import plugins
from reldrop_bench.cli import app, main
from reldrop_bench.cli.output import make_console, print_verdict
from reldrop_bench.cli.progress import duration, print_summary
from reldrop_bench.plugins import registry
from reldrop_bench.reporting.judgement import judge
from reldrop_bench.reporting.pairs import paired_outcomes
from reldrop_bench.reporting.summary import summarize
from reldrop_bench.results import Results

Make = Callable[..., Results]
MakeSet = Callable[..., Path]
WIDTH = 80
SECTION = '''
from reldrop_bench import Prose, ReportSection


class Mine(ReportSection):
    """One sentence."""

    name = "mine"
    title = "Mine"

    def build(self, results, style):
        return [Prose("mine alone")]
'''


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run a command; returns exit code and all that it printed."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    captured = capsys.readouterr()
    return (stop.value.code if isinstance(stop.value.code, int) else 0), captured.out + captured.err


def rows(text: str) -> list[str]:
    """Return the lines of tables: those with a gap between columns, or indented below one."""
    return [line for line in text.splitlines() if re.search(r"\S {2,}\S|^ {6,}\S", line)]


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))


def test_every_table_fits_80_columns(
    capsys: pytest.CaptureFixture[str], make_set: MakeSet, plugin_folder: Path
) -> None:
    long = {
        "name": "cutout",
        "label": "a label of many words and_no_end_to_its_letters_" + "x" * 60,
    }
    folder = make_set("set", regularizers=["none", long], seeds=3)
    spec = folder / "spec.yaml"
    benchmark = json.loads((folder / "benchmark.json").read_text(encoding="utf-8"))
    spec.write_text(json.dumps(benchmark["spec"]), encoding="utf-8")
    own = ["--plugins", str(plugin_folder)]
    commands = [
        ["list"],
        ["list", "specs"],
        ["list", "evaluations"],
        ["show", "small-cnn"],
        ["plan", str(spec), "--output", str(folder), *own],
        ["plan", str(spec), "--power", *own],
        ["plan", str(spec), "--power", "--from", str(folder), *own],
        ["run", str(spec), "--output", str(folder), "--workers", "0", "--no-report", *own],
        ["status", str(folder)],
    ]
    for command in commands:
        code, text = call(capsys, *command)
        assert code == 0, (command, text)
        wide = [line for line in rows(text) if len(line) > WIDTH]
        assert wide == [], command
        assert rows(text) or command[0] == "status", command


def test_no_flag_is_shown_with_a_type(capsys: pytest.CaptureFixture[str]) -> None:
    names = [command.name or command.callback.__name__ for command in app.registered_commands]  # type: ignore[union-attr]
    assert len(names) > 12
    for name in [None, *names]:
        code, text = call(capsys, *([name] if name else []), "--help")
        assert code == 0
        assert "--help" in text
        assert "<bool>" not in text
        assert "BOOLEAN" not in text
        assert max(map(len, text.splitlines())) <= WIDTH


def test_a_run_ends_with_the_verdict(
    capsys: pytest.CaptureFixture[str], make_results: Make, tmp_path: Path
) -> None:
    results = make_results(seeds=5)
    print_verdict(tmp_path, make_console(), results)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= WIDTH
    compared = judge(results, paired_outcomes(results)).query("outcome == 'cues'")
    assert "Accuracy without the two easiest cues: " in text
    assert "Test accuracy" not in text.partition("Exploratory, see the report")[0]
    for row in compared.to_dict("records"):
        line = next(line for line in text.splitlines() if line.startswith(f"{row['label']} "))
        assert line.split()[-1].rstrip("*") == row["verdict"]
        low, high = re.findall(r"[+−]?\d\.\d+", line.partition("[")[2])
        low, high = (float(bound.replace("−", "-")) for bound in (low, high))
        assert (low > 0) == (row["verdict"] == "better")
        assert (high < 0) == (row["verdict"] == "worse")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"seeds": 1, "tasks": ("digits",)}, "Nothing could be tested: one pair. More seeds are needed for a verdict."),
        (
            {"seeds": 2, "failed": tuple(("digits", "none", seed) for seed in range(2)), "tasks": ("digits",)},
            "No verdict: no label has a pair with the baseline “none”; 2 of 12 cells are not done.",
        ),
        (
            {"seeds": 3, "missing": (("digits", "cutout", 1),), "tasks": ("digits",)},
            "1 of 18 cells is not done.",
        ),
    ],
)  # fmt: skip
def test_where_there_is_no_verdict_it_says_why(
    make_results: Make, settings: dict[str, object], expected: str
) -> None:
    assert expected in summarize(make_results(**settings)).sentences


def test_a_mean_over_fewer_seeds_and_tiny_numbers_are_told(make_results: Make) -> None:
    results = make_results(tasks=("digits",), seeds=3, labels=("none", "cutout")).changed(
        metric="accuracy/test/accuracy"
    )
    metrics = results.metrics
    lost = (metrics["label"] == "cutout") & (metrics["seed"] == 2)
    clean = (metrics["evaluation"] == "accuracy") & (metrics["metric"] == "accuracy")
    whole = summarize(results)
    assert not any("n=" in text for row in whole.rows for text in row)
    less = summarize(results.changed(metrics=metrics[~(lost & clean)].reset_index(drop=True)))
    (none, cutout) = less.rows
    values = metrics[clean & ~lost].groupby("label")["value"].mean()
    assert none[1] == f"{values['none']:.3f}"
    assert cutout[1] == f"{values['cutout']:.3f} (n=2/3)"
    tiny = metrics["value"].where(metrics["metric"] != "gini", metrics["value"] * 1e-9)
    small = results.changed(metrics=metrics.assign(value=tiny), metric="diversity/test/gini")
    gini = (
        tiny[(metrics["metric"] == "gini") & (metrics["split"] == "test")]
        .groupby(metrics["label"])
        .mean()
    )
    shown = {label: float(mean.replace("−", "-")) for label, mean, *_ in summarize(small).rows}
    assert shown == pytest.approx(gini[gini.index.isin(shown)].to_dict(), rel=0.01)


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_nothing_breaks_in_other_terminals(
    capsys: pytest.CaptureFixture[str],
    make_results: Make,
    empty: Results,
    monkeypatch: pytest.MonkeyPatch,
    columns: str,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("NO_COLOR", "1")
    results = make_results(tasks=("digits",), seeds=2, labels=("none", "[red]\x1b[2Jmark[/up]"))
    for each in (results, empty):
        print_summary(summarize(each), make_console())
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "No verdict: no cell has a value of test accuracy" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= int(columns)


def test_a_cached_run_says_it_once_more(
    capsys: pytest.CaptureFixture[str], make_set: MakeSet, plugin_folder: Path
) -> None:
    folder = make_set("set")
    spec = folder / "spec.yaml"
    benchmark = json.loads((folder / "benchmark.json").read_text(encoding="utf-8"))
    spec.write_text(json.dumps(benchmark["spec"]), encoding="utf-8")
    command = [
        "run",
        str(spec),
        "--output",
        str(folder),
        "--workers",
        "0",
        "--plugins",
        str(plugin_folder),
    ]
    _, first = call(capsys, *command)
    code, second = call(capsys, *command)
    assert code == 0
    assert "(unchanged)" in second
    told = first.partition("report.html")[2]
    assert "regularizer " in told
    assert second.partition("(unchanged)")[2].split() == told.split()


def test_a_section_that_is_lost_is_named(
    capsys: pytest.CaptureFixture[str],
    make_set: MakeSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, before = make_set("set"), list(plugins.__path__)
    own = tmp_path / "own"
    (own / "reports").mkdir(parents=True)
    (own / "reports" / "mine.py").write_text(SECTION, encoding="utf-8")
    code, text = call(capsys, "report", str(folder), "--plugins", str(own))
    assert code == 0
    assert "note" not in text
    plugins.__path__[:] = before
    monkeypatch.setenv(plugins.VARIABLE, "")
    registry.refresh()
    code, text = call(capsys, "report", str(folder))
    assert code == 0
    assert "had the section 'mine', which is not installed here and is left out" in text
    assert "give its folder with --plugins DIR" in text
    code, text = call(capsys, "report", str(folder), "--sections", "mine")
    assert code == 2
    assert "--plugins DIR" in text


def test_no_word_of_the_verdict_is_broken(
    capsys: pytest.CaptureFixture[str], make_results: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = summarize(make_results(tasks=("digits",), seeds=3))
    for columns in ("30", "40", "60", "80"):
        monkeypatch.setenv("COLUMNS", columns)
        print_summary(told, make_console())
        words = capsys.readouterr().out.split()
        for row in told.rows:
            for word in (word for text in row for word in text.split()):
                assert word in words, columns


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.02, "1 s"), (40, "40 s"), (840, "14 min"), (11520, "3.2 h")],
)
def test_what_takes_time_never_takes_none(seconds: float, text: str) -> None:
    assert duration(seconds) == text
