"""What a training step costs in passes over the network, whatever the machine."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from reldrop_bench import Batch, Context, Count, Evaluation, Metric, Record, Step
from reldrop_bench.kinds.memory import RelevanceMemory
from reldrop_bench.kinds.workload import PLAIN_STEP, Workload
from reldrop_bench.seeding import global_seed


class Cost(Evaluation):
    """Floating-point operations of a training step, in forward passes of the same batch.

    "passes_per_step": those of the regularizer's transform, the forward pass, the penalty and the
    backward pass, over those of one forward pass; 3 for plain training (2 for the backward pass, a
    little less, as nothing asks for the gradient of the input). "explanation_passes": those of one
    explanation by the method that the regularizer was guided by. Only matrix products and
    convolutions count (by torch's own formulas), not the elementwise work between them, sorting or
    copies: wall time, memory and energy are in the training record. Taken at the end of training,
    on a copy of the model, where every ramp has reached its full strength, and with a map made anew
    for each sample that asks for one: a method that uses maps again costs less (`explained` in the
    training record counts).
    """

    name = "cost"
    uses_relevance = False
    metrics = {
        "passes_per_step": Metric(
            "lower", "operations of a training step in forward passes", "a few steps", seeded=True
        ),
        "explanation_passes": Metric(
            "lower", "operations of an explanation in forward passes", "1 batch of explanations"
        ),
        "forward_megaflops": Metric(
            "neither", "operations of a sample's forward pass [10⁶]", "1 batch of predictions"
        ),
    }

    presets = {"fast": {"steps": 2}, "full": {"steps": 32}}

    steps: Count = 8
    """Training steps of which the mean is taken: many methods act by chance."""
    batch_size: Count = 16
    """Samples of such a step."""

    def passes(self, workload: Workload) -> float:
        size = workload.sample(self.batch_size)
        explained = workload.explanation if workload.step > PLAIN_STEP else 0
        return size * (1 + self.steps * workload.step + explained)

    def evaluate(self, context: Context, record: Record) -> None:
        model = copy.deepcopy(context.model)
        for parameter in model.parameters():
            parameter.requires_grad_()
        batches = self._batches(context)
        inputs = batches[0].inputs
        # With gradients: without them some layers take a fused kernel that no formula counts.
        forward = _operations(lambda: model(inputs))
        if forward == 0:
            reason = "the model makes no matrix product or convolution to count"
            record.note("test", "passes_per_step", reason)
            return
        record.metric("test", "forward_megaflops", forward / len(inputs) / 1e6)
        if context.recipe is None:
            record.note("test", "passes_per_step", "it is not known how the model was trained")
            return
        if len(inputs) < 2:
            record.note("test", "passes_per_step", "a batch of one cannot be trained on")
            return
        step = replace(context.step(), model=model)
        explains = context.regularizer.uses_relevance and not step.attributor.from_training
        if step.attributor.from_training:
            step.memory = self._memory(context, batches)
        with global_seed("evaluation", context.task.name, "cost"):  # dropout inside the model
            work = [partial(self._train, model, batch, context, step) for batch in batches]
            total = sum(map(_operations, work))
        record.metric("test", "passes_per_step", total / len(batches) / forward)
        if explains:
            explain = _operations(lambda: step.relevance(inputs, batches[0].labels))
            record.metric("test", "explanation_passes", explain / forward)

    def _batches(self, context: Context) -> list[Batch]:
        """Return batches of test items: the operations do not depend on whose they are."""
        size = min(self.batch_size, len(context.order))
        starts = [
            index * size % max(1, len(context.order) - size + 1) for index in range(self.steps)
        ]
        batches = [context.test.batch(context.order[start : start + size]) for start in starts]
        return [
            batch.replace(samples=torch.arange(size) + number * size).to(context.device)
            for number, batch in enumerate(batches)
        ]

    def _memory(self, context: Context, batches: list[Batch]) -> RelevanceMemory:
        """Return maps of all batches, as training keeps them from its own backward passes."""
        count, shape = sum(map(len, batches)), context.facts.element_shape
        memory = RelevanceMemory(count, shape, context.device)
        maps = torch.rand((count, *shape), generator=context.generator("cost maps"))
        memory.store(torch.arange(count), None, maps.to(context.device), 0)
        return memory

    def _train(self, model: nn.Module, batch: Batch, context: Context, step: Step) -> None:
        """Make one training step but for the optimizer."""
        model.train()
        regularizer = context.regularizer
        altered = regularizer.transform(batch, step)
        learns_maps = step.attributor.from_training and regularizer.uses_relevance
        if learns_maps or regularizer.needs_input_gradient:
            altered = altered.differentiable()
        logits = model(altered.inputs)
        loss = functional.cross_entropy(logits.float(), altered.targets)
        penalty = regularizer.penalty(logits, altered, step)
        (loss if penalty is None else loss + penalty).backward()
        model.eval()


class _Operations(TorchDispatchMode):
    """Adds up the operations by torch's own formulas.

    Not by its FlopCounterMode, which follows modules by hooks that gradients inside of a backward
    pass, as relevance rules take them, do not allow.
    """

    def __init__(self) -> None:
        super().__init__()
        from torch.utils.flop_counter import flop_registry  # imports triton: only where it counts

        self.total, self.formulas = 0, flop_registry

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        formula = self.formulas.get(func._overloadpacket)
        if formula is not None:
            self.total += int(formula(*args, **(kwargs or {}), out_val=result))
        return result


def _operations(work: Callable[[], object]) -> int:
    """Return the floating-point operations of the matrix products and convolutions in `work`."""
    with _Operations() as counter:
        work()
    return counter.total
