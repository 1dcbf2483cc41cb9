"""The classes of samples, wherever targets come in: one a sample, or a line that says what is wrong."""

import torch
from torch import Tensor

from reldrop_bench.data import Split
from reldrop_bench.errors import UserError
from reldrop_bench.statistics.wording import by_number, counted

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


class LabelError(UserError, ValueError):
    """Targets that are not what they have to be; the message says what to do."""


def class_labels(targets: Tensor, count: int, classes: int | None = None) -> Tensor:
    """Return one class a sample, (count,) int64.

    targets: of any integer type. classes: how many there are, where that is known.

    Raises
    ------
    LabelError
        They are something else: of another shape or type, too many or few, or out of range.
    """
    _must_be_tensor(targets)
    shape = tuple(targets.shape)
    if len(shape) == 2 and shape[1] == 1:
        raise LabelError(f"targets have shape {shape}, not ({count},): use targets.squeeze(1)")
    if shape != (count,):
        several = " with one class each; where they are one-hot, use targets.argmax(1)"
        raise LabelError(
            f"{counted(count, 'input')} {by_number(count, 'needs', 'need')} as many target classes, not "
            f"targets of shape {shape}" + (several if len(shape) == 2 else "")
        )
    if targets.dtype not in _INTEGERS:
        raise LabelError(
            f"target classes have to be integers, not {targets.dtype}: use targets.long()"
        )
    if count:
        low, high = int(targets.min()), int(targets.max())
        if low < 0 or (classes is not None and high >= classes):
            wrong = low if low < 0 else high
            allowed = "0 or more" if classes is None else f"0 to {classes - 1}"
            raise LabelError(f"a target class is {wrong}; allowed: {allowed}")
    return targets.to(torch.int64)


def check_targets(targets: Tensor, count: int, classes: int) -> Tensor:
    """Return targets for training: one class a sample (count,) int64, or shares of classes (count, K) float.

    Raises
    ------
    LabelError
        They are neither.
    """
    _must_be_tensor(targets)
    if targets.ndim != 2 or targets.shape[1] == 1 or len(targets) != count:
        return class_labels(targets, count, classes)
    shares = targets.float()
    if targets.shape[1] != classes or not (
        (shares >= 0).all() and ((shares.sum(1) - 1).abs() <= 1e-3).all()
    ):
        raise LabelError(
            f"targets of shape {tuple(targets.shape)} have to be shares of classes ({count}, {classes}), "
            "0 or more and 1 in all: several classes a sample (multi-hot) are not supported"
        )
    return targets if targets.is_floating_point() else shares  # the loss takes no integers there


def _must_be_tensor(targets: object) -> None:
    if not isinstance(targets, Tensor):
        raise LabelError(
            f"targets have to be a tensor, not {type(targets).__name__}: use torch.as_tensor(targets)"
        )


def check_split(name: str, split: Split, classes: int) -> Split:
    """Return a split whose targets are one class a sample, (len,) int64.

    Raises
    ------
    LabelError
        They are not; the message begins with `name`.
    """
    try:
        class_labels(split.targets, len(split), classes)
    except LabelError as error:
        raise LabelError(f"{name}: {error}") from None
    if split.targets.dtype != torch.int64:
        raise LabelError(
            f"{name}: targets are {split.targets.dtype}, not int64: use targets.long()"
        )
    return split
