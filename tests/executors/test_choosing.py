"""Plugins of one's own for what computes, what is trained and how it is explained, in one benchmark."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from reldrop_bench import evaluate, load_results, run
from reldrop_bench.checking import run_checks
from reldrop_bench.cli import app
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.executor import Finished, Job, Resources
from reldrop_bench.running.benchmark import Options, prepare
from reldrop_bench.running.plan import PlannedCell
from reldrop_bench.running.runner import Listener, execute

pytestmark = pytest.mark.usefixtures("plugin_folder")


@pytest.fixture
def own_spec(tiny_spec: dict[str, Any]) -> dict[str, Any]:
    """Return a spec that is made of plugins of one's own, as far as there are kinds."""
    return tiny_spec | {
        "model": "my-net",
        "relevance": "my-method",
        "regularizers": ["none", {"reldrop-block": {"probability": 1.0}}],
        "evaluations": ["accuracy", "occlusion"],
        "seeds": 1,
    }


@pytest.mark.parametrize(
    ("kind", "name"),
    [("models", "my-net"), ("attributors", "my-method")],
)
def test_plugins_of_ones_own_keep_their_contract(kind: str, name: str) -> None:
    results = run_checks(kind, name)
    assert [each for each in results if each.status == "failed"] == []
    assert sum(each.status == "passed" for each in results) >= 8


def test_a_model_a_method_and_an_executor_of_ones_own_in_one_benchmark(
    own_spec: dict[str, Any], tmp_path: Path
) -> None:
    """What computes the cells changes no bit of them."""
    usual = run(own_spec, output=tmp_path / "usual", workers=1)
    own = run(own_spec, output=tmp_path / "own", workers=1, executor="futures")
    assert own.exit_code == 0, list(own.cells.error)
    assert set(own.cells.model) == {"my-net"}
    assert set(own.cells.key) == set(usual.cells.key)
    guided = own.cells[own.cells.label == "reldrop-block"].iloc[0]
    assert guided.relevance == "my-method"
    assert guided.explained > 0
    order = ["key", "evaluation", "split", "metric"]
    pd.testing.assert_frame_equal(
        usual.metrics.sort_values(order, ignore_index=True),
        own.metrics.sort_values(order, ignore_index=True),
        check_exact=True,
    )
    assert "my-method" in set(load_results(tmp_path / "own").cells.relevance)


def test_what_computes_is_told_by_name_or_mapping(
    tiny_spec: dict[str, Any], tmp_path: Path
) -> None:
    def chosen(workers: int | None, executor: Any) -> tuple[str, int]:
        benchmark = prepare(tiny_spec, Options(tmp_path, workers, executor=executor))
        return benchmark.executor.name, benchmark.workers

    assert chosen(3, None) == ("local", 3)
    assert chosen(0, None) == ("inline", 0)
    assert chosen(3, "futures") == chosen(3, {"futures": {}}) == ("futures", 3)
    assert chosen(3, "{name: futures}") == ("futures", 3)
    assert chosen(None, "inline") == ("inline", 0)
    assert chosen(None, "local")[1] > 0


@pytest.mark.parametrize(
    ("workers", "executor", "line"),
    [
        (2, "futurs", "no executor is called 'futurs'; did you mean 'futures'"),
        (2, {"futures": {"size": 3}}, "futures: no parameter 'size'"),
        (2, ["futures"], r"executor \['futures'\] is neither a name nor a mapping"),
        (2, "{futures", "--executor: the value is not YAML"),
        (2, "inline", "workers = 2 does not go with the executor 'inline'"),
        (0, "futures", "workers = 0 does not go with the executor 'futures'"),
    ],
)
def test_what_cannot_compute_is_one_clear_line(
    tiny_spec: dict[str, Any], tmp_path: Path, workers: int, executor: Any, line: str
) -> None:
    with pytest.raises(UserError, match=line):
        prepare(tiny_spec, Options(tmp_path, workers, executor=executor))


