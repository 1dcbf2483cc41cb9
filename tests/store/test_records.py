"""Records: what is written can be read and is what the published schema says; the rest is one line."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reldrop_bench import UserError, load_results
from reldrop_bench.cli import main
from reldrop_bench.errors import printable
from reldrop_bench.matrix.components import SCHEMA, Components
from reldrop_bench.store.documents import DOCUMENTS, json_schema, read_record, write_record
from reldrop_bench.store.folder import Store
from reldrop_bench.store.records import CellRecord, Heartbeat

FORMER = Path(__file__).parent / "schema_3"
KEYS = sorted(path.name for path in (FORMER / "cells").iterdir())


def one_line(error: pytest.ExceptionInfo[Any] | BaseException) -> str:
    text = str(error.value if isinstance(error, pytest.ExceptionInfo) else error)
    assert len(text.splitlines()) == 1
    assert len(text) < 600
    return text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FORMER, tmp_path / "results"))


@pytest.fixture
def cell_file(folder: Path) -> Path:
    return folder / "cells" / KEYS[0] / "cell.json"


# What is written


def documents(folder: Path) -> Iterator[tuple[str, Path]]:
    yield "benchmark", folder / "benchmark.json"
    for path in folder.glob("cells/*/cell.json"):
        yield "cell", path


def test_a_written_folder_is_what_the_schema_says(
    make_set: Callable[..., Path], make_checkpoints: Callable[..., Path], tmp_path: Path
) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    broken = {"name": "misbehaving", "how": "raise", "label": "broken"}
    first = make_set("first", regularizers=["none", broken, "cutout"])
    second = make_checkpoints("second", {("A", 0): 0})
    found = [*documents(first), *documents(second)]
    assert {name for name, _ in found} == {"benchmark", "cell"}
    for name, path in found:
        content = json.loads(path.read_text(encoding="utf-8"))
        assert content["schema"] == SCHEMA
        jsonschema.validate(content, json_schema(name))
        assert content.keys() == json_schema(name)["properties"].keys(), "nothing is left out"
    beat = Heartbeat(
        key="0f", task="t", model="m", regularizer="r", label="l", seed=0,
        pid=1, started=0.0, stage="training", done=0, total=2,
    )  # fmt: skip
    jsonschema.validate(beat.plain(), json_schema("running"))
    Store(first).write_heartbeat(beat)
    assert Store(first).heartbeats() == [beat]


def fields(schema: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every field of a JSON schema, those of its parts included."""
    if isinstance(schema, dict):
        for name, field in schema.get("properties", {}).items():
            yield f"{where}/{name}", field
        for key, part in schema.items():
            yield from fields(part, f"{where}/{key}")
    elif isinstance(schema, list):
        for part in schema:
            yield from fields(part, where)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_field_says_what_it_is(name: str) -> None:
    known = dict(fields(json_schema(name)))
    assert len(known) > 10
    assert [where for where, field in known.items() if not field.get("description")] == []


def test_the_command_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["schema", *arguments])
        output = capsys.readouterr()
        return int(str(stop.value.code)), output.out, output.err

    assert json.loads(call("cell")[1]) == json_schema("cell")
    assert json.loads(call()[1]) == {name: json_schema(name) for name in DOCUMENTS}
    code, _, stderr = call("cells")
    assert code == 2
    assert "did you mean 'cell'" in stderr


def test_keys_of_a_newer_version_are_not_read(folder: Path, cell_file: Path) -> None:
    content = json.loads(cell_file.read_text(encoding="utf-8"))
    content["cost"] = {"euros": 3}
    content["training"]["weather"] = "sunny"
    cell_file.write_text(json.dumps(content), encoding="utf-8")
    benchmark = json.loads((folder / "benchmark.json").read_text(encoding="utf-8"))
    benchmark["matrix"][0]["colour"] = "red"
    (folder / "benchmark.json").write_text(json.dumps(benchmark), encoding="utf-8")
    assert load_results(folder).exit_code == 0
    record = Store(folder).read_cell(KEYS[0])
    assert record is not None
    assert "cost" not in record.plain()


@settings(deadline=None)
@given(st.text(), st.text(), st.floats())
def test_what_is_written_is_read_again_or_refused(
    tmp_path_factory: pytest.TempPathFactory, error: str, traceback: str, number: float
) -> None:
    record = read_record(FORMER / "cells" / KEYS[0] / "cell.json", CellRecord)
    assert record is not None
    record.end("failed", error, traceback)
    path = tmp_path_factory.getbasetemp() / "cell.json"
    write_record(path, record)
    read = read_record(path, CellRecord)
    assert read is not None
    assert read.traceback == printable(traceback)
    assert read.plain() | {"traceback": ""} == record.plain() | {"traceback": ""}
    if number - number == 0:
        record.training.energy = number
        write_record(path, record)
        assert read_record(path, CellRecord).training.energy == number  # type: ignore[union-attr]
    else:
        with pytest.raises(ValueError):
            record.training.energy = number
        before = path.read_bytes()
        record.environment["load"] = number  # inside of a value nothing is looked at
        with pytest.raises(ValueError):
            write_record(path, record)
        assert path.read_bytes() == before


