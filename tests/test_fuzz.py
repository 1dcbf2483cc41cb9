"""Whatever is typed or lies on disk: one line and a documented exit code, quickly, never a traceback.

2,000 cases drawn from a fixed seed; `RELDROP_FUZZ=50000` in the environment draws as many, from another
seed each time. Time is the processor's: machines that run tests are busy.
"""

from __future__ import annotations

import copy
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from reldrop_bench import cli
from reldrop_bench.errors import UserError
from reldrop_bench.matrix.cells import expand
from reldrop_bench.matrix.spec import load_spec, read_spec
from reldrop_bench.results import Status
from reldrop_bench.store.load import load_results

pytestmark = pytest.mark.slow
CASES = int(os.environ.get("RELDROP_FUZZ", "2000"))
SECONDS, BYTES = 5.0, 2**30


def cases(share: float) -> Callable[[Any], Any]:
    return settings(
        max_examples=max(1, round(CASES * share)),
        derandomize="RELDROP_FUZZ" not in os.environ,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),  # to shrink a case may take minutes
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def cheap() -> Iterator[None]:
    """Hold a case to its time and memory; the process's peak only ever grows."""
    started, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.process_time() - started < SECONDS
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < BYTES


def is_one_line(text: str) -> bool:
    return len(text.splitlines()) == 1 and len(text) < 4000 and "Traceback" not in text


SPEC: dict[str, Any] = {
    "name": "fuzz",
    "tasks": ["digits", {"cue-images": {"samples": 64}}],
    "regularizers": [
        "none",
        {"cutout": {"size": [0.25, 0.5]}},
        {"name": "reldrop-block", "label": "b"},
    ],
    "seeds": 2,
    "baseline": "none",
    "model": "default",
    "relevance": {"lrp-epsilon-plus-flat": {"epsilon": 0.1}},
    "recipe": {"epochs": 1, "batch_size": 8, "augmentation": ["crop"]},
    "evaluations": ["accuracy", "quantus:fast"],
    "keep_models": "all",
    "skip": {"digits": ["b"]},
    "threads": 1,
    "limits": {"seconds": 60, "memory": 2},
}
WORDS = [
    "none",
    "digits",
    "cutout",
    "label",
    "name",
    "preset",
    "random",
    "",
    "..",
    "~",
    "é\u202e",
    "\x00",
    "a\nb",
]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(WORDS), st.text(max_size=8),
    st.sampled_from([10**23, -1, 2**63, 10**9, 1e308, 0.5, "1e9", "2020-13-40", "a" * 400]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from([*WORDS, *SPEC]), inner, max_size=4),
    ),
    max_leaves=12,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value inside a value."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(inner, (*path, key))


@st.composite
def altered(draw: st.DrawFn, original: Any) -> Any:
    """Draw a value with one to three of its parts replaced, removed or added to."""
    value = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([path for path in paths(value) if path] or [("name",)]))
        *parents, last = path
        place = value
        for key in parents:
            place = place[key]
        what = draw(st.sampled_from(["replace", "remove", "add"]))
        if what == "replace" or not isinstance(place, dict | list):
            place[last] = draw(VALUES)
        elif what == "remove":
            del place[last]
        elif isinstance(place, dict):
            place[draw(st.sampled_from([*WORDS, *SPEC]))] = draw(VALUES)
        else:
            place.append(draw(VALUES))
    return value


def tried(read: Callable[[], Any]) -> Any:
    """Return what was read, or None where it was refused in one line."""
    with cheap():
        try:
            return read()
        except UserError as error:
            told = str(error)
    assert is_one_line(told)
    return None


def refused_or_read(text: str | bytes, file: Path) -> None:
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    tried(lambda: expand(load_spec(file)).cells)


@cases(0.4)
@given(spec=altered(SPEC))
def test_specs_with_other_values(spec: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    refused_or_read(
        yaml.safe_dump(spec, allow_unicode=True), tmp_path_factory.getbasetemp() / "s.yaml"
    )


@cases(0.2)
@given(data=st.data())
def test_specs_with_other_characters(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = yaml.safe_dump(SPEC).encode()
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(at, min(len(text), at + 12)))
        junk = data.draw(
            st.one_of(
                st.binary(max_size=6),
                st.sampled_from(
                    [
                        b"&a",
                        b"*a",
                        b"<<: ",
                        b"[" * 2000,
                        b"!!python/x ",
                        b"? ",
                        b"\t",
                        b"---\n",
                        b"{",
                    ]
                ),
            )
        )
        text = text[:at] + junk + text[end:]
    refused_or_read(text, tmp_path_factory.getbasetemp() / "s.yaml")


@cases(0.1)
@given(
    values=st.lists(
        st.tuples(
            st.sampled_from([*SPEC, "recipe.epochs", "a.b", ".", "seeds.x"]), st.text(max_size=12)
        ),
        max_size=3,
    )
)
def test_settings(values: list[tuple[str, str]]) -> None:
    tried(lambda: load_spec(SPEC, [f"{key}={text}" for key, text in values]))


FIXTURE = Path(__file__).parent / "store" / "schema_3"


@cases(0.15)
@given(data=st.data())
def test_records(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / "records"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(FIXTURE, folder)
    records = sorted(folder.rglob("*.json"))
    file = data.draw(st.sampled_from([*records, folder / "benchmark.json"]))
    record = data.draw(altered(json.loads(file.read_text())))
    text = json.dumps(record)
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(text)))
        text = (
            text[:at]
            + data.draw(st.sampled_from(["", "\x00", "{", "NaN", "\ud800", "]" * 9]))
            + text[at + 1 :]
        )
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    results = tried(lambda: load_results(folder))
    if results is not None:
        assert set(results.cells["status"]) <= {*get_args(Status), "missing"}


COMMANDS = [
    "plan", "run", "status", "schema", "report", "evaluate", "explain", "compare", "merge", "leaderboard",
    "list", "show", "new", "check",
]  # fmt: skip
ARGUMENTS = st.one_of(
    st.sampled_from([
        "--json", "--set", "--only", "--plugins", "--output", "-o", "--format", "--workers", "--seed", "--task",
        "--model", "--weights", "--help", "--baseline", "--metric", "--sections", "--margin", "--executor", "--data",
        "spec.yaml", "results", "none", "regularizer", "models", "cell", ".", "..", "/dev/null", "nan", "-1", "a=b",
        "-", "--", "task=digits", "'{", "x.py:f",
    ]),
    st.text(max_size=8).filter(lambda text: "quickstart" not in text),
)  # fmt: skip


@cases(0.15)
@given(command=st.sampled_from(COMMANDS), arguments=st.lists(ARGUMENTS, max_size=5))
def test_command_lines(
    command: str,
    arguments: list[str],
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path_factory.getbasetemp() / "commands"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "spec.yaml").write_text(
        "name: fuzz\ntasks: [digits]\n"
    )  # no regularizers: never runs
    if command in ("check", "show") and "none" in arguments:
        return  # takes longer than a case may
    before = Path.cwd()
    os.chdir(folder)
    try:
        with cheap(), pytest.raises(SystemExit) as ended:
            cli.main([command, *arguments])
    finally:
        os.chdir(before)
    told = capsys.readouterr()
    assert ended.value.code in (0, 1, 2), told.err
    assert "Traceback (most recent call last)" not in told.out + told.err
    if ended.value.code == 2:
        assert is_one_line(told.err)


def test_the_spec_that_is_altered_is_one() -> None:
    assert len(expand(load_spec(SPEC)).cells) == 14
    assert read_spec(SPEC) == SPEC
