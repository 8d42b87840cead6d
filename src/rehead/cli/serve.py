"""`rehead serve`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from ..faces.options import FaceOptions
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
    faces: Annotated[FaceOptions, Without("selection")],
) -> None:
    """Answer over HTTP with model files, on this machine alone unless --host says otherwise."""
    from ..serving.app import create_app
    from ..serving.face_options import read_token
    from ..serving.models import ModelSet
    from ..serving.security import new_token
    from ..serving.server import listen, run

    logging.basicConfig(format="%(message)s", level=logging.INFO, handlers=[_Log()])
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every form that is wrong
    token = None if is_loopback(options.host) else new_token()
    app = create_app(
        ModelSet(models),
        options,
        token=token,
        enrol_token=None if people.enrol_token_file is None else read_token(people.enrol_token_file),
        faces=_face_service(people, faces) if people.wanted else None,
    )
    listening = listen(options.host, options.port)
    host, port = listening.getsockname()[:2]
    address = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    run(app, listening, ready=lambda: say(f"{address}{f'?token={token}' if token else ''}"))


def _face_service(people: ServeFaceOptions, faces: FaceOptions) -> FaceService:
    from ..serving.face_service import open_face_service
    from .faces.options import gallery_key, load_pipeline

    key = None if people.gallery is None else gallery_key(people.gallery, people.key_file)
    return open_face_service(people, load_pipeline(faces, threads=1), key)


class _Log(logging.Handler):
    """Writes what the service reports to the error output, as the command line writes everything."""

    def emit(self, record: logging.LogRecord) -> None:
        say(f"rehead: {self.format(record)}", err=True)
