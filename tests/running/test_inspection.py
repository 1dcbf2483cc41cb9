"""A training refuses what breaks a regularizer's contract, in one line, and changes nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from reldrop_bench import load_results
from reldrop_bench.checking import run_checks
from reldrop_bench.running.inspection import Inspector
from reldrop_bench.running.runner import run

pytestmark = pytest.mark.usefixtures("plugin_folder")

SLOPPY = '''
import torch
import torch.nn.functional as F

from reldrop_bench import Batch, Regularizer, Step


class Sloppy(Regularizer):
    """Breaks its contract in one way."""

    name = "sloppy"

    def transform(self, batch: Batch, step: Step) -> Batch:
        inputs, model = batch.inputs, step.model
        parameter = next(model.parameters())
        {transform}
        return batch

    def penalty(self, logits, batch, step):
        parameter = next(step.model.parameters())
        {penalty}
        return None
'''

BROKEN = {
    "a batch of another size": ("return Batch(inputs[:4], batch.targets[:4])", "inputs of shape"),
    "another shape": (
        "return batch.replace(inputs=inputs[..., :4])",
        "inputs of shape (16, 1, 8, 4)",
    ),
    "another dtype": ("return batch.replace(inputs=inputs.double())", "torch.float64"),
    "no batch": ("return inputs", "returns Tensor"),
    "inputs in place": ("inputs.mul_(2)", "changes batch.inputs in place"),
    "inputs in place, unseen by versions": ("inputs.data.mul_(2)", "changes batch.inputs in place"),
    "inputs in place, through numpy": ("inputs.numpy()[:] = 0", "changes batch.inputs in place"),
    "targets in place": ("batch.targets.fill_(0)", "changes batch.targets in place"),
    "evaluation mode": ("model.eval()", "changes the network's train/eval mode"),
    "weights set to zero": ("torch.nn.init.zeros_(parameter)", "changes the network's weights"),
    "weights, unseen by versions": ("parameter.data.zero_()", "changes the network's weights"),
    "weights replaced": (
        "model.register_parameter('late', torch.nn.Parameter(torch.zeros(1)))",
        "changes requires_grad of parameters",
    ),
    "batch norm's buffers": ("model(inputs)", "changes the network's weights or buffers"),
    "frozen weights": ("parameter.requires_grad_(False)", "changes requires_grad of parameters"),
    "a hook": ("model.register_forward_hook(lambda *_: None)", "leaves hooks on the network"),
    "gradients off": ("torch.set_grad_enabled(False)", "leaves gradients switched off"),
    "inputs with a graph": (
        "return batch.replace(inputs=inputs * parameter.sum())",
        "hang on a computation",
    ),
    "values that are not finite": ("return batch.replace(inputs=inputs / 0)", "NaN or infinite"),
    "float labels": ("return batch.replace(targets=batch.targets.float())", "torch.float32"),
    "labels of no class": (
        "return batch.replace(targets=batch.targets + 3)",
        "outside of the 3 classes",
    ),
    "columns of no class": (
        "return batch.replace(targets=F.one_hot(batch.targets, 5).float())",
        "shape (16, 5)",
    ),
    "rows that sum to two": (
        "return batch.replace(targets=2 * F.one_hot(batch.targets, 3).float())",
        "sum to 2 … 2",
    ),
    "a mask of numbers": (
        "return batch.replace(occluded=inputs[:, 0])",
        "occluded as torch.float32",
    ),
}
"""By what is broken: what transform() does, and what is to be told of it."""

BROKEN_PENALTIES = {
    "one value a sample": ("return logits.sum(1)", "returns a tensor of shape (16,)"),
    "a number": ("return 0.5", "returns float"),
    "weights changed": ("parameter.data.zero_()", "penalty() changes the network's weights"),
    "mode changed": ("step.model.eval()", "penalty() changes the network's train/eval mode"),
}


def write(folder: Path, transform: str = "pass", penalty: str = "pass") -> Path:
    path = folder / "plugins" / "regularizers" / "sloppy.py"
    path.parent.mkdir(parents=True)
    path.write_text(SLOPPY.format(transform=transform, penalty=penalty), encoding="utf-8")
    return folder / "plugins"


def error_of(spec: dict[str, Any], folder: Path) -> str:
    results = run(spec | {"seeds": 1, "regularizers": ["none", "sloppy"]}, output=folder, workers=0)
    cells = results.cells.set_index("label")
    assert cells.status.to_dict() == {"none": "done", "sloppy": "failed"}
    error = str(cells.error["sloppy"])
    assert error.startswith("TrainingError: regularizer 'sloppy': ")
    assert "at epoch 1, step 1; " in error
    assert "\n" not in error
    return error


@pytest.mark.parametrize("what", BROKEN)
def test_a_transform_that_breaks_its_contract_ends_its_cell_in_one_line(
    what: str, tiny_spec: dict[str, Any], tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    transform, told = BROKEN[what]
    add_plugins(write(tmp_path, transform))
    error = error_of(tiny_spec, tmp_path / "out")
    assert ": transform() " in error
    assert told in error
    torch.set_grad_enabled(True)


@pytest.mark.parametrize("what", BROKEN_PENALTIES)
def test_a_penalty_that_breaks_its_contract_ends_its_cell_in_one_line(
    what: str, tiny_spec: dict[str, Any], tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    penalty, told = BROKEN_PENALTIES[what]
    add_plugins(write(tmp_path, penalty=penalty))
    assert told in error_of(tiny_spec, tmp_path / "out")


def test_a_loss_that_is_no_number_is_told_with_its_step(
    tiny_spec: dict[str, Any], tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    add_plugins(
        write(tmp_path, penalty="return logits.sum() * (float('nan') if step.epoch else 0)")
    )
    spec = tiny_spec | {"seeds": 1, "regularizers": ["none", "sloppy"]}
    error = run(spec, output=tmp_path / "out", workers=0).cells.set_index("label").error["sloppy"]
    assert error == "TrainingError: the loss is nan at epoch 2, step 1 of 3"


@pytest.mark.slow
@pytest.mark.parametrize("what", BROKEN)
def test_what_a_training_refuses_the_contract_refuses_too(
    what: str, tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    """`check` is the independent judge: no plugin passes it and is refused while it trains."""
    add_plugins(write(tmp_path, BROKEN[what][0]))
    try:
        results = run_checks("regularizers", "sloppy")
    finally:
        torch.set_grad_enabled(True)
    assert [each for each in results if each.status == "failed"]


def test_a_breach_of_a_later_step_is_found_there(
    tiny_spec: dict[str, Any], tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    """Steps 1 to 3 are looked at value by value; in step 5, a tensor's version tells."""
    add_plugins(write(tmp_path, "step.progress > 0.19 and torch.nn.init.zeros_(parameter)"))
    spec = tiny_spec | {
        "seeds": 1,
        "regularizers": ["none", "sloppy"],
        "recipe": {"epochs": 2, "batch_size": 4},
    }
    results = run(spec, output=tmp_path / "out", workers=0)
    error = results.cells.set_index("label").error["sloppy"]
    # 48 training samples make 12 steps: progress 0.19 is passed in the fifth, and in the sixth it
    # is looked at value by value.
    assert "changes the network's weights or buffers at epoch 1, step 7" in error


