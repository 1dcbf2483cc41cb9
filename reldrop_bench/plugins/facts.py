"""Which classes of a module are plugins, and whether what they state of themselves can be used."""

import inspect
import re
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from reldrop_bench.errors import one_line
from reldrop_bench.plugins.base import Plugin, parameters_of


def registered_name(cls: type[Plugin]) -> str:
    """Return what a class is registered as; "" where it has no name."""
    name = getattr(cls, "name", None)
    return name if isinstance(name, str) else ""


def plugin_classes(module: types.ModuleType, base: type[Plugin]) -> list[type[Plugin]]:
    """Return the classes of a kind that a module, or its package, has made: each once.

    A class that others of the module derive from, and that is no plugin itself, is left out.
    """
    # By identity: another name for a class is the same class.
    made = {
        id(cls): cls
        for cls in vars(module).values()
        if isinstance(cls, type)
        and issubclass(cls, base)
        and f"{cls.__module__}.".startswith(f"{module.__name__}.")
    }

    def only_a_base(cls: type[Plugin]) -> bool:
        name = registered_name(cls)
        if name and not inspect.isabstract(cls):
            return False
        derived = [each for each in made.values() if each is not cls and issubclass(each, cls)]
        return bool(derived) and (not name or name in map(registered_name, derived))

    return [
        cls
        for cls in made.values()
        if not only_a_base(cls) and (registered_name(cls) or not cls.__name__.startswith("_"))
    ]


def check_class(cls: type[Plugin], base: type[Plugin], singular: str) -> None:
    """Look at whether a class can be used as a plugin of the kind that `base` stands for.

    Raises
    ------
    TypeError
        It has no name, lacks a method or a fact, or has one of another type. A stranger's class may
        raise anything else.
    """
    name = registered_name(cls)
    if not name:
        raise TypeError(f"class {cls.__name__} has no name: write 'name = \"…\"' in it")
    if len(name.encode("utf-8", "replace")) > 100 or re.search(r"[\x00-\x1f/\\:]", name):
        raise TypeError(f"the name {one_line(repr(name), 80)} would be that of no file")
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(vars(cls)["__abstractmethods__"]))
        raise TypeError(f"class {cls.__name__} lacks what every {singular} has: {missing}")
    _check_facts(cls, base)
    parameters_of(cls)


def _check_facts(cls: type[Plugin], base: type[Plugin]) -> None:
    """Look at every fact, such as `modalities`, that the base class of a kind declares.

    Raises
    ------
    TypeError
        One is missing, or is of another type.
    """
    if not isinstance(cls.__doc__, str | None):
        raise TypeError(f"{cls.__name__}.__doc__ is no text")
    for name, hint in typing.get_type_hints(base, include_extras=True).items():
        if typing.get_origin(hint) is not ClassVar:
            continue
        (annotation,) = typing.get_args(hint)
        expected = _readable(annotation)
        if not hasattr(cls, name):
            raise TypeError(f"{cls.__name__} has no {name}: write '{name} = …' ({expected}) in it")
        value = getattr(cls, name)
        # A property tells it of each instance.
        if not isinstance(value, property) and not _fits(value, annotation):
            raise TypeError(
                f"{cls.__name__}.{name} = {one_line(repr(value), 80)} is not of type {expected}"
            )


def _readable(annotation: Any) -> str:
    plain = isinstance(annotation, type) and not typing.get_args(annotation)
    text = annotation.__name__ if plain else str(annotation)
    return text.replace("collections.abc.", "").replace("typing.", "")


def _fits(value: Any, annotation: Any) -> bool:
    """Return whether a value, and what it holds, is of an annotation's type."""
    origin, inner = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if origin is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, each) for each in inner)
    if not isinstance(value, origin):
        return False
    if inner and issubclass(origin, Mapping):
        return all(_fits(key, inner[0]) and _fits(each, inner[1]) for key, each in value.items())
    if inner and issubclass(origin, Collection):
        return all(_fits(each, inner[0]) for each in value)
    return True
