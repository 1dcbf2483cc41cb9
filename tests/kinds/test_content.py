"""What files hold: found again where nothing changed, never taken from before where something did."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reldrop_bench.files import CACHE_VARIABLE
from reldrop_bench.kinds import content
from reldrop_bench.kinds.content import DataFiles, content_of

NAMES = ("train/a/1.png", "train/b/1.png", "test/a/ü 2.png")
OLD = time.time() - 3600


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the index in a folder of the test's own, and let what was just written be old."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(content, "RECENT", 0.0)
    return tmp_path / "cache"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files that are read, as they are."""
    names: list[str] = []
    hash_of = content._hash

    def noted(path: Path) -> str:
        names.append(path.name)
        return hash_of(path)

    monkeypatch.setattr(content, "_hash", noted)
    return names


@pytest.fixture
def files(tmp_path: Path) -> DataFiles:
    folder = tmp_path / "data"
    for number, name in enumerate(NAMES):
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(bytes([number]) * 100)
        os.utime(path, (OLD, OLD))
    return DataFiles(folder, NAMES)


def by_hashlib(files: DataFiles) -> str:
    lines = sorted(
        f"{name}\0{hashlib.sha256((files.folder / name).read_bytes()).hexdigest()}\n"
        for name in files.names
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:20]


def test_it_is_a_hash_of_names_and_bytes(files: DataFiles) -> None:
    assert content_of(files) == (3, 300, by_hashlib(files))
    assert content_of(DataFiles(files.folder, NAMES[::-1])) == content_of(files)


def test_a_place_a_time_and_an_order_are_no_part_of_it(files: DataFiles, tmp_path: Path) -> None:
    before = content_of(files)
    copy = DataFiles(Path(shutil.copytree(files.folder, tmp_path / "copy")), NAMES)
    for name in NAMES:
        (copy.folder / name).touch()
    assert content_of(copy) == before


def test_what_did_not_change_is_read_once(files: DataFiles, read: list[str]) -> None:
    before = content_of(files)
    assert sorted(read) == sorted(Path(name).name for name in NAMES)
    read.clear()
    assert content_of(files) == before
    assert read == []


def _replaced(path: Path) -> None:
    path.write_bytes(b"x" * 100)


def _replaced_with_its_times(path: Path) -> None:
    times = path.stat()
    path.write_bytes(b"x" * 100)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _moved_over(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"x" * 100)
    os.utime(other, (OLD, OLD))
    os.replace(other, path)


CHANGES: dict[str, Callable[[Path], None]] = {
    "same size": _replaced,
    "same size and time": _replaced_with_its_times,
    "another moved over it": _moved_over,
    "longer": lambda path: path.write_bytes(b"x" * 101),
}  # type: ignore[dict-item]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changed_is_read_again(
    files: DataFiles, read: list[str], change: Callable[[Path], None]
) -> None:
    before = content_of(files)
    read.clear()
    time.sleep(0.02)  # a tick of the clock of file systems
    change(files.folder / NAMES[1])
    after = content_of(files)
    assert after.digest == by_hashlib(files) != before.digest
    assert read == ["1.png"]


def test_a_removed_a_new_and_a_renamed_file_count(files: DataFiles) -> None:
    whole = content_of(files)
    fewer = content_of(files.only(NAMES[:2]))
    (files.folder / NAMES[0]).rename(files.folder / "train/a/9.png")
    renamed = content_of(DataFiles(files.folder, ("train/a/9.png", *NAMES[1:])))
    assert len({whole.digest, fewer.digest, renamed.digest}) == 3


def test_names_and_contents_cannot_be_confused(tmp_path: Path) -> None:
    for name, held in (("a", b"1"), ("b", b"2")):
        (tmp_path / name).write_bytes(held)
    before = content_of(DataFiles(tmp_path, ("a", "b")))
    for name, held in (("a", b"2"), ("b", b"1")):
        (tmp_path / name).write_bytes(held)
    assert content_of(DataFiles(tmp_path, ("a", "b"))) != before


def test_a_file_of_this_moment_is_not_trusted(
    files: DataFiles, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "RECENT", 2.0)
    path = files.folder / NAMES[0]
    path.touch()
    content_of(files)
    read.clear()
    content_of(files)
    assert "1.png" in read


