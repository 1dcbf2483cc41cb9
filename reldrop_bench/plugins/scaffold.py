"""Write a plugin file to start from: it works and passes its contract as it is."""

from __future__ import annotations

import importlib
import keyword
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template

from reldrop_bench.errors import UserError, suggest
from reldrop_bench.plugins import registry

TEMPLATES: Mapping[str, str] = {
    "regularizer": "regularizers",
    "task": "tasks",
    "section": "sections",
    "evaluation": "evaluations",
}
"""What can be written, with the kind of plugin that it is."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def _class_name(name: str, template: str) -> str:
    """Return a class name such as MyDrop that means nothing else in the template."""
    cls = "".join(part[0].upper() + part[1:] for part in name.split("-"))
    taken = keyword.iskeyword(cls) or re.search(rf"\b{cls}\b", template) is not None
    return f"{cls}Plugin" if taken else cls


def _refuse_taken(kind: registry.Kind, name: str, stem: str) -> None:
    for entry in registry.entries(kind.name):
        if entry.name == name or entry.file.stem == stem:
            raise UserError(
                f"a {kind.singular} called {entry.name!r} exists already ({entry.file}); "
                "choose another name"
            )


def create_plugin(kind: str, name: str, folder: str | Path) -> Path:
    """Write a working, commented plugin file and return its path.

    Parameters
    ----------
    kind
        regularizer, task, section or evaluation.
    name
        The plugin's name: lower-case letters, digits and single dashes, such as ``my-drop``.
    folder
        The plugin folder; the file goes to its `regularizers/`, `datasets/`, `reports/` or
        `evaluations/`, which is made where it is missing.

    Raises
    ------
    UserError
        An unknown kind, a name that is not allowed or taken, or a file that exists.
    """
    if kind not in TEMPLATES:
        raise UserError(f"no template for {kind!r}; {suggest(kind, TEMPLATES)}")
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is no name for a plugin: use lower-case letters, digits and single dashes, "
            "starting with a letter, such as my-drop"
        )
    found = registry.KINDS[TEMPLATES[kind]]
    stem = name.replace("-", "_")
    path = Path(folder).expanduser() / str(found.folder) / f"{stem}.py"
    if path.exists():
        raise UserError(f"{path} exists already; choose another name, or edit that file")
    _refuse_taken(found, name, stem)
    template = resources.files(__package__).joinpath("templates", f"{kind}.txt")
    source = template.read_text(encoding="utf-8")
    title = name.replace("-", " ").capitalize()
    text = Template(source).substitute(name=name, title=title, cls=_class_name(name, source))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror}; choose another folder"
        ) from None
    # What was listed before the file was there is out of date, the import system's folders as well.
    registry.refresh()
    importlib.invalidate_caches()
    return path
