"""The baseline: nothing but the recipe's own weight decay and augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from reldrop_bench.kinds.regularizer import Regularizer


@dataclass(frozen=True)
class NoRegularizer(Regularizer):
    """No regularizer: the recipe alone, weight decay included."""

    name: ClassVar[str] = "none"
    off: ClassVar[Mapping[str, Any] | None] = {}
