"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

Plugins = Annotated[
    list[Path] | None,
    Option(metavar="DIR", help="A folder with plugins; may be given several times."),
]
Data = Annotated[
    Path | None, Option(metavar="DIR", help="Folder of local data sets (else RELDROP_DATA).")
]
Output = Annotated[
    Path | None,
    Option("--output", "-o", metavar="DIR", help="Folder of the results (else results/NAME)."),
]
Settings = Annotated[
    list[str] | None,
    Option(
        "--set", metavar="KEY=VALUE", help="Override a key of the spec, such as recipe.epochs=3."
    ),
]
Only = Annotated[
    list[str] | None,
    Option(metavar="COLUMN=PATTERN", help="Compute these cells alone, such as task=digits."),
]
Workers = Annotated[
    int | None,
    Option(
        "--workers",
        "-w",
        metavar="N",
        help="Processes (else GPUs, or cores / threads a cell); 0: this process.",
    ),
]
Executor = Annotated[
    str | None,
    Option(
        metavar="NAME",
        help="What computes the cells, or '{NAME: {…}}' (else processes of this machine).",
    ),
]
Formats = Annotated[
    list[str] | None,
    Option(
        "--format",
        "-f",
        metavar="FORMAT",
        help="html (the default), latex, markdown, csv or parquet; may be given several times.",
    ),
]
Baseline = Annotated[str | None, Option(metavar="LABEL", help="Compare with this label instead.")]
Metric = Annotated[
    str | None,
    Option(
        metavar="METRIC",
        help="Judge by this metric alone, such as calibration/ece or shifts/noise/1/accuracy.",
    ),
]
Margin = Annotated[
    float | None,
    Option(
        metavar="X", help="Differences within ±X do not matter (else the margin of each outcome)."
    ),
]
Sections = Annotated[
    str | None,
    Option(metavar="NAME,NAME,…", help="Show these sections alone, such as verdict,cost."),
]
ReportOutput = Annotated[
    Path | None,
    Option("--output", "-o", metavar="DIR", help="Folder of the report (else DIR/report)."),
]
Json = Annotated[bool, Option("--json", help="Print JSON instead of tables.")]
WithReport = Annotated[bool, Option("--report/--no-report", help="Write the report at the end.")]
Spec = Annotated[str, Argument(metavar="SPEC", help="A shipped name or a YAML file.")]
Folder = Annotated[Path, Argument(metavar="DIR", help="Folder of the results.")]
OptionalFolder = Annotated[
    Path | None, Argument(metavar="[DIR]", help="Folder of the results.", show_default=False)
]
Model = Annotated[
    str | None, Option(metavar="FILE.py:FUNCTION", help="A network of your own, instead of DIR.")
]
Weights = Annotated[Path | None, Option(metavar="FILE", help="Its weights, as safetensors.")]
Task = Annotated[str | None, Option(metavar="NAME", help="The task that it solves.")]
