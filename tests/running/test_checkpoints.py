"""Models that were trained elsewhere."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import safetensors.torch
import torch
from torch import nn

from reldrop_bench import load_results
from reldrop_bench.cli import main
from reldrop_bench.errors import UserError
from reldrop_bench.running.checkpoints import Checkpoint, evaluate_checkpoint
from reldrop_bench.running.explanations import save_checkpoint_explanations, save_explanations
from reldrop_bench.running.runner import run
from reldrop_bench.standalone import explain, task

pytestmark = pytest.mark.usefixtures("plugin_folder")

NETWORK = """
import torch
from torch import nn
from parts import head

def build(facts):
    size = facts.input_shape[1] * facts.input_shape[2]
    return nn.Sequential(nn.Flatten(), nn.Linear(size, 16), nn.ReLU(), head(len(facts.classes)))

def narrow():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))

def text():
    return "a network"

def draws():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3), Noise())

class Noise(nn.Module):
    def forward(self, inputs):
        return inputs + torch.randn_like(inputs)

def fails():
    raise ArithmeticError("no luck")
"""


def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 3))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NETWORK)
    (tmp_path / "parts.py").write_text(
        "from torch import nn\ndef head(classes):\n    return nn.Linear(16, classes)\n"
    )
    for seed in range(2):
        torch.manual_seed(seed)
        model = network()
        safetensors.torch.save_model(model, str(tmp_path / f"w{seed}.safetensors"))
        torch.save(model.state_dict(), tmp_path / "w.pt")
    return tmp_path


def checkpoint(folder: Path, **changes: object) -> Checkpoint:
    known = {
        "model": f"{folder / 'net.py'}:build",
        "weights": folder / "w0.safetensors",
        "task": "tiny-blobs",
    }
    return Checkpoint(**(known | changes))  # type: ignore[arg-type]


def test_its_numbers_are_those_of_the_model(folder: Path) -> None:
    results = evaluate_checkpoint(checkpoint(folder), folder / "out", ["accuracy", "shifts"])
    model = network()
    safetensors.torch.load_model(model, str(folder / "w0.safetensors"))
    test = task("tiny-blobs").test(None)
    batch = test.batch(torch.arange(len(test)))
    expected = (model(batch.inputs).argmax(1) == batch.targets).double().mean().item()
    rows = results.metrics.set_index(["evaluation", "metric"])["value"]
    assert rows["accuracy", "accuracy"] == expected
    assert list(results.cells["status"]) == ["done"]
    assert results.labels == ("w0",)
    assert results.trained_elsewhere


def test_several_are_compared_by_seed_and_what_is_measured_adds_up(folder: Path) -> None:
    out = folder / "out"
    for label, seed in (("mine", 0), ("mine", 1), ("other", 0)):
        weights = folder / f"w{(seed + (label == 'other')) % 2}.safetensors"
        chosen = checkpoint(folder, weights=weights, label=label, seed=seed)
        evaluate_checkpoint(chosen, out, ["accuracy"])
    results = evaluate_checkpoint(
        checkpoint(folder, label="mine"), out, ["calibration", "agreement"]
    )
    assert results.baseline == "mine"
    assert len(results.cells) == 3
    first = results.metrics.query("label == 'mine' and seed == 0")
    assert {"accuracy", "calibration"} <= set(first["evaluation"])
    assert set(results.metrics["label"]) == {"mine", "other"}
    assert main_code("report", str(out)) == 0
    assert "trained elsewhere" in (out / "report" / "report.html").read_text()


def test_another_of_the_same_label_and_seed_is_refused_or_replaces_it_where_it_stood(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "out"
    for label in ("first", "second"):
        evaluate_checkpoint(checkpoint(folder, label=label), out, ["accuracy"])
    before = load_results(out)
    other = {"weights": folder / "w1.safetensors", "label": "first"}
    with pytest.raises(UserError, match=r"has another 'first' of seed 0 .*--label or --seed"):
        evaluate_checkpoint(checkpoint(folder, **other), out, ["accuracy"])
    after = load_results(out)
    pd.testing.assert_frame_equal(after.cells, before.cells)
    pd.testing.assert_frame_equal(after.metrics, before.metrics)

    arguments = ("--model", f"{folder / 'net.py'}:build", "--weights", str(other["weights"]))
    more = ("--task", "tiny-blobs", "--label", "first", "--output", str(out), "-e", "accuracy")
    assert main_code("evaluate", *arguments, *more, "--no-report") == 2
    assert "--replace the former" in capsys.readouterr().err
    assert main_code("evaluate", *arguments, *more, "--no-report", "--replace") == 0
    replaced = load_results(out)
    assert replaced.labels == ("first", "second")
    assert replaced.baseline == "first"
    assert replaced.cells["key"].iloc[0] != before.cells["key"].iloc[0]
    assert replaced.cells["key"].iloc[1] == before.cells["key"].iloc[1]


def main_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(str(stop.value.code))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "net.py"}, "not of the form"),
        ({"model": "nowhere.py:build"}, "no file"),
        ({"model": "{folder}/net.py:nothing"}, "no function 'nothing'"),
        ({"model": "{folder}/net.py:text"}, "returned str"),
        ({"model": "{folder}/net.py:fails"}, "ArithmeticError: no luck"),
        ({"model": "{folder}/bad.py:build"}, "cannot be imported"),
        ({"model": "{folder}/net.py:narrow"}, "does not fit the network"),
        ({"model": "{folder}/net.py:draws"}, "other logits each time"),
        ({"weights": Path("nowhere.safetensors")}, "no file"),
        ({"weights": "w.pt"}, "pickled checkpoints are not read"),
        ({"weights": "nan.safetensors"}, "not finite"),
        ({"task": "tiny-blob"}, "did you mean 'tiny-blobs'"),
        ({"task": "digits"}, "does not fit the network"),
        ({"relevance": "lrp"}, "no relevance method"),
    ],
)
def test_what_does_not_fit_is_one_line(
    folder: Path, changes: dict[str, object], message: str
) -> None:
    (folder / "bad.py").write_text("import nothing_of_that_name\n")
    state = {name: tensor * float("nan") for name, tensor in network().state_dict().items()}
    safetensors.torch.save_file(state, str(folder / "nan.safetensors"))
    if "model" in changes:
        changes = {"model": str(changes["model"]).format(folder=folder)}
    if isinstance(changes.get("weights"), str):
        changes = {"weights": folder / str(changes["weights"])}
    with pytest.raises(UserError, match=message):
        evaluate_checkpoint(checkpoint(folder, **changes), folder / "out", ["accuracy"])
    assert not (folder / "out").exists()


def test_a_folder_of_something_else_is_refused(folder: Path, tiny_spec: dict[str, object]) -> None:
    run(tiny_spec | {"seeds": 1}, output=folder / "tiny", workers=0)
    with pytest.raises(UserError, match="of benchmark 'tiny'"):
        evaluate_checkpoint(checkpoint(folder), folder / "tiny", ["accuracy"])
    evaluate_checkpoint(checkpoint(folder), folder / "own", ["accuracy"])
    assert main_code("evaluate", str(folder / "own"), "-e", "accuracy") == 2
    with pytest.raises(UserError, match="holds checkpoints"):
        save_explanations(folder / "own")


def test_the_command_evaluates_and_explains(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    own = ("--model", "net.py:build", "--weights", "w0.safetensors", "--task", "tiny-blobs")
    assert main_code("evaluate", *own, "-e", "accuracy") == 0
    assert load_results("results/checkpoints").labels == ("w0",)
    assert main_code("evaluate", *own[:4]) == 2
    assert "--task is missing" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["explain", *own, "--items", "1,4", "-m", "gradient-x-input", "-o", "maps"])
    found = safetensors.torch.load_file(next(Path("maps").rglob("maps.safetensors")))
    assert found["items"].tolist() == [1, 4]
    assert main_code("explain", *own, "--items", "one") == 2


def test_saved_maps_are_those_of_the_method(folder: Path) -> None:
    methods = ["gradient-x-input", "{smoothgrad: {samples: 2}}"]
    place = save_checkpoint_explanations(checkpoint(folder), [3, 0], methods, folder / "maps")
    found = safetensors.torch.load_file(place / "maps.safetensors")
    assert set(found) == {
        "items", "inputs", "targets", "predictions",
        "relevance/gradient-x-input", "relevance/smoothgrad samples=2",
    }  # fmt: skip
    model = network()
    safetensors.torch.load_model(model, str(folder / "w0.safetensors"))
    batch = task("tiny-blobs").test(None).batch(torch.tensor([3, 0]))
    assert torch.equal(found["inputs"], batch.inputs)
    expected = explain(model, batch.inputs, batch.targets, "gradient-x-input")
    assert torch.allclose(found["relevance/gradient-x-input"], expected)
    assert (place / "maps.png").read_bytes().startswith(b"\x89PNG")


def test_maps_of_a_benchmark_are_of_the_same_items_for_every_cell(
    folder: Path, tiny_spec: dict[str, object]
) -> None:
    run(tiny_spec, output=folder / "out", workers=0)
    told: list[Path] = []
    written = save_explanations(folder / "out", only=["seed=1"], told=told.append)
    assert written == told
    assert len(written) == 2
    first, second = (safetensors.torch.load_file(each / "maps.safetensors") for each in written)
    assert torch.equal(first["items"], second["items"])
    assert torch.equal(first["inputs"], second["inputs"])
    assert len(set(first["targets"].tolist())) == 3
    name = "relevance/gradient-x-input"
    assert not torch.equal(first[name], second[name])
    with pytest.raises(UserError, match="no test item 64; items are 0 to 63"):
        save_explanations(folder / "out", items=[0, 64])
    with pytest.raises(UserError, match="no relevance method"):
        save_explanations(folder / "out", methods=["lrp"])


def test_damage_is_mended_and_the_number_of_threads_here_does_not_matter(folder: Path) -> None:
    out = folder / "out"
    before = evaluate_checkpoint(checkpoint(folder), out, ["accuracy"])
    key = before.cells["key"].iloc[0]
    (out / "cells" / key / "accuracy.parquet").write_bytes(b"nothing")
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        after = evaluate_checkpoint(checkpoint(folder), out, ["accuracy", "calibration"])
    finally:
        torch.set_num_threads(threads)
    assert after.cells["key"].tolist() == [key]
    assert {"accuracy", "calibration"} == set(after.metrics["evaluation"])
    assert "was damaged" in after.cells["deviations"].iloc[0][0]


def test_labels_of_other_alphabets_have_folders_of_their_own(folder: Path) -> None:
    places = {
        save_checkpoint_explanations(
            checkpoint(folder, label=label), [0], ["gradient-x-input"], folder / "maps"
        )
        for label in ("α", "β")
    }
    assert len(places) == 2
