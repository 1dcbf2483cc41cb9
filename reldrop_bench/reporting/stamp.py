"""Know whether a report on disk is the one that would be written again."""

import hashlib
import importlib.metadata
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from reldrop_bench.plugins import registry

STAMP = ".stamp"
MADE_WITH = (
    "reldrop-bench", "numpy", "pandas", "scipy", "statsmodels", "baycomp", "matplotlib", "seaborn",
    "jinja2",
)  # fmt: skip
"""What the numbers, figures and pages of a report are made with."""


def versions() -> dict[str, str]:
    """Return what a report is made with and its versions, as the page prints them."""
    found = {}
    for name in MADE_WITH:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # baycomp is optional
            found[name] = "not installed"
    return found


def _ingredients(results: Path) -> Iterator[bytes]:
    """Yield all that a report is made of: records (which hold their tables' checksums) and code."""
    yield (results / "benchmark.json").read_bytes()
    for record in sorted(results.glob("cells/*/cell.json")):
        yield record.read_bytes()
    for entry in registry.entries("sections"):
        yield f"{entry.name} {entry.source}".encode()
    package = Path(__file__).parent.parent
    for path in sorted(package.rglob("*")):
        if path.suffix in {".py", ".j2", ".css", ".js"}:
            yield path.read_bytes()
    for name, version in versions().items():
        yield f"{name} {version}".encode()


def fingerprint(results: Path) -> str:
    """Return a hash of everything that decides a results folder's report."""
    digest = hashlib.sha256()
    for part in _ingredients(results):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def is_current(results: Path, report: Path) -> bool:
    """Return whether the report in a folder is that of the results as they are."""
    stamp = report / STAMP
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == fingerprint(results)


def put(results: Path, report: Path) -> None:
    """Note that the report in a folder is that of the results as they are."""
    (report / STAMP).write_text(fingerprint(results), encoding="utf-8")


def remove(report: Path) -> None:
    """Note that the report in a folder is not the one that would be written of its results."""
    with suppress(FileNotFoundError, NotADirectoryError):
        (report / STAMP).unlink()