def test_a_number_that_is_none_is_no_part_of_a_cell(cell_file: Path) -> None:
    components = json.loads(cell_file.read_text(encoding="utf-8"))["components"]
    components["recipe"]["learning_rate"] = float("inf")
    with pytest.raises(pydantic.ValidationError):
        Components.model_validate(components)


# What a stranger has broken

BROKEN = {
    "no JSON": b"{",
    "nothing": b"",
    "a list": b"[]",
    "a number": b"3",
    "no UTF-8": b'{"schema": 3, "name": "\xff"}',
    "half a character": b'{"schema": 3, "name": "\\ud800"}',
    "nested without end": b'{"schema": 3, "spec": ' + b"[" * 100_000,
    "deep": b'{"schema": 3, "spec": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    "not a number": b'{"schema": 3, "name": NaN}',
    "a huge number": b'{"schema": ' + b"9" * 10_000 + b"}",
    "a negative schema of text": b'{"schema": "-3"}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_one_line(folder: Path, cell_file: Path, content: bytes) -> None:
    cell_file.write_bytes(content)
    with pytest.raises(ValueError, match=r"cell\.json") as of_cell:
        Store(folder).read_cell(KEYS[0])
    one_line(of_cell)
    row = load_results(folder).cells.set_index("key").loc[KEYS[0]]
    assert row["status"] == "failed"
    assert "run the spec again" in row["error"]
    (folder / "benchmark.json").write_bytes(content)
    with pytest.raises(UserError, match=r"benchmark\.json") as of_benchmark:
        load_results(folder)
    one_line(of_benchmark)


Json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["../../outside", "/etc", "a/b", ".", "done", 10**400, -1, "0f", 2**63]),
    lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts),
    max_leaves=5,
)


def places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container of some JSON with every key or position in it."""
    if isinstance(content, dict | list):
        for key in list(content) if isinstance(content, dict) else range(len(content)):
            yield content, key
            yield from places(content[key])


@st.composite
def broken(draw: st.DrawFn, file: Path) -> bytes:
    """Return a file's JSON with some values replaced, removed or added."""
    content = json.loads(file.read_text(encoding="utf-8"))
    for _ in range(draw(st.integers(1, 3))):
        container, key = draw(st.sampled_from(list(places(content))))
        how = draw(st.sampled_from(["replace", "remove", "add"]))
        if how == "remove":
            del container[key]
        elif how == "add" and isinstance(container, dict):
            container[draw(st.text() | st.sampled_from(["../up", "a/b"]))] = draw(Json)
        else:
            container[key] = draw(Json)
    return json.dumps(content).encode()


many = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@many
@given(broken(FORMER / "benchmark.json"))
def test_any_benchmark_file_is_read_or_told_in_a_line(folder: Path, content: bytes) -> None:
    (folder / "benchmark.json").write_bytes(content)
    try:
        results = load_results(folder)
    except UserError as error:
        one_line(error)
    else:
        assert set(results.cells["status"]) <= {"done", "missing", "failed"}


@many
@given(broken(FORMER / "cells" / KEYS[0] / "cell.json"))
def test_any_cell_file_is_read_or_told_in_a_line(
    folder: Path, cell_file: Path, content: bytes
) -> None:
    cell_file.write_bytes(content)
    try:
        record = Store(folder).read_cell(KEYS[0])
    except ValueError as error:
        one_line(error)
    else:
        assert record is not None
        assert all(Path(name).name == name for name in record.files)
        write_record(folder / "again.json", record)
        assert read_record(folder / "again.json", CellRecord) == record
    results = load_results(folder)
    assert len(results.cells) == len(KEYS)
    assert len(results.examples) >= 0


@many
@given(content=broken(FORMER / "cells" / KEYS[0] / "cell.json") | st.binary(max_size=60))
def test_any_heartbeat_is_read_or_left_out(folder: Path, content: bytes) -> None:
    (folder / "running").mkdir(exist_ok=True)
    (folder / "running" / "0f.json").write_bytes(content)
    assert Store(folder).heartbeats() == []


def test_a_copied_record_is_one_of_its_own(cell_file: Path) -> None:
    record = read_record(cell_file, CellRecord)
    assert record is not None
    other = copy.deepcopy(record)
    other.deviations.append("changed")
    other.files.clear()
    assert record.deviations == []
    assert record.files
