"""The executable contract of plugins: every rule is a check that says what is broken and how to mend it.

Each kind has a module of its name here, in which every public function is a check.
"""

import importlib
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from reldrop_bench.checking import parameters
from reldrop_bench.checking.rules import (
    Broken,
    Check,
    CheckResult,
    NotConcerned,
    given,
    run_check,
)
from reldrop_bench.errors import UserError, suggest
from reldrop_bench.plugins import registry

__all__ = [
    "Broken",
    "Check",
    "CheckResult",
    "NotConcerned",
    "checks",
    "run_check",
    "run_checks",
]


def checks(kind: str) -> tuple[Check, ...]:
    """Return the checks of a kind in the order they are run; each is named by its function.

    Raises
    ------
    UserError
        There is no such kind.
    """
    if kind not in registry.KINDS:
        raise UserError(f"no kind of plugin is called {kind!r}; {suggest(kind, registry.KINDS)}")
    own: tuple[Check, ...] = importlib.import_module(f"{__name__}.{kind}").CHECKS
    return (*parameters.CHECKS, *own)


def run_checks(
    kind: str, name: str, parameters: Mapping[str, Any] | None = None
) -> list[CheckResult]:
    """Run the whole contract on a plugin, one result a check.

    A plugin that cannot be imported has one failed result, ``import``, that says why. parameters: what
    the instances that are checked have instead of their defaults.

    Raises
    ------
    UserError
        No such kind or plugin, or a parameter that it does not have or allow.
    """
    wanted = checks(kind)
    entry = registry.find(kind, name)
    if entry.cls is None:
        return [
            CheckResult("import", "failed", f"{entry.file.name} cannot be imported: {entry.reason}")
        ]
    with given(entry.cls, parameters) if parameters else nullcontext():
        return [run_check(check, entry.cls) for check in wanted]
