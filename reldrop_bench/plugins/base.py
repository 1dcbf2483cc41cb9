"""What every plugin is: a frozen dataclass of validated parameters with a name."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Mapping, Set
from typing import Annotated, Any, ClassVar

import pydantic

from reldrop_bench.errors import UserError, one_line, suggest

Probability = Annotated[float, pydantic.Field(ge=0, le=1)]
Positive = Annotated[float, pydantic.Field(gt=0)]
NonNegative = Annotated[float, pydantic.Field(ge=0)]
Count = Annotated[int, pydantic.Field(ge=1)]

MODALITIES = frozenset({"image", "cloud"})


@functools.cache
def _validators(cls: Any) -> dict[str, pydantic.TypeAdapter[Any]]:
    hints = typing.get_type_hints(cls, include_extras=True)
    config = pydantic.ConfigDict(allow_inf_nan=False)
    return {
        field.name: pydantic.TypeAdapter(hints[field.name], config=config)
        for field in dataclasses.fields(cls)
    }


def field_accepts(cls: type, name: str, value: Any) -> bool:
    """Return whether a plugin's parameter allows a value as it is; unknown parameters allow none."""
    validators = _validators(cls)
    if name not in validators:
        return False
    try:
        validators[name].validate_python(value)
    except pydantic.ValidationError:
        return False
    return True


class Plugin:
    """Base of all plugins: subclasses are frozen dataclasses whose fields are hyper-parameters.

    Every field is validated (and converted) against its annotation when an instance is made, so
    that a plugin never sees a value that its author did not allow.

    Raises
    ------
    UserError
        A field has a value that its annotation forbids.
    """

    name: ClassVar[str]
    modalities: ClassVar[Set[str]] = MODALITIES
    """The kinds of input that it works on: "image", "cloud" or both."""
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named sets of parameter values, chosen with ``preset: NAME``."""

    def __post_init__(self) -> None:
        cls: Any = type(self)
        for name, validator in _validators(cls).items():
            try:
                value = validator.validate_python(getattr(self, name))
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
        fields = [field for field in dataclasses.fields(typing.cast(Any, cls)) if field.init]
        known = [field.name for field in fields]
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
        for field in fields:
            required = (
                field.default is dataclasses.MISSING
                and field.default_factory is dataclasses.MISSING
            )
            if required and field.name not in values:
                raise UserError(f"{cls.name}: the parameter {field.name!r} is required")
        return cls(**values)

    def parameters(self) -> dict[str, Any]:
        """Return all parameters, defaults included, as JSON-able values."""
        fields = dataclasses.fields(typing.cast(Any, self))
        return {
            field.name: pydantic.TypeAdapter(Any).dump_python(
                getattr(self, field.name), mode="json"
            )
            for field in fields
        }

    @classmethod
    def description(cls) -> str:
        """Return the first line of the docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]
