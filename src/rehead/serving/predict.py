"""`POST /predict` and `GET /models`."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Request
from numpy.typing import NDArray
from starlette.responses import JSONResponse, Response

from ..errors import ImageError
from .models import ServedModel
from .schemas import ERRORS, MODELS, PHOTOS, PREDICTIONS, json_answer
from .service import Service, service_of

__all__ = ["answer_record", "router"]

router = APIRouter()
_Service = Annotated[Service, Depends(service_of)]


@router.get("/metrics", include_in_schema=False)
async def metrics(service: _Service) -> Response:
    """Numbers for Prometheus."""
    return service.metrics.page(list(service.models))


@router.get("/models", responses={200: json_answer("The models, in order.", MODELS)})
async def models(service: _Service) -> list[dict[str, Any]]:
    """What is served, the model first that answers where none is named."""
    return [_described(model) for model in service.models]


@router.post(
    "/predict",
    responses={200: json_answer("The answers.", PREDICTIONS), **ERRORS},
    openapi_extra={"requestBody": PHOTOS},
)
async def predict(request: Request, service: _Service, model: str = "", maps: bool = False) -> JSONResponse:
    """Answers for photos, in their order.

    `model` is a name of `/models`, the first one by default; `maps` asks for what each place of a photo adds
    to the logit of its nearest class.
    """
    served = service.models.get(model or None)
    photos = await service.photos(request)
    answers = await service.engine.predict(served, photos, maps=maps)
    records = [answer_record(*each) for each in answers]
    return JSONResponse({"model": served.name, "version": served.version, "answers": records})


def answer_record(answer: Any, found: NDArray[np.float32] | None) -> dict[str, Any]:
    """The JSON-able record of what `ServedModel.answer` gives: an answer or an ImageError, and its map."""
    if isinstance(answer, ImageError):
        return {"photo": "", "error": answer.reason}
    record: dict[str, Any] = answer.to_dict()
    return record if found is None else {**record, "map": np.round(found.astype(float), 4).tolist()}


def _described(model: ServedModel) -> dict[str, Any]:
    rule = model.manifest["preprocess"]
    return {
        "name": model.name,
        "kind": model.kind,
        "labels": list(model.labels),
        "version": model.version,
        "backbone": (model.manifest.get("backbone") or {}).get("name", ""),
        "accuracy": model.accuracy,
        # of keypoints; where maps lie on a photo; and whether faces have to be found first
        "points": getattr(model.predictor, "n_points", None),
        "crop": rule.get("crop_fraction", 1.0) if rule.get("resize") == "crop" else None,
        "faces": bool(model.manifest.get("faces")),
    }
