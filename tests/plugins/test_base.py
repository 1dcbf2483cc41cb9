"""A plugin is a frozen set of validated parameters, however its class is written."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import FrozenInstanceError, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pydantic
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import reldrop_bench
from reldrop_bench import Count, Positive, Probability, Regularizer
from reldrop_bench.errors import UserError
from reldrop_bench.plugins import registry
from reldrop_bench.plugins.base import Plugin, docstrings_of, parameters_of
from reldrop_bench.plugins.regularizers.cutout import Cutout


class Plain(Regularizer):
    """Written without ceremony."""

    name = "plain"
    modalities = {"image"}
    off = {"share": 0.0}
    presets = {"strong": {"share": 1.0}, "weak": {"share": 0.1, "sizes": (1,)}}

    share: Probability = 0.5
    """How much."""
    sizes: tuple[Count, ...] = (1, 2)
    mode: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Ceremonious(Regularizer):
    """Written as a frozen dataclass."""

    name: ClassVar[str] = "ceremonious"
    modalities: ClassVar = frozenset({"image"})
    presets: ClassVar[dict[str, dict[str, Any]]] = {"strong": {"share": 1.0}}

    share: Probability = 0.5
    sizes: tuple[Count, ...] = field(default_factory=lambda: (1, 2))
    more: Positive = field(default=2.0, kw_only=True)
    seen: ClassVar[list[str]] = []

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.share == 0.25:
            raise UserError(f"{self.name}: share = 0.25 is not for this one")


class Child(Plain):
    """Inherits parameters, changes one's default and adds one that is required."""

    name = "child"

    share: Probability = 0.75
    strength: Positive
    """How strong."""


@pytest.mark.parametrize("cls", [Plain, Ceremonious])
def test_both_styles_are_frozen_hashable_and_equal_by_value(cls: type[Plugin]) -> None:
    one, same, other = cls.create({"share": 1}), cls.create({"share": 1.0}), cls.create()
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert len({one, same, other}) == 2
    assert isinstance(vars(one)["share"], float), "1 became what the annotation says"
    with pytest.raises(FrozenInstanceError):
        one.share = 0.5  # type: ignore[attr-defined]
    with pytest.raises(FrozenInstanceError):
        del one.share  # type: ignore[attr-defined]
    assert repr(one).startswith(f"{cls.__name__}(share=1.0, sizes=(1, 2)")
    assert dataclasses.replace(one, share=0.5) == cls.create({"share": 0.5})  # type: ignore[type-var]


def test_plugins_of_two_classes_differ_though_their_parameters_agree() -> None:
    class Twin(Plain):
        """The same parameters."""

        name = "twin"

    assert Twin() != Plain()
    assert Twin().parameters() == Plain().parameters()


@pytest.mark.parametrize("cls", [Plain, Ceremonious])
def test_both_styles_refuse_what_annotations_forbid(cls: type[Plugin]) -> None:
    for wrong, part in (
        ({"share": 1.5}, f"{cls.name}: share = 1.5 is not allowed"),
        ({"share": float("nan")}, "share = nan"),
        ({"share": "much"}, "share = 'much'"),
        ({"sizes": [0]}, "sizes = "),
        ({"shere": 0.5}, "no parameter 'shere'; did you mean 'share'"),
        ({"preset": "strange"}, "no preset 'strange'; did you mean 'strong'"),
    ):
        with pytest.raises(UserError, match=part) as error:
            cls.create(wrong)
        assert "\n" not in str(error.value)


def test_presets_come_before_what_is_given() -> None:
    assert Plain.create({"preset": "weak"}) == Plain(share=0.1, sizes=(1,))
    assert Plain.create({"preset": "weak", "share": 0.2}) == Plain(share=0.2, sizes=(1,))
    assert Ceremonious.create({"preset": "strong"}).share == 1.0


def test_a_decorated_class_keeps_its_own_rules() -> None:
    made = Ceremonious(share=0.5, sizes=(3,), more=3)
    assert made.parameters() == {"share": 0.5, "sizes": [3], "more": 3.0}
    assert Ceremonious().sizes == (1, 2)
    with pytest.raises(UserError, match="not for this one"):
        Ceremonious.create({"share": 0.25})
    with pytest.raises(UserError, match="share = 2"):
        Ceremonious.create({"share": 2})
    assert list(parameters_of(Ceremonious)) == ["share", "sizes", "more"]


