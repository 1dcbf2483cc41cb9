"""Save relevance maps and pictures of chosen test items, for models of a benchmark or one's own."""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from reldrop_bench.errors import UserError, one_line
from reldrop_bench.files import write_atomically
from reldrop_bench.kinds.evaluation import Context
from reldrop_bench.matrix.entries import ResolvedPlugin, single
from reldrop_bench.matrix.spec import read_value
from reldrop_bench.reporting.pictures import draw_input, draw_relevance
from reldrop_bench.reporting.render import file_name
from reldrop_bench.reporting.style import Style
from reldrop_bench.running.benchmark import Options, data_root
from reldrop_bench.running.cell import numerics
from reldrop_bench.running.checkpoints import Checkpoint, checkpoint_cell, checkpoint_context
from reldrop_bench.running.environment import compute_device
from reldrop_bench.running.evaluate import prepare_evaluation
from reldrop_bench.running.measuring import Workplace, restored

DEFAULT_ITEMS = 4
MAPS_FILE, PICTURE_FILE = "maps.safetensors", "maps.png"


@dataclass(frozen=True)
class Explanations:
    """Relevance of some test items by several methods, for one model.

    items (n,) positions in the test split; inputs (n, C, …), normalised; targets and predictions (n,)
    classes; maps: by method (n, H, W) or (n, N), signed, for the logit of the target.
    """

    name: str
    items: Tensor
    inputs: Tensor
    targets: Tensor
    predictions: Tensor
    maps: dict[str, Tensor]
    classes: tuple[str, ...]

    def save(self, folder: Path) -> Path:
        """Write maps.safetensors and maps.png below `folder`; returns where."""
        target = folder / self.folder_name
        tensors = {
            "items": self.items,
            "inputs": self.inputs,
            "targets": self.targets,
            "predictions": self.predictions,
            **{f"relevance/{method}": maps for method, maps in self.maps.items()},
        }
        whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
        write_atomically(target / MAPS_FILE, safetensors.torch.save(whole))
        write_atomically(target / PICTURE_FILE, self.picture())
        return target

    @property
    def folder_name(self) -> str:
        """The name as a folder's; what had to be changed for that is told apart by a digest."""
        plain = file_name(self.name)
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:8]
        return plain if plain == self.name else f"{plain}-{digest}"

    def picture(self) -> bytes:
        """Return a PNG: a row an item, the input and then its map by each method."""
        from matplotlib.figure import Figure

        style = Style((), "")
        columns, rows = 1 + len(self.maps), len(self.items)
        width, height = 1.5 * columns + 1.3, 1.5 * rows + 0.6
        with style.theme():
            figure = Figure(figsize=(width, height), facecolor="white")
            left, top = 1.3 / width, 0.6 / height
            axis = figure.add_axes((left, 0, 1 - left, 1 - top))
            axis.set_axis_off()
            head: Any = {"ha": "center", "va": "bottom", "fontsize": 8}
            for column, method in enumerate(["input", *self.maps]):
                axis.text(column + 0.47, -0.06, style.text(method, 14), **head)
            for row in range(rows):
                inputs = self.inputs[row].numpy()
                draw_input(axis, (0, row), inputs)
                for column, maps in enumerate(self.maps.values(), start=1):
                    draw_relevance(axis, (column, row), inputs, maps[row].numpy())
                axis.text(
                    -0.08,
                    row + 0.47,
                    self._caption(style, row),
                    ha="right",
                    va="center",
                    fontsize=8,
                )
            axis.set_xlim(0, columns)
            axis.set_ylim(rows, 0)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
        return buffer.getvalue()

    def _caption(self, style: Style, row: int) -> str:
        target, prediction = int(self.targets[row]), int(self.predictions[row])
        lines = [f"item {int(self.items[row])}", style.text(self.classes[target], 14)]
        if prediction != target:
            lines.append(f"taken for {style.text(self.classes[prediction], 14)}")
        return "\n".join(lines)


