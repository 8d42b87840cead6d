"""The command line: one file a verb. Only this room knows typer and rich."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from ..errors import ReheadError
from . import augment, evaluate, predict, train, weights

__all__ = ["app", "main"]

app = typer.Typer(
    name="rehead",
    help="Give a pretrained network a new head: image classification you can trust, on the machine you have.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("augment")(augment.augment)
app.add_typer(weights.app, name="weights")


def _version(asked: bool) -> None:
    if asked:
        from .. import __version__

        typer.echo(f"rehead {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """See above; `version` is handled by its callback."""


def main() -> None:
    """Run the command line; a deliberate error becomes one line and exit code 2, a bug a traceback."""
    try:
        app()
    except ReheadError as error:
        print(f"rehead: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("rehead: interrupted; nothing half-written, and what was computed is kept", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        # the reader has gone, as in `rehead predict ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
