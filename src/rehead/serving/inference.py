"""Models under the Open Inference Protocol: what one takes and gives, and the answers to one request."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.rejection import UNKNOWN
from ..errors import DataError, ImageError
from .inference_protocol import InferRequest
from .models import KeepsOutputs, ServedModel
from .tensors import Tensor, of_bytes, shown

__all__ = [
    "IMAGE",
    "LABEL",
    "Outputs",
    "input_photos",
    "model_metadata",
    "output_names",
    "photo_work",
    "tensors_of",
]

IMAGE, LABEL = "image", "label"

_DATATYPES = {"tensor(float)": "FP32", "tensor(uint8)": "UINT8", "tensor(int64)": "INT64"}
_MAX_SIDE = 16_384
"""Pixels of a picture's side: the weights of the resize in the graph grow with its height. A million by one
takes 400 MB and a second; at this limit a picture takes no more than another of as many pixels."""

Photo = bytes | NDArray[np.uint8]


def model_metadata(model: ServedModel) -> dict[str, Any]:
    """What the protocol says of a model."""
    session = model.predictor.session
    (image,) = session.get_inputs()
    outputs = [_described(each.name, _DATATYPES[each.type], each.shape) for each in session.get_outputs()]
    if _names_classes(model):
        outputs.append(_described(LABEL, "BYTES", [None]))
    return {
        "name": model.name,
        "versions": [model.version],
        "platform": "onnxruntime_onnx",
        "inputs": [_described(IMAGE, "UINT8", image.shape)],
        "outputs": outputs,
    }


def _described(name: str, datatype: str, shape: Sequence[Any]) -> dict[str, Any]:
    lengths = [length if isinstance(length, int) else -1 for length in shape]
    return {"name": name, "datatype": datatype, "shape": lengths}


def _names_classes(model: ServedModel) -> bool:
    return hasattr(model.predictor, "operating_point")


def output_names(model: ServedModel) -> list[str]:
    """Outputs that a request may ask for."""
    names = [output.name for output in model.predictor.session.get_outputs()]
    return [*names, LABEL] if _names_classes(model) else names


def input_photos(model: ServedModel, request: InferRequest) -> list[Photo]:
    """The photos of a request: pictures as the graph takes them, uint8 (H, W, 3), or bytes of image files.

    Raises
    ------
    DataError
        There is another input, or one that the model does not take.
    """
    if set(request.inputs) != {IMAGE}:
        names = ", ".join(map(shown, list(request.inputs)[:5]))
        raise DataError(f"the inputs are {names}; expected 'image' and no other")
    tensor = request.inputs[IMAGE]
    shape = tensor.data.shape
    if tensor.datatype == "BYTES":
        if shape[1:] not in ((), (1,)):
            raise DataError(f"input 'image' of BYTES has the shape {list(shape)}; expected [N]")
        return [_from_base64(each) if tensor.in_json else each for each in tensor.data.ravel()]
    takes = [n if isinstance(n, int) else None for n in model.predictor.session.get_inputs()[0].shape]
    if tensor.datatype != "UINT8" or len(shape) != 4 or not _fits(shape[1:], takes[1:]):
        wanted = ", ".join("N" if n == 0 else str(takes[n] or "NHW"[n]) for n in range(4))
        raise DataError(
            f"input 'image' is {tensor.datatype} {list(shape)}; expected UINT8 [{wanted}], sides of "
            f"up to {_MAX_SIDE}, or BYTES [N]"
        )
    return list(tensor.data)


def _fits(shape: Sequence[int], takes: Sequence[int | None]) -> bool:
    return max(shape) <= _MAX_SIDE and all(
        wanted in (None, length) for length, wanted in zip(shape, takes, strict=True)
    )


def _from_base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise DataError(
            "input 'image' of BYTES in JSON is not base64; expected a photo so encoded"
        ) from error


@dataclass(frozen=True)
class Outputs:
    """What a model gives for one photo.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        Each of length 1.
    label : str
        The class, or "unknown"; "" where the model names none.
    reason : str
        Why it is "unknown", or the points are not reliable; "" otherwise.
    """

    tensors: Mapping[str, NDArray[Any]]
    label: str = ""
    reason: str = ""


def photo_work(model: ServedModel, photos: Sequence[Photo]) -> list[Callable[[], Outputs | ImageError]]:
    """For each photo what gives its outputs, or says why there are none; to be called from any thread."""
    return [partial(_outputs, model, photo) for photo in photos]


def _outputs(model: ServedModel, photo: Photo) -> Outputs | ImageError:
    session, reason = model.predictor.session, ""
    run = KeepsOutputs(session, [output.name for output in session.get_outputs()])
    if isinstance(photo, bytes):
        answer = model.predictor.answer(photo, run)
        if isinstance(answer, ImageError):
            return answer
        reason = answer.reason
    else:
        run.run([], {IMAGE: photo[None]})
    point = getattr(model.predictor, "operating_point", None)
    if point is None:
        return Outputs(run.outputs, reason=reason)
    (row,), (outlier,) = run.outputs["probabilities"], run.outputs["outlier_score"]
    best = int(row.argmax())
    reason = point.reason(float(row[best]), float(outlier))
    text = UNKNOWN if reason else model.labels[best]
    label = of_bytes([text.encode("utf-8")], (1,))
    return Outputs({**run.outputs, LABEL: label}, text, reason)


def tensors_of(answers: Sequence[Outputs | ImageError]) -> dict[str, Tensor]:
    """The outputs of all photos; DataError that says which photo has none."""
    found: list[Mapping[str, NDArray[Any]]] = []
    for number, answer in enumerate(answers, 1):
        if isinstance(answer, ImageError):
            raise DataError(f"input 'image': photo {number}: {answer.reason}")
        found.append(answer.tensors)
    tensors = {}
    for name, first in found[0].items():
        array = np.concatenate([each[name] for each in found])
        datatype = {"O": "BYTES", "f": "FP32", "u": "UINT8", "i": "INT64"}[first.dtype.kind]
        tensors[name] = Tensor(name, datatype, array)
    return tensors
