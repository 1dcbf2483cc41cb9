"""A plugin that cannot be imported."""

from __future__ import annotations

from reldrop_bench import Regularizer
from reldrop_bench.no_such_room import nothing  # noqa: F401


class BrokenImport(Regularizer):
    """Never there."""

    name = "broken-import"
