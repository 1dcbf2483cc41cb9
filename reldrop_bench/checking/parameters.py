"""Checks of what every plugin is: described, frozen, and made of plain parameters."""

import json
import pickle
import re
from typing import Any

from reldrop_bench.checking.rules import Broken, checks_in, example, require
from reldrop_bench.errors import UserError
from reldrop_bench.plugins.base import MODALITIES, Plugin


def name_and_description(cls: type[Plugin]) -> None:
    """The name can be typed, and the docstring's first line says what it is."""
    require(
        re.fullmatch(r"[a-z0-9][a-z0-9._:@-]*", cls.name) is not None,
        f"name = {cls.name!r}: use lower-case letters, digits and dashes, such as 'my-drop'",
    )
    own = cls.__dict__.get("__doc__") or ""
    # A class without docstring is given its signature as one.
    require(
        bool(own.strip()) and not own.startswith(f"{cls.__name__}("),
        "the class has no docstring; its first line is what `list` and reports show",
    )
    require(
        bool(cls.description().strip()),
        "the docstring's first line is empty; say there what it does and cite its source",
    )


def modalities_are_known(cls: type[Plugin]) -> None:
    """`modalities` holds "image", "cloud" or both."""
    given = cls.modalities
    known = ", ".join(sorted(MODALITIES))
    require(
        not isinstance(given, str) and bool(given) and set(given) <= MODALITIES,
        f"modalities = {given!r}: give a non-empty set of {known}",
    )


def parameters_are_plain(cls: type[Plugin]) -> None:
    """Parameters are JSON-able, hashable and picklable, and make the same instance again."""
    instance = example(cls)
    try:
        hash(instance)
    except TypeError as error:
        raise Broken(
            f"an instance cannot be hashed ({error}); write tuples in place of lists"
        ) from None
    values = instance.parameters()
    try:
        text = json.dumps(values, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Broken(
            f"parameters() = {values!r} is not JSON ({error}); use numbers, texts, None and tuples"
        ) from None
    require(
        cls.create(json.loads(text)) == instance,
        f"create(parameters()) is another instance than the one with parameters {text}; "
        "let no field depend on anything but its own value",
    )
    _survives_pickle(instance)


def _survives_pickle(instance: Any) -> None:
    try:
        copy = pickle.loads(pickle.dumps(instance))
    except Exception as error:  # noqa: BLE001 - pickling runs a plugin's own code
        raise Broken(
            f"an instance cannot be pickled ({error}), as worker processes need; "
            "define the class at the top of its module and keep no open state in it"
        ) from None
    require(copy == instance, "an instance that was pickled and read again differs from itself")


def presets_are_allowed(cls: type[Plugin]) -> None:
    """Every preset makes an instance."""
    for preset in cls.presets:
        try:
            cls.create({"preset": preset})
        except UserError as error:
            if "is required" in str(error):
                continue
            raise Broken(f"preset {preset!r} cannot be made: {error}") from None


CHECKS = checks_in(vars())
