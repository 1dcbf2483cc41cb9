"""What is to be run: a benchmark specification, read from YAML and checked."""

from __future__ import annotations

import os
import re
import reprlib
import typing
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml

from reldrop_bench.errors import UserError, one_line, suggest
from reldrop_bench.kinds.attributor import DEFAULT_RELEVANCE
from reldrop_bench.matrix.outcomes import CONFIG, OutcomesEntry
from reldrop_bench.plugins import shipped_specs

SpecEntry = str | dict[str, Any]
"""A plugin in a spec: its name, ``{name: {parameters}}`` or ``{name: NAME, parameters…}``."""


MOST_SEEDS = 10**6
MOST_CELLS = 50_000
"""Cells of a matrix, counted before any is made."""
MOST_VALUES = 100_000
"""Values of a spec, those of YAML's aliases counted wherever they stand: what it means, not what it takes."""


class Limits(pydantic.BaseModel):
    """What a cell may use before it is stopped."""

    model_config = CONFIG

    seconds: float = pydantic.Field(default=24 * 3600, gt=0, le=10**9)
    """Wall time."""
    memory: float | None = pydantic.Field(default=None, gt=0, le=10**6)
    """GiB."""


class BenchmarkSpec(pydantic.BaseModel):
    """A benchmark: regularizers × tasks × models × seeds, and what is measured on each cell."""

    model_config = CONFIG

    name: str = pydantic.Field(max_length=100)
    """What the benchmark is called; results go to results/NAME unless something else is said."""
    tasks: list[SpecEntry] = pydantic.Field(min_length=1)
    """What is learned."""
    regularizers: list[SpecEntry] = pydantic.Field(min_length=1)
    """What is compared."""
    seeds: pydantic.StrictInt | list[pydantic.StrictInt] = 5
    """A number n for seeds 0 … n−1, or a list."""
    controls: bool = False
    """Whether each guided regularizer gets its controls beside it; `controls:` of an entry for it alone."""
    contrasts: list[tuple[str, str]] = []
    """Pairs of labels that are compared beside each guided label and its controls."""
    outcomes: OutcomesEntry = OutcomesEntry()
    """What is judged by: `primary`, which conclusions rest on, and `secondary`, the exploratory rest; each a
    named outcome or EVALUATION/SPLIT/METRIC, with the margin below which a difference does not matter."""
    baseline: str = "none"
    """The label that all others are compared with."""
    model: SpecEntry | list[SpecEntry] = "default"
    """The networks; "default" is each task's own."""
    relevance: SpecEntry = DEFAULT_RELEVANCE
    """The attribution method of guided training, and of every evaluation that explains."""
    recipe: str | dict[str, Any] = {}
    """Changes to each task's recipe, or a named recipe; both: `{name: NAME, …}`."""
    evaluations: list[SpecEntry] | None = None
    """What is measured; left out: every installed evaluation that is on by default."""
    keep_models: Literal["all", "none"] = "all"
    """Whether weights are kept once a cell is done."""
    skip: dict[str, list[str]] = {}
    """Task → regularizer labels that are left out on purpose, beside what does not fit a task."""
    strict: bool = False
    """Whether a regularizer that does not fit a task is an error; else it is left out there."""
    threads: pydantic.StrictInt = pydantic.Field(default=1, ge=1, le=1024)
    """CPU threads a cell computes with. They change the last bits of results, so they are part of
    the spec and not of the machine."""
    limits: Limits = Limits()
    """What each cell may use."""

    @pydantic.field_validator("name")
    @classmethod
    def _is_a_folder_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
            raise ValueError(
                "letters, digits and . _ - make a name, and it begins with a letter or digit"
            )
        return value

    @pydantic.field_validator("seeds")
    @classmethod
    def _some_seeds(cls, value: int | list[int]) -> int | list[int]:
        seeds = range(min(value, MOST_SEEDS + 1)) if isinstance(value, int) else value
        if not seeds:
            raise ValueError(
                "at least one seed is needed: a number above 0, or a list such as [0, 1, 2]"
            )
        if len(seeds) > MOST_SEEDS:
            raise ValueError(f"there are more than {MOST_SEEDS} seeds")
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands twice")
        if min(seeds) < 0 or max(seeds) >= 2**63:
            raise ValueError("seeds are 0 or above, and below 2^63")
        return value

    @pydantic.field_validator("evaluations")
    @classmethod
    def _some_evaluations(cls, value: list[SpecEntry] | None) -> list[SpecEntry] | None:
        if value is not None and not value:
            raise ValueError("at least one evaluation is needed, such as accuracy")
        return value

    @property
    def seed_list(self) -> list[int]:
        return list(range(self.seeds)) if isinstance(self.seeds, int) else list(self.seeds)

    def resolved(self) -> BenchmarkSpec:
        """Return it with everything stated that it leaves to defaults, whatever they will be."""
        return BenchmarkSpec.model_validate(self.model_dump())

    def stated(self) -> dict[str, Any]:
        """Return what it states as JSON holds it."""
        return self.model_dump(mode="json", exclude_unset=True)


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which also refuses a key that stands twice."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]  # type: ignore[no-untyped-call]
    for key, count in Counter(key for key in keys if isinstance(key, Hashable)).items():
        if count > 1:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key!r} stands twice", node.start_mark
            )
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)  # type: ignore[no-untyped-call]


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read_spec(source: str | Path | Mapping[str, Any] | BenchmarkSpec) -> dict[str, Any]:
    """Return a spec as plain data: a shipped name, a YAML file, a mapping or a spec.

    Raises
    ------
    UserError
        There is no such spec or file, or it is not readable YAML.
    """
    if isinstance(source, BenchmarkSpec):
        return source.stated()
    if isinstance(source, Mapping):
        return dict(source)
    shipped = shipped_specs()
    path = Path(os.path.expanduser(source))
    if str(source) in shipped and not path.is_file():
        path = shipped[str(source)]
    if not path.is_file():
        raise UserError(
            f"no spec {one_line(repr(str(source)), 200)}: neither a file nor a shipped spec; "
            f"{suggest(str(source)[:200], shipped)}"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"spec {path} cannot be read: byte {error.start} is not text in UTF-8"
        ) from None
    except OSError as error:
        raise UserError(f"spec {path} cannot be read: {one_line(error.strerror)}") from None
    data = _load(text, f"spec {path} cannot be read")
    if not isinstance(data, dict):
        raise UserError(f"spec {path} is not a mapping of keys such as 'name:' and 'tasks:'")
    return data


