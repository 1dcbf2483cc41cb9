"""What code can change in its process, noted before it runs, compared and put back after."""

from __future__ import annotations

import operator
import os
import random
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from reldrop_bench.plugins import registry

PACKAGE = registry.PACKAGE.name
_LIBRARIES = (
    "torch", "torch.nn.functional", "torch.nn", "torch.nn.init", "torch.nn.utils", "torch.optim", "torch.autograd",
    "torch.autograd.functional", "torch.linalg", "torch.fft", "torch.special", "torch.random", "torch.cuda",
    "torch._C._nn", "numpy", "numpy.linalg", "numpy.random", "math", "builtins",
    random.__name__,
)  # fmt: skip
"""Modules whose functions and classes are watched, beside this package's own."""
_FAMILIES = ("torch.nn", "torch.optim", "torch.autograd", "torch.utils.data", "safetensors")
"""Likewise with all that is loaded below: layers and optimizers call what lies beside their classes."""
_CONSTANTS = (int, float, str, tuple, frozenset)


@dataclass(frozen=True)
class Change:
    """A difference from what was noted."""

    what: str
    put_back: Callable[[], object] | None
    """None where that cannot be done."""
    of_harness: bool = False
    """Whether this package's own code was replaced: the numbers that it makes are then anyone's."""


