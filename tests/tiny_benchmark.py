"""A benchmark of the harness that runs in a second or two."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from reldrop_bench.running.checkpoints import Checkpoint, evaluate_checkpoint
from reldrop_bench.running.runner import run
from reldrop_bench.store.folder import Store


@pytest.fixture
def tiny_spec() -> dict[str, Any]:
    return {
        "name": "tiny",
        "tasks": ["tiny-blobs"],
        "regularizers": ["none", {"cutout": {"size": 0.5}}],
        "seeds": 2,
        "model": {"small-cnn": {"width": 4}},
        "relevance": "gradient-x-input",
        "evaluations": ["accuracy", "shifts"],
    }


MakeSet = Callable[..., Path]


@pytest.fixture(scope="session")
def _ran(tmp_path_factory: pytest.TempPathFactory) -> MakeSet:
    """Return a function that runs a spec once, however many tests want it."""
    known: dict[str, Path] = {}

    def ran(spec: dict[str, Any]) -> Path:
        text = json.dumps(spec, sort_keys=True)
        if text not in known:
            known[text] = tmp_path_factory.mktemp("ran")
            run(spec, output=known[text], workers=0)
        return known[text]

    return ran


@pytest.fixture
def make_set(
    _ran: MakeSet, plugin_folder: Path, tiny_spec: dict[str, Any], tmp_path: Path
) -> MakeSet:
    """Return a function that gives a folder of results of its own: the tiny spec with changes."""

    def make(folder_name: str, /, **changes: Any) -> Path:
        folder = tmp_path / folder_name
        shutil.copytree(_ran(tiny_spec | changes), folder)
        return folder

    return make


NETWORK = """
from torch import nn

def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
"""


@pytest.fixture
def make_checkpoints(plugin_folder: Path, tmp_path: Path) -> MakeSet:
    """Return a function that gives a folder of evaluated checkpoints.

    models: by label and seed, the number that its weights are drawn from.
    """

    def make(folder_name: str, models: dict[tuple[str, int], int]) -> Path:
        (tmp_path / "net.py").write_text(NETWORK, encoding="utf-8")
        for (label, seed), number in models.items():
            torch.manual_seed(number)
            network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
            weights = tmp_path / f"weights-{number}.safetensors"
            safetensors.torch.save_model(network, str(weights))
            model = f"{tmp_path / 'net.py'}:build"
            each = Checkpoint(model, weights, "tiny-blobs", label=label, seed=seed)
            evaluate_checkpoint(each, tmp_path / folder_name, ["accuracy"])
        return tmp_path / folder_name

    return make


@pytest.fixture
def rewrite() -> Callable[..., None]:
    """Return a function that changes a folder as if other code or another machine had written it.

    `components(parts)` changes what a key is made of (the cells get other keys), `record(record)`
    whatever else a cell holds, `benchmark(benchmark)` benchmark.json.
    """

    def rewrite(
        folder: Path,
        components: Callable[[dict[str, Any]], None] | None = None,
        record: Callable[[dict[str, Any]], None] | None = None,
        benchmark: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        path = folder / "benchmark.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        for entry in content["matrix"]:
            place = folder / "cells" / entry["key"]
            found = json.loads((place / "cell.json").read_text(encoding="utf-8"))
            if components is not None:
                components(found["components"])
                found["schema"] = found["components"]["schema"]
                text = json.dumps(found["components"], sort_keys=True, separators=(",", ":"))
                entry["key"] = found["key"] = hashlib.sha256(text.encode()).hexdigest()[:20]
                place = place.rename(folder / "cells" / entry["key"])
            if record is not None:
                record(found)
            (place / "cell.json").write_text(json.dumps(found), encoding="utf-8")
        if benchmark is not None:
            benchmark(content)
        path.write_text(json.dumps(content), encoding="utf-8")

    return rewrite


@pytest.fixture
def put_value() -> Callable[..., None]:
    """Return a function that writes another value of a metric into a cell, with its checksum."""

    def put(folder: Path, key: str, evaluation: str, metric: str, value: float) -> None:
        store = Store(folder)
        record = store.read_cell(key)
        assert record is not None
        frame = store.read_table(record, f"{evaluation}.parquet")
        chosen = (frame["table"] == "metric") & (frame["metric"] == metric)
        assert chosen.any()
        store.write_table(
            record, f"{evaluation}.parquet", frame.assign(value=frame["value"].mask(chosen, value))
        )
        store.write_cell(record)

    return put
