"""`rehead serve`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from ..faces.options import FaceOptions, NamingOptions
from ..serving.face_options import ServeFaceOptions
from ..serving.options import ServeOptions, is_loopback
from .command import Without, command
from .console import say

if TYPE_CHECKING:
    from ..serving.face_service import FaceService

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
    people: ServeFaceOptions,
    naming: NamingOptions,
    faces: Annotated[FaceOptions, Without("selection")],
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
    enrol_token = None if people.enrol_token_file is None else read_token(people.enrol_token_file)
    served = ModelSet(models)
    named = _face_service(people, naming, faces) if people.wanted else None
    listening = listen(options.host, options.port)
    app = create_app(served, options, token=token, faces=named, enrol_token=enrol_token)
    host, port = listening.getsockname()[:2]
    address = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    levels = {"rehead.serving": logging.INFO, "uvicorn": logging.ERROR, "python_multipart": logging.ERROR}
    for name, level in levels.items():
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


def _face_service(people: ServeFaceOptions, naming: NamingOptions, faces: FaceOptions) -> FaceService:
    from ..serving.face_service import open_face_service
    from .faces.options import gallery_key, load_pipeline

    key = None if people.gallery is None else gallery_key(people.gallery, people.key_file)
    return open_face_service(people, naming, load_pipeline(faces, threads=1), key)


class _Log(logging.Handler):
    """Writes what the service reports to the error output, as the command line writes everything."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"rehead: {self.format(record)}", err=True)
