"""The recipe of each task of a spec: its own, as the spec changes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic

from reldrop_bench.errors import UserError, suggest
from reldrop_bench.kinds.recipe import AUGMENTATIONS, RECIPES, Recipe
from reldrop_bench.kinds.task import Task
from reldrop_bench.matrix.spec import first_error


def changes_of(entry: Any, where: str) -> dict[str, Any]:
    """Return what a `recipe:` changes: those of the named recipe, and its own."""
    if isinstance(entry, str):
        entry = {"name": entry}
    if not isinstance(entry, Mapping):
        raise UserError(
            f"{where}: {entry!r} is neither the name of a recipe nor a mapping of its keys"
        )
    own = dict(entry)
    name = own.pop("name", None)
    if name is None:
        return own
    if name not in RECIPES:
        raise UserError(f"{where}: no recipe is called {name!r}; {suggest(str(name), RECIPES)}")
    return {**RECIPES[name], **own}


def recipe_of(task: Task, changes: Mapping[str, Any], where: str) -> Recipe:
    """Return a task's recipe with changes; it takes the augmentations that are made for its inputs."""
    try:
        recipe = Recipe.model_validate({**task.recipe.model_dump(), **changes})
    except pydantic.ValidationError as error:
        raise first_error(error, Recipe, where) from None
    # One recipe may serve tasks of several modalities: each takes what is made for it.
    fitting = [name for name in recipe.augmentation if AUGMENTATIONS[name] == task.modality]
    return recipe.model_copy(update={"augmentation": tuple(fitting)})
