"""Evaluate models that were trained elsewhere: a file that builds one, and its weights."""

import hashlib
import importlib.util
import inspect
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import safetensors.torch
import torch
from torch import nn

from reldrop_bench.errors import UserError, one_line
from reldrop_bench.kinds.attributor import DEFAULT_RELEVANCE
from reldrop_bench.kinds.evaluation import Context
from reldrop_bench.kinds.regularizer import Regularizer
from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.matrix.components import SCHEMA
from reldrop_bench.matrix.data import data_of
from reldrop_bench.matrix.entries import ResolvedPlugin, resolve_evaluations, single
from reldrop_bench.matrix.spec import BenchmarkSpec, SpecEntry, read_value
from reldrop_bench.plugins import registry
from reldrop_bench.results import Results
from reldrop_bench.running.benchmark import data_root
from reldrop_bench.running.cell import numerics
from reldrop_bench.running.environment import compute_device, describe
from reldrop_bench.running.evaluate import evaluation_entry
from reldrop_bench.running.measuring import conclude, measure
from reldrop_bench.store.benchmarks import BenchmarkRecord, MatrixEntry
from reldrop_bench.store.declared import declared_metrics, evaluation_identities
from reldrop_bench.store.folder import Store
from reldrop_bench.store.load import load_results
from reldrop_bench.store.records import CellRecord, Training
from reldrop_bench.store.state import pending_evaluations

NAME = "checkpoints"
"""What a folder of evaluated checkpoints calls itself where a benchmark has its name."""


@dataclass(frozen=True)
class Unknown(Regularizer):
    """Whatever a checkpoint was trained with: nothing is known of it, and nothing is done."""

    name: ClassVar[str] = "unknown"


@dataclass(frozen=True)
class Checkpoint:
    """A model of one's own and the task that it solves.

    model: "file.py:function", which is called with the task's facts, or with nothing, and returns
    the network, (B, *input_shape) → logits (B, classes). weights: a safetensors file with its state.
    task: a name, or a mapping in YAML such as "{digits: {}}". label: what tables call it, the weights'
    file name by default. seed: pairs it with the others of that seed.
    """

    model: str
    weights: Path
    task: str
    label: str = ""
    seed: int = 0
    relevance: str = DEFAULT_RELEVANCE
    threads: int = 1
    """CPU threads: they change the last bits, so that results belong to their number."""
    replace: bool = False
    """Whether it takes the place of another one of its label and seed."""


def load_builder(text: str) -> tuple[Path, Callable[..., Any]]:
    """Return the file and the function that "file.py:function" names.

    Raises
    ------
    UserError
        There is no such file or function, or the file cannot be imported.
    """
    name, colon, function = text.rpartition(":")
    path = Path(name).expanduser()
    if not colon or not function:
        raise UserError(
            f"--model {text!r} is not of the form file.py:function, such as net.py:build"
        )
    if not path.is_file():
        raise UserError(f"--model: there is no file {path}")
    spec = importlib.util.spec_from_file_location(f"reldrop_bench_checkpoint_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"--model: {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))  # for what it imports from beside it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's file may raise anything
        reason = one_line(f"{type(error).__name__}: {error}")
        raise UserError(f"--model: {path} cannot be imported ({reason})") from None
    finally:
        sys.path.pop(0)
    build = getattr(module, function, None)
    if not callable(build):
        raise UserError(f"--model: {path} has no function {function!r}")
    return path, build


