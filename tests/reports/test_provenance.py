"""Whoever reads the page can make the same results again."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from reldrop_bench.kinds.section import Block, Prose, Table
from reldrop_bench.plugins import registry
from reldrop_bench.plugins.reports.provenance import KEYS, MACHINES
from reldrop_bench.reporting import stamp
from reldrop_bench.reporting.style import Style
from reldrop_bench.results import Results


def built(results: Results) -> list[Block]:
    style = Style(results.labels, results.baseline)
    return list(registry.create("sections", "provenance", {}).build(results, style))


def codes(results: Results) -> list[Prose]:
    return [b for b in built(results) if isinstance(b, Prose) and b.kind == "code"]


def warnings(results: Results) -> str:
    return " ".join(
        b.text for b in built(results) if isinstance(b, Prose) and b.kind in ("warning", "note")
    )


def table(results: Results, name: str) -> Table:
    (found,) = [b for b in built(results) if isinstance(b, Table) and b.name == name]
    return found


def test_the_spec_can_be_saved_and_run(complete: Results) -> None:
    command, spec = codes(complete)
    assert command.text == "reldrop-bench run spec.yaml"
    assert yaml.safe_load(spec.text) == complete.spec
    assert "--plugins" not in " ".join(b.text for b in codes(complete))


@pytest.mark.parametrize("spec", [{"baseline": "none"}, {}])
def test_no_report_command_where_the_spec_says_it_all(
    spec: dict[str, str], complete: Results
) -> None:
    results = replace(complete, spec=dict(complete.spec) | spec)
    assert not any("report DIR" in block.text for block in codes(results))


def test_a_report_of_another_baseline_or_metric_says_how(complete: Results) -> None:
    results = replace(
        complete,
        baseline="guided block",
        metric="calibration/test/ece",
        spec=dict(complete.spec) | {"baseline": "none"},
    )
    expected = "reldrop-bench report DIR --baseline 'guided block' --metric calibration/test/ece"
    assert codes(results)[-1].text == expected


def test_sets_that_are_compared_are_shown_one_by_one(complete: Results) -> None:
    specs = [{"name": "here", "seeds": 3, "baseline": "none"}, {"name": "there", "seeds": [4]}]
    listed: list[dict[str, Any]] = [
        {"set": spec["name"], "cells": 54, "done": 50, "schema": 3, "spec": spec} for spec in specs
    ]
    results = replace(complete, spec={"sets": listed, "relevance": "rule-a"})
    found = [block for block in codes(results) if block.summary]
    assert [block.summary for block in found] == ["spec.yaml of here", "spec.yaml of there"]
    assert [yaml.safe_load(block.text) for block in found] == specs
    assert table(results, "sets").frame["set"].tolist() == ["here", "there"]
    assert "compare DIR DIR" not in " ".join(block.text for block in codes(results))
    other = replace(results, baseline="cutout")
    assert "compare DIR DIR… --baseline cutout" in codes(other)[-1].text


def test_sets_without_a_spec_do_not_end_the_section(complete: Results) -> None:
    results = replace(complete, spec={"sets": [{"set": "bare", "spec": None}]})
    assert "bare holds no spec" in warnings(results)


def test_what_differs_between_machines_comes_first(complete: Results) -> None:
    environments = tuple(
        {"python": "3.11", "torch": version, "machine": {"cores": 2}} for version in ("2.6", "2.7")
    )
    results = replace(complete, environments=environments)
    assert "which differ in torch;" in warnings(results)
    frame = table(results, "environments").frame
    assert frame["fact"].tolist() == ["torch", "python", "machine.cores"]
    assert frame["the same"].tolist() == ["no", "yes", "yes"]


def test_many_machines_are_in_the_csv(complete: Results) -> None:
    environments = tuple({"host": str(number)} for number in range(MACHINES + 3))
    found = table(replace(complete, environments=environments), "environments")
    assert found.frame.shape[1] == 2 + MACHINES
    assert found.data is not None
    assert found.data.shape[1] == 2 + MACHINES + 3


def test_every_key_is_listed(complete: Results) -> None:
    found = table(complete, "cells")
    assert found.data is not None
    assert found.data["key"].tolist() == complete.cells["key"].tolist()
    assert len(found.frame) == min(len(complete.cells), KEYS)


def test_deviations_are_counted(complete: Results) -> None:
    cells = complete.cells.copy()
    cells["deviations"] = [["fewer items", "odd"] if i < 2 else [] for i in range(len(cells))]
    frame = table(replace(complete, cells=cells), "deviations-by-cells").frame
    assert frame.to_dict("list") == {"deviation": ["fewer items", "odd"], "cells": [2, 2]}
    assert any("none was recorded" in b.text for b in built(complete) if isinstance(b, Prose))


def test_a_plugin_of_somebody_else_is_named(complete: Results, plugin_folder: Path) -> None:
    results = replace(
        complete, spec=dict(complete.spec) | {"tasks": ["digits", {"tiny-blobs": {}}]}
    )
    assert codes(results)[0].text == "reldrop-bench run spec.yaml --plugins DIR"
    assert "task “tiny-blobs”" in warnings(results)
    assert "digits" not in warnings(results)
    assert str(plugin_folder) not in warnings(results)


def test_no_spec_no_command(complete: Results) -> None:
    assert "no command can be given" in warnings(replace(complete, spec={}))


def test_the_stamp_knows_every_version_that_the_page_prints(
    complete: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = table(complete, "reported-with").frame
    packages = shown["package"].tolist()
    assert {"numpy", "scipy", "statsmodels", "baycomp", "jinja2"} <= set(packages)
    (tmp_path / "benchmark.json").write_text("{}")
    before = stamp.fingerprint(tmp_path)
    assert stamp.fingerprint(tmp_path) == before

    installed = importlib.metadata.version
    for package in packages:

        def version(name: str, gone: str = package) -> str:
            if name == gone:
                raise importlib.metadata.PackageNotFoundError(name)
            return installed(name)

        monkeypatch.setattr(importlib.metadata, "version", version)
        assert stamp.fingerprint(tmp_path) != before, package
        rows = table(complete, "reported-with").frame.set_index("package")["version"]
        assert rows[package] == "not installed"
    monkeypatch.undo()
    assert stamp.fingerprint(tmp_path) == before
