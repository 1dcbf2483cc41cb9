"""What decides a cell's result: what its key is a hash of, and its record holds."""

import hashlib
import json
from typing import Annotated, Any

import pydantic
from pydantic import JsonValue

SCHEMA = 4
"""Version of records and of what the harness computes: raise it when results would change."""


Schema = Annotated[int, pydantic.Field(ge=1, strict=True)]


class Stored(pydantic.BaseModel):
    """A part of what lies on disk. Keys that a newer version has added to it are not read."""

    model_config = pydantic.ConfigDict(
        use_attribute_docstrings=True, allow_inf_nan=False, validate_assignment=True
    )

    def plain(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return self.model_dump(mode="json", by_alias=True, warnings=False)


class PluginIdentity(Stored):
    """A plugin with everything that it depends on."""

    name: str
    """The name that it is registered under."""
    parameters: dict[str, JsonValue]
    """Every parameter with its value, defaults included."""
    source: str
    """Hash of its source file and of what that imports of plugin folders."""


class Components(Stored):
    """Everything that decides a cell's result, and nothing else."""

    schema_version: Schema = pydantic.Field(alias="schema")
    """Version of what the harness computes."""
    task: PluginIdentity
    """The task."""
    model: PluginIdentity
    """The network."""
    regularizer: PluginIdentity
    """The regularizer."""
    relevance: PluginIdentity | None = None
    """The attribution method that guides the training; null where nothing is explained in training."""
    recipe: dict[str, JsonValue]
    """How it is trained."""
    seed: int
    """What weights, data order and splits are drawn from, together with the task."""
    threads: int | None = None
    """CPU threads that it is computed with; null in records of before they counted."""


def digest(value: Any) -> str:
    """Return a hash of plain data and parts of records, whatever the order of their keys."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=Stored.plain
    )
    return hashlib.sha256(text.encode()).hexdigest()[:20]