def load_model(build: Callable[..., Any], weights: Path, context_facts: Any) -> nn.Module:
    """Build the network and load its weights.

    Raises
    ------
    UserError
        It cannot be built, or the weights are not there, damaged, or another network's.
    """
    needed = [
        parameter
        for parameter in inspect.signature(build).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    try:
        model = build(context_facts) if needed else build()
    except Exception as error:  # noqa: BLE001 - as above
        reason = one_line(f"{type(error).__name__}: {error}")
        raise UserError(f"--model: the network cannot be built ({reason})") from None
    if not isinstance(model, nn.Module):
        raise UserError(
            f"--model: the function returned {type(model).__name__}, not a torch module"
        )
    if not weights.is_file():
        raise UserError(f"--weights: there is no file {weights}")
    try:
        state = safetensors.torch.load_file(weights)
    except Exception as error:  # noqa: BLE001 - whatever a file that is something else leads to
        raise UserError(
            f"--weights: {weights} is not a safetensors file ({one_line(str(error))}); pickled "
            "checkpoints are not read: convert it with safetensors.torch.save_model"
        ) from None
    try:
        # Not load_state_dict: tensors that a network shares are stored once.
        missing, unexpected = safetensors.torch.load_model(model, weights, strict=False)
    except RuntimeError as error:
        raise UserError(
            f"--weights: {weights} does not fit the network ({one_line(str(error))})"
        ) from None
    if missing or unexpected:
        raise UserError(
            f"--weights: {weights} does not fit the network (missing {sorted(missing)[:3]}, "
            f"unknown {sorted(unexpected)[:3]})"
        )
    broken = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if broken:
        raise UserError(f"--weights: {broken[0]} in {weights} is not finite")
    return model


def checkpoint_cell(
    checkpoint: Checkpoint, evaluations: Sequence[str] | None
) -> tuple[CellSpec, Callable[..., Any]]:
    """Return the checkpoint as a cell, with the function that builds its network."""
    path, build = load_builder(checkpoint.model)
    weights = Path(checkpoint.weights).expanduser()
    if not weights.is_file():
        raise UserError(f"--weights: there is no file {weights}")
    entries = None if evaluations is None else [evaluation_entry(text) for text in evaluations]
    task = single(read_value(checkpoint.task, "--task"), "tasks")
    relevance = single(read_value(checkpoint.relevance, "--relevance"), "attributors")
    function = checkpoint.model.rpartition(":")[2]
    label = checkpoint.label or weights.stem
    cell = CellSpec(
        task=task,
        model=ResolvedPlugin(
            "models",
            f"{path.stem}:{function}",
            {"weights": _digest(weights)},
            f"{path.stem}:{function}",
            _digest(path),
        ),
        regularizer=ResolvedPlugin("regularizers", Unknown.name, {}, label, ""),
        relevance=relevance,
        evaluation_relevance=relevance,
        evaluations=resolve_evaluations(entries),
        recipe=task.plugin.recipe,
        seed=checkpoint.seed,
        threads=checkpoint.threads,
        uses_relevance=False,
    )
    return cell, build


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def checkpoint_context(
    checkpoint: Checkpoint, cell: CellSpec, build: Callable[..., Any], root: Path | None
) -> Context:
    """Return the context of a checkpoint, after a look at whether it fits the task.

    Raises
    ------
    UserError
        It cannot be built or loaded, or does not take the task's inputs.
    """
    facts = cell.task.plugin.facts(root)
    model = load_model(build, Path(checkpoint.weights).expanduser(), facts).eval()
    device = compute_device()
    context = Context(
        model=model.to(device),
        task=cell.task.plugin,
        facts=facts,
        root=root,
        regularizer=Unknown(),
        attributor=cell.evaluation_relevance.plugin,
        training_attributor=cell.relevance.plugin,
        seed=cell.seed,
        device=device,
    )
    probe = context.test.batch(torch.arange(min(2, len(context.test)))).to(device)
    try:
        logits, again = context.predict(probe.inputs), context.predict(probe.inputs)
    except Exception as error:  # noqa: BLE001 - whatever a network says to inputs that do not fit
        reason = one_line(f"{type(error).__name__}: {error}")
        raise UserError(
            f"--model: the network does not take inputs {facts.input_shape} of {cell.task.label!r} "
            f"({reason})"
        ) from None
    expected = (len(probe), len(facts.classes))
    if tuple(logits.shape) != expected:
        raise UserError(
            f"--model: the network returned {tuple(logits.shape)} instead of logits {expected}"
        )
    if not torch.equal(logits, again) and logits.isfinite().all():
        raise UserError(
            "--model: the network gives other logits each time, so that no number could be repeated; "
            "switch off what it draws in evaluation mode"
        )
    return context


def evaluate_checkpoint(
    checkpoint: Checkpoint,
    output: str | Path = Path("results") / NAME,
    evaluations: Sequence[str] | None = None,
    plugins: Sequence[str | Path] = (),
    data: str | Path | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> Results:
    """Evaluate a model that was trained elsewhere, and add it to a folder of such results.

    `evaluations`: as for `evaluate`; by default all that are on by default. What compares with other
    models of a benchmark is left out with a note. The first checkpoint of a folder is the baseline
    of its report; those of one task, model file and seed are paired.

    Raises
    ------
    UserError
        The checkpoint cannot be had or does not fit, or the folder holds something else, or another
        one of this label and seed that it shall not replace.
    """
    registry.refresh(plugins)
    cell, build = checkpoint_cell(checkpoint, evaluations)
    store, root = Store(Path(output).expanduser()), data_root(data)
    cell = replace(cell, data=data_of(cell.task, root))
    store.claimed(NAME)
    with numerics(cell), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        context = checkpoint_context(checkpoint, cell, build, root)  # before anything is written
        with store.locked():
            known = store.read_benchmark()
            if (other := _rival(known, cell)) and not checkpoint.replace:
                raise UserError(
                    f"{store.folder} has another {other.label!r} of seed {other.seed} on {other.task!r} "
                    "(the data, the weights, the model's file or the relevance method differ): give this one "
                    "another --label or --seed, or --replace the former"
                )
            record = store.repair(cell, progress) or CellRecord.new(cell)
            store.write_weights(record, context.model.state_dict())
            record.trained = True
            record.facts = context.facts
            record.environment = describe(context.device, cell.threads)
            parameters = sum(parameter.numel() for parameter in context.model.parameters())
            record.training = Training(parameters=parameters)
            store.write_cell(record)
            store.write_benchmark(_benchmark(known, cell))
            for evaluation in pending_evaluations(cell, record, lambda key: False):
                context.progress = partial(_tell, progress, evaluation.name)
                context.progress("started")
                measure(cell, context, evaluation, store, record)
            conclude(record, cell.evaluations)
            record.note_warnings(caught)
            store.write_cell(record)
    return load_results(store.folder)


def _tell(progress: Callable[[str], None], name: str, stage: str) -> None:
    progress(f"{name}: {stage}")


def _entry(plugin: ResolvedPlugin) -> SpecEntry:
    """Return a plugin as a spec writes it."""
    plain = plugin.label == plugin.name
    return plugin.name if plain else {plugin.name: dict(plugin.parameters)}


def _rival(known: BenchmarkRecord | None, cell: CellSpec) -> MatrixEntry | None:
    """Return the other cell that tables could not tell from this one, if there is any."""
    if known is None:
        return None
    place = MatrixEntry.of(cell).place
    matches = (entry for entry in known.matrix if entry.place == place and entry.key != cell.key)
    return next(matches, None)


def _benchmark(before: BenchmarkRecord | None, cell: CellSpec) -> BenchmarkRecord:
    """Return the folder's record with the cell, at the place of one of the same label and seed."""
    known = [] if before is None else before.matrix
    identities = {} if before is None else before.evaluation_identities
    metrics = {} if before is None else before.metrics
    entry = MatrixEntry.of(cell)
    for other in known:
        if other.key == cell.key:  # what was measured before is measured still
            entry.evaluations = other.evaluations | entry.evaluations
    matrix = [entry if other.place == entry.place else other for other in known]
    if entry not in matrix:
        matrix.append(entry)
    labels = list(dict.fromkeys(entry.label for entry in matrix))
    spec = BenchmarkSpec(
        name=NAME,
        tasks=list(dict.fromkeys(entry.task for entry in matrix)),
        regularizers=list(labels),
        seeds=sorted({entry.seed for entry in matrix}),
        baseline=labels[0],
        relevance=_entry(cell.evaluation_relevance),
    )
    return BenchmarkRecord(
        schema=SCHEMA,
        name=NAME,
        spec=spec,
        checkpoints=True,
        evaluation_identities=identities | evaluation_identities([cell]),
        metrics=metrics | declared_metrics([cell]),
        matrix=matrix,
    )
