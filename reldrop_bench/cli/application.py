"""The application that commands register with."""

import typer

app = typer.Typer(
    name="reldrop-bench",
    help="Benchmark explanation-guided regularizers: register one, run the matrix, read the report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