def test_a_draw_from_a_global_generator_is_a_deviation(
    tiny_spec: dict[str, Any], tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    add_plugins(write(tmp_path, "torch.rand(3)"))
    spec = tiny_spec | {"seeds": 1, "regularizers": ["none", "sloppy"]}
    run(spec, output=tmp_path / "out", workers=0)
    cells = load_results(tmp_path / "out").cells.set_index("label")
    assert set(cells.status) == {"done"}
    assert (
        "sloppy: transform() draws from a global random generator" in cells.deviations["sloppy"][0]
    )
    assert cells.deviations["none"] == []


def test_writing_to_weights_and_putting_the_same_back_is_allowed(
    tiny_spec: dict[str, Any], tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    """As attribution by merged layers does."""
    keep = "kept = parameter.detach().clone(); parameter.data.zero_(); parameter.data.copy_(kept)"
    add_plugins(write(tmp_path, keep))
    spec = tiny_spec | {"seeds": 1, "regularizers": ["none", "sloppy"], "recipe": {"batch_size": 4}}
    run(spec, output=tmp_path / "out", workers=0)
    metrics = load_results(tmp_path / "out").metrics
    values = metrics.pivot(index=["evaluation", "split", "metric"], columns="label", values="value")
    assert (values["none"] == values["sloppy"]).all(), "it does nothing"


def test_being_looked_at_changes_no_bit(
    tiny_spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a training in which the hooks are called and nothing is looked at."""
    spec = tiny_spec | {
        "seeds": 1,
        "regularizers": ["none", "cutout", "mixup", {"reldrop-block": {"probability": 1.0}}],
        "recipe": {"batch_size": 8},
    }
    looked = run(spec, output=tmp_path / "looked", workers=0)
    assert looked.exit_code == 0

    def plain(self: Inspector, batch: Any, step: Any, index: int) -> Any:
        return self.regularizer.transform(batch, step)

    monkeypatch.setattr(Inspector, "transform", plain)
    monkeypatch.setattr(Inspector, "penalty", lambda self, *given: self.regularizer.penalty(*given))
    run(spec, output=tmp_path / "plain", workers=0)
    for key in looked.cells.key:
        one, other = (
            (tmp_path / name / "cells" / key / "model.safetensors").read_bytes()
            for name in ("looked", "plain")
        )
        assert one == other
