"""The application: what the page asks for."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

from .. import __version__
from ..errors import DataError, ReheadError
from ..serving.app import add_error_handlers
from ..serving.security import Guard
from ..serving.uploads import read_body, read_json
from . import page
from .names import classes_of
from .project import Project
from .refused import NotWritten, Refused
from .runs import Form

__all__ = ["create_app"]

_LOG = logging.getLogger("rehead.studio")

_PAUSE = 0.5  # seconds between looks at the folder, and
_SHARE = 10.0  # times as long as a look takes, of a folder of many photos
_LARGEST = 100_000_000  # bytes of a photo: a JPEG of 89 million pixels, the limit of reading, has fewer
_SECONDS = 120.0  # for an upload within this machine, and its disk
_JSON = 10_000_000  # bytes: the ids of 100,000 photos
# a report is one file with its own styles and pictures
_REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_FOR_EVER = "private, max-age=31536000, immutable"


def create_app(project: Project, *, token: str) -> FastAPI:
    """The application of a project; clients have to send `token`, as `serving.security.Guard` has it."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        looking = asyncio.create_task(_look(project))
        yield
        looking.cancel()
        project.close()

    app = FastAPI(title="rehead studio", version=__version__, openapi_url=None, lifespan=lifespan)
    app.state.project = project
    add_error_handlers(app)
    _add_page(app)
    _add_photos(app, project)
    _add_training(app, project)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(NotWritten, _refused)
    app.add_exception_handler(ReheadError, _unexpected)
    app.add_middleware(Guard, token=token, open_paths=page.OPEN_PATHS)
    return app


async def _look(project: Project) -> None:
    while True:
        begun = time.monotonic()
        try:
            await asyncio.to_thread(project.tick)
        except Exception:  # the page goes on, and looks again
            _LOG.exception("the photos could not be looked at")
        await asyncio.sleep(max(_PAUSE, _SHARE * (time.monotonic() - begun)))


async def _refused(_: Request, error: Any) -> JSONResponse:
    return JSONResponse({"error": str(error), "key": f"refused.{error.key}", "values": error.values}, 409)


async def _unexpected(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 409)


def _add_page(app: FastAPI) -> None:
    @app.get("/")
    def index(request: Request) -> HTMLResponse:
        return HTMLResponse(page.html(request.headers.get("accept-language", "")))

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        found = page.static(name)
        if found is None:
            return JSONResponse({"error": "there is no such file"}, 404)
        return Response(found[0], media_type=found[1])


def _add_photos(app: FastAPI, project: Project) -> None:
    folder = project.folder

    @app.get("/api/state")
    def state(seen: str = "") -> JSONResponse:
        found = project.state()
        return JSONResponse({"version": seen} if found["version"] == seen else found)

    @app.get("/thumbnail")
    def thumbnail(id: str) -> Response:  # noqa: A002 - the name in the address
        return Response(project.thumbnail(id), media_type="image/jpeg", headers={"cache-control": _FOR_EVER})

    @app.post("/api/photos")
    async def add(
        request: Request, label: str, name: str = "", batch: str = "", burst: str = "", number: int = 0
    ) -> JSONResponse:
        size = request.headers.get("content-length", "")
        if size.isdigit() and int(size) > _LARGEST:
            raise Refused("large", name=name)
        data = await read_body(request, limit=_LARGEST, seconds=_SECONDS)
        if burst:
            added: object = await run_in_threadpool(folder.add_frame, data, label, burst, number)
        else:
            added = await run_in_threadpool(lambda: folder.add(data, name, label, batch=batch))
        return JSONResponse({"added": added is not None})

    @app.post("/api/{what}")
    async def change(request: Request, what: str) -> JSONResponse:
        if what not in _CHANGES:
            return JSONResponse({"error": "there is no such address"}, 404)
        asked = await read_json(request, limit=_JSON, seconds=_SECONDS)
        return JSONResponse(await run_in_threadpool(_CHANGES[what], project, _Asked(asked)))


class _Asked:
    """The body of a request, checked as it is taken apart."""

    def __init__(self, body: Any) -> None:
        self._body = body if isinstance(body, dict) else {}

    def text(self, name: str) -> str:
        found = self._body.get(name)
        if not isinstance(found, str):
            raise DataError(f"{name}: expected a text")
        return found

    def texts(self, name: str) -> list[str]:
        found = self._body.get(name)
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            raise DataError(f"{name}: expected a list of texts")
        return found


def _make(project: Project, asked: _Asked) -> Any:
    return {"name": project.folder.make(asked.text("name"))}


def _rename(project: Project, asked: _Asked) -> Any:
    project.check_at_rest()
    return {"name": project.folder.rename(asked.text("name"), asked.text("to"))}


def _remove_class(project: Project, asked: _Asked) -> Any:
    project.check_at_rest()
    project.folder.remove_class(asked.text("name"))
    return {}


def _sort(_: Project, asked: _Asked) -> Any:
    return {"classes": classes_of(asked.texts("paths"))}


def _move(project: Project, asked: _Asked) -> Any:
    project.check_at_rest()
    return {"n": project.folder.move(asked.texts("ids"), asked.text("label"))}


def _remove(project: Project, asked: _Asked) -> Any:
    project.check_at_rest()
    return {"n": project.folder.remove(asked.texts("ids"))}


def _restore(project: Project, asked: _Asked) -> Any:
    return {"n": project.folder.restore(asked.texts("ids"))}


def _undo(project: Project, _: _Asked) -> Any:
    project.check_at_rest()
    return {"undone": project.folder.undo() is not None}


def _train(project: Project, _: _Asked) -> Any:
    return {"name": project.train()}


def _cancel(project: Project, _: _Asked) -> Any:
    project.training.cancel()
    return {}


def _fine(project: Project, asked: _Asked) -> Any:
    project.findings.accept(asked.text("finding"))
    return {}


_CHANGES = {
    "make": _make,
    "rename": _rename,
    "remove-class": _remove_class,
    "sort": _sort,
    "move": _move,
    "remove": _remove,
    "restore": _restore,
    "undo": _undo,
    "train": _train,
    "cancel": _cancel,
    "fine": _fine,
}


def _add_training(app: FastAPI, project: Project) -> None:
    runs = project.runs

    @app.get("/runs/{name}/report.html")
    def report(name: str) -> FileResponse:
        return FileResponse(
            runs.file(name, "report.html"),
            media_type="text/html; charset=utf-8",
            headers={"content-security-policy": _REPORT_POLICY},
        )

    @app.post("/runs/{name}/answer")
    async def answer(request: Request, name: str, photo: str = "") -> JSONResponse:
        data = await read_body(request, limit=_LARGEST, seconds=_SECONDS)
        return JSONResponse(await run_in_threadpool(runs.answer, name, data, photo))

    @app.get("/runs/{name}/export/{form}")
    def export(name: str, form: Form) -> Response:
        file, data = runs.export(name, form)
        disposition = f"attachment; filename*=UTF-8''{quote(file)}"
        return Response(
            data, media_type="application/octet-stream", headers={"content-disposition": disposition}
        )
