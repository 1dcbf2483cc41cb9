"""The attribution method where nobody chose one."""

from __future__ import annotations

from reldrop_bench.relevance.contract import Attributor
from reldrop_bench.relevance.lrp import EpsilonPlusFlatLRP

DEFAULT_RELEVANCE = EpsilonPlusFlatLRP.name


def default_attributor() -> Attributor:
    """Return the default method with its default parameters."""
    return EpsilonPlusFlatLRP()
