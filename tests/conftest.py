"""Fixtures for all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reldrop_bench import plugins
from reldrop_bench.files import CACHE_VARIABLE
from reldrop_bench.plugins import registry

pytest_plugins = ["tests.tiny_benchmark", "tests.written_results"]
PLUGIN_FOLDER = Path(__file__).parent / "plugin_folder"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that hold slow tests: at the end one process would wait for the other."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, item.path.name != "test_reproduction.py"))


@pytest.fixture(autouse=True, scope="session")
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what is remembered between runs out of the user's own folder, in subprocesses as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def add_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Return a function that adds a plugin folder; those a test adds are gone when it ends."""
    path, modules = list(plugins.__path__), set(sys.modules)
    monkeypatch.setenv(plugins.VARIABLE, os.environ.get(plugins.VARIABLE, ""))
    yield plugins.add_folder
    plugins.__path__[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith(plugins.__name__ + "."):
            del sys.modules[name]
    registry.refresh()


@pytest.fixture
def plugin_folder(add_plugins: Callable[[Path], None]) -> Path:
    """Add the tests' own plugin folder; returns it."""
    add_plugins(PLUGIN_FOLDER)
    return PLUGIN_FOLDER
