"""The page of a model, at `/`, with the files that it loads."""

from __future__ import annotations

from functools import partial
from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response

from ...core.rejection import REASONS
from ...errors import DataError, OutputError
from ...pages import source
from ...pages.words import words
from ..collect import FullError
from ..service import Service, service_of

__all__ = ["OPEN_PATHS", "router"]

router = APIRouter()
_Service = Annotated[Service, Depends(service_of)]

_SHARED = ("answer.js", "camera.js", "files.js", "live.js", "requests.js", "words.js")
_OWN = ("marks.js", "page.js", "reading.js", "wrong.js")
_STYLES = ("base.css", "answer.css")
_FILES = frozenset((*_SHARED, *_OWN, "page.css"))

OPEN_PATHS = frozenset(("/", *(f"/page/{name}" for name in _FILES)))
"""What is served without a token: the page itself, which asks for it. It names no model."""


@router.get("/", include_in_schema=False)
async def page(request: Request, service: _Service) -> HTMLResponse:
    """The page, in the first language of the browser's that there are words in."""
    about = {
        "collects": service.collection is not None,
        "gallery": service.faces is not None and service.faces.has_gallery,
        "mostBytes": service.options.max_bytes,
        "colours": source.map_colours(),
        "reasons": {key: text.partition(" (")[0] for key, text in REASONS.items()},
    }
    html = source.render(
        _read,
        "page.html",
        words=words("rehead.serving", request.headers.get("accept-language", "")),
        about=about,
    )
    return HTMLResponse(html, headers={"vary": "accept-language"})


@router.get("/page/{name}", include_in_schema=False)
async def page_file(name: str) -> Response:
    """A script or style of the page."""
    if name not in _FILES:
        raise HTTPException(404, "there is no such file")
    if name.endswith(".css"):
        return Response("".join([*map(source.read, _STYLES), _read(name)]), media_type="text/css")
    text = source.read(name) if name in _SHARED else _read(name)
    return Response(text, media_type="text/javascript")


@router.post("/collect", include_in_schema=False)
async def collect(request: Request, service: _Service) -> JSONResponse:
    """Keep the photo that is the body, in the folder of `?class=NAME`, as one that `?model=` got wrong."""
    if (collection := service.collection) is None:
        raise HTTPException(404, "nothing is kept here; start `rehead serve` with --collect DIR")
    query = request.query_params
    served = service.models.get(query.get("model"))
    photo = await service.body(request)
    label, known = query.get("class", ""), served.labels
    try:
        (kept,) = await service.engine.run([partial(collection.keep, photo, label, known)])
    except (FullError, OutputError) as error:
        raise HTTPException(507, str(error)) from error
    except DataError as error:
        raise HTTPException(422, str(error)) from error
    return JSONResponse({"class": kept.parent.name, "photo": kept.name})


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")