def test_evaluations_are_added_by_an_executor_of_choice(
    make_set: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reldrop_bench.executors.inline import InlineExecutor

    folder = make_set("set")
    computed: list[int] = []
    inner = InlineExecutor.run

    def noted(self: Any, jobs: list[Job], finished: Finished, resources: Resources) -> None:
        computed.append(len(jobs))
        inner(self, jobs, finished, resources)

    monkeypatch.setattr(InlineExecutor, "run", noted)
    results = evaluate(folder, ["calibration"], executor="inline")
    assert computed == [len(results.cells)]
    assert "calibration" in set(results.metrics.evaluation)


def test_the_command_line_chooses_too(tmp_path: Path, make_set: Any) -> None:
    def invoke(*arguments: str) -> Any:
        return CliRunner().invoke(app, list(arguments))

    wrong = invoke("run", "quickstart", "--executor", "lokal", "--output", str(tmp_path / "out"))
    assert isinstance(wrong.exception, UserError)
    assert "did you mean 'local'" in str(wrong.exception)
    checkpoint = ["--model", "a.py:build", "--weights", "a", "--task", "digits"]
    wrong = invoke("evaluate", *checkpoint, "--executor", "local")
    assert "a checkpoint is evaluated in this process" in str(wrong.exception)
    folder = str(make_set("set"))
    done = invoke("evaluate", folder, "-e", "cost", "--executor", "inline", "--no-report")
    assert done.exit_code == 0, done.output


TRANSFORMER = '''
from torch import nn

from reldrop_bench import Facts, Model


class Mixer(nn.Module):
    def __init__(self, facts):
        super().__init__()
        self.attention = nn.MultiheadAttention(facts.input_shape[0], 1, batch_first=True)
        self.last = nn.Linear(facts.input_shape[0], len(facts.classes))

    def forward(self, images):
        rows = images.flatten(2).transpose(1, 2)
        return self.last(self.attention(rows, rows, rows)[0].mean(1))


class Transformer(Model):
    """Attention between pixels, for which no layer-wise method has a rule."""

    name = "my-transformer"
    modalities = {"image"}

    def build(self, facts: Facts) -> nn.Module:
        return Mixer(facts)
'''


def test_a_cell_whose_model_a_method_refuses_names_methods_that_explain_it(
    own_spec: dict[str, Any], tmp_path: Path, add_plugins: Any
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "my_transformer.py").write_text(TRANSFORMER, encoding="utf-8")
    add_plugins(tmp_path)
    spec = own_spec | {"model": "my-transformer", "evaluations": ["accuracy"]}
    refused = run(spec | {"relevance": "lrp-epsilon-flat"}, output=tmp_path / "lrp", workers=0)
    cells = refused.cells.set_index("label")
    assert cells.status.to_dict() == {"none": "done", "reldrop-block": "failed"}
    assert "(MultiheadAttention)" in cells.error["reldrop-block"]
    advice = cells.error["reldrop-block"].rpartition("; ")[2]
    assert "--relevance gradient-x-input" in advice
    assert {"smoothgrad", "my-method"} <= set(re.findall(r"[\w-]+", advice))
    for method in ("gradient-x-input", "my-method"):
        explained = run(spec | {"relevance": method}, output=tmp_path / method, workers=0)
        assert explained.exit_code == 0


BAD = '''
"""Executors that a run cannot believe."""

from reldrop_bench import Executor


class Bad(Executor):
    """Does it wrong."""

    isolates = False
    how: str = ""

    name = "bad"

    def run(self, jobs, finished, resources):
        if self.how == "raises":
            raise KeyError("what")
        for job in jobs[:-1]:
            finished(job, job.run(worker=False))
        if self.how == "lies":
            finished(jobs[-1], "done")
        if self.how == "invents":
            finished(jobs[-1], "fine\\nand good")
'''


@pytest.mark.parametrize(
    ("how", "said", "computed"),
    [
        ("raises", r"raised KeyError: 'what' \(bad\.py:17\)", 0),
        ("forgets", "returned without telling how 1 of 2 cells ended", 1),
        ("lies", "tells 'done' of cell .* whose record says 'missing'", 1),
        ("invents", "tells 'fine.*' of cell .* whose record says 'missing'", 1),
    ],
)
def test_an_executor_is_believed_only_what_records_say(
    how: str, said: str, computed: int, own_spec: dict[str, Any], tmp_path: Path, add_plugins: Any
) -> None:
    (tmp_path / "executors").mkdir()
    (tmp_path / "executors" / "bad.py").write_text(BAD, encoding="utf-8")
    add_plugins(tmp_path)
    spec = own_spec | {"evaluations": ["accuracy"]}
    with pytest.raises(UserError, match=said) as told:
        run(spec, output=tmp_path / "out", executor={"bad": {"how": how}})
    assert "check bad" in str(told.value)
    assert "\n" not in str(told.value)
    cells = load_results(tmp_path / "out").cells
    assert list(cells.status).count("done") == computed, "what was computed is lost"


def test_a_cell_that_is_told_twice_is_counted_once(
    own_spec: dict[str, Any], tmp_path: Path, add_plugins: Any
) -> None:
    (tmp_path / "executors").mkdir()
    text = BAD.replace(
        "for job in jobs[:-1]:\n            finished(job, job.run(worker=False))",
        "for job in jobs:\n            finished(job, job.run(worker=False))\n            finished(job, 'lost')",
    )
    assert text != BAD
    (tmp_path / "executors" / "bad.py").write_text(text, encoding="utf-8")
    add_plugins(tmp_path)
    heard: list[str] = []

    class Counting(Listener):
        def finished(self, planned: PlannedCell, status: str) -> None:
            heard.append(status)

    spec = own_spec | {"evaluations": ["accuracy"]}
    execute(
        prepare(spec, Options(output=tmp_path / "out", executor={"bad": {"how": ""}})), Counting()
    )
    assert heard == ["done", "done"]
