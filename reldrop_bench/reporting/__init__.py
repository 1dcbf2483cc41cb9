"""The comparison report: sections in, one page (or LaTeX, or Markdown), tables and figures out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reldrop_bench.errors import UserError, suggest
from reldrop_bench.plugins import registry
from reldrop_bench.reporting.render import BuiltSection, Format, write_report
from reldrop_bench.results import Results

__all__ = ["Report", "write_report"]


@dataclass(frozen=True)
class Report:
    """The comparison report of some results, made of the installed sections (or of those named)."""

    results: Results
    sections: Sequence[str] | None = None
    """Names of the sections to show, in whatever order: the page has its own. None: all."""

    def write(self, folder: str | Path, format: Format | Sequence[Format] = "html") -> Path:
        """Write the page with its tables and figures into `folder`; returns the page's path.

        With several formats, sections are built once, and the path is that of the first.

        A section that cannot be imported or made is shown as failed, at the end.

        Raises
        ------
        UserError
            An unknown format or section, or a folder that cannot be written.
        """
        entries = list(registry.entries("sections"))
        if self.sections is not None:
            names = [entry.name for entry in entries]
            for name in self.sections:
                if name not in names:
                    raise UserError(
                        f"no section {name!r}; {suggest(name, names)}; one of your own needs its folder "
                        "(--plugins DIR)"
                    )
            entries = [entry for entry in entries if entry.name in self.sections]
            if not entries:
                raise UserError(f"a report needs a section; {suggest('', names)}")
        sections, broken = [], []
        for entry in entries:
            if entry.cls is None:
                title = f"Section {entry.name}"
                broken.append(
                    BuiltSection(entry.name, title, error=entry.reason, traceback=entry.error)
                )
            else:
                sections.append(registry.create("sections", entry.name, {}))
        return write_report(self.results, folder, sections, format, broken)
