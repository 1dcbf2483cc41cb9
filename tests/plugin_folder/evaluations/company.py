"""What a cell is compared with, told by the sums of weights."""

from __future__ import annotations

from reldrop_bench import Context, Evaluation, Metric, Record
from reldrop_bench.kinds.evaluation import ROLES


def weight_sum(context: Context) -> float:
    return sum(each.double().sum().item() for each in context.model.parameters())


class Company(Evaluation):
    """The sum of the weights of the cell and of each companion."""

    name = "company"
    default = False
    uses_relevance = False
    companions = ROLES
    metrics = {"*": Metric("neither", "sum of the weights")}

    again: bool = False
    """Changes nothing but the key."""

    def evaluate(self, context: Context, record: Record) -> None:
        record.metric("test", "own", weight_sum(context))
        for role in sorted(ROLES):
            other = context.companion(role)
            if other is not None:
                record.metric("test", role, weight_sum(other))
            elif role in context.lacking:
                record.note("test", role, "its model is not there")
