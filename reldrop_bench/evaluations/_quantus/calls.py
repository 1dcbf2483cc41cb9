"""Calling Quantus: quietly, with random streams of its own, and with nothing left behind."""

import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import nn

from reldrop_bench.data import Batch
from reldrop_bench.kinds.attributor import untouched
from reldrop_bench.kinds.evaluation import Context
from reldrop_bench.seeding import derive_seed, global_seed

from .catalogue import Offered, Size
from .settings import Scores
from .spaces import Case, Known, Masked, Network


@contextmanager
def visiting(context: Context) -> Iterator[None]:
    """Let Quantus work on the model; the model, numpy's settings and warnings are as before after.

    What Quantus remembers of networks for as long as the process lives is dropped: each would be
    kept with the batch that it was wrapped with.
    """
    with warnings.catch_warnings(), _seeded("import"), untouched(context.model):
        warnings.simplefilter("ignore")
        from quantus.helpers.model.pytorch_model import PyTorchModel

        try:
            with np.errstate(all="ignore"):
                yield
        finally:
            PyTorchModel._get_last_softmax_layer_index.cache_clear()
            PyTorchModel._get_model_with_linear_top.cache_clear()


@contextmanager
def _seeded(*parts: object) -> Iterator[None]:
    """Seed the global generators of Python, numpy and torch; restore them, also after an error."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - Quantus draws there
    try:
        with global_seed(*parts):
            seed = derive_seed(*parts)
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002


def scores(entry: Offered, case: Case, size: Size) -> Scores:
    """Return what a metric says of a batch; within `visiting`.

    Raises
    ------
    Unusable
        The metric cannot be taken of this data or model.
    Exception
        Whatever Quantus raises.
    """
    import quantus

    settings = entry.settings(case, entry.allowed(size))
    metric = getattr(quantus, entry.name)(
        abs=entry.maps.startswith("absolute"),
        normalise=False,
        return_aggregate=False,
        disable_warnings=True,
        display_progressbar=False,
        **settings,
    )
    # On inputs all draw the same: they are given the same noise and share explanations.
    stream = "noise" if entry.space == "inputs" else entry.name
    with _seeded(*case.seed(stream)):
        raw = metric(
            model=_model(entry, case),
            x_batch=_inputs(entry, case),
            y_batch=case.labels.copy(),
            a_batch=case.maps(entry.maps, stream),
            **({"s_batch": case.masks} if entry.group == "localisation" else {}),
            channel_first=True,
            explain_func=partial(case.explain, entry.maps),
            softmax=False,
            device=str(case.context.device),
            batch_size=len(case.items),
        )
    return entry.scores(raw, case)


def _model(entry: Offered, case: Case) -> nn.Module | None:
    if entry.space == "maps":
        return None
    if entry.space == "samples":
        return Known(case.logits)
    if entry.space.startswith("masked"):
        return Masked(case, probabilities=entry.space == "masked probabilities")
    # Among these it is the weights' entropy alone that asks for probabilities.
    return Network(case.context.model, probabilities=entry.space == "weights")


def _inputs(entry: Offered, case: Case) -> np.ndarray:
    if entry.space in ("inputs", "weights"):
        return case.inputs.copy()
    return np.ones((len(case.items), 1, *case.relevance.shape[1:]), dtype=np.float32)


def joined(cases: Sequence[Case]) -> Case:
    """Return one case of all samples whose maps vary, for metrics that compare samples.

    Their inputs are left behind: only maps, classes and logits count.
    """
    kept = [torch.from_numpy(case.varied) for case in cases]
    pairs = list(zip(cases, kept, strict=True))
    items = torch.cat([case.items[keep] for case, keep in pairs])
    relevance = torch.cat([case.relevance.cpu()[keep] for case, keep in pairs])
    labels = torch.cat([case.batch.labels.cpu()[keep] for case, keep in pairs])
    logits = torch.cat([case.logits[keep] for case, keep in pairs])
    batch = Batch(torch.zeros(len(items), 1), labels)
    return Case(cases[0].context, 0, items, batch, relevance, logits)
