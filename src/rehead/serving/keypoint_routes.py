"""`/keypoints`."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Request
from starlette.exceptions import HTTPException

from ..errors import ImageError, NotAModelFileError
from ..keypoints import KeypointPredictor, predict_on_faces
from ..keypoints.face_crops import NO_FACE, FaceFinder
from .models import ServedModel
from .predict import answer_record
from .schemas import ERRORS, PHOTOS
from .service import Service, service_of

__all__ = ["router"]

router = APIRouter(tags=["keypoints"])
_Service = Annotated[Service, Depends(service_of)]


@router.post("/keypoints", responses=ERRORS, openapi_extra={"requestBody": PHOTOS})
async def keypoints(
    request: Request, service: _Service, model: str | None = None, detect: bool = False
) -> dict[str, Any]:
    """The points of photos, in pixels of the upright photo; with `detect` those of each face in it."""
    served = _keypoint_model(service, model)
    photos = await service.photos(request)
    if detect:
        answers = await service.engine.run([partial(_on_faces, served, photo) for photo in photos])
    else:
        answers = [answer_record(*each) for each in await service.engine.predict(served, photos)]
    return {"model": served.name, "version": served.version, "answers": answers}


def _keypoint_model(service: Service, name: str | None) -> ServedModel:
    found = service.models.get(name) if name is not None else None
    for model in service.models if found is None else [found]:
        if model.kind == "keypoints":
            return model
    what = "no model of keypoints is served" if found is None else f"{found.name!r} is a {found.kind} model"
    raise HTTPException(404, f"{what}; give `rehead serve` a file of `rehead keypoints train`")


def _on_faces(model: ServedModel, photo: bytes) -> dict[str, Any]:
    predictor = cast(KeypointPredictor, model.predictor)
    detector = _detector(str((model.manifest.get("faces") or {}).get("detector", "mtcnn")))
    try:
        (found,) = predict_on_faces(predictor, detector, [photo])
    except NotAModelFileError as error:
        raise HTTPException(400, str(error)) from error
    if isinstance(found, ImageError) or not found:
        return {"photo": "", "error": found.reason if isinstance(found, ImageError) else NO_FACE, "faces": []}
    return {"photo": "", "faces": [each.to_dict() for each in found]}


@lru_cache(maxsize=4)  # as many as there are that share no weights
def _detector(name: str) -> FaceFinder:
    from ..faces import FaceDetector

    return FaceDetector(name, threads=1)
