"""What requests and answers look like, as JSON Schema for `/openapi.json`."""

from __future__ import annotations

from typing import Any

__all__ = ["ERRORS", "MODELS", "PHOTOS", "PREDICTIONS", "json_answer"]

_TEXT, _NUMBER = {"type": "string"}, {"type": "number"}


def _object(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required or properties)}


def _list_of(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def json_answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A response in JSON, as OpenAPI has it."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_BYTES = {"type": "string", "format": "binary"}

PHOTOS: dict[str, Any] = {
    "required": True,
    "content": {
        "image/*": {"schema": _BYTES},
        "multipart/form-data": {"schema": _object({"photo": _list_of(_BYTES)})},
        "application/json": {"schema": _object({"photos": _list_of({"type": "string", "format": "byte"})})},
    },
}
"""The body of a request: one photo as it is, or several."""

_ANSWER = _object(
    {
        "photo": _TEXT | {"description": "Always empty: photos have no names here."},
        "label": _TEXT | {"description": 'A class, or "unknown".'},
        "probability": _NUMBER | {"description": "Calibrated probability of `nearest`, 0 to 1."},
        "nearest": _TEXT | {"description": "The most probable class, also of an unknown photo."},
        "reason": _TEXT | {"description": "Why it is unknown, else empty."},
        "note": _TEXT,
        "outlier_score": _NUMBER | {"description": "How unlike the training photos it is, 0 or more."},
        "probabilities": {"type": "object", "additionalProperties": _NUMBER},
        "map": _list_of(_list_of(_NUMBER))
        | {"description": "With maps=true: what each place adds to the logit of `nearest`."},
    },
    "photo",
    "label",
    "probability",
    "nearest",
    "reason",
    "note",
    "outlier_score",
    "probabilities",
)
_UNREADABLE = _object({"photo": _TEXT, "error": _TEXT})

PREDICTIONS = _object(
    {"model": _TEXT, "version": _TEXT, "answers": _list_of({"oneOf": [_ANSWER, _UNREADABLE]})}
)
"""The answers to a request, in the order of its photos."""

MODELS = _list_of(
    _object(
        {
            "name": _TEXT,
            "kind": _TEXT,
            "labels": _list_of(_TEXT),
            "version": _TEXT,
            "backbone": _TEXT,
            "accuracy": _TEXT | {"description": "A sentence on its test photos; empty where not known."},
        }
    )
)

_ERROR = _object({"error": _TEXT})
ERRORS: dict[int | str, dict[str, Any]] = {
    status: json_answer(why, _ERROR)
    for status, why in {
        400: "The body holds no photo.",
        401: "The token is missing or wrong.",
        403: "The page that asks is of an origin that may not.",
        404: "There is no such model.",
        408: "The upload took too long.",
        413: "The body has too many bytes or photos.",
        421: "The Host header names another machine.",
        422: "A parameter cannot be read.",
        429: "The client sends too many requests; Retry-After says when to come back.",
        503: "Too many photos are waiting; Retry-After says when to come back.",
    }.items()
}
"""What any route that takes photos may answer instead."""
