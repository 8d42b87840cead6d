"""`rehead studio`."""

from __future__ import annotations

import threading
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from ..classification.options import ClassifierOptions
from ..core.options import Opt, arguments_of
from .command import Only, command
from .console import say

__all__ = ["studio"]


@command
def studio(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the photos, FOLDER/CLASS/*.jpg; made where it is not there.")
    ] = Path("photos"),
    *,
    use: Annotated[ClassifierOptions, Only("backbone", "weights", "threads")],
    port: Annotated[int, Opt(help="Port to listen at; 0 takes a free one.", ge=0, le=65535, default=0)],
    browser: Annotated[
        bool, Opt(help="Open the page in the browser.", flag="--browser/--no-browser", default=True)
    ],
) -> None:
    """From photos to a model in the browser, on this machine alone.

    Classes, photos from files or the camera, what the audit finds in them, training, and the model on the
    camera. All of it is in FOLDER: photos by class, and runs/NAME as `rehead train` writes it.
    """
    from ..serving.extra import check_extra

    check_extra("rehead studio")
    from ..serving.security import new_token
    from ..serving.server import listen, run
    from ..studio.app import create_app
    from ..studio.project import open_project

    token = new_token()
    with open_project(folder, arguments_of(use)) as project:
        listening = listen("127.0.0.1", port)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/?token={token}"

        def ready() -> None:
            say(address)
            if browser:  # beside the server, as some browsers are waited for
                threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

        run(create_app(project, token=token), listening, ready=ready)
