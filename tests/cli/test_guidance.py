"""Answers that are planted come out of the real command line: toy methods whose gain is known."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from reldrop_bench.cli import main

METHOD = '''
"""A method that trains nothing else; how good it is taken to be stands in the toy evaluation."""

from collections.abc import Mapping
from typing import Any, Literal

from reldrop_bench import Batch, Regularizer, Step


class Toy(Regularizer):
    """Does nothing, or crashes on the second task."""

    name = "toy"
    kind: Literal["place", "relevance", "more", "crash"] = "place"
    score: Literal["relevance", "random", "other-sample"] = "relevance"

    @property
    def guided(self) -> bool:
        return self.score == "relevance"

    @property
    def controls(self) -> Mapping[str, Mapping[str, Any]]:
        return {rung: {"score": rung} for rung in ("random", "other-sample")}

    def transform(self, batch: Batch, step: Step) -> Batch:
        if self.kind == "crash" and self.score == "relevance" and len(step.facts.classes) == 3:
            raise RuntimeError("it never works here")
        return batch
'''
EVALUATION = '''
"""Quality as it is planted: what is gained by whom, and noise by seed."""

from reldrop_bench import Evaluation, Metric, numpy_generator

GAINS = {
    "place": {"relevance": 0.1, "other-sample": 0.1, "random": 0.02},
    "relevance": {"relevance": 0.1, "other-sample": 0.02, "random": 0.02},
    "more": {"relevance": 0.1, "other-sample": 0.1, "random": 0.1},
    "crash": {"relevance": 0.1, "other-sample": 0.02, "random": 0.02},
}


class Planted(Evaluation):
    """A number that is known."""

    name = "planted"
    uses_relevance = False
    metrics = {"accuracy": Metric("higher", "planted")}

    def evaluate(self, context, record):
        which = context.regularizer.parameters()
        gain = GAINS.get(which.get("kind"), {}).get(which.get("score"), 0.0)
        noise = numpy_generator(context.seed, sorted(which.items()), context.task.name).normal(0, 0.003)
        record.metric("test", "accuracy", 0.6 + gain + noise)
'''


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    for kind, text in (("regularizers", METHOD), ("evaluations", EVALUATION)):
        (folder / kind).mkdir(parents=True)
        (folder / kind / ("toy.py" if kind == "regularizers" else "planted.py")).write_text(text)
    return folder


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    captured = capsys.readouterr()
    return (stop.value.code if isinstance(stop.value.code, int) else 0), captured.out + captured.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "word", "first"),
    [
        ("place", "does not help", "Guidance is not shown to help: the controls do as well"),
        ("more", "does not help", "Guidance is not shown to help: the controls do as well"),
        ("relevance", "helps", "Yes: guidance is shown to help."),
        ("crash", "incomplete", "It cannot be said of all"),
    ],
)
def test_a_planted_answer_is_the_pages_first_sentence(
    kind: str,
    word: str,
    first: str,
    own: Path,
    tmp_path: Path,
    plugin_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec: dict[str, Any] = {
        "name": "planted",
        "tasks": ["digits", "tiny-blobs"],
        "regularizers": ["none", {"name": "toy", "kind": kind, "controls": True}],
        "seeds": 6,
        "model": {"small-cnn": {"width": 4}},
        "recipe": {"epochs": 1, "batch_size": 512},
        "evaluations": ["planted"],
    }
    file, out = tmp_path / "spec.json", tmp_path / "out"
    file.write_text(json.dumps(spec))
    folders = ["--plugins", str(own), "--plugins", str(plugin_folder)]
    code, _ = call(
        capsys, "run", str(file), "--output", str(out), "--workers", "0", "--no-report", *folders
    )
    assert code == (kind == "crash")
    code, text = call(capsys, "report", str(out), "--metric", "planted/test/accuracy", *folders)
    assert code == (kind == "crash"), text
    page = re.sub("<[^>]+>", "", (out / "report" / "report.html").read_text(encoding="utf-8"))
    assert first in page
    assert page.index(first) < page.rindex("Verdict: what is better"), "it is the first thing said"
    table = pd.read_csv(out / "report" / "tables" / "guidance.csv")
    assert list(table["guidance"]) == [word]
    verdicts = pd.read_csv(out / "report" / "tables" / "verdict.csv").set_index("label")["verdict"]
    assert verdicts["toy"] == ("incomplete" if kind == "crash" else "better")
