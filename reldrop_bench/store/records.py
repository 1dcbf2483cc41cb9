"""What lies on disk, field by field; `reldrop-bench schema` prints it as a JSON schema."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Self
from warnings import WarningMessage

import pydantic
from pydantic import Field, JsonValue

from reldrop_bench.data import Facts
from reldrop_bench.errors import one_line, shortened
from reldrop_bench.files import short_file_name
from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.matrix.components import SCHEMA, Components, Schema, Stored, digest
from reldrop_bench.results import IDENTITY, Place, Setting, Status

WEIGHTS_FILE = "model.safetensors"
EPOCHS_FILE = "train.parquet"
OUTPUT_FILE = "output.txt"
"""What the cell's code printed, where it printed anything; no part of its result."""


Key = Annotated[str, Field(pattern="^[0-9a-f]+$", max_length=64)]
"""What names the folder of a cell: a results folder may be a stranger's."""
FileName = Annotated[
    str,
    Field(pattern=r"^[^/\\:\x00]*[^./\\:\x00][^/\\:\x00]*$", max_length=200),
    pydantic.AfterValidator(short_file_name),
]
"""What names a file of that folder, or, without its ending, the evaluation that wrote it."""
Whole = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[float, Field(ge=0)]


def evaluation_file(name: str) -> str:
    """Return the file name of an evaluation's table."""
    return f"{name}.parquet"


class Identity(Stored):
    """What names a cell in every table."""

    key: Key
    """Hash of everything that decides its result; names its folder."""
    task: str
    """The task, as the spec calls it."""
    model: str
    """The network, as the spec calls it."""
    regularizer: str
    """The regularizer's registered name."""
    label: str
    """What the spec, tables and figures call the regularizer with its parameters."""
    seed: Whole
    """Cells of equal task, model and seed are paired."""

    @property
    def identity(self) -> dict[str, Any]:
        """The columns that name the cell in every table."""
        return {name: getattr(self, name) for name in IDENTITY}

    @property
    def place(self) -> Place:
        """What names the cell in its benchmark, whatever its key is."""
        return (self.task, self.model, self.label, self.seed)

    @property
    def setting(self) -> Setting:
        return (self.task, self.model)


class Note(Stored):
    """A value that an evaluation left out."""

    split: str
    """Of which split."""
    metric: str
    """Which metric."""
    reason: str
    """Why, in one line."""


class EvaluationOutcome(Stored):
    """How an evaluation of a cell has ended."""

    key: str
    """What was measured: hash of the cell, the evaluation with its parameters and source, and more."""
    status: Status
    """Whether it has a table, and if not, how it failed."""
    error: str = ""
    """One line that says why it failed or that it does not apply; else ""."""
    traceback: str = ""
    """The whole of a failure."""
    notes: list[Note] = []
    """What it left out, and why."""
    lacking: list[str] = []
    """Roles of other cells that it compares with and whose models were not there."""
    seconds: Seconds | None = None
    """Wall time."""

    @property
    def is_done(self) -> bool:
        return self.status == "done"


class Training(Stored):
    """What a training was like; null where that is unknown."""

    train_seconds: Seconds | None = None
    """Wall time, looks at the validation split included."""
    step_seconds: Seconds | None = None
    """Median wall time of a training step, the regularizer's work included."""
    explained: Whole | None = None
    """Samples that were explained, all epochs together."""
    occluded_fraction: float | None = None
    """Mean realised fraction of hidden pixels or points; null where nothing is hidden."""
    samples: Whole | None = None
    """Training samples seen, all epochs together."""
    epochs: Whole | None = None
    """Epochs trained."""
    selected_epoch: Whole | None = None
    """The epoch, from 1, whose weights are kept."""
    energy: float | None = None
    """Joules that the whole machine used meanwhile; null where it does not tell."""
    peak_memory: Whole | None = None
    """Bytes, on the GPU where there is one, else of the process."""
    parameters: Whole | None = None
    """Parameters of the network."""


