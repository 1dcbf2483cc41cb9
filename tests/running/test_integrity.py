"""What a plugin changes in its process is seen, told, put back, and reaches no other cell."""

from __future__ import annotations

import importlib
import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn

from reldrop_bench import load_results
from reldrop_bench.plugins import registry
from reldrop_bench.running import foreign
from reldrop_bench.running.integrity import State
from reldrop_bench.running.runner import Listener, run
from reldrop_bench.seeding import global_seed
from tests.hostile_plugins import HOWS, write_hostile_plugins

pytestmark = pytest.mark.usefixtures("plugin_folder")


@pytest.fixture
def hostile_folder(tmp_path: Path, add_plugins: Callable[[Path], None]) -> Iterator[Path]:
    """Add the hostile plugins; all that they may leave is put back, whatever the test finds."""
    state, folder = State.take(), write_hostile_plugins(tmp_path / "hostile")
    variables = dict(os.environ)
    add_plugins(folder)
    yield folder
    state.put_back()
    foreign._spoiled = False
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]


def values_of(folder: Path, labels: tuple[str, ...]) -> pd.DataFrame:
    """Return every metric of the cells of some labels, in an order of its own."""
    metrics = load_results(folder).metrics
    order = ["label", "seed", "evaluation", "split", "metric"]
    chosen = metrics[metrics.label.isin(labels)]
    return chosen.sort_values(order, ignore_index=True)


def same_cells(one: Path, other: Path, labels: tuple[str, ...]) -> None:
    """Assert that cells have equal metrics and equal weights, bit for bit."""
    left, right = values_of(one, labels), values_of(other, labels)
    assert set(left.label) == set(labels)
    pd.testing.assert_frame_equal(left, right, check_exact=True)
    for key in set(left.key):
        weights = [root / "cells" / key / "model.safetensors" for root in (one, other)]
        assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.parametrize("how", HOWS)
def test_what_is_changed_is_told_with_who_did_it_and_reaches_no_later_cell(
    how: str, tiny_spec: dict[str, Any], tmp_path: Path, hostile_folder: Path
) -> None:
    """In one process, where nothing else keeps cells apart."""
    spec = tiny_spec | {"seeds": 1, "evaluations": ["accuracy"]}
    run(spec, output=tmp_path / "alone", workers=0)
    entries = [{"hostile": {"how": how}}, *spec["regularizers"]]
    before = os.getcwd()
    results = run(spec | {"regularizers": entries}, output=tmp_path / "all", workers=0)
    assert os.getcwd() == before
    same_cells(tmp_path / "alone", tmp_path / "all", ("none", "cutout"))
    cells = results.cells.set_index("label")
    told = f"{cells.error['hostile']} {' '.join(cells.deviations['hostile'])}"
    assert HOWS[how] in told
    assert "hostile" in told
    assert cells.status["hostile"] == (
        "failed" if how in ("gradients", "dtype", "harness") else "done"
    )
    for label in ("none", "cutout"):
        assert cells.deviations[label] == []


def test_a_file_that_changes_the_process_when_it_is_imported_is_named(
    tiny_spec: dict[str, Any], tmp_path: Path, hostile_folder: Path
) -> None:
    notes: list[str] = []

    class Notes(Listener):
        def note(self, text: str) -> None:
            notes.append(text)

    run(tiny_spec, output=tmp_path / "out", workers=0, only=["seed=0"], listener=Notes())
    assert len(notes) == 1
    assert "regularizers.hostile_import" in notes[0]
    assert "torch.nn.functional.cross_entropy (replaced)" in notes[0]
    assert "torch's default dtype (torch.float32 → torch.float64)" in notes[0]
    assert torch.get_default_dtype() == torch.float32


