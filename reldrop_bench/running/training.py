"""Train one cell: a plain loop that reads from top to bottom."""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reldrop_bench.data import Facts, Split, SubsetSplit
from reldrop_bench.kinds.labels import check_split
from reldrop_bench.kinds.memory import RelevanceMemory
from reldrop_bench.kinds.regularizer import Regularizer
from reldrop_bench.kinds.step import Step
from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.running.augmentation import augment
from reldrop_bench.running.averaging import MovingAverage
from reldrop_bench.running.energy import EnergyMeter
from reldrop_bench.running.inspection import Inspector, TrainingError
from reldrop_bench.running.optimization import learning_rate, make_optimizer
from reldrop_bench.running.totals import LOOK_EVERY, Totals
from reldrop_bench.seeding import global_seed, torch_generator

if TYPE_CHECKING:  # to import it takes a second, which a plan does not need
    import pandas as pd
    from lightning_fabric import Fabric


class Place(Protocol):
    """Where a training takes place: what is needed of `Fabric`."""

    @property
    def device(self) -> torch.device: ...

    def setup(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> Any:
        """Return the two as they are to be used."""

    def backward(self, tensor: Tensor) -> None:
        """Go back through the graph of a loss."""

    def clip_gradients(self, module: Any, optimizer: Any, *, max_norm: float) -> Any:
        """Scale the gradients down to a norm of at most `max_norm`."""


@dataclass(frozen=True)
class Trained:
    """A trained model and what its training cost."""

    model: nn.Module
    facts: Facts
    device: torch.device
    epochs: pd.DataFrame
    train_seconds: float
    step_seconds: float
    """Median wall time of a training step, transform included."""
    explained: int
    occluded_fraction: float | None
    samples: int
    selected_epoch: int
    energy: float | None
    """Joules that the machine used meanwhile, where it tells."""
    deviations: list[str]
    """What the regularizer did that it should not."""


def cell_stream(cell: CellSpec) -> tuple[str, str, int]:
    """Name the random streams that all cells of one (task, seed) share, whatever their regularizer."""
    return (cell.task.name, str(sorted(cell.task.parameters.items())), cell.seed)


def build_model(cell: CellSpec, facts: Facts) -> nn.Module:
    """Return the cell's model with the first weights of its (task, seed), regularizer built in."""
    with global_seed("weights", *cell_stream(cell)):
        model = cell.model.plugin.build(facts)
    regularizer: Regularizer = cell.regularizer.plugin
    with global_seed("wrap", cell.regularizer.name, *cell_stream(cell)):
        wrapped = regularizer.wrap(model)
    if not isinstance(wrapped, nn.Module):
        raise TrainingError(
            f"regularizer {cell.regularizer.label!r}: wrap() returns {type(wrapped).__name__}; return "
            "the model"
        )
    return wrapped


def epoch_batches(count: int, size: int, generator: torch.Generator) -> list[Tensor]:
    """Return shuffled index batches; an incomplete last one is left out where there is a full one."""
    order = torch.randperm(count, generator=generator)
    batches = list(order.split(size))
    return batches[:-1] if len(batches) > 1 and len(batches[-1]) < size else batches


def probe_items(total: int, count: int, stream: tuple[object, ...]) -> Tensor:
    """Return at most `count` random positions out of `total`, sorted, the same for a (task, seed)."""
    generator = torch_generator("probe", *stream)
    return torch.randperm(total, generator=generator)[:count].sort().values


@torch.no_grad()
def loss_and_accuracy(
    model: nn.Module, split: Split, batch_size: int, device: torch.device
) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy over a split; (nan, nan) where it is empty."""
    total, correct = 0.0, 0
    for indices in torch.arange(len(split)).split(batch_size):
        batch = split.batch(indices).to(device)
        logits = model(batch.inputs).float()
        total += F.cross_entropy(logits, batch.labels, reduction="sum").item()
        correct += int((logits.argmax(1) == batch.labels).sum())
    count = len(split)
    return (total / count, correct / count) if count else (math.nan, math.nan)


@dataclass(frozen=True)
class _Setup:
    """What the epochs work with."""

    fabric: Place
    train: Split
    validation: Split
    probe: Split
    """As many training items as there are for validation, as they are: not augmented, not occluded."""
    step: Step
    """Holds the model as it is, for the regularizer and for evaluation."""
    forward: Callable[[Tensor], Tensor]
    """The model in the recipe's precision."""
    optimizer: torch.optim.Optimizer
    order: torch.Generator
    augmentation: torch.Generator


def _fabric(cell: CellSpec, device: torch.device) -> Fabric:
    from lightning_fabric import Fabric  # takes seconds to import: only where it is needed

    return Fabric(
        accelerator=device.type,
        devices=1 if device.index is None else [device.index],
        precision=cell.recipe.precision,
    )


def _set_up(cell: CellSpec, root: Path | None, fabric: Place, steps: int | None) -> _Setup:
    stream = cell_stream(cell)
    facts = cell.task.plugin.facts(root)
    train, validation = (
        check_split(f"task {cell.task.name}, {part}", split, len(facts.classes))
        for part, split in cell.task.plugin.splits(root, cell.seed)._asdict().items()
    )
    if steps is not None:  # nor is more looked at than is trained on
        validation = SubsetSplit(validation, torch.arange(len(validation))[: steps * 64])
    model = build_model(cell, facts)
    forward, optimizer = fabric.setup(model, make_optimizer(cell.recipe, model))
    generator = torch_generator("regularizer", cell.regularizer.name, *stream)
    step = Step(model, facts, generator, attributor=cell.relevance.plugin)
    if cell.uses_relevance and (step.attributor.from_training or step.attributor.refresh > 1):
        step.memory = RelevanceMemory(len(train), facts.element_shape, fabric.device)
    return _Setup(
        fabric=fabric,
        train=train,
        validation=validation,
        probe=SubsetSplit(train, probe_items(len(train), len(validation), stream)),
        step=step,
        forward=forward,
        optimizer=optimizer,
        order=torch_generator("order", *stream),
        augmentation=torch_generator("augmentation", *stream),
    )


def train(
    cell: CellSpec,
    root: Path | None,
    progress: Callable[[int, int], None] = lambda epoch, epochs: None,
    device: torch.device | None = None,
    steps: int | None = None,
    fabric: Place | None = None,
) -> Trained:
    """Train a cell.

    Weights, data order, splits and augmentation derive from (task, seed); the regularizer draws
    from a stream of its own, so that cells of equal (task, seed) are paired. Only the training and
    validation splits are opened. It runs on `device`, the CPU by default. `steps` cuts every epoch
    short, to time a few, for which `fabric` may be a stand-in that is quick to import.

    Raises
    ------
    TrainingError
        The loss is not finite; the message says at which step.
    """
    device = device or torch.device("cpu")
    setup = _set_up(cell, root, fabric or _fabric(cell, device), steps)
    recipe, regularizer = cell.recipe, cell.regularizer.plugin
    fabric, optimizer, step, model = setup.fabric, setup.optimizer, setup.step, setup.step.model
    inspector = Inspector(regularizer, cell.regularizer.label)
    learns_maps = step.memory is not None and step.attributor.from_training

    average = None if recipe.average is None else MovingAverage(model, recipe.average)

    rows: list[dict[str, float]] = []
    step_seconds: list[float] = []
    best: tuple[float, int, dict[str, Tensor]] | None = None
    started = time.perf_counter()
    with (
        global_seed("training", *cell_stream(cell)),  # for dropout inside models
        EnergyMeter(device) as energy,
    ):
        for epoch in range(recipe.epochs):
            epoch_started, explained_before = time.perf_counter(), step.explained
            model.train()
            totals = Totals()
            batches = epoch_batches(len(setup.train), recipe.batch_size, setup.order)
            for index, indices in enumerate(batches[:steps]):
                step_started = time.perf_counter()
                step.epoch = epoch
                step.progress = (epoch * len(batches) + index) / (recipe.epochs * len(batches))
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(recipe, step.progress, epoch)

                batch = setup.train.batch(indices).replace(samples=indices).to(fabric.device)
                batch = augment(batch, recipe.augmentation, step.facts, setup.augmentation)
                batch = inspector.transform(batch, step, index)
                if learns_maps or regularizer.needs_input_gradient:
                    batch = batch.differentiable()
                logits = setup.forward(batch.inputs)
                if regularizer.needs_input_gradient and logits._backward_hooks:
                    # Fabric's, which ends any backward pass through the logits but its own.
                    logits._backward_hooks.clear()
                smoothing = recipe.label_smoothing
                loss = F.cross_entropy(logits.float(), batch.targets, label_smoothing=smoothing)
                penalty = inspector.penalty(logits, batch, step)
                if penalty is not None:
                    loss = loss + penalty
                if index % recipe.accumulate == 0:
                    optimizer.zero_grad(set_to_none=True)
                    parts = min(recipe.accumulate, len(batches) - index)
                totals.add(index, loss, logits, batch)
                last = index + 1 == len(batches[:steps])
                if (last or (index + 1) % LOOK_EVERY == 0) and (wrong := totals.read()):
                    at = f"at epoch {epoch + 1}, step {wrong[0] + 1} of {len(batches)}"
                    raise TrainingError(f"the loss is {wrong[1]} {at}")
                fabric.backward(loss / parts if parts > 1 else loss)
                if last or (index + 1) % recipe.accumulate == 0:
                    if recipe.clip is not None:
                        fabric.clip_gradients(setup.forward, optimizer, max_norm=recipe.clip)
                    optimizer.step()
                    if average is not None:
                        average.update()
                if learns_maps:
                    step.learn(batch)
                step_seconds.append(time.perf_counter() - step_started)

            model.eval()
            with nullcontext() if average is None else average.in_place():
                now, clean = (
                    loss_and_accuracy(model, split, 512, fabric.device)
                    for split in (setup.validation, setup.probe)
                )
                is_best = recipe.select == "best-validation" and (best is None or now[1] > best[0])
                if is_best:
                    best = now[1], epoch + 1, copy.deepcopy(model.state_dict())
            energy.read()
            occluded = math.nan if totals.occluded is None else totals.occluded / totals.samples
            rows.append(
                {
                    "epoch": epoch + 1,
                    "train_loss": totals.loss / totals.samples,
                    "train_accuracy": totals.correct / totals.samples,
                    "clean_train_loss": clean[0],
                    "clean_train_accuracy": clean[1],
                    "validation_loss": now[0],
                    "validation_accuracy": now[1],
                    "learning_rate": optimizer.param_groups[0]["lr"],
                    "occluded_fraction": occluded,
                    "explained": step.explained - explained_before,
                    "seconds": time.perf_counter() - epoch_started,
                    "samples": totals.samples,
                }
            )
            progress(epoch + 1, recipe.epochs)

    if best is not None:
        model.load_state_dict(best[2])
    elif average is not None:
        average.swap()
    for name, tensor in model.state_dict().items():
        if not tensor.isfinite().all():
            raise TrainingError(
                f"{name} is not finite after the last step; try a lower learning rate"
            )
    model.eval()
    import pandas as pd

    epochs = pd.DataFrame(rows)
    occluded = (epochs.occluded_fraction * epochs.samples).sum() / epochs.samples.sum()
    return Trained(
        model=model,
        facts=step.facts,
        device=fabric.device,
        epochs=epochs,
        train_seconds=time.perf_counter() - started,
        step_seconds=statistics.median(step_seconds),
        explained=step.explained,
        occluded_fraction=None if epochs.occluded_fraction.isna().any() else float(occluded),
        samples=int(epochs.samples.sum()),
        selected_epoch=recipe.epochs if best is None else best[1],
        energy=energy.joules,
        deviations=inspector.deviations,
    )
