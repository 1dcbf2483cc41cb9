"""The contract of an evaluation: finite, declared, repeatable values and an untouched model."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import nn

from reldrop_bench.checking.rules import (
    NotConcerned,
    checks_in,
    example,
    no_global_draws,
    require,
    twice,
)
from reldrop_bench.checking.tiny import TASKS, Plain, TinyAttributor, tiny_facts, tiny_model
from reldrop_bench.checking.trace import unchanged
from reldrop_bench.data import Facts
from reldrop_bench.kinds.evaluation import ROLES, Context, Evaluation
from reldrop_bench.kinds.record import COLUMNS, Metric, Record
from reldrop_bench.kinds.task import Task
from reldrop_bench.seeding import global_seed
from reldrop_bench.statistics.wording import by_number, counted

OFFERS = frozenset({"masks", "cues", "shifts"})


def _context(modality: str, companions: bool = True) -> Context:
    model: nn.Module = tiny_model(modality).eval()
    task: Task = TASKS[modality]()
    facts: Facts = tiny_facts(modality)
    roles = {role: partial(_companion, modality) for role in ROLES} if companions else {}
    return Context(
        model=model,
        task=task,
        facts=facts,
        root=None,
        regularizer=Plain(),
        attributor=TinyAttributor(),
        training_attributor=TinyAttributor(),
        seed=0,
        batch_size=8,
        recipe=task.recipe,
        companions=roles,
    )


def _companion(modality: str) -> Context:
    """Return a model of the same shape with other weights."""
    context = _context(modality, companions=False)
    with global_seed("contract", "companion"), torch.no_grad():
        for parameter in context.model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return context


@dataclass(frozen=True)
class Case:
    """An evaluation with a model and the data of a tiny task."""

    where: str
    """The modality."""
    evaluation: Evaluation
    context: Context

    def measure(self) -> pd.DataFrame:
        record = Record()
        self.evaluation.evaluate(self.context, record)
        return record.frame()


def _cases(cls: type[Evaluation]) -> Iterator[Case]:
    evaluation: Evaluation = example(cls)
    fitting = [each for each in sorted(cls.modalities) if evaluation.applies_to(tiny_facts(each))]
    if not fitting:
        raise NotConcerned(
            "it applies to none of the contract's tiny tasks, which offer masks and cues"
        )
    for modality in fitting:
        yield Case(modality, evaluation, _context(modality))


def requirements_are_known(cls: type[Evaluation]) -> None:
    """`requires` names facts that a task can offer, `companions` roles that there are."""
    require(
        set(cls.requires) <= OFFERS,
        f"requires = {set(cls.requires)!r}: a task offers {', '.join(sorted(OFFERS))}",
    )
    require(
        set(cls.companions) <= ROLES,
        f"companions = {set(cls.companions)!r}: there are {', '.join(sorted(ROLES))}",
    )


def metrics_are_described(cls: type[Evaluation]) -> None:
    """`metrics` says of each metric what it measures and which direction is better."""
    for name, metric in cls.metrics.items():
        require(
            isinstance(metric, Metric),
            f"metrics[{name!r}] = {metric!r}: write Metric('higher', 'what it measures')",
        )
        require(
            metric.direction in ("higher", "lower", "neither"),
            f"metrics[{name!r}]: direction {metric.direction!r}: write 'higher', 'lower' or 'neither'",
        )
        require(
            bool(metric.measures.strip()), f"metrics[{name!r}]: say in a few words what it measures"
        )


def values_are_finite(case: Case) -> None:
    """Every value that it writes is a finite number, and there is one at least."""
    frame = case.measure()
    if frame.empty:
        raise NotConcerned("it has nothing to measure on the contract's tiny task")
    require(
        list(frame.columns) == list(COLUMNS),
        f"the record has columns {list(frame.columns)}; write through record.metric, "
        "record.examples, record.curve and record.sample",
    )
    wrong = frame[~np.isfinite(frame["value"].astype(float))]
    names = ", ".join(sorted(set(wrong["metric"].astype(str))))
    are = by_number(len(wrong), "is", "are")
    require(
        wrong.empty,
        f"{counted(len(wrong), 'value')} of {names} {are} NaN or infinite; leave a row out where there "
        "is nothing to say",
    )


def metrics_are_declared(case: Case) -> None:
    """Every metric that it writes is in `metrics`, by name or pattern, and none is written twice."""
    frame = case.measure()
    written = frame.loc[frame["table"] != "sample", "metric"].astype(str).unique()
    unknown = [name for name in written if case.evaluation.direction(name) is None]
    require(
        not unknown,
        f"{', '.join(unknown[:5])} not in `metrics`; add them with what they measure and the "
        "direction that is better, patterns such as '*/auc' allowed",
    )
    double = frame[frame.duplicated(["table", "split", "metric", "item", "x"])]
    require(
        double.empty,
        f"{', '.join(sorted(set(double['metric'].astype(str)))[:5])} written twice for one split and "
        "item",
    )


def model_and_random_state_are_untouched(case: Case) -> None:
    """The model is as before afterwards, and no global generator has moved."""
    advice = "use context.generator(…), or restore the state where a library draws"
    with no_global_draws("it", advice), unchanged(case.context.model, "it"):
        case.measure()


def measuring_twice_gives_the_same(case: Case) -> None:
    """The same model gives the same table, bit for bit."""
    first, second = twice(lambda: replace(case, context=_context(case.where)).measure())
    require(
        first.equals(second),
        "two measurements of one model differ; draw only from context.generator(…) and write no times",
    )


CHECKS = checks_in(vars(), _cases)