CHANGES: dict[str, Callable[[], object]] = {
    "torch.tanh": lambda: setattr(torch, "tanh", torch.sin),
    "torch.Tensor.add": lambda: setattr(torch.Tensor, "add", lambda self, other: self),
    "torch.nn.ReLU.__call__": lambda: setattr(nn.ReLU, "__call__", lambda self, inputs: inputs),
    "torch.nn.functional.gelu": lambda: setattr(F, "gelu", F.relu),
    "torch.optim.SGD.step": lambda: setattr(torch.optim.SGD, "step", lambda self: None),
    "torch.nn.modules.batchnorm._BatchNorm.forward": lambda: setattr(
        torch.nn.modules.batchnorm._BatchNorm, "forward", lambda self, inputs: inputs
    ),
    "torch.nn.modules.conv.F": lambda: setattr(torch.nn.modules.conv, "F", object()),
    "torch.optim.sgd.sgd": lambda: setattr(sys.modules["torch.optim.sgd"], "sgd", print),
    "safetensors.torch.load_file": lambda: setattr(safetensors.torch, "load_file", lambda path: {}),
    "numpy.mean": lambda: setattr(np, "mean", np.max),
    "random.gauss": lambda: setattr(random, "gauss", lambda *_: 0.0),
    "math.exp": lambda: setattr(__import__("math"), "exp", lambda value: value),
    "builtins.sum": lambda: setattr(__import__("builtins"), "sum", max),
    "torch's default device": lambda: torch.set_default_device("meta"),
    "torch's anomaly mode": lambda: torch.autograd.set_detect_anomaly(True),
    "torch's autocast on cpu": lambda: torch.set_autocast_enabled("cpu", True),
    "torch's denormal numbers": lambda: torch.set_flush_denormal(True),
    "torch.backends.cudnn.benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "torch.backends.cuda.matmul.allow_tf32": lambda: setattr(
        torch.backends.cuda.matmul, "allow_tf32", True
    ),
    "numpy's treatment of errors": lambda: np.seterr(all="raise"),
    "reldrop_bench.kinds.executor.MEMORY_EXIT": lambda: setattr(
        __import__("reldrop_bench.kinds.executor", fromlist=["x"]), "MEMORY_EXIT", 1
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_each_kind_of_state_is_seen_and_put_back(name: str) -> None:
    if name == "torch's denormal numbers" and not torch.set_flush_denormal(False):
        pytest.skip("this processor has no such mode")
    for kind in ("models", "regularizers"):
        registry.entries(kind)
    torch.optim.SGD([nn.Parameter(torch.zeros(1))]).step()  # torch wraps it when it is first used
    state = State.take()
    CHANGES[name]()
    changed = [change.what for change in state.put_back()]
    assert [what for what in changed if what.startswith(name)]
    assert len(changed) == 1 or name.endswith("allow_tf32")  # three names for one setting
    assert state.put_back() == []


def test_what_torch_does_to_itself_is_no_change() -> None:
    state = State.take()
    torch.optim.RMSprop([nn.Parameter(torch.zeros(1))]).step()
    importlib.import_module("torch._dynamo")  # wraps functions of torch

    assert state.put_back() == []


def test_global_generators_are_seeded_inside_and_as_before_behind() -> None:
    """The reference values are those of generators of one's own with the same seed."""
    from reldrop_bench.seeding import derive_seed

    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    with global_seed("a", 1):
        inside = float(torch.rand(())), np.random.rand(), random.random()  # noqa: NPY002
    behind = float(torch.rand(())), np.random.rand(), random.random()  # noqa: NPY002
    for seed, drawn in ((derive_seed("a", 1), inside), (1, behind)):
        wanted = (
            float(torch.rand((), generator=torch.Generator().manual_seed(seed))),
            np.random.RandomState(seed % 2**32).rand(),
            random.Random(seed).random(),
        )
        assert drawn == wanted


def test_a_process_restricted_to_some_plugins_imports_no_others(
    hostile_folder: Path, plugin_folder: Path
) -> None:
    state = State.take()
    with registry.restricted_to({"reldrop_bench.plugins.models.my_net"}):
        assert "cutout" in registry.names("regularizers")
        assert "hostile-import" not in registry.names("regularizers")
        assert registry.find("models", "my-net").cls is not None
        assert registry.is_restricted()
        assert not (hostile_folder / "regularizers" / "imported").exists()
        # What a spec does not name, and some code asks for all the same, is found.
        assert registry.find("regularizers", "hostile-import").cls is not None
        assert not registry.is_restricted()
    assert state.put_back() != []


@pytest.mark.parametrize("name", ["isolated_pack", "isolated_space.inner"])
def test_the_folders_of_a_package_are_found_without_running_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference is what importing a package of the same layout says of its `__path__`."""
    from reldrop_bench.plugins import _package_folders

    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path.joinpath(*name.split("."))
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    reference = [Path(path) for path in importlib.import_module(name).__path__]
    for module in [module for module in sys.modules if module.startswith("isolated_")]:
        del sys.modules[module]
    (folder / "__init__.py").write_text("raise RuntimeError('it was run')")
    importlib.invalidate_caches()
    assert _package_folders(name) == reference == [folder]
    with pytest.raises(ModuleNotFoundError, match="there is no package isolated_none"):
        _package_folders("isolated_none")
