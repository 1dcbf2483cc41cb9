"""From the entries of a spec to plugins with all their parameters."""

import dataclasses
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from reldrop_bench.errors import UserError, one_line
from reldrop_bench.matrix.components import PluginIdentity
from reldrop_bench.matrix.spec import MOST_CELLS, BenchmarkSpec, SpecEntry
from reldrop_bench.plugins import registry
from reldrop_bench.plugins.base import Plugin, parameters_of

TRAINING_LOG = "train"
"""Name of the table that training itself writes."""


@dataclass(frozen=True)
class ResolvedPlugin:
    """An entry of a spec with all its parameters: plain data that travels to a worker."""

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
        installed = registry.find(self.kind, self.name)
        if installed.source != self.source:
            raise RuntimeError(
                f"{installed.file.name} changed after the run was started; run again"
            )

    @property
    def identity(self) -> PluginIdentity:
        """What of it decides a result."""
        return PluginIdentity(name=self.name, parameters=dict(self.parameters), source=self.source)

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def _parse(
    entry: SpecEntry, kind: str, reserved: Sequence[str]
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
    declared = parameters_of(cls)
    lists = {
        key: value
        for key, value in parameters.items()
        if isinstance(value, list) and not (key in declared and declared[key].accepts(value))
    }
    for key, value in lists.items():
        if not value:
            raise UserError(f"{cls.name}: {one_line(key, 120)} = [] holds no value to run")
    if (count := math.prod(map(len, lists.values()))) > MOST_CELLS:
        names = one_line(" × ".join(lists), 200)
        raise UserError(
            f"{cls.name}: {names} are {count} combinations; at most {MOST_CELLS} are possible"
        )
    expanded = []
    for combination in itertools.product(*lists.values()):
        chosen = dict(zip(lists, combination, strict=True))
        suffix = " ".join(f"{key}={value}" for key, value in chosen.items())
        expanded.append(({**parameters, **chosen}, suffix))
    return expanded


def _resolve(
    entry: SpecEntry, kind: str, reserved: Sequence[str] = ("label",)
) -> list[tuple[ResolvedPlugin, dict[str, Any]]]:
    """Resolve one entry of a spec to its plugins (several where it holds lists), with their settings."""
    name, parameters, settings = _parse(entry, kind, reserved)
    installed = registry.find(kind, name)
    label = settings.get("label", name)
    if not isinstance(label, str) or not label.strip() or not label.isprintable():
        raise UserError(
            f"{name}: label = {label!r} has to be one line of visible characters, without control "
            "or zero-width ones"
        )
    if installed.cls is None:
        source, error = installed.source, installed.error
        return [(ResolvedPlugin(kind, name, parameters, label, source, error), settings)]
    plugins = []
    for given, suffix in _expand(installed.cls, parameters):
        values, full = installed.cls.create(given).parameters(), f"{label} {suffix}".strip()
        plugin = ResolvedPlugin(kind, name, values, full, installed.source)
        plugins.append((plugin, {**settings, "given": given}))
    return plugins


def _parameters_text(given: Mapping[str, Any]) -> str:
    """Return parameters as a label shows them: "k=3 size=0.5"."""
    return " ".join(f"{key}={value}" for key, value in given.items())


def resolve_all(
    entries: Sequence[SpecEntry], kind: str, reserved: Sequence[str] = ("label",)
) -> list[tuple[ResolvedPlugin, dict[str, Any]]]:
    """Resolve a list of entries; labels come out unique or the spec is refused."""
    resolved = [pair for entry in entries for pair in _resolve(entry, kind, reserved)]
    counts = Counter(plugin.label for plugin, _ in resolved)
    named = []
    for plugin, settings in resolved:
        given = {
            key: value
            for key, value in settings.get("given", {}).items()
            if f"{key}=" not in plugin.label
        }
        if counts[plugin.label] > 1 and "label" not in settings and given:
            label = f"{plugin.label} {_parameters_text(given)}"
            plugin = dataclasses.replace(plugin, label=label)
        named.append((plugin, settings))
    refuse_equal_labels([plugin.label for plugin, _ in named], kind)
    return named


def refuse_equal_labels(labels: Sequence[str], kind: str) -> None:
    """Raise UserError where a label stands twice."""
    for label, count in Counter(labels).items():
        if count > 1:
            raise UserError(
                f"two {kind} have the label {label!r}; give one of them a label: of its own"
            )


def single(entry: SpecEntry, kind: str) -> ResolvedPlugin:
    """Resolve an entry that stands for one plugin; its label holds the parameters that are given.

    Raises
    ------
    UserError
        It holds a list, or the plugin is unknown, broken or does not allow a parameter.
    """
    resolved = _resolve(entry, kind)
    if len(resolved) != 1:
        raise UserError(f"{kind}: {entry!r} holds a list; give one value")
    plugin, settings = resolved[0]
    if plugin.error:
        registry.create(kind, plugin.name)
    if "label" not in settings and settings["given"]:
        label = f"{plugin.label} {_parameters_text(settings['given'])}"
        plugin = dataclasses.replace(plugin, label=label)
    return plugin


def measured(spec: BenchmarkSpec) -> list[SpecEntry]:
    """Return the entries of what a spec measures; one that names nothing, what is on by default."""
    return default_evaluations() if spec.evaluations is None else spec.evaluations


def default_evaluations() -> list[SpecEntry]:
    """Return the names of what is measured where a spec names nothing."""
    return [
        entry.name
        for entry in registry.entries("evaluations")
        if entry.cls is not None and getattr(entry.cls, "default", False)
    ]


def with_evaluations(spec: BenchmarkSpec, added: Sequence[SpecEntry]) -> BenchmarkSpec:
    """Return the spec with further evaluations, each in place of one of the same name."""
    if not added:
        return spec
    new = by_name(added)
    kept = [new.pop(entry_name(entry), entry) for entry in measured(spec)]
    return spec.model_copy(update={"evaluations": [*kept, *new.values()]})


def by_name(entries: Iterable[SpecEntry]) -> dict[str, SpecEntry]:
    """Return evaluations by their name; where one stands twice, the last."""
    return {entry_name(entry): entry for entry in entries}


def entry_name(entry: SpecEntry) -> str:
    """Return the name of the evaluation that an entry of a spec stands for."""
    if isinstance(entry, str):
        return entry.partition(":")[0]
    return str(entry["name"] if "name" in entry else next(iter(entry), ""))


def _with_preset(entry: SpecEntry) -> SpecEntry:
    """Read "NAME:PRESET" as the mapping that it is short for."""
    if not isinstance(entry, str) or ":" not in entry:
        return entry
    name, _, preset = entry.partition(":")
    return {name: {"preset": preset}}


def resolve_evaluations(entries: Sequence[SpecEntry] | None) -> tuple[ResolvedPlugin, ...]:
    """Return what is to be measured; None stands for all that is on by default.

    Raises
    ------
    UserError
        An unknown or broken evaluation, a parameter that it does not allow, or one that stands twice.
    """
    wanted = default_evaluations() if entries is None else entries
    resolved = resolve_all([_with_preset(entry) for entry in wanted], "evaluations", ())
    evaluations = tuple(plugin for plugin, _ in resolved)
    for evaluation in evaluations:
        if evaluation.error:
            registry.create("evaluations", evaluation.name)
    for name, count in Counter(evaluation.name for evaluation in evaluations).items():
        if count > 1:
            raise UserError(f"evaluation {name!r} stands twice in evaluations:")
        if name == TRAINING_LOG:
            raise UserError(f"an evaluation cannot be called {TRAINING_LOG!r}: the training log is")
    return evaluations