def test_all_is_read_where_that_is_asked_for(
    files: DataFiles, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content_of(files)
    read.clear()
    monkeypatch.setenv(content.REHASH_VARIABLE, "1")
    whole = content_of(files)
    assert len(read) == 3
    # Once a process: the looks of a run, before and behind each part of a cell, do not read all anew.
    assert content_of(files) == whole
    assert len(read) == 3
    _replaced(files.folder / NAMES[1])
    assert content_of(files).digest == by_hashlib(files) != whole.digest
    assert len(read) == 4


@pytest.mark.parametrize(
    "damage",
    [b"", b"[]", b'{"train/a/1.png": 3}', b"\xff", b'{"a": [[1,2],3]}', b'{"a": [[1,2,3],"abc"]}'],
)
def test_a_damaged_index_is_none(files: DataFiles, cache: Path, damage: bytes) -> None:
    before = content_of(files)
    (index,) = cache.rglob("*.json")
    index.write_bytes(damage)
    assert content_of(files) == before
    assert set(json.loads(index.read_bytes())) == set(NAMES), "it is mended"


def test_without_a_place_for_the_index_all_is_read(
    files: DataFiles, cache: Path, read: list[str]
) -> None:
    cache.write_text("in the way")
    assert content_of(files) == content_of(files)
    assert len(read) == 6


def test_what_was_read_before_an_interruption_is_kept(
    files: DataFiles, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path) -> str:
        if path.name == "ü 2.png":
            raise KeyboardInterrupt
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(content, "_hash", interrupted)
    with pytest.raises(KeyboardInterrupt):
        content_of(files)
    (index,) = cache.rglob("*.json")
    assert set(json.loads(index.read_bytes())) == set(NAMES[:2])


def test_a_damaged_hash_is_none(files: DataFiles, cache: Path) -> None:
    content_of(files)
    (index,) = cache.rglob("*.json")
    held = json.loads(index.read_bytes())
    for damage in ("", held[NAMES[0]][1][:-1], held[NAMES[0]][1] + "0", "g" * 64, None, 1):
        held[NAMES[0]][1] = damage
        index.write_text(json.dumps(held))
        assert content_of(files).digest == by_hashlib(files), damage


SCRIPT = """
import sys
from pathlib import Path
from reldrop_bench.kinds import content
content.cache_folder = lambda: Path(sys.argv[1])
content.RECENT = 0.0
names = tuple(sys.argv[3:])
print(content.content_of(content.DataFiles(Path(sys.argv[2]), names)).digest)
"""


def test_several_processes_at_once_spoil_nothing(files: DataFiles, cache: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(cache), str(files.folder), *NAMES]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        for _ in range(3)
    ]
    found = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert found == {by_hashlib(files)}
    (index,) = (path for path in cache.rglob("*") if path.is_file())
    assert set(json.loads(index.read_bytes())) == set(NAMES)


def test_folders_that_cannot_be_written_to_are_read(
    files: DataFiles, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(content, "write_atomically", full)
    assert content_of(files).digest == by_hashlib(files)
    assert not cache.exists()
    assert {path.name for path in files.folder.rglob("*") if path.is_file()} == {"1.png", "ü 2.png"}


def test_reading_that_takes_long_is_told_once(
    files: DataFiles, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content_of(files.only(NAMES[:1]))
    assert capsys.readouterr().err == ""
    hash_of = content._hash

    def slow(path: Path) -> str:
        time.sleep(0.3)
        return hash_of(path)

    monkeypatch.setattr(content, "_hash", slow)
    monkeypatch.setattr(content, "SLOW", 0.05)
    content_of(files)
    told = capsys.readouterr().err
    assert told.startswith(f"reading 2 files of {files.folder} ")
    assert len(told.splitlines()) == 1
    content_of(files)  # all is in the index
    time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_a_missing_file_is_an_error(files: DataFiles) -> None:
    (files.folder / NAMES[0]).unlink()
    with pytest.raises(FileNotFoundError):
        content_of(files)


@pytest.mark.parametrize("damage", ['{"a.png": [[1e999, 0, 0], "x"]}', "[" * 200_000])
def test_any_damage_of_the_index_is_none_at_all(damage: str, tmp_path: Path) -> None:
    file = tmp_path / "index.json"
    file.write_text(damage, encoding="utf-8")
    assert content._read_index(file) == {}
