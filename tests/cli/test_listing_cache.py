"""What `list` keeps between calls is never told where it may no longer hold."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reldrop_bench import plugins
from reldrop_bench.cli import listing_cache
from reldrop_bench.cli.listing import listing
from reldrop_bench.cli.listing_cache import only_built_in, with_cache
from reldrop_bench.files import CACHE_VARIABLE

ROW = {
    "kind": "models",
    "name": "a",
    "modalities": [],
    "description": "",
    "file": "a.py",
    "error": "",
}
ROWS = [ROW | {"status": "ok"}]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows whenever the rows are computed; only built-in folders are there."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "reldrop-bench"))
    home = [str(Path(plugins.__file__).parent.resolve()), str(plugins.builtin_folder())]
    monkeypatch.setattr(plugins, "__path__", home)
    return []


def computed(calls: list[int], rows: Any = ROWS) -> Callable[[], Any]:
    def rows_now() -> Any:
        calls.append(1)
        return rows

    return rows_now


def test_rows_are_computed_once(calls: list[int]) -> None:
    assert with_cache(computed(calls)) == with_cache(computed(calls)) == ROWS
    assert len(calls) == 1


def test_a_changed_file_or_installation_is_noticed(
    calls: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, installed = tmp_path / "plugin.py", tmp_path / "site"
    source.write_text("a = 1\n")
    installed.mkdir()
    monkeypatch.setattr(listing_cache, "_files", lambda: iter([source]))
    monkeypatch.setattr(listing_cache.sysconfig, "get_path", lambda name: str(installed))
    with_cache(computed(calls))
    source.write_text("a = 22\n")
    with_cache(computed(calls))
    os.utime(source, ns=(0, 0))
    with_cache(computed(calls))
    os.utime(installed, ns=(0, 0))
    with_cache(computed(calls))
    assert len(calls) == 4
    assert len(list((tmp_path / "reldrop-bench").iterdir())) == 1, "older rows are removed"


def test_with_a_folder_of_ones_own_nothing_is_read_from_there(
    calls: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert only_built_in()
    with_cache(computed(calls))
    monkeypatch.setattr(plugins, "__path__", [*plugins.__path__, str(tmp_path)])
    assert not only_built_in()
    assert {row["name"] for row in listing("models")} > {"pointnet"}


def test_nothing_broken_is_kept(calls: list[int]) -> None:
    rows = [ROW | {"status": "broken"}]
    for _ in range(2):
        assert with_cache(computed(calls, rows)) == rows
    assert len(calls) == 2


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[{", b"null", b"{}", b"[]", b"[1]", b'[{"kind": "tasks"}]'],
)
def test_a_damaged_file_is_computed_again(calls: list[int], tmp_path: Path, content: bytes) -> None:
    with_cache(computed(calls))
    (file,) = (tmp_path / "reldrop-bench").iterdir()
    file.write_bytes(content)
    assert with_cache(computed(calls)) == ROWS
    assert with_cache(computed(calls)) == ROWS
    assert len(calls) == 2


def test_a_home_that_cannot_be_written_to_is_no_error(calls: list[int], tmp_path: Path) -> None:
    (tmp_path / "reldrop-bench").write_text("a file where the folder should be")
    assert with_cache(computed(calls)) == ROWS


def test_what_lists_plugins_imports_no_torch() -> None:
    code = "import sys, reldrop_bench.cli.listing; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
