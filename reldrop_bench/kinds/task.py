"""A task: facts, splits, shifted test sets, and how it is trained by default."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from reldrop_bench.data import Facts, Shifts, Split, TrainingSplits
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.content import DataFiles
from reldrop_bench.kinds.recipe import Recipe
from reldrop_bench.plugins.base import Plugin


@dataclass(frozen=True)
class Origin:
    """Where a task's data come from, for whoever has to get them."""

    what: str
    """What they are, and where they are to lie below the folder of local data."""
    page: str
    """Where they are to be had: an address, or the name of a package."""
    licence: str = "see its page"
    """Under which terms, where they are known for sure."""
    size: int | None = None
    """Bytes, as they lie there; None: not known."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How many samples were published: of "train", which validation is cut from, and of "test"."""


class Task(Plugin, ABC):
    """A data set with its protocol; a plugin in a `datasets/` folder.

    `root` is the folder of local data sets (`--data`, or RELDROP_DATA); tasks that make their own
    data ignore it. Everything random derives from `reldrop_bench.seeding` and the arguments.

    Training sees `splits` alone; `test` and `shifts` are opened by evaluation, once.
    """

    default_model: ClassVar[str]
    recipe: ClassVar[Recipe]
    synthetic: ClassVar[bool | None] = None
    """Whether its data are made by a program, not measured: a reader has to know. None: not said."""

    origin: ClassVar[Origin | None] = None
    """Where its data come from; None where it makes its own, has them in a library, or reads a folder of yours."""

    @property
    def modality(self) -> str:
        """The one kind of input it has: "image" or "cloud"."""
        (modality,) = self.modalities
        return modality

    @abstractmethod
    def facts(self, root: Path | None) -> Facts:
        """Return what is known of the data.

        Raises
        ------
        UserError
            The data set is not below `root`: the message says where to put it.
        """

    @abstractmethod
    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        """Return the training part and the validation part that is cut from it, stratified by `seed`."""

    @abstractmethod
    def test(self, root: Path | None) -> Split:
        """Return the test split: the same for every seed."""

    def data_files(self, root: Path | None) -> DataFiles | None:
        """Return the files that it reads; None where it makes its own data.

        What they hold belongs to the cells' keys. It is asked again each time: what it returns is
        what lies there now.

        Raises
        ------
        UserError
            As `facts`.
        """
        return None

    def published(self, root: Path | None) -> Mapping[str, int]:
        """Return how many samples were published of what lies there, "train" (with validation) and "test".

        Those of `origin`, unless a parameter chooses other data.
        """
        return {} if self.origin is None else self.origin.counts

    def unprepared(self, root: Path | None) -> str:
        """Say what is read once, for minutes, before the first sample is seen; "" where it is done, or quick.

        Such as "9,843 meshes are to be read, about 4 min". `plan` and `run` tell it.
        """
        return ""

    def fetch(self, root: Path) -> None:
        """Download the data below `root`, where the task's library can.

        Raises
        ------
        UserError
            It cannot, or the download failed.
        """
        where = "" if self.origin is None else f"; they are to be had at {self.origin.page}"
        raise UserError(f"{self.name}: its data cannot be downloaded from here{where}")

    def shifts(self, root: Path | None) -> Shifts:
        """Return the shifted test sets by name, each lined up item by item with `test` where it can be."""
        return {}
