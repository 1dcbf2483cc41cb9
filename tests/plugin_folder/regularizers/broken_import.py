"""A plugin that cannot be imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reldrop_bench import Regularizer
from reldrop_bench.no_such_room import nothing  # noqa: F401


@dataclass(frozen=True)
class BrokenImport(Regularizer):
    """Never there."""

    name: ClassVar[str] = "broken-import"