def _load(text: str, where: str) -> Any:
    """Return what a text says as YAML.

    Raises
    ------
    UserError
        It is not YAML, or more than a spec may hold; `where` says what was read.
    """
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark is not None else ""
        raise UserError(f"{where}: {line}{one_line(error.problem or error.context)}") from None
    except yaml.reader.ReaderError as error:
        number = text.count("\n", 0, error.position) + 1
        raise UserError(
            f"{where}: line {number}: YAML has no character U+{error.character:04X}"
        ) from None
    except (yaml.YAMLError, ValueError) as error:  # such as a date in month 13
        raise UserError(f"{where}: {one_line(error)}") from None
    except RecursionError:
        raise UserError(f"{where}: its brackets are nested too deeply") from None
    waiting, count = [value], 0
    while waiting and count <= MOST_VALUES:
        count += 1
        inner = waiting.pop()
        if isinstance(inner, dict):
            waiting += [*inner, *inner.values()]
        elif isinstance(inner, list):
            waiting += inner
    if waiting:
        raise UserError(f"{where}: it holds more than {MOST_VALUES} values")
    return value


def read_value(text: str, where: str) -> Any:
    """Return a text of the command line as YAML reads it.

    Raises
    ------
    UserError
        It is not YAML; `where` says what was read.
    """
    return _load(text, f"{where}: the value is not YAML")


def override(data: dict[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Apply ``key.key=value`` settings to plain spec data; the value is read as YAML.

    Raises
    ------
    UserError
        A setting without ``=``, or a path through something that is not a mapping.
    """
    result = dict(data)
    for setting in settings:
        path, equals, text = setting.partition("=")
        if not equals or not path.strip():
            raise UserError(
                f"--set {setting!r} is not of the form key=value, such as recipe.epochs=3"
            )
        value = read_value(text, f"--set {one_line(repr(setting), 120)}")
        *parents, last = path.strip().split(".")
        place = result
        for parent in parents:
            child = place.get(parent, {})
            if not isinstance(child, dict):
                raise UserError(f"--set {setting!r}: {parent!r} holds no keys of its own")
            place[parent] = dict(child)
            place = place[parent]
        place[last] = value
    return result


MESSAGES = {
    "too_short": "at least one is needed",
    "list_type": "it has to be a list",
    "dict_type": "it has to be a mapping of keys",
    "model_type": "it has to be a mapping of keys",
    "int_type": "it has to be a whole number",
    "int_parsing": "it has to be a whole number",
    "int_from_float": "it has to be a whole number",
    "float_type": "it has to be a number",
    "float_parsing": "it has to be a number",
    "string_type": "it has to be text",
}
"""What pydantic's types of errors mean to the writer of a spec; the others speak for themselves."""


def first_error(
    error: pydantic.ValidationError, model: type[pydantic.BaseModel], where: str
) -> UserError:
    """Turn pydantic's report into one line that names the key, the value and what is allowed."""
    detail = error.errors()[0]
    location = [str(part) for part in detail["loc"]]
    if detail["type"] == "extra_forbidden":
        owner: type[pydantic.BaseModel] = model
        for part in location[:-1]:
            if part in owner.model_fields:
                owner = next(_models(owner.model_fields[part].annotation), owner)
        return UserError(
            f"{where}: no key {'.'.join(location)!r}; {suggest(location[-1], owner.model_fields)}"
        )
    if detail["type"] == "missing":
        return UserError(f"{where}: the key {'.'.join(location)!r} is required")
    message = MESSAGES.get(detail["type"], one_line(detail["msg"].removeprefix("Value error, ")))
    if not location:  # of what the keys say together
        return UserError(f"{where}: {message}")
    key = (
        ".".join(part for part in location if part.isdigit() or part in _keys(model)) or location[0]
    )
    given = one_line(reprlib.repr(detail["input"]), 120)
    return UserError(f"{where}: {key} = {given} is not allowed: {message}")


def _keys(model: type[pydantic.BaseModel]) -> set[str]:
    inner = (each for field in model.model_fields.values() for each in _models(field.annotation))
    return set(model.model_fields).union(*map(_keys, inner))


def _models(annotation: Any) -> Iterator[type[pydantic.BaseModel]]:
    """Yield the models that an annotation holds, as in ``list[Model] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models(part)


def load_spec(
    source: str | Path | Mapping[str, Any] | BenchmarkSpec, settings: Sequence[str] = ()
) -> BenchmarkSpec:
    """Read and check a spec; `settings` are overrides such as ``recipe.epochs=3``.

    Raises
    ------
    UserError
        One line that names the key, the value and what is allowed.
    """
    data = override(read_spec(source), settings)
    where = f"spec {source}" if isinstance(source, str | Path) else "spec"
    try:
        return BenchmarkSpec.model_validate(data)
    except pydantic.ValidationError as error:
        raise first_error(error, BenchmarkSpec, where) from None