def test_a_subclass_inherits_parameters_and_may_require_another() -> None:
    assert list(parameters_of(Child)) == ["share", "sizes", "mode", "strength"]
    assert parameters_of(Child)["strength"].required
    with pytest.raises(UserError, match="child: the parameter 'strength' is required"):
        Child.create({"share": 0.5})
    made = Child.create({"strength": 2})
    assert made.parameters() == {"share": 0.75, "sizes": [1, 2], "mode": "a", "strength": 2.0}
    assert docstrings_of(Child) == docstrings_of(Plain) | {"strength": "How strong."}
    assert docstrings_of(Plain)["share"] == "How much."
    assert Plain().share == 0.5


def test_a_subclass_of_a_built_in_plugin_is_one_more_plugin() -> None:
    class Hole(Cutout):
        """A smaller hole."""

        name = "hole"
        size: Probability = 0.25

    assert Hole.create().parameters() == {"size": 0.25, "fill": "mean"}
    assert Hole.create({"size": 0.5}) != Cutout()
    assert docstrings_of(Hole)["size"] == docstrings_of(Cutout)["size"]


def test_an_annotated_name_is_refused_with_advice() -> None:
    with pytest.raises(TypeError, match=r"Wrong\.name is no parameter: write 'name = …'"):

        class Wrong(Regularizer):
            name: str = "wrong"

    with pytest.raises(TypeError, match=r"off is no parameter"):

        class AlsoWrong(Regularizer):
            name = "also-wrong"
            off: dict[str, float] = {"share": 0.0}


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, {1, 2}])
def test_a_default_that_can_be_changed_is_refused_with_advice(value: Any) -> None:
    with pytest.raises(TypeError, match=r"Wrong\.values = .* make the default a tuple"):
        type("Wrong", (Regularizer,), {"__annotations__": {"values": type(value)}, "values": value})


def test_facts_of_a_class_are_no_parameters() -> None:
    assert "off" not in parameters_of(Plain)
    assert "seen" not in parameters_of(Ceremonious)
    assert set(parameters_of(Plain)) == {"share", "sizes", "mode"}


@given(share=st.floats(0, 1), sizes=st.lists(st.integers(1, 99)), mode=st.sampled_from(["a", "b"]))
def test_plain_values_make_the_same_instance_again(
    share: float, sizes: list[int], mode: str
) -> None:
    made = Plain.create({"share": share, "sizes": sizes, "mode": mode})
    assert Plain.create(made.parameters()) == made
    assert pickle.loads(pickle.dumps(made)) == made


def test_descriptions_are_a_classes_own() -> None:
    class Silent(Plain):
        name = "silent"

    assert Plain.description() == "Written without ceremony."
    assert Child.description().startswith("Inherits")
    assert "Written" not in Silent.description()


PLUGIN = '''
from reldrop_bench import Probability, Regularizer

class Mine(Regularizer):
    """Does nothing."""
    name = "spawned"
    amount: Probability = 0.5
    sizes: tuple[int, ...] = (1, 2)
'''


def test_a_plugin_of_ones_own_folder_survives_the_way_to_a_spawned_process(
    tmp_path: Path, add_plugins: Callable[[Path], None]
) -> None:
    (tmp_path / "regularizers").mkdir()
    (tmp_path / "regularizers" / "mine.py").write_text(PLUGIN)
    add_plugins(tmp_path)
    made = registry.create("regularizers", "spawned", {"amount": 0.25})
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(made.parameters).result() == {"amount": 0.25, "sizes": [1, 2]}
        assert pool.submit(made.create, made.parameters()).result() == made


TYPED = """
import reldrop_bench
from reldrop_bench import Count, Model, Probability, Regularizer

class Typed(Regularizer):
    name = "typed"
    amount: Probability = 0.5
    k: Count

reveal_type(Typed(k=1).amount)
Typed(k="x")
Typed()
Typed(k=1).amount = 0.25
"""


