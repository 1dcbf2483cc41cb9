"""From the entries of a spec to plugins with all their parameters."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from reldrop_bench.errors import UserError
from reldrop_bench.matrix.spec import BenchmarkSpec, Entry
from reldrop_bench.plugins import registry
from reldrop_bench.plugins.base import Plugin, parameters_of

TRAINING_LOG = "train"
"""Name of the table that training itself writes."""


@dataclass(frozen=True)
class Choice:
    """A plugin with all its parameters, resolved: plain data that travels to a worker."""

    kind: str
    name: str
    parameters: Mapping[str, Any]
    label: str
    source: str
    """Hash of the plugin's source."""
    error: str = ""
    """Traceback of a plugin that cannot be imported: its cells fail, the others run."""

    @cached_property
    def plugin(self) -> Any:
        return registry.create(self.kind, self.name, self.parameters)

    def check_source(self) -> None:
        """Raise RuntimeError if this process has another version of the plugin than the spec."""
        found = registry.find(self.kind, self.name)
        if found.source != self.source:
            raise RuntimeError(f"{found.file.name} changed after the run was started; run again")

    def identity(self) -> dict[str, Any]:
        return {"name": self.name, "parameters": dict(self.parameters), "source": self.source}

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def _parse(
    entry: Entry, kind: str, reserved: Sequence[str]
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return name, parameters and reserved settings (label …) of a spec's entry."""
    singular = registry.KINDS[kind].singular
    if isinstance(entry, str):
        return entry, {}, {}
    if not isinstance(entry, dict):
        raise UserError(
            f"{singular} {entry!r} is neither a name nor a mapping such as {{name: NAME}}"
        )
    values = dict(entry)
    if "name" in values:
        name = values.pop("name")
    elif len(values) == 1:
        name, inner = next(iter(values.items()))
        if inner is not None and not isinstance(inner, dict):
            raise UserError(
                f"{singular} {name!r}: {inner!r} is not a mapping of parameters such as {{k: 3}}"
            )
        values = dict(inner or {})
    else:
        raise UserError(
            f"{singular} entry {entry!r} names no plugin; write {{name: NAME, …}} or NAME: {{…}}"
        )
    if not isinstance(name, str):
        raise UserError(f"{singular} {name!r} is not a name")
    settings = {key: values.pop(key) for key in reserved if key in values}
    return name, values, settings


def _expand(cls: type[Plugin], parameters: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Expand each list that a parameter does not itself accept; returns parameters and a label suffix."""
    known = parameters_of(cls)
    lists = {
        key: value
        for key, value in parameters.items()
        if isinstance(value, list) and not (key in known and known[key].accepts(value))
    }
    for key, value in lists.items():
        if not value:
            raise UserError(f"{cls.name}: {key} = [] holds no value to run")
    expanded = []
    for combination in itertools.product(*lists.values()):
        chosen = dict(zip(lists, combination, strict=True))
        suffix = " ".join(f"{key}={value}" for key, value in chosen.items())
        expanded.append(({**parameters, **chosen}, suffix))
    return expanded


def _resolve(
    entry: Entry, kind: str, reserved: Sequence[str] = ("label",)
) -> list[tuple[Choice, dict[str, Any]]]:
    """Resolve one entry of a spec to its plugins (several where it holds lists), with their settings."""
    name, parameters, settings = _parse(entry, kind, reserved)
    found = registry.find(kind, name)
    label = settings.get("label", name)
    if not isinstance(label, str) or not label.strip() or not label.isprintable():
        raise UserError(f"{name}: label = {label!r} is not a line of text")
    if found.cls is None:
        broken = Choice(kind, name, parameters, label, found.source, found.error)
        return [(broken, settings)]
    choices = []
    for values, suffix in _expand(found.cls, parameters):
        plugin = found.cls.create(values)
        full = f"{label} {suffix}".strip()
        choices.append(
            (
                Choice(kind, name, plugin.parameters(), full, found.source),
                {**settings, "given": values},
            )
        )
    return choices


def resolve_all(
    entries: Sequence[Entry], kind: str, reserved: Sequence[str] = ("label",)
) -> list[tuple[Choice, dict[str, Any]]]:
    """Resolve a list of entries; labels come out unique or the spec is refused."""
    found = [pair for entry in entries for pair in _resolve(entry, kind, reserved)]
    counts = Counter(choice.label for choice, _ in found)
    named = []
    for choice, settings in found:
        given = {
            key: value
            for key, value in settings.get("given", {}).items()
            if f"{key}=" not in choice.label
        }
        if counts[choice.label] > 1 and "label" not in settings and given:
            text = " ".join(f"{key}={value}" for key, value in given.items())
            choice = dataclasses.replace(choice, label=f"{choice.label} {text}")
        named.append((choice, settings))
    for label, count in Counter(choice.label for choice, _ in named).items():
        if count > 1:
            raise UserError(
                f"two {kind} have the label {label!r}; give one of them a label: of its own"
            )
    return named


def single(entry: Entry, kind: str) -> Choice:
    """Resolve an entry that stands for one plugin; its label holds the parameters that are given.

    Raises
    ------
    UserError
        It holds a list, or the plugin is unknown, broken or does not allow a parameter.
    """
    choices = _resolve(entry, kind)
    if len(choices) != 1:
        raise UserError(f"{kind}: {entry!r} holds a list; give one value")
    choice, settings = choices[0]
    if choice.error:
        registry.create(kind, choice.name)
    if "label" not in settings:
        given = (f"{key}={value}" for key, value in settings["given"].items())
        choice = dataclasses.replace(choice, label=" ".join([choice.label, *given]))
    return choice


def default_evaluations() -> list[Entry]:
    """Return the names of what is measured where a spec names nothing."""
    return [
        entry.name
        for entry in registry.entries("evaluations")
        if entry.cls is not None and getattr(entry.cls, "default", False)
    ]


def with_evaluations(spec: BenchmarkSpec, added: Sequence[Entry]) -> BenchmarkSpec:
    """Return the spec with further evaluations, each in place of one of the same name."""
    if not added:
        return spec
    entries = list(default_evaluations() if spec.evaluations is None else spec.evaluations)
    for entry in added:
        name = entry_name(entry)
        same = [place for place, other in enumerate(entries) if entry_name(other) == name]
        if same:
            entries[same[0]] = entry
        else:
            entries.append(entry)
    return spec.model_copy(update={"evaluations": entries})


def entry_name(entry: Entry) -> str:
    """Return the name of the evaluation that an entry of a spec stands for."""
    if isinstance(entry, str):
        return entry.partition(":")[0]
    return str(entry["name"] if "name" in entry else next(iter(entry), ""))


def _with_preset(entry: Entry) -> Entry:
    """Read "NAME:PRESET" as the mapping that it is short for."""
    if not isinstance(entry, str) or ":" not in entry:
        return entry
    name, _, preset = entry.partition(":")
    return {name: {"preset": preset}}


def resolve_evaluations(entries: Sequence[Entry] | None) -> tuple[Choice, ...]:
    """Return what is to be measured; None stands for all that is on by default.

    Raises
    ------
    UserError
        An unknown or broken evaluation, a parameter that it does not allow, or one that stands twice.
    """
    wanted = default_evaluations() if entries is None else entries
    choices = tuple(
        choice
        for choice, _ in resolve_all([_with_preset(entry) for entry in wanted], "evaluations", ())
    )
    for choice in choices:
        if choice.error:
            registry.create("evaluations", choice.name)
    names = [choice.name for choice in choices]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"evaluation {name!r} stands twice in evaluations:")
    if TRAINING_LOG in names:
        raise UserError(f"an evaluation cannot be called {TRAINING_LOG!r}: the training log is")
    return choices
