"""A record whose parts cannot all be true is damaged: for whoever reads it, and for `run`.

The fixture was written by a former version; a record of today is one of it whose components and key
are made anew with hashlib and json, as docs/results.md says what a key is.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pydantic
import pytest

from reldrop_bench import UserError, load_results
from reldrop_bench.files import write_atomically
from reldrop_bench.matrix.cells import CellSpec
from reldrop_bench.matrix.components import SCHEMA
from reldrop_bench.store.folder import Store
from reldrop_bench.store.records import CellRecord

FORMER = Path(__file__).parent / "schema_3"
Content = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The results of a former version whose first cell is one of today."""
    folder = Path(shutil.copytree(FORMER, tmp_path / "results"))
    benchmark = json.loads((folder / "benchmark.json").read_text(encoding="utf-8"))
    old = benchmark["matrix"][0]["key"]
    content = json.loads((folder / "cells" / old / "cell.json").read_text(encoding="utf-8"))
    content["schema"] = content["components"]["schema"] = SCHEMA
    content["components"].setdefault("threads", None)
    content["key"] = key = key_of(content)
    (folder / "cells" / old).rename(folder / "cells" / key)
    (folder / "cells" / key / "cell.json").write_text(json.dumps(content), encoding="utf-8")
    benchmark["matrix"][0]["key"] = key
    (folder / "benchmark.json").write_text(json.dumps(benchmark), encoding="utf-8")
    return folder


def key_of(content: Content) -> str:
    parts = CellRecord.model_validate(content).components.plain()
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def first(folder: Path) -> str:
    matrix = json.loads((folder / "benchmark.json").read_text(encoding="utf-8"))["matrix"]
    return str(matrix[0]["key"])


def change(path: Path, mend: Callable[[Content], object]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    mend(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def cell(folder: Path) -> CellSpec:
    """Return what `repair` needs of a cell."""
    record = Store(folder).read_cell(first(folder))
    assert record is not None
    return cast(CellSpec, SimpleNamespace(key=record.key, components=record.components))


CONTRADICTIONS: dict[str, Callable[[Content], object]] = {
    "no files": lambda record: record.update(files={}),
    "no table": lambda record: record["files"].pop("accuracy.parquet"),
    "no training log": lambda record: record["files"].pop("train.parquet"),
    "not trained": lambda record: record.update(trained=False),
    "other components": lambda record: record["components"].update(seed=77),
    "another schema": lambda record: record.update(schema=3),
}
WRONG: dict[str, tuple[Callable[[Content], object], str]] = {
    "schema as text": (lambda record: record.update(schema=str(SCHEMA)), "schema"),
    "schema as a fraction": (lambda record: record.update(schema=float(SCHEMA)), "schema"),
    "schema as a truth": (lambda record: record.update(schema=True), "schema"),
    "schema below": (lambda record: record.update(schema=-1), "schema"),
    "no status": (lambda record: record.pop("status"), "(status is missing)"),
    "time before": (lambda record: record["training"].update(train_seconds=-1.0), "train_seconds"),
    "a step before": (lambda record: record["training"].update(step_seconds=-1.0), "step_seconds"),
    "a measuring before": (
        lambda record: record["evaluations"]["accuracy"].update(seconds=-0.5),
        "evaluations.accuracy.seconds",
    ),
    "a long name": (lambda record: record["files"].update({"a" * 300: "0"}), "files"),
    "a long name of few letters": (
        lambda record: record["files"].update({"ü" * 150: "0"}),
        "files",
    ),
}


def test_what_was_written_is_no_contradiction(folder: Path) -> None:
    assert load_results(folder).exit_code == 0
    assert Store(folder).repair(cell(folder), pytest.fail) is not None
    assert len(list(Store(folder).records())) == 4


@pytest.mark.parametrize(
    ("mend", "told"),
    [*((mend, "contradicts itself") for mend in CONTRADICTIONS.values()), *WRONG.values()],
    ids=[*CONTRADICTIONS, *WRONG],
)
def test_readers_and_run_agree_on_what_is_damaged(
    folder: Path, mend: Callable[[Content], object], told: str
) -> None:
    wanted, key = cell(folder), first(folder)
    change(folder / "cells" / key / "cell.json", mend)
    with pytest.raises(ValueError) as error:
        Store(folder).read_cell(key)
    assert told in str(error.value)
    assert len(str(error.value)) < 300
    row = load_results(folder).cells.set_index("key").loc[key]
    assert row["status"] == "failed"
    assert "run the spec again" in row["error"]
    lines: list[str] = []
    record = Store(folder).repair(wanted, lines.append)
    assert record is not None
    assert (record.status, record.trained, record.files) == ("interrupted", False, {})
    assert (folder / "cells" / f"{key}.corrupt-1" / "model.safetensors").is_file(), (
        "nothing is lost"
    )
    assert told in lines[0]


def test_a_cell_of_a_newer_version_is_refused_and_stays(folder: Path) -> None:
    wanted, key = cell(folder), first(folder)
    file = folder / "cells" / key / "cell.json"
    change(file, lambda record: record.update(schema=SCHEMA + 1, status="of tomorrow"))
    before = file.read_bytes()
    with pytest.raises(UserError, match="install the newer reldrop-bench"):
        Store(folder).repair(wanted, pytest.fail)
    row = load_results(folder).cells.set_index("key").loc[key]
    assert "install the newer reldrop-bench" in row["error"]
    assert "anew" not in row["error"]
    assert file.read_bytes() == before
    assert [path.name for path in folder.glob("cells/*corrupt*")] == []


MATRICES: dict[str, tuple[Callable[[Content], object], str]] = {
    "twice": (lambda record: record.update(matrix=record["matrix"] * 2), "2 cells with the key"),
    "one place twice": (
        lambda record: record["matrix"].append(record["matrix"][0] | {"key": "0f"}),
        "2 cells with the place",
    ),
    "empty": (lambda record: record.update(matrix=[]), "matrix is empty"),
    "no baseline": (lambda record: record["spec"].update(baseline="nobody"), "baseline 'nobody'"),
    "no name": (lambda record: record.pop("name"), "(name is missing)"),
}


@pytest.mark.parametrize(("mend", "told"), MATRICES.values(), ids=MATRICES)
def test_a_matrix_that_would_be_counted_wrongly_is_refused(
    folder: Path, mend: Callable[[Content], object], told: str
) -> None:
    change(folder / "benchmark.json", mend)
    with pytest.raises(UserError, match=r"benchmark\.json") as error:
        load_results(folder)
    assert told in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_an_unknown_status_cannot_be_noted(folder: Path) -> None:
    record = Store(folder).read_cell(first(folder))
    assert record is not None
    with pytest.raises(pydantic.ValidationError):
        record.end(cast(Any, "banana"))
    with pytest.raises(pydantic.ValidationError):
        record.evaluations["accuracy"].status = cast(Any, "banana")
    with pytest.raises(pydantic.ValidationError):
        record.training.peak_memory = -1
    assert record.status == "done"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_no_temporary_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fails(*arguments: object) -> None:
        raise error

    write_atomically(tmp_path / "a.json", b"before")
    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fails)
            with pytest.raises(type(error)):
                write_atomically(tmp_path / "a.json", b"after")
        assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"before"
