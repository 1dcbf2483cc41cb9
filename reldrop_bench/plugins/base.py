"""What every plugin is: a frozen set of validated parameters with a name."""

from __future__ import annotations

import ast
import copy
import dataclasses
import functools
import inspect
import itertools
import textwrap
import typing
from collections.abc import Mapping, Set
from dataclasses import FrozenInstanceError, dataclass
from typing import Annotated, Any, ClassVar

import pydantic

from reldrop_bench.errors import UserError, one_line, suggest

Probability = Annotated[float, pydantic.Field(ge=0, le=1)]
Positive = Annotated[float, pydantic.Field(gt=0)]
NonNegative = Annotated[float, pydantic.Field(ge=0)]
Count = Annotated[int, pydantic.Field(ge=1)]

MODALITIES = frozenset({"image", "cloud"})


@dataclass(frozen=True)
class Parameter:
    """What is known of a plugin's parameter."""

    name: str
    annotation: Any
    """What it may be, bounds included."""
    validator: pydantic.TypeAdapter[Any]
    default: Any
    """Where it is not `required`."""
    required: bool

    def accepts(self, value: Any) -> bool:
        """Return whether it allows a value as it is."""
        try:
            self.validator.validate_python(value)
        except pydantic.ValidationError:
            return False
        return True


def parameters_of(cls: type[Plugin]) -> Mapping[str, Parameter]:
    """Return the parameters of a plugin's class by name, in the order in which it declares them."""
    return _parameters(typing.cast(Any, cls))


@functools.cache
def _parameters(cls: Any) -> Mapping[str, Parameter]:
    hints = typing.get_type_hints(cls, include_extras=True)
    config = pydantic.ConfigDict(allow_inf_nan=False)
    found = {}
    for field in dataclasses.fields(cls):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        validator = pydantic.TypeAdapter[Any](hints[field.name], config=config)
        required = default is dataclasses.MISSING
        found[field.name] = Parameter(field.name, hints[field.name], validator, default, required)
    return found


def docstrings_of(cls: type) -> dict[str, str]:
    """Return the texts below a class's attributes, inherited ones included, by name."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError, SyntaxError):  # built in, or written where no file is
            continue
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for attribute, text in itertools.pairwise(body):
            match attribute, text:
                case (
                    ast.AnnAssign(target=ast.Name(id=name))
                    | ast.Assign(targets=[ast.Name(id=name)]),
                    ast.Expr(value=ast.Constant(value=str(docstring))),
                ):
                    found[name] = inspect.cleandoc(docstring)
    return found


@typing.dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,)
)
class Plugin:
    """Base of all plugins: annotated attributes of a subclass are its hyper-parameters.

    Each is validated (and converted) against its annotation when an instance is made, so that a
    plugin never sees a value that its author did not allow. Instances are frozen, hashable and equal
    where their parameters are. A subclass is a frozen dataclass without saying so; saying so does no
    harm.

    Raises
    ------
    UserError
        A parameter has a value that its annotation forbids.
    """

    name: ClassVar[str]
    modalities: ClassVar[Set[str]] = MODALITIES
    """The kinds of input that it works on: "image", "cloud" or both."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named sets of parameter values, chosen with ``preset: NAME``."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        _refuse_mistakes(cls)
        declared = {
            name: copy.copy(value)
            for name, value in vars(cls).items()
            if isinstance(value, dataclasses.Field)
        }
        dataclass(frozen=True, kw_only=True)(cls)
        # What a decorator of the subclass's own would find in its way, or miss.
        del cls.__setattr__, cls.__delattr__
        for name, value in declared.items():
            setattr(cls, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise FrozenInstanceError(f"cannot assign to {name!r}: plugins are frozen")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete {name!r}: plugins are frozen")

    def __post_init__(self) -> None:
        for name, parameter in parameters_of(type(self)).items():
            try:
                value = parameter.validator.validate_python(getattr(self, name))
            except pydantic.ValidationError as error:
                what = error.errors()[0]["msg"]
                raise UserError(
                    f"{self.name}: {name} = {getattr(self, name)!r} is not allowed: {one_line(what)}"
                ) from None
            object.__setattr__(self, name, value)

    @classmethod
    def create(cls, parameters: Mapping[str, Any] | None = None) -> typing.Self:
        """Make an instance from a mapping as a spec holds it; ``preset`` picks named defaults.

        Raises
        ------
        UserError
            An unknown parameter or preset, a missing parameter or a forbidden value.
        """
        given = dict(parameters or {})
        known = parameters_of(cls)
        preset = given.pop("preset", None)
        values: dict[str, Any] = {}
        if preset is not None:
            if preset not in cls.presets:
                raise UserError(
                    f"{cls.name}: no preset {preset!r}; {suggest(str(preset), cls.presets)}"
                )
            values.update(cls.presets[preset])
        for key in given:
            if key not in known:
                allowed = [*known, "preset"] if cls.presets else known
                raise UserError(f"{cls.name}: no parameter {key!r}; {suggest(str(key), allowed)}")
        values.update(given)
        for name, parameter in known.items():
            if parameter.required and name not in values:
                raise UserError(f"{cls.name}: the parameter {name!r} is required")
        return cls(**values)

    def parameters(self) -> dict[str, Any]:
        """Return all parameters, defaults included, as JSON-able values."""
        plain = pydantic.TypeAdapter(Any)
        return {
            name: plain.dump_python(getattr(self, name), mode="json")
            for name in parameters_of(type(self))
        }

    @classmethod
    def description(cls) -> str:
        """Return the first line of the docstring."""
        return (cls.__dict__.get("__doc__") or "").strip().partition("\n")[0]


def _refuse_mistakes(cls: type[Plugin]) -> None:
    """Raise TypeError where a class annotates a fact, or gives a parameter a value that can change."""
    facts = {
        name
        for base in cls.__mro__[1:]
        for name, annotation in inspect.get_annotations(base).items()
        if "ClassVar" in str(annotation)
    }
    for name, annotation in inspect.get_annotations(cls).items():
        if "ClassVar" in str(annotation):
            continue
        if name in facts:
            raise TypeError(
                f"{cls.__name__}.{name} is no parameter: write '{name} = …' without an annotation"
            )
        if isinstance(value := vars(cls).get(name), list | dict | set):
            raise TypeError(
                f"{cls.__name__}.{name} = {value!r} could be changed: make the default a tuple"
            )