def explain_items(
    context: Context, name: str, items: Sequence[int] | None, methods: Sequence[ResolvedPlugin]
) -> Explanations:
    """Explain test items of a context by several methods.

    items: positions in the test split; None for a few of different classes.

    Raises
    ------
    UserError
        There is no such item, or a map cannot be made.
    """
    count = len(context.test)
    chosen = context.order[:DEFAULT_ITEMS] if items is None else torch.tensor(items)
    wrong = chosen[(chosen < 0) | (chosen >= count)]
    if len(wrong):
        raise UserError(
            f"{name}: there is no test item {int(wrong[0])}; items are 0 to {count - 1}"
        )
    batch = context.test.batch(chosen).to(context.device)
    maps = {}
    for method in methods:
        generator = context.generator("explanations", method.label)
        try:
            maps[method.label] = context.explain(batch, generator, method.plugin).cpu()
        except Exception as error:  # noqa: BLE001 - a method may not know the network, or fail on it
            reason = one_line(f"{type(error).__name__}: {error}")
            raise UserError(f"{name}: {method.label} cannot explain the model ({reason})") from None
    return Explanations(
        name=name,
        items=chosen,
        inputs=batch.inputs.cpu(),
        targets=batch.labels.cpu(),
        predictions=context.predict(batch.inputs).argmax(1),
        maps=maps,
        classes=context.facts.classes,
    )


def _contexts(folder: Path, options: Options) -> Iterator[tuple[str, ResolvedPlugin, Context]]:
    """Yield name, default method and context of every trained cell of a results folder."""
    benchmark = prepare_evaluation(folder, (), options)
    workplace = Workplace(benchmark.store, benchmark.root, compute_device())
    for cell in benchmark.chosen:
        record = benchmark.store.read_cell(cell.key)
        if record is None or not record.is_trained:
            continue
        task, model, label = cell.task.label, cell.model.label, cell.regularizer.label
        with numerics(cell):
            context = restored(cell, record, workplace)
            yield f"{task}-{model}-{label}-seed{cell.seed}", cell.evaluation_relevance, context


def save_explanations(
    folder: str | Path,
    items: Sequence[int] | None = None,
    methods: Sequence[str] = (),
    output: str | Path | None = None,
    plugins: Sequence[str | Path] = (),
    data: str | Path | None = None,
    only: Sequence[str] = (),
    told: Callable[[Path], None] = lambda path: None,
) -> list[Path]:
    """Save maps and pictures of test items for the trained cells of a results folder.

    items: positions in the test split, the same for every model; by default a few of different
    classes. methods: attribution methods; by default the benchmark's. Below `output`
    (``<folder>/explanations``) each cell gets a folder with maps.safetensors (items, inputs,
    targets, predictions and one "relevance/METHOD" each) and maps.png. `told` hears of each folder.

    Raises
    ------
    UserError
        No cell is trained, there is no such item or method, or a map cannot be made.
    """
    chosen = _methods(methods)
    options = Options(plugins=plugins, data=data, only=only)
    target = Path(output) if output is not None else Path(folder).expanduser() / "explanations"
    folders = []
    for name, default, context in _contexts(Path(folder), options):
        explanations = explain_items(context, name, items, chosen or [default])
        folders.append(explanations.save(target))
        told(folders[-1])
    return folders


def save_checkpoint_explanations(
    checkpoint: Checkpoint,
    items: Sequence[int] | None = None,
    methods: Sequence[str] = (),
    output: str | Path = "explanations",
    data: str | Path | None = None,
) -> Path:
    """Save maps and pictures of test items for a model of one's own; see `save_explanations`."""
    cell, build = checkpoint_cell(checkpoint, ["accuracy"])
    with numerics(cell):
        context = checkpoint_context(checkpoint, cell, build, data_root(data))
        name = f"{cell.task.label}-{cell.model.label}-{cell.regularizer.label}"
        chosen = _methods(methods) or [cell.evaluation_relevance]
        return explain_items(context, name, items, chosen).save(Path(output))


def _methods(names: Sequence[str]) -> list[ResolvedPlugin]:
    return [single(read_value(name, "--method"), "attributors") for name in names]
