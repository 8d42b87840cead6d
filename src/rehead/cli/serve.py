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
    from ..serving.extra import check_extra

    check_extra("rehead serve")
    from ..serving.app import create_app
    from ..serving.models import ModelSet
    from ..serving.security import new_token, read_token
    from ..serving.server import listen, run

    token, shown = None, ""
    if options.token_file is not None:
        token = read_token(options.token_file)
    elif not is_loopback(options.host):
        token = new_token()
        shown = f"?token={token}"
    served = ModelSet(models)
    listening = listen(options.host, options.port)
    app = create_app(served, options, token=token)
    host, port = listening.getsockname()[:2]
    address = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    for name, level in (("rehead.serving", logging.INFO), ("uvicorn", logging.ERROR)):
        logging.getLogger(name).addHandler(_Log())
        logging.getLogger(name).setLevel(level)
    run(
        app,
        listening,
        ready=lambda: say(address + shown),
        on_hangup=app.state.watcher.look_now,
        proxies=options.trust_proxy or (),
        patience=options.upload_seconds + 10,
    )


class _Log(logging.Handler):
    """Writes what the service reports to the error output, as the command line writes everything."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"rehead: {self.format(record)}", err=True)
