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

import pydantic
import pytest
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