class CellRecord(Stored):
    """The content of cell.json: what was computed of a cell, and how it ended."""

    schema_version: Schema = Field(alias="schema")
    """Version of these records and of what the harness computes."""
    key: Key
    """Hash of the components; names the folder."""
    components: Components
    """Everything that the key is made of."""
    status: Status
    """How its computation ended."""
    error: str
    """One line that says what is wrong; else ""."""
    traceback: str
    """The whole of a failure."""
    trained: bool
    """Whether its training came to its end."""
    evaluations: dict[FileName, EvaluationOutcome]
    """By name, how each evaluation ended."""
    files: dict[FileName, str]
    """SHA-256 of every file of the cell."""
    training: Training
    """What the training was like."""
    facts: Facts | None
    """What the task said of its data; null where it was not asked yet."""
    environment: dict[str, JsonValue]
    """Versions of packages, system, processor, accelerator, device and threads."""
    warnings: list[str]
    """Warnings of whatever code ran, one line each."""
    deviations: list[str]
    """Whatever differs from the spec or was mended, one line each."""

    @pydantic.field_validator("facts", mode="before")
    @classmethod
    def _known_facts(cls, value: Any) -> Any:
        return value or None  # former versions wrote an empty object

    @property
    def inconsistency(self) -> str:
        """Which two of its statements cannot both be true; "" where all can.

        For what was read: while a record is filled, one statement comes before the other.
        """
        # Former schemas hashed other components.
        if self.schema_version == SCHEMA and self.key != digest(self.components):
            return "its key is not that of its components"
        if self.schema_version != self.components.schema_version:
            return f"its components are those of schema {self.components.schema_version}"
        if self.status == "done" and not self.trained:
            return "it is done and was not trained"
        lacking = [
            name for name, outcome in self.done.items() if evaluation_file(name) not in self.files
        ]
        if self.trained and self.components.regularizer.source and EPOCHS_FILE not in self.files:
            # Only a checkpoint, whose regularizer is unknown, has no log
            return f"it is trained and has no {EPOCHS_FILE}"
        if lacking:
            return f"its evaluation {lacking[0]} is done and has no file"
        return ""

    @classmethod
    def new(cls, cell: CellSpec) -> Self:
        """Return the record of a cell that nothing is known of yet."""
        return cls(
            schema=SCHEMA,
            key=cell.key,
            components=cell.components,
            status="interrupted",
            error="",
            traceback="",
            trained=False,
            evaluations={},
            files={},
            training=Training(),
            facts=None,
            environment={},
            warnings=[],
            deviations=[],
        )

    @property
    def is_trained(self) -> bool:
        """Whether the cell's model can be had."""
        return self.trained and WEIGHTS_FILE in self.files

    @property
    def done(self) -> dict[str, EvaluationOutcome]:
        """The evaluations that have a table."""
        return {name: outcome for name, outcome in self.evaluations.items() if outcome.is_done}

    def end(self, status: Status, error: str = "", traceback: str = "") -> None:
        """Note how its computation ended."""
        self.status, self.error, self.traceback = status, one_line(error), shortened(traceback)

    def note_warnings(self, caught: Iterable[WarningMessage]) -> None:
        """Add warnings that Python has caught, each once."""
        told = (one_line(f"{each.category.__name__}: {each.message}") for each in caught)
        self.warnings = list(dict.fromkeys([*self.warnings, *told]))


class Heartbeat(Identity):
    """The content of running/KEY.json: what a process is computing."""

    pid: int = Field(ge=1, lt=2**31)
    """The process."""
    started: float
    """When it began with the cell, in seconds since 1970."""
    stage: str
    """What it does: "training", or the name of an evaluation with what that tells."""
    done: Whole
    """Epochs, or evaluations, that are done."""
    total: Whole
    """How many there are; 0 where that is unknown."""
