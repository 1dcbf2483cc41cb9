"""`data` says what is there, what is missing and where it is to be had; what is wrong is one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trimesh

from reldrop_bench.cli import main
from reldrop_bench.plugins import registry

Run = Callable[..., tuple[int, str]]
FOLDER = ("mesh-folder", "--set", "folder=solids", "--set", "points=32")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["data", *arguments])
        captured = capsys.readouterr()
        code = ended.value.code
        return (code if isinstance(code, int) else 0), captured.out + captured.err

    return call


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for part, count in (("train", 4), ("test", 2)):
        for label, solid in (
            ("box", trimesh.creation.box()),
            ("ball", trimesh.creation.icosphere(1)),
        ):
            folder = tmp_path / "solids" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.off").write_text(solid.export(file_type="off"))
    return tmp_path


def test_the_table_has_every_task_with_its_state(run: Run, tmp_path: Path) -> None:
    code, text = run("--data", str(tmp_path), "--json")
    assert code == 0
    rows = {row["task"]: row for row in json.loads(text)}
    assert list(rows) == registry.names("tasks")
    assert rows["digits"]["state"] == "made"
    assert rows["cifar10"]["state"] == "absent"
    assert rows["mesh-folder"]["state"] == "yours"
    assert all(row["data"] for row in rows.values())
    for row in rows.values():
        assert row["state"] != "absent" or (row["missing"] and row["page"] and row["licence"]), row
    code, text = run("--data", str(tmp_path))
    assert code == 0
    assert all(name in text for name in rows)


def test_what_is_missing_is_told_with_where_to_get_it(run: Run, tmp_path: Path) -> None:
    code, text = run("cifar100", "--data", str(tmp_path))
    assert code == 0
    for part in ("state: absent", "https://", "cifar-100-python", "licence: "):
        assert part in text
    for option in ("--verify", "--prepare"):
        code, text = run("cifar100", "--data", str(tmp_path), option)
        assert code == 2
        assert text.count("\n") == 1


def test_preparing_is_said_before_and_done_once(run: Run, root: Path) -> None:
    there = [*FOLDER, "--data", str(root)]
    _, before = run(*there)
    assert "to prepare: 8 meshes of train are to be read; 4 meshes of test are to be read" in before
    assert not (root / "solids" / "sampled").exists(), "it only looks"
    spec = root / "spec.yaml"
    spec.write_text(
        "name: x\ntasks: [{mesh-folder: {folder: solids, points: 32}}]\nregularizers: [none]\nseeds: 1\n"
    )
    code, text = run(*there, "--prepare", "--verify")
    assert code == 0
    for part in ("train: 6", "validation: 2", "test: 4", "files: 12", "digest: "):
        assert part in text, part
    kept = {
        file: file.stat().st_mtime_ns
        for file in (root / "solids" / "sampled").glob("*.safetensors")
    }
    assert len(kept) == 2
    _, after = run(*there)
    assert "to prepare" not in after
    run(*there, "--prepare")
    assert kept == {file: file.stat().st_mtime_ns for file in kept}
    # Another mesh: its clouds are not those that were kept.
    (root / "solids" / "train" / "box" / "9.off").write_text(
        trimesh.creation.box().export(file_type="off")
    )
    _, changed = run(*there)
    assert "9 meshes of train" in changed
    assert "of test" not in changed


def test_plan_says_what_will_be_read_first(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = root / "spec.yaml"
    spec.write_text(
        "name: x\ntasks: [{mesh-folder: {folder: solids, points: 32}}]\nregularizers: [none]\nseeds: 1\n"
    )
    with pytest.raises(SystemExit):
        main(["plan", str(spec), "--data", str(root), "--no-time", "--output", str(root / "out")])
    text = " ".join(capsys.readouterr().out.split())
    assert "8 meshes of train are to be read" in text
    assert "reldrop-bench data mesh-folder --prepare" in text


def test_a_wrong_count_is_told(run: Run, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from reldrop_bench import Origin

    cls: Any = registry.find("tasks", "mesh-folder").cls
    origin = Origin("solids", "a page", "CC0", counts={"train": 8, "test": 5})
    monkeypatch.setattr(cls, "origin", origin)
    code, text = run(*FOLDER, "--data", str(root), "--verify")
    assert code == 2
    assert "test has 4 samples, and 5 were published" in text
    monkeypatch.setattr(
        cls, "origin", Origin("solids", "a page", "CC0", counts={"train": 8, "test": 4})
    )
    assert run(*FOLDER, "--data", str(root), "--verify")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "no task is called 'nope'"),
        (["--verify"], "--verify is about one task"),
        (["digits", "--set", "x"], "--set 'x': write NAME=VALUE"),
        (["digits", "--set", "valdation=0.2"], "did you mean"),
        (["cifar10", "--download"], "nowhere to put it"),
        (["digits", "--data", "nowhere"], "does not exist"),
    ],
)
def test_wrong_use_is_one_line(run: Run, arguments: list[str], message: str) -> None:
    code, text = run(*arguments)
    assert code == 2
    assert text.count("\n") == 1
    assert message in text


def test_what_cannot_be_downloaded_says_where_it_is(run: Run, tmp_path: Path) -> None:
    code, text = run("modelnet10", "--download", "--data", str(tmp_path))
    assert code == 2
    assert "cannot be downloaded from here; they are to be had at https://" in text
