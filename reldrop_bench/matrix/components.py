"""What decides a cell's result: what its key is a hash of, and its record holds."""

import hashlib
import json
from typing import Annotated, Any, Self

import pydantic
from pydantic import JsonValue, SerializerFunctionWrapHandler

from reldrop_bench.kinds.content import Content

SCHEMA = 5
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


class DataIdentity(Stored):
    """What the files that a task reads hold, wherever they lie and whenever they were written."""

    files: int
    """How many there are."""
    bytes: int
    """Their size, all together."""
    content: str
    """Hash of their names and of what each holds."""

    @classmethod
    def of(cls, content: Content) -> Self:
        return cls(files=content.files, bytes=content.bytes, content=content.digest)


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
    data: DataIdentity | None = None
    """What the files hold that the task reads; left out where it makes its own data."""

    @pydantic.model_serializer(mode="wrap")
    def _without_absent_data(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # So that cells of tasks without files keep the keys that they had before files counted.
        content: dict[str, Any] = dump(self)
        if self.data is None:
            del content["data"]
        return content


def digest(value: Any) -> str:
    """Return a hash of plain data and parts of records, whatever the order of their keys."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=Stored.plain
    )
    return hashlib.sha256(text.encode()).hexdigest()[:20]
