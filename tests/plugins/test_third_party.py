"""A small plugin file in somebody's own folder takes part in everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from reldrop_bench.cli import main

PLUGIN = '''\
from dataclasses import dataclass
from typing import ClassVar
import torch
from reldrop_bench import Batch, Regularizer, Step

@dataclass(frozen=True)
class RowDrop(Regularizer):
    """Some rows of each image become the mean."""
    name: ClassVar[str] = "row-drop"
    modalities: ClassVar = {"image"}
    probability: float = 0.3
    def transform(self, batch: Batch, step: Step) -> Batch:
        rows = torch.rand(*batch.inputs.shape[::2], 1, generator=step.generator) < self.probability
        mask = rows.to(batch.inputs.device).expand(-1, -1, batch.inputs.shape[3])
        return batch.replace(inputs=batch.inputs.masked_fill(mask[:, None], step.facts.fill), occluded=mask)
'''


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


@pytest.mark.usefixtures("plugin_folder")
def test_listed_checked_run_beside_built_in_ones_and_reported(
    tiny_spec: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    (folder / "regularizers").mkdir(parents=True)
    (folder / "regularizers" / "row_drop.py").write_text(PLUGIN)
    plugins = ["--plugins", str(folder)]

    assert call("list", "regularizers", "--json", *plugins) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["row-drop"]["status"] == "ok"
    assert rows["row-drop"]["file"].endswith("row_drop.py")

    assert call("check", "row-drop", *plugins) == 0
    assert " 0 failed" in capsys.readouterr().out

    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump(tiny_spec | {"regularizers": ["none", "cutout", "row-drop"]}))
    out = tmp_path / "out"
    assert call("run", str(spec), "-o", str(out), "--workers", "2", *plugins) == 0
    assert "row-drop" in (out / "report" / "report.html").read_text(encoding="utf-8")
    accuracy = (out / "report" / "tables" / "accuracy-accuracy.csv").read_text(encoding="utf-8")
    assert "row-drop" in accuracy
