"""The contract as a pytest plugin: a test that asks for `contract_case` is run for every plugin and check.

pytest imports this module in every session of an environment that has reldrop-bench installed, so
all else is imported where it is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reldrop_bench.checking import Check
    from reldrop_bench.plugins.registry import Entry

FIXTURE = "contract_case"


@dataclass(frozen=True)
class ContractCase:
    """One check of one plugin; call it within a test."""

    entry: Entry
    check: Check | None
    """None for a plugin that cannot be imported."""

    @property
    def id(self) -> str:
        check = "import" if self.check is None else self.check.__name__
        return f"{self.entry.kind}-{self.entry.name}-{check}"

    def __call__(self) -> None:
        """Run the check; fails or skips the test with the reason."""
        from reldrop_bench.checking import run_check

        if self.check is None or self.entry.cls is None:
            pytest.fail(f"{self.entry.file} cannot be imported:\n{self.entry.error}", pytrace=False)
        result = run_check(self.check, self.entry.cls)
        if result.status == "failed":
            pytest.fail(f"{self.entry.name}: {result.check}: {result.message}", pytrace=False)
        if result.status == "skipped":
            pytest.skip(f"{self.entry.name}: {result.message}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the contract."""
    group = parser.getgroup("reldrop-bench", "contract checks of reldrop-bench plugins")
    group.addoption(
        "--reldrop-plugins",
        action="append",
        default=[],
        metavar="DIR",
        help="plugin folder, which holds regularizers/, models/ and so on (repeatable)",
    )
    group.addoption(
        "--reldrop-only",
        action="append",
        default=[],
        metavar="NAME",
        help="check only the plugins of that name (repeatable)",
    )


def _cases(folders: list[str], only: list[str]) -> Iterator[ContractCase]:
    from reldrop_bench import plugins
    from reldrop_bench.checking import checks
    from reldrop_bench.plugins import registry

    for folder in folders:
        plugins.add_folder(folder)
    for name in only:
        registry.find_all(name)  # a name typed wrong is an error, not an empty selection
    for kind in registry.KINDS:
        for entry in registry.entries(kind):
            if only and entry.name not in only:
                continue
            wanted: tuple[Check | None, ...] = (None,) if entry.cls is None else checks(kind)
            for check in wanted:
                yield ContractCase(entry, check)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise tests that ask for the fixture."""
    if FIXTURE not in metafunc.fixturenames:
        return
    from reldrop_bench.errors import UserError

    config = metafunc.config
    try:
        cases = list(
            _cases(config.getoption("--reldrop-plugins"), config.getoption("--reldrop-only"))
        )
    except UserError as error:
        raise pytest.UsageError(str(error)) from None
    metafunc.parametrize(FIXTURE, cases, ids=[case.id for case in cases], indirect=True)


@pytest.fixture
def contract_case(request: pytest.FixtureRequest) -> ContractCase:
    """One check of one reldrop-bench plugin: call it."""
    case: ContractCase = request.param
    return case
