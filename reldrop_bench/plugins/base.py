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
    config = pydantic.ConfigDict(allow_inf_nan=False)
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except Exception as error:  # noqa: BLE001 - an annotation may be any expression
        raise TypeError(
            f"{cls.__name__}: an annotation cannot be read ({one_line(error)}); import what it names "
            "outside of TYPE_CHECKING"
        ) from None
    found = {}
    for field in dataclasses.fields(cls):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        try:
            validator = pydantic.TypeAdapter[Any](hints[field.name], config=config)
        except Exception as error:  # noqa: BLE001 - pydantic's own, and whatever a type's hooks raise
            raise TypeError(
                f"{cls.__name__}.{field.name}: values of its type cannot be checked "
                f"({one_line(error, 120)}); use numbers, texts, and tuples of these"
            ) from None
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
        _inherit_annotations(cls)
        _refuse_mistakes(cls)
        for name in ("__init__", "__post_init__"):
            if name in vars(cls):
                setattr(cls, name, _with_validation(vars(cls)[name]))
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
        """Validate the parameters; a subclass's own hook runs behind this."""
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
            if not isinstance(preset, str) or preset not in cls.presets:
                raise UserError(
                    f"{cls.name}: no preset {preset!r}; {suggest(str(preset), cls.presets)}"
                )
            values.update(cls.presets[preset])
        values.update(given)
        for key in values:
            if key not in known:
                allowed = [*known, "preset"] if cls.presets else known
                raise UserError(f"{cls.name}: no parameter {key!r}; {suggest(str(key), allowed)}")
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


def _inherit_annotations(cls: type[Plugin]) -> None:
    """Make a value that a class gives to an inherited parameter that parameter's new default."""
    parents = [base for base in cls.__mro__[1:] if dataclasses.is_dataclass(base)]
    declared = inspect.get_annotations(cls)
    for name, value in list(vars(cls).items()):
        owner = next((base for base in parents if name in inspect.get_annotations(base)), None)
        fields = {field.name for base in parents[:1] for field in dataclasses.fields(base)}
        if owner is None or name in declared or name not in fields:
            continue
        if callable(value) or hasattr(value, "__get__"):
            raise TypeError(
                f"{cls.__name__}.{name}: {owner.__name__} has a parameter of that name, which nothing "
                "but a default can take the place of; choose another name"
            )
        declared[name] = typing.get_type_hints(owner, include_extras=True)[name]
    cls.__annotations__ = declared


def _with_validation(own: Any) -> Any:
    """Return a class's own `__init__` or `__post_init__` such that it validates all the same."""

    @functools.wraps(own)
    def wrapped(self: Plugin, *values: Any, **named: Any) -> None:
        if own.__name__ == "__post_init__":  # which finds its parameters converted already
            Plugin.__post_init__(self)
        own(self, *values, **named)
        Plugin.__post_init__(self)

    return wrapped


RESERVED = frozenset({"label", "preset", "relevance"})
"""What an entry of a spec may hold beside parameters."""


def _refuse_mistakes(cls: type[Plugin]) -> None:
    """Raise TypeError where a class annotates what can be no parameter, or gives one a wrong default."""
    bases = [base for base in cls.__mro__[1:] if issubclass(base, Plugin)]
    facts = {
        name
        for base in cls.__mro__[1:]
        for name, annotation in inspect.get_annotations(base).items()
        if "ClassVar" in str(annotation)
    }
    for base in cls.__mro__[1:]:
        annotated = inspect.get_annotations(base) if base.__module__ == cls.__module__ else {}
        if (
            annotated
            and not dataclasses.is_dataclass(base)
            and not getattr(base, "_is_protocol", False)
        ):
            raise TypeError(
                f"{cls.__name__} would not have {next(iter(annotated))!r}, which {base.__name__} "
                f"annotates, as a parameter: make {base.__name__} a dataclass(frozen=True, kw_only=True)"
            )
    for name, annotation in inspect.get_annotations(cls).items():
        if "ClassVar" in str(annotation):
            continue
        if name in facts:
            raise TypeError(
                f"{cls.__name__}.{name} is no parameter: write '{name} = …' without an annotation"
            )
        members = [vars(base)[name] for base in bases if name in vars(base)]
        # What bases hold as plain values may become a parameter.
        taken = any(callable(member) or hasattr(member, "__get__") for member in members)
        if taken or name in RESERVED:
            raise TypeError(
                f"{cls.__name__}.{name} cannot be a parameter: the name means something else here; "
                "choose another one"
            )
        value = vars(cls).get(name)
        if isinstance(value, pydantic.fields.FieldInfo):
            raise TypeError(
                f"{cls.__name__}.{name}: bounds belong into the annotation: "
                f"'{name}: Annotated[…, pydantic.Field(…)] = default'"
            )
        if isinstance(value, dataclasses.Field) and not value.init:
            raise TypeError(f"{cls.__name__}.{name} is no parameter with init=False; leave it out")
        if not isinstance(value, dataclasses.Field) and _is_mutable(value):
            raise TypeError(
                f"{cls.__name__}.{name} = {one_line(repr(value), 80)} could be changed: make the default "
                "a tuple, or numbers and texts"
            )


def _is_mutable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return True
    return hasattr(value, "__array__")  # a tensor: its hash says nothing of its values
