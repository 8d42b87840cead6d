"""`/v2`: the Open Inference Protocol, version 2."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from .. import __version__
from .inference import IMAGE, input_photos, model_metadata, output_names, photo_work, tensors_of
from .inference_protocol import EXTENSIONS, HEADER_LENGTH, read_request, write_response
from .models import ServedModel
from .service import Service, service_of

__all__ = ["router"]

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])
_Service = Annotated[Service, Depends(service_of)]


async def _model(service: _Service, name: str, version: str | None = None) -> ServedModel:
    model = service.models.get(name)
    if version not in (None, model.version):
        raise HTTPException(404, f"model {name!r} has no such version; it has {model.version}")
    return model


_Model = Annotated[ServedModel, Depends(_model)]


@router.get("", name="server metadata")
async def server() -> dict[str, Any]:
    """Name, version and extensions of the server."""
    return {"name": "rehead", "version": __version__, "extensions": list(EXTENSIONS)}


@router.get("/health/live")
async def live() -> dict[str, bool]:
    """Whether the server runs."""
    return {"live": True}


@router.get("/health/ready")
async def ready() -> dict[str, bool]:
    """Whether all models can answer; they are open before the server listens."""
    return {"ready": True}


@router.get("/models/{name}/ready")
@router.get("/models/{name}/versions/{version}/ready")
async def model_ready(model: _Model) -> dict[str, Any]:
    """Whether a model can answer."""
    return {"name": model.name, "ready": True}


@router.get("/models/{name}")
@router.get("/models/{name}/versions/{version}")
async def metadata(model: _Model) -> dict[str, Any]:
    """What a model takes and gives. `image` may also be BYTES [N]: whole files, such as JPEG and PNG."""
    return model_metadata(model)


@router.post("/models/{name}/infer")
@router.post("/models/{name}/versions/{version}/infer")
async def infer(request: Request, service: _Service, model: _Model) -> Response:
    """The outputs of a model for one photo or several; all in JSON, or tensors in binary behind it."""
    body = await service.body(request)
    length = request.headers.get(HEADER_LENGTH)
    (asked,) = await service.engine.run([partial(read_request, body, length, raw_input=IMAGE)])
    asked.requested(output_names(model))
    photos = input_photos(model, asked)
    found = await service.engine.run(photo_work(model, photos))
    service.metrics.count(model, found)
    written = partial(
        write_response, model.name, model.version, asked, tensors_of(found), {"probabilities": model.labels}
    )
    # the features of many photos are some 0.1 s of text, for which nobody else should wait
    text, json_bytes = written() if len(photos) == 1 else await run_in_threadpool(written)
    if json_bytes is None:
        return Response(text, media_type="application/json")
    return Response(text, media_type="application/octet-stream", headers={HEADER_LENGTH: str(json_bytes)})
