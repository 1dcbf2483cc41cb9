"""The contract as others use it: a pytest plugin that runs on a folder of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reldrop_bench.plugins.scaffold import create_plugin

TEST = "def test_contract(contract_case):\n    contract_case()\n"


def run_pytest(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "pytest", "-p", "reldrop_bench.pytest_plugin", "-q", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a stranger's project: two plugins, one of them broken, and a test of two lines."""
    create_plugin("regularizer", "strangers-drop", tmp_path)
    broken = tmp_path / "regularizers" / "strangers_broken.py"
    broken.write_text("import no_such_library\n", encoding="utf-8")
    (tmp_path / "test_plugins.py").write_text(TEST, encoding="utf-8")
    return tmp_path


def test_a_plugin_of_ones_own_is_checked(folder: Path) -> None:
    done = run_pytest(folder, "--reldrop-plugins", ".", "--reldrop-only", "strangers-drop")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stdout
    assert "passed" in done.stdout


def test_a_broken_plugin_fails_with_its_traceback(folder: Path) -> None:
    done = run_pytest(folder, "--reldrop-plugins", ".", "--reldrop-only", "strangers-broken")
    assert done.returncode == 1
    assert "regularizers-strangers-broken-import" in done.stdout
    assert "No module named 'no_such_library'" in done.stdout


def test_a_name_typed_wrong_is_an_error_with_a_near_one(folder: Path) -> None:
    done = run_pytest(folder, "--reldrop-plugins", ".", "--reldrop-only", "strangers-dorp")
    assert done.returncode != 0
    assert "strangers-drop" in done.stdout + done.stderr