@pytest.mark.slow
def test_type_checkers_know_a_plugins_parameters(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "typed.py").write_text(TYPED)
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", str(tmp_path / "typed.py")]
    environment = {**os.environ, "MYPYPATH": str(Path(reldrop_bench.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    for part in ('is "float"', "arg-type", "call-arg", "read-only"):
        assert part in done.stdout
    assert "Found 3 errors" in done.stdout


def test_bounds_of_ones_own_hold() -> None:
    class Bounded(Regularizer):
        name = "bounded"
        even: Annotated[int, pydantic.Field(multiple_of=2)] = 2

    assert Bounded.create({"even": 4}).parameters() == {"even": 4}
    with pytest.raises(UserError, match="even = 3"):
        Bounded.create({"even": 3})


def test_a_subclass_changes_a_default_without_naming_its_type_again() -> None:
    class Small(Cutout):
        """Smaller."""

        name = "small-cutout"
        size = 0.25

    class Tiny(Small):
        """Smaller still."""

        name = "tiny-cutout"
        size = 0.125

    assert (Small().size, Tiny().size, Cutout().size) == (0.25, 0.125, 0.5)
    assert Tiny.create({"size": 0.75}).size == 0.75
    assert [parameters_of(cls)["size"].default for cls in (Small, Tiny)] == [0.25, 0.125]


def test_a_changed_default_is_validated_as_well() -> None:
    class Impossible(Plain):
        """No such share."""

        name = "impossible"
        share = 5

    with pytest.raises(UserError, match="impossible: share = 5 is not allowed"):
        Impossible()


@pytest.mark.parametrize(
    "member", [property(lambda self: 1.0), lambda self: 1.0, staticmethod(float)]
)
def test_nothing_but_a_default_takes_the_place_of_a_parameter(member: Any) -> None:
    with pytest.raises(TypeError, match="share: Plain has a parameter of that name"):
        type("Taken", (Plain,), {"name": "taken", "share": member})


def test_hooks_of_ones_own_do_not_switch_validation_off() -> None:
    class Hooked(Regularizer):
        """Has a hook, as dataclasses do."""

        name = "hooked"
        share: Probability = 0.5
        seen: ClassVar[list[float]] = []

        def __post_init__(self) -> None:
            self.seen.append(self.share)
            if self.share == 0.25:
                object.__setattr__(self, "share", 7.0)

    class Built(Regularizer):
        """Has a constructor."""

        name = "built"
        share: Probability = 0.5

        def __init__(self, share: Any = 0.5) -> None:
            object.__setattr__(self, "share", share)

    for cls in (Hooked, Built, dataclass(frozen=True)(Hooked)):
        for wrong in (77, "much", float("nan")):
            with pytest.raises(UserError, match="share = "):
                cls.create({"share": wrong})
    with pytest.raises(UserError, match="share = 7"):
        Hooked(share=0.25)
    assert Hooked(share=1).seen[-1] == 1.0, "the hook finds converted parameters"


@pytest.mark.parametrize(
    "name",
    ["create", "parameters", "transform", "apply", "preset", "label", "relevance", "description"],
)
def test_a_parameter_has_a_name_that_means_nothing_else(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} cannot be a parameter"):
        type(
            "Named", (Regularizer,), {"name": "named", "__annotations__": {name: float}, name: 0.5}
        )


@pytest.mark.parametrize(
    ("default", "advice"),
    [
        (pydantic.Field(0.5, ge=0), "bounds belong into the annotation"),
        (field(default=1.0, init=False), "no parameter with init=False"),
        (([1],), "could be changed"),
        (np.zeros(2), "could be changed"),
        (torch.zeros(2), "could be changed"),
    ],
)
def test_a_default_that_is_none_is_refused_with_advice(default: Any, advice: str) -> None:
    with pytest.raises(TypeError, match=advice):
        type("Odd", (Regularizer,), {"name": "odd", "__annotations__": {"x": Any}, "x": default})


def test_parameters_of_a_plain_base_are_not_lost_in_silence() -> None:
    class Strength:
        strength: Probability = 0.5

    with pytest.raises(TypeError, match="'strength', which Strength annotates"):
        type("Mixed", (Strength, Regularizer), {"name": "mixed", "__module__": Strength.__module__})

    @dataclass(frozen=True, kw_only=True)
    class Told:
        strength: Probability = 0.5

    mixed = type("Mixed", (Told, Regularizer), {"name": "mixed", "__module__": Told.__module__})
    assert list(parameters_of(mixed)) == ["strength"]


@pytest.mark.parametrize("annotation", ["Missing", "int | Missing", torch.dtype, Plugin])
def test_a_type_that_cannot_be_checked_is_told_in_one_line(annotation: Any) -> None:
    cls = type(
        "Unread",
        (Regularizer,),
        {"name": "unread", "__annotations__": {"x": annotation}, "x": None},
    )
    with pytest.raises(TypeError, match="Unread") as refused:
        parameters_of(cls)
    assert len(str(refused.value).splitlines()) == 1


def test_presets_are_held_to_the_parameters() -> None:
    class Wrong(Plain):
        """Has a preset of another plugin."""

        name = "wrong"
        presets = {"odd": {"strength": 1.0}}

    with pytest.raises(UserError, match="no parameter 'strength'"):
        Wrong.create({"preset": "odd"})
    with pytest.raises(UserError, match="no preset"):
        Plain.create({"preset": ["strong"]})
