"""Write a plugin file to start from: it works and passes its contract as it is."""

import keyword
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template

from reldrop_bench.errors import UserError, suggest
from reldrop_bench.plugins import registry

KINDS: Mapping[str, registry.Kind] = {kind.word: kind for kind in registry.KINDS.values()}
"""What can be written, by the word for one of it."""
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def _class_name(name: str, template: str) -> str:
    """Return a class name such as MyDrop that means nothing else in the template."""
    cls = "".join(part[0].upper() + part[1:] for part in name.split("-"))
    taken = keyword.iskeyword(cls) or re.search(rf"\b{cls}\b", template) is not None
    return f"{cls}Plugin" if taken else cls


def _template(word: str, form: str) -> str:
    """Return the text of a template: the usual one of its kind, or the one of that form."""
    folder = resources.files(__package__).joinpath("templates")
    file = folder.joinpath(f"{word}-{form}.txt" if form else f"{word}.txt")
    if not file.is_file():
        forms = sorted(
            other.name.removesuffix(".txt").partition("-")[2]
            for other in folder.iterdir()
            if other.name.startswith(f"{word}-")
        )
        hint = suggest(form, forms) if forms else f"leave it out: a {word} has one template"
        raise UserError(f"no template for a {word} of the form {form!r}; {hint}")
    return file.read_text(encoding="utf-8")


def create_plugin(word: str, name: str, folder: str | Path, form: str = "") -> Path:
    """Write a working, commented plugin file and return its path.

    Parameters
    ----------
    word
        What it shall be: regularizer, task, model, attributor, evaluation, section or executor.
    name
        The plugin's name: lower-case letters, digits and single dashes, such as ``my-drop``.
    folder
        The plugin folder; the file goes to its `regularizers/`, `datasets/` …, which is made where
        it is missing.
    form
        Another template than the usual one; a regularizer's is ``penalty``.

    Raises
    ------
    UserError
        An unknown kind or form, a name that is not allowed or taken, or a file that exists.
    """
    if word not in KINDS:
        raise UserError(f"no template for {word!r}; {suggest(word, KINDS)}")
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is no name for a plugin: use lower-case letters, digits and single dashes, "
            "starting with a letter, such as my-drop"
        )
    source = _template(word, form)
    kind = KINDS[word]
    module = name.replace("-", "_")
    path = Path(folder).expanduser() / kind.folder / f"{module}.py"
    if path.exists():
        raise UserError(f"{path} exists already; choose another name, or edit that file")
    for entry in registry.entries(kind.name):
        if entry.name == name or registry.module_name(entry.file) == module:
            raise UserError(
                f"{kind.singular} {entry.name!r} exists already ({entry.file}); choose another name"
            )
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
    registry.refresh()  # what was listed before the file was there is out of date
    return path
