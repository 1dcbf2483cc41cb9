"""Run by `tox -e wheel` outside the source tree: what was installed is whole and stands alone."""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import files
from pathlib import Path

import reldrop_bench
from reldrop_bench import plugins
from reldrop_bench.matrix.spec import shipped_specs
from reldrop_bench.plugins import registry

SOURCE = Path(__file__).resolve().parents[2]


def parts(folder: Path) -> set[str]:
    """Return the files below a folder, what Python compiled left out."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)) for path in files if "__pycache__" not in path.parts}


def main() -> None:
    package = Path(reldrop_bench.__file__).resolve().parent
    assert not package.is_relative_to(SOURCE) or "site-packages" in package.parts, package
    assert plugins.builtin_folder() == package / "plugins", plugins.builtin_folder()

    assert (package / "py.typed").is_file(), "type checkers would not look at the package"
    shipped = {path.parts[0] for path in files("reldrop-bench") or [] if path.parts}
    outside = {name for name in shipped if not name.startswith(("reldrop_bench", ".."))}
    assert not outside, f"files outside the package: {outside}"
    assert importlib.util.find_spec("regularizers") is None, "a top-level package regularizers"

    for kind in registry.KINDS:
        entries = registry.entries(kind)
        assert entries, f"no {kind}"
        broken = [entry.name for entry in entries if entry.cls is None]
        assert not broken, f"{kind} that cannot be imported: {broken}"

    pairs = [(SOURCE / "reldrop_bench", package)]  # templates and py.typed included
    folders = ("regularizers", "datasets", "reports")
    pairs += [(SOURCE / folder, package / "plugins" / folder) for folder in folders]
    for source, installed in pairs:
        missing = parts(source) - parts(installed)
        assert not missing, f"{source.name}: {sorted(missing)} are not installed"

    specs = {path.stem for path in (SOURCE / "benchmarks").glob("*.yaml")}
    assert set(shipped_specs()) == specs, f"specs: {specs ^ set(shipped_specs())}"
    sys.stdout.write(f"installed in {package}: whole\n")


if __name__ == "__main__":
    main()
