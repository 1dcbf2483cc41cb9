"""The command line."""

import sys
import traceback
from collections.abc import Sequence

import typer

# Importing them registers their commands, in the order of the help page.
from reldrop_bench.cli import (  # noqa: F401
    benchmark_commands,
    collection_commands,
    data_commands,
    model_commands,
    plugin_commands,
)
from reldrop_bench.cli.application import app
from reldrop_bench.cli.stopping import Stopping
from reldrop_bench.errors import UserError, one_line, what_next

__all__ = ["app", "main"]

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: wrong use is one line and exit code 2; Ctrl-C is exit code 130, SIGTERM 143."""
    stopping = Stopping()
    stopping.listen()
    try:
        code = app(args=None if arguments is None else list(arguments), standalone_mode=False)
    except UserError as error:
        typer.echo(f"error: {one_line(error, 2000)}", err=True)
        sys.exit(2)
    except OSError as error:
        file = f": {error.filename}" if error.filename else ""
        typer.echo(f"error: {one_line(f'{error.strerror}{file}')}; {what_next(error)}", err=True)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001 - sorted out below
        if stopping.signal is not None:  # some libraries make another error of it while they import
            code = INTERRUPTED
        elif isinstance(status := getattr(error, "exit_code", None), int):
            # The parser's own errors: a missing argument, an unknown option or command.
            message = getattr(error, "message", "") or str(error)
            typer.echo(f"error: {one_line(message).rstrip('.')}; see --help", err=True)
            sys.exit(status)
        else:
            traceback.print_exc()  # a defect of ours: show it whole, and do not call it wrong use
            sys.exit(70)
    finally:
        stopping.end()
    if code == INTERRUPTED:  # typer itself turns Ctrl-C into this code
        typer.echo("interrupted; run the same command again to go on where it stopped", err=True)
        code = stopping.exit_code or INTERRUPTED
    sys.exit(code if isinstance(code, int) else 0)
