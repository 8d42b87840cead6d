"""`rehead serve`."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from ..serving.options import ServeOptions, is_loopback
from .command import command
from .console import say

__all__ = ["serve"]


@command
def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Model files, each called by its name without .onnx, or NAME=FILE.", show_default=False
        ),
    ],
    options: ServeOptions,
) -> None:
    """Answer over HTTP with model files, on this machine alone unless --host says otherwise."""
    from ..serving.app import create_app
    from ..serving.models import ModelSet
    from ..serving.security import new_token
    from ..serving.server import listen, run

    logging.basicConfig(format="%(message)s", level=logging.INFO, handlers=[_Log()])
    token = None if is_loopback(options.host) else new_token()
    app = create_app(ModelSet(models), options, token=token)
    listening = listen(options.host, options.port)
    host, port = listening.getsockname()[:2]
    address = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    run(app, listening, ready=lambda: say(f"{address}{f'?token={token}' if token else ''}"))


class _Log(logging.Handler):
    """Writes what the service reports to the error output, as the command line writes everything."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"rehead: {self.format(record)}", err=True)
