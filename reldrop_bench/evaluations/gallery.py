"""A few test items to look at: the input, what the model saw in it, what training hides of it."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from reldrop_bench import Batch, Context, Count, Evaluation, Record, Step
from reldrop_bench.kinds.workload import PLAIN_STEP, Workload

TRIES = 8
"""Draws of the regularizer before an item counts as untouched."""


def pick_items(targets: np.ndarray, count: int, generator: torch.Generator) -> Tensor:
    """Return `count` random positions (n,), of different classes as long as there are any.

    targets (N,). Fewer where there are fewer items.
    """
    order = torch.randperm(len(targets), generator=generator).numpy()
    _, first = np.unique(targets[order], return_index=True)
    first.sort()
    rest = np.setdiff1d(np.arange(len(order)), first)
    return torch.from_numpy(order[np.concatenate([first, rest])[:count]])


def reduce_size(values: Tensor, limit: int) -> Tensor:
    """Return maps whose longer side is at most `limit`, by means over areas.

    values (B, C, H, W) or (B, C, N); clouds stay as they are.
    """
    if values.ndim < 4 or max(values.shape[2:]) <= limit:
        return values
    scale = limit / max(values.shape[2:])
    size = [max(round(side * scale), 1) for side in values.shape[2:]]
    return functional.interpolate(values.float(), size=size, mode="area")


def draw_occlusion(context: Context, batch: Batch, step: Step) -> tuple[Tensor, Tensor, Tensor]:
    """Transform a batch until each item was touched, `TRIES` times at most.

    Returns the inputs (B, C, …) and the hidden elements (B, …) bool of each item's first draw that
    hid or changed something, and whether there was one, (B,) bool.
    """
    inputs = batch.inputs.clone()
    hidden = torch.zeros_like(inputs[:, 0], dtype=torch.bool)
    touched = torch.zeros(len(batch), dtype=torch.bool, device=inputs.device)
    for _ in range(TRIES):
        drawn = context.regularizer.transform(batch, step)
        new = (drawn.inputs != batch.inputs).flatten(1).any(1)
        if drawn.occluded is not None:
            new = new | drawn.occluded.flatten(1).any(1)
        new = new & ~touched
        inputs[new] = drawn.inputs[new]
        if drawn.occluded is not None:
            hidden[new] = drawn.occluded[new]
        touched = touched | new
        if touched.all():
            break
    return inputs, hidden, touched


class Gallery(Evaluation):
    """A few test items with their relevance and with what the cell's regularizer hides of them.

    Samples of each item: "input" (C, H, W) or (C, N), normalised; "relevance" (H, W) or (N,) for
    the true label; "label", the class index; "shape", the stored shape of the input. Where the
    regularizer touches the item within eight draws also "occluded_input", and "occluded" (0 to 1)
    where it hides elements of it instead of mixing or moving them. Images are stored with at most
    `max_side` pixels a side.
    """

    name = "gallery"
    metrics = {}

    presets = {"fast": {"items": 2}, "full": {"items": 8}}

    items: Count = 4
    """Test items that are shown."""
    max_side: Count = 64
    """Pixels a side; larger images are shown smaller."""

    def passes(self, workload: Workload) -> float:
        # A guided regularizer may explain them at each of its draws, of which two mostly suffice.
        draws = 2 * workload.explanation if workload.step > PLAIN_STEP else 0
        return workload.sample(self.items) * (workload.explanation + draws)

    def evaluate(self, context: Context, record: Record) -> None:
        targets = context.test.targets.cpu().numpy()
        items = pick_items(targets, self.items, context.generator("gallery"))
        batch = context.test.batch(items).to(context.device)
        relevance = context.explain(batch, context.generator("gallery relevance"))
        inputs, hidden, touched = draw_occlusion(context, batch, context.step())
        shown = {
            "input": self._store(batch.inputs),
            "relevance": self._store(relevance.unsqueeze(1))[:, 0],
            "occluded_input": self._store(inputs),
            "occluded": self._store(hidden.unsqueeze(1))[:, 0],
        }
        present = {
            "occluded_input": touched.tolist(),
            "occluded": hidden.flatten(1).any(1).tolist(),
        }
        shape = torch.tensor(shown["input"].shape[1:])
        for row, item in enumerate(items.tolist()):
            for name, values in shown.items():
                if name not in present or present[name][row]:
                    record.sample("test", name, item, values[row])
            record.sample("test", "label", item, batch.labels[row].cpu())
            record.sample("test", "shape", item, shape)

    def _store(self, values: Tensor) -> Tensor:
        return reduce_size(values.detach(), self.max_side).cpu()
