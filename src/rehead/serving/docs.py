"""`/docs`: the description of the service, shown by Swagger UI's files from the package that brings them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, Response

__all__ = ["router"]

router = APIRouter(include_in_schema=False)

_FILES = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>rehead: the service</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="docs"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
"""
_START = """SwaggerUIBundle({url: "openapi.json", dom_id: "#docs", validatorUrl: null, deepLinking: true});
"""


@router.get("/docs")
async def page() -> Response:
    """The page."""
    return HTMLResponse(_PAGE)


@router.get("/docs/{name}")
async def file(name: str) -> Response:
    """What the page loads."""
    if name == "start.js":
        return Response(_START, media_type="text/javascript")
    if name not in _FILES:
        raise HTTPException(404, "Not Found")
    return FileResponse(_folder() / name, media_type=_FILES[name])


@cache
def _folder() -> Path:
    import swagger_ui_bundle

    return Path(swagger_ui_bundle.swagger_ui_path)