@dataclass(frozen=True)
class _Setting:
    """A setting of the whole process."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object] | None = None


def _attribute(owner: Any, name: str, attribute: str) -> list[_Setting]:
    """Return the setting that an attribute of a module is, where this version of it has that."""
    try:
        getattr(owner, attribute)
    except AttributeError:
        return []
    except RuntimeError:  # it cannot be read now, by a newer setting that contradicts it
        pass
    read = partial(getattr, owner, attribute)
    return [_Setting(f"{name}.{attribute}", read, partial(setattr, owner, attribute))]


def _default_device() -> torch.device:
    try:
        return torch.get_default_device()
    except AttributeError:  # torch 2.6, once the default has been taken back
        return torch.device("cpu")


def _set_default_device(device: torch.device) -> None:
    # "cpu" would be a mode of its own, which costs every call.
    torch.set_default_device(None if device.type == "cpu" else device)  # type: ignore[no-untyped-call]


def _set_deterministic(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _settings() -> list[_Setting]:
    backends, modes = torch.backends, torch._C
    return [
        _Setting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
        _Setting("torch's default device", _default_device, _set_default_device),
        _Setting(
            "torch's gradient mode",
            torch.is_grad_enabled,
            lambda value: torch.set_grad_enabled(value) and None,
        ),
        _Setting(
            "torch's anomaly mode",
            lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
            lambda value: torch.autograd.set_detect_anomaly(*value) and None,
        ),
        _Setting("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
        _Setting(
            "torch's deterministic algorithms",
            lambda: (
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
            ),
            _set_deterministic,
        ),
        _Setting(
            "torch's precision of products",
            torch.get_float32_matmul_precision,
            torch.set_float32_matmul_precision,
        ),
        _Setting(
            "torch's denormal numbers",  # as this thread of the processor computes them
            lambda: bool((torch.tensor(1e-40, dtype=torch.float32, device="cpu") * 1 > 0).item()),
            lambda value: torch.set_flush_denormal(not value),
        ),
        *(
            setting
            for device in ("cpu", "cuda")
            for setting in (
                _Setting(
                    f"torch's autocast on {device}",
                    partial(torch.is_autocast_enabled, device),
                    partial(torch.set_autocast_enabled, device),
                ),
                _Setting(
                    f"torch's autocast dtype on {device}",
                    partial(torch.get_autocast_dtype, device),
                    partial(torch.set_autocast_dtype, device),
                ),
            )
        ),
        *(
            setting
            for owner, name, attributes in (
                # The newer ones first: put back, they let the older ones be read again.
                (backends.cuda.matmul, "cuda.matmul", "fp32_precision"),
                (getattr(backends.cudnn, "conv", None), "cudnn.conv", "fp32_precision"),
                (getattr(backends.mkldnn, "matmul", None), "mkldnn.matmul", "fp32_precision"),
                (getattr(backends.mkldnn, "conv", None), "mkldnn.conv", "fp32_precision"),
                (backends.cudnn, "cudnn", "enabled benchmark deterministic allow_tf32"),
                (backends.mkldnn, "mkldnn", "enabled allow_tf32 deterministic"),
                (
                    backends.cuda.matmul,
                    "cuda.matmul",
                    "allow_tf32 allow_fp16_reduced_precision_reduction allow_bf16_reduced_precision_reduction",
                ),
                (getattr(backends, "opt_einsum", None), "opt_einsum", "enabled strategy"),
            )
            for attribute in attributes.split()
            for setting in _attribute(owner, f"torch.backends.{name}", attribute)
        ),
        _Setting("modes of torch that stand open", partial(_open_modes, modes)),
        _Setting("numpy's treatment of errors", np.geterr, lambda value: np.seterr(**value)),
        _Setting("the working directory", _working_directory, os.chdir),
        *_hooks(),
    ]


def _open_modes(modes: Any) -> int:
    names = ("_len_torch_function_stack", "_len_torch_dispatch_stack")
    # The default device is a mode too, and a setting of its own.
    default = _default_device().type != "cpu"
    return sum(getattr(modes, name, int)() for name in names) - int(default)


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""


def _hooks() -> Iterator[_Setting]:
    """Yield the hooks of all modules and all optimizers, which a call of any of them runs."""
    owners = (sys.modules["torch.nn.modules.module"], sys.modules["torch.optim.optimizer"])
    for owner in owners:
        for name, value in vars(owner).items():
            if name.startswith("_global_") and isinstance(value, dict):
                yield _Setting(
                    f"{owner.__name__}.{name}", partial(_copied, value), partial(_filled, value)
                )


def _copied(hooks: dict[Any, Any]) -> dict[Any, Any]:
    return dict(hooks)


def _filled(hooks: dict[Any, Any], content: dict[Any, Any]) -> None:
    hooks.clear()
    hooks.update(content)


@dataclass(frozen=True)
class _Value:
    """A setting with its value."""

    setting: _Setting
    value: Any

    @classmethod
    def of(cls, setting: _Setting) -> _Value:
        return cls(setting, cls._read(setting))

    @staticmethod
    def _read(setting: _Setting) -> Any:
        try:
            return setting.read()
        except RuntimeError:  # torch refuses what a newer setting contradicts
            return "contradicted by another setting"

    def changes(self) -> Iterator[Change]:
        now = self._read(self.setting)
        if now != self.value:
            write = self.setting.write
            what = self.setting.name
            if not isinstance(now, dict):
                what += f" ({self.value} → {now})"
            yield Change(what, None if write is None else partial(write, self.value))


_missing = object()


@dataclass(frozen=True)
class _Names:
    """The functions, classes and constants that a module or a class holds."""

    name: str
    owner: Any
    content: Mapping[str, Any]

    def changes(self) -> Iterator[Change]:
        now = vars(self.owner)
        harness = self.name.partition(".")[0] == PACKAGE
        if len(now) == len(self.content) and all(
            map(operator.is_, now.values(), self.content.values())
        ):
            return  # nearly always
        for name, value in self.content.items():
            new = now.get(name, _missing)
            if (
                new is not value
                and _counts(name, value)
                and not _wraps(new, value)
                and not _equal(new, value)
            ):
                yield Change(
                    f"{self.name}.{name} (replaced)",
                    partial(setattr, self.owner, name, value),
                    harness,
                )
        if isinstance(self.owner, type):
            for name in now.keys() - self.content.keys():
                if any(name in vars(base) for base in self.owner.__mro__[1:-1]):
                    put_back = partial(delattr, self.owner, name)
                    yield Change(f"{self.name}.{name} (replaced)", put_back, harness)


def _counts(name: str, value: Any) -> bool:
    """Return whether nobody replaces such a thing by the way, as caches and counters are."""
    constant = name.isupper() and isinstance(value, _CONSTANTS)
    kinds = staticmethod | classmethod | property | types.ModuleType
    return constant or callable(value) or isinstance(value, kinds)


def _equal(new: Any, value: Any) -> bool:
    return type(new) is type(value) and isinstance(value, _CONSTANTS) and new == value


def _wraps(new: Any, value: Any) -> bool:
    """Return whether torch has put a function of its own around one, as it does on first use."""
    file = getattr(getattr(new, "__code__", None), "co_filename", "")
    inner = getattr(new, "__wrapped__", None) is value
    return inner and file.startswith(os.path.dirname(torch.__file__) + os.sep)


def _modules() -> Iterator[tuple[str, types.ModuleType]]:
    """Yield the watched modules with their names, libraries first."""
    foreign = registry.foreign_modules()
    below = tuple(f"{family}." for family in (*_FAMILIES, PACKAGE))
    loaded = [
        name for name in sys.modules if name in (*_FAMILIES, PACKAGE) or name.startswith(below)
    ]
    for name in dict.fromkeys((*_LIBRARIES, *loaded)):
        module = sys.modules.get(name)
        if not isinstance(module, types.ModuleType) or name in foreign:
            continue
        if name in _LIBRARIES or module.__name__ == name:  # not a former name of another one
            yield name, module


def _namespaces() -> Iterator[_Names]:
    """Yield the watched modules, and the classes that are defined there, with what they hold."""
    seen: set[int] = set()
    for name, module in _modules():
        content = dict(vars(module))
        yield _Names(name, module, content)
        home = "torch." if name in _LIBRARIES else name
        for inner, value in content.items():
            if not isinstance(value, type) or id(value) in seen:
                continue
            if str(getattr(value, "__module__", "")).startswith(home) or value is torch.Tensor:
                seen.add(id(value))
                yield _Names(f"{name}.{inner}", value, dict(vars(value)))


@dataclass(frozen=True)
class State:
    """The process at one moment, as far as what code leaves changed can be seen and put back.

    Functions and classes of torch, numpy, safetensors, random, math and this package by identity; torch's modes,
    dtype, threads, flags and global hooks; the working directory. What compiled code or a library
    not named changes is not seen: it stays in its process.
    """

    settings: tuple[_Value, ...]
    names: tuple[_Names, ...]

    @classmethod
    def take(cls) -> State:
        """Note the state; a few milliseconds."""
        # Names first: reading a setting may import what is only then looked at.
        names = tuple(_namespaces())
        return cls(tuple(map(_Value.of, _settings())), names)

    def put_back(self) -> list[Change]:
        """Return what has changed, after putting back all of it that can be."""
        changes = [change for part in self.settings for change in part.changes()]
        # One by one: to put one back may put back another, or functions that it had replaced.
        lasting = {change.what for change in _put_back(self.settings)}
        changes = [replace(c, put_back=None) if c.what in lasting else c for c in changes]
        names = [change for part in self.names for change in part.changes()]
        _put_back(self.names)
        return changes + names


def _put_back(parts: Iterable[_Value | _Names]) -> list[Change]:
    """Put back what has changed, and return what could not be."""
    lasting = []
    for change in (change for part in parts for change in part.changes()):
        try:
            if change.put_back is None:
                lasting.append(change)
            else:
                change.put_back()
        except (AttributeError, OSError, RuntimeError, TypeError, ValueError):
            lasting.append(change)
    return lasting
