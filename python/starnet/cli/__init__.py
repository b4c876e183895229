"""The command line, `starnet`: one module a command, heavy imports only inside the command that runs."""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from starnet.cli.bench import bench
from starnet.cli.compare import compare
from starnet.cli.demo import demo
from starnet.cli.evaluate import evaluate
from starnet.cli.export import export
from starnet.cli.fetch import fetch
from starnet.cli.info import info
from starnet.cli.inject import inject
from starnet.cli.preprocess import preprocess
from starnet.cli.reproduce import report
from starnet.cli.segment import segment
from starnet.cli.simulate import simulate
from starnet.cli.train import train
from starnet.errors import StarnetError
from starnet.memory import keep_freed_memory

__all__ = ["app", "main"]


class Starnet(TyperGroup):
    """The group of commands: what the user can mend is said in one line on stderr, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; exit code 2 for the user's errors, 130 for Ctrl-C."""
        debug = ctx.params.get("debug", False)
        with warnings.catch_warnings():
            if not debug:
                # What matters of a file is in `starnet info`; the libraries' warnings are for their callers.
                warnings.simplefilter("ignore")
            try:
                return super().invoke(ctx)
            except BrokenPipeError:
                _discard_stdout()
                raise typer.Exit(1) from None
            except KeyboardInterrupt:
                message, code = "interrupted; the same command goes on where this one stopped", 130
            except (StarnetError, OSError, MemoryError) as error:
                if debug:
                    traceback.print_exc()
                text = "out of memory; lower --memory, --tile or --threads" if isinstance(error, MemoryError) else error
                message, code = f"error: {text}", 2
        print(f"starnet: {message}", file=sys.stderr)
        raise typer.Exit(code)


app = typer.Typer(
    name="starnet",
    cls=Starnet,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(segment)
app.command()(preprocess)
app.command()(info)
app.command()(demo)
app.command()(simulate)
app.command()(evaluate)
app.command()(inject)
app.command()(compare)
app.command()(train)
app.command()(fetch)
app.command()(export)
app.command()(report)
app.command()(bench)


def _version(wanted: bool) -> None:
    if wanted:
        from starnet import __version__

        print(f"starnet {__version__}")
        raise typer.Exit


@app.callback()
def starnet(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", envvar="STARNET_TRACEBACK", help="Show the traceback of an error, and all warnings."),
    ] = False,
) -> None:
    """A survey mosaic in, a WCS label map and a flux catalog out."""


def main() -> None:
    """Entry point of the `starnet` command."""
    keep_freed_memory()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()
        sys.exit(1)
    except OSError as error:  # stdout itself: a full disk
        _discard_stdout()
        print(f"starnet: error: {error}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        error.add_note("This is a bug in StarNet: please report it with the lines above.")
        raise


def _discard_stdout() -> None:
    """Keep the interpreter from complaining, at its end, that nobody reads what it has left to write."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
