"""What a check makes of a plugin's class."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reldrop_bench.checking import CheckResult, checks, run_check
from reldrop_bench.plugins.base import Plugin

Verdicts = Callable[[str, type[Plugin]], dict[str, str]]


def _results(kind: str, cls: type[Plugin]) -> dict[str, CheckResult]:
    return {result.check: result for result in (run_check(each, cls) for each in checks(kind))}


def _messages(status: str) -> Verdicts:
    def messages(kind: str, cls: type[Plugin]) -> dict[str, str]:
        results = _results(kind, cls).values()
        return {each.check: each.message for each in results if each.status == status}

    return messages


@pytest.fixture(scope="session")
def failures() -> Verdicts:
    """Return a function that runs all checks of a kind on a class: messages of those that failed."""
    return _messages("failed")


@pytest.fixture(scope="session")
def skips() -> Verdicts:
    """Return a function that runs all checks of a kind on a class: messages of those skipped."""
    return _messages("skipped")
