"""`/identify`, `/verify`, and `/people`, which needs a token of its own."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from python_multipart.multipart import parse_options_header
from starlette.exceptions import HTTPException

from ..errors import ImageError
from .face_service import FaceService
from .schemas import ERRORS, PHOTOS
from .service import Service, service_of
from .uploads import form_fields

__all__ = ["ENROL_TOKEN", "router"]

ENROL_TOKEN = "x-enrol-token"
"""The header for the second token. Pages of other origins cannot send it unasked, as they can a form."""

_MAX_PHOTOS = 50  # of one enrolment: each takes a second of a processor, and all of it is one transaction

_FORM = {
    "required": True,
    "content": {"multipart/form-data": {"schema": {"type": "object", "required": ["name"]}}},
}

router = APIRouter(tags=["faces"])
_Service = Annotated[Service, Depends(service_of)]


async def _faces(service: _Service) -> FaceService:
    if service.faces is None:
        raise HTTPException(404, "faces are not served; start `rehead serve` with --gallery or --verify")
    return service.faces


async def _gallery(faces: Annotated[FaceService, Depends(_faces)]) -> FaceService:
    if not faces.has_gallery:
        raise HTTPException(404, "no gallery is served; start `rehead serve` with --gallery")
    return faces


async def _enrolment(
    request: Request, service: _Service, faces: Annotated[FaceService, Depends(_gallery)]
) -> FaceService:
    token = service.enrol_token
    if token is None:
        raise HTTPException(
            403, "people cannot be changed here; start `rehead serve` with --enrol-token-file"
        )
    if not hmac.compare_digest(request.headers.get(ENROL_TOKEN, "").encode("latin-1"), token.encode()):
        raise HTTPException(403, "this needs the second token: X-Enrol-Token: TOKEN")
    return faces


_Faces = Annotated[FaceService, Depends(_faces)]
_Gallery = Annotated[FaceService, Depends(_gallery)]
_Enrolment = Annotated[FaceService, Depends(_enrolment)]


@router.post("/identify", responses=ERRORS, openapi_extra={"requestBody": PHOTOS})
async def identify(request: Request, service: _Service, faces: _Gallery) -> dict[str, Any]:
    """Who is in photos: for each, its faces with box, name or "unknown" and why, score and probability."""
    photos = await service.photos(request)
    return {
        "answers": await service.engine.run([partial(_or_error, faces.identify, each) for each in photos])
    }


def _or_error(answer: Callable[[bytes], dict[str, Any]], photo: bytes) -> dict[str, Any]:
    try:
        return answer(photo)
    except ImageError as error:
        return {"error": error.reason, "faces": []}


@router.post("/verify", responses=ERRORS, openapi_extra={"requestBody": PHOTOS})
async def verify(request: Request, service: _Service, faces: _Faces) -> dict[str, Any]:
    """Whether two photos show one person, with the share of pairs of different people that would match."""
    photos = await service.photos(request)
    if len(photos) != 2:
        raise HTTPException(400, f"{len(photos)} photos; expected two to compare")
    (answer,) = await service.engine.run([partial(faces.verify, *photos)])
    return answer


@router.get("/people")
async def people(service: _Service, faces: _Enrolment) -> dict[str, Any]:
    """Who is in the gallery, with photos, consent and last day."""
    (everybody,) = await service.engine.run([faces.people])
    return {"people": everybody}


@router.post("/people/enroll", responses=ERRORS, openapi_extra={"requestBody": _FORM})
async def enroll(request: Request, service: _Service, faces: _Enrolment) -> dict[str, Any]:
    """Enrol a person: a form with `name`, one `photo` or several; also `consent` and `expires`."""
    texts, photos = await _form(request, service, {"name", "consent", "expires"})
    if len(photos) > _MAX_PHOTOS:
        raise HTTPException(413, f"{len(photos)} photos in one request; expected at most {_MAX_PHOTOS}")
    work = partial(
        faces.enroll, texts["name"], photos, consent=texts.get("consent"), expires=texts.get("expires")
    )
    (done,) = await service.engine.run([work])
    return done


@router.post("/people/remove", responses=ERRORS, openapi_extra={"requestBody": _FORM})
async def remove(request: Request, service: _Service, faces: _Enrolment) -> dict[str, Any]:
    """Remove a person, a form's `name`, with all that is kept of them; the gallery gets a new key."""
    texts, _ = await _form(request, service, {"name"})
    (done,) = await service.engine.run([partial(faces.remove, texts["name"])])
    return done


async def _form(request: Request, service: Service, known: set[str]) -> tuple[dict[str, str], list[bytes]]:
    """The text fields, and the photos; 400 where there is no name, or something else."""
    kind, parameters = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        raise HTTPException(415, "expected multipart/form-data with a field named name")
    body = await service.body(request)
    texts, photos = dict[str, str](), list[bytes]()
    for name, data in form_fields(body, parameters.get(b"boundary", b"")):
        if name == "photo":
            photos.append(data)
        elif name in known and name not in texts:
            texts[name] = _text(name, data)
        else:
            raise HTTPException(400, f"a field is not expected, or there twice: {ascii(name)[:60]}")
    if not texts.get("name"):
        raise HTTPException(400, "the form has no field named name")
    return texts, photos


def _text(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise HTTPException(400, f"the field {name} is not UTF-8") from error
