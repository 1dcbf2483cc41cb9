"""Every built-in plugin keeps its contract; every kind has one; checking leaves no trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from reldrop_bench import checking as contract
from reldrop_bench import plugins
from reldrop_bench.checking import run_check
from reldrop_bench.checking.rules import random_state
from reldrop_bench.errors import UserError
from reldrop_bench.kinds.regularizer import Regularizer
from reldrop_bench.plugins import registry


def test_contract(contract_case: Callable[[], None]) -> None:
    contract_case()


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_kind_has_checks_that_say_in_a_line_what_they_ask(kind: str) -> None:
    checks = contract.checks(kind)
    assert len(checks) == len({check.__name__ for check in checks}) > 5
    for check in checks:
        assert (check.__doc__ or "").strip(), check.__name__


class Draws(Regularizer):
    """A class to hand over."""

    name = "draws"


def draws(cls: type[Regularizer]) -> None:
    torch.rand(1)
    np.random.rand()  # noqa: NPY002
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)


def test_checking_leaves_the_global_state_alone() -> None:
    before = random_state()
    run_check(draws, Draws)
    after = random_state()
    assert torch.equal(before["torch"], after["torch"])
    assert before["python"] == after["python"]
    assert str(before["numpy"]) == str(after["numpy"])
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


def test_a_plugin_that_cannot_be_imported_is_one_failed_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "regularizers"
    folder.mkdir()
    (folder / "contract_broken.py").write_text(
        'name = "x"\nimport no_such_library\n', encoding="utf-8"
    )
    monkeypatch.setenv(plugins.VARIABLE, "")
    monkeypatch.setattr(plugins, "__path__", [*plugins.__path__, str(tmp_path)])
    (result,) = contract.run_checks("regularizers", "contract-broken")
    assert (result.check, result.status) == ("import", "failed")
    assert "no_such_library" in result.message


def test_unknown_kinds_and_names_are_answered_with_near_ones() -> None:
    with pytest.raises(UserError, match="regularizers"):
        contract.checks("regularizer")
    name = registry.names("regularizers")[0]
    with pytest.raises(UserError, match=name):
        registry.find_all(name + "x")
    assert [entry.kind for entry in registry.find_all(name)] == ["regularizers"]
