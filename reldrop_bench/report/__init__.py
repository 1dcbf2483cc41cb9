"""The comparison report: sections in, one page (or LaTeX, or Markdown), tables and figures out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from reldrop_bench import registry
from reldrop_bench.report.render import BuiltSection, Format, write_report
from reldrop_bench.results import Results

__all__ = ["Report", "write_report"]


@dataclass(frozen=True)
class Report:
    """The comparison report of some results, made of every installed section."""

    results: Results

    def write(self, folder: str | Path, format: Format = "html") -> Path:
        """Write the page with its tables and figures into `folder`; returns the page's path.

        A section that cannot be imported or made is shown as failed, at the end.

        Raises
        ------
        UserError
            An unknown format, or a folder that cannot be written.
        """
        sections, broken = [], []
        for entry in registry.entries("sections"):
            if entry.cls is None:
                title = f"Section {entry.name}"
                broken.append(
                    BuiltSection(entry.name, title, error=entry.reason, traceback=entry.error)
                )
            else:
                sections.append(registry.create("sections", entry.name, {}))
        return write_report(self.results, folder, sections, format, broken)
