"""Keypoint models as ONNX graphs: feature maps, a linear regression from them, and a second stage.

The first stage predicts points in the photo. A similarity brings them to where a typical face (or hand, or
leaf) has them; the crop that it defines goes through the same network, and the second stage predicts the
points anew. Everything between is linear, but for the sampling: the similarity that fits points p best
(Umeyama 1991) is p times a constant, and so is each stage. Weights of the network are stored once, though it
runs twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import builder as op
from .builder import Var
from .ops import image_input, side_of

__all__ = ["crop_model", "keypoint_model"]


class StageArrays(Protocol):
    """A stage: points = mean + clip(sum over levels of map @ weights + bias, low, high) @ basis."""

    @property
    def levels(self) -> Sequence[str]: ...
    @property
    def weights(self) -> Sequence[NDArray[np.float32]]: ...
    @property
    def bias(self) -> NDArray[np.float32]: ...
    @property
    def low(self) -> NDArray[np.float32]: ...
    @property
    def high(self) -> NDArray[np.float32]: ...
    @property
    def basis(self) -> NDArray[np.float32]: ...
    @property
    def mean(self) -> NDArray[np.float32]: ...


class UncertaintyArrays(Protocol):
    """As `keypoints.uncertainty.UncertaintyModel`."""

    @property
    def mean(self) -> NDArray[np.float32]: ...
    @property
    def whitening(self) -> NDArray[np.float32]: ...
    @property
    def log_error(self) -> NDArray[np.float32]: ...
    @property
    def log_std(self) -> float: ...
    @property
    def log_limit(self) -> float: ...
    @property
    def covariance(self) -> NDArray[np.float32]: ...


def crop_model(side: int) -> Any:
    """`image` uint8 (N, S, S, 3) and `crop_transform` float32 (N, 2, 3) to `crop` uint8 (N, S, S, 3).

    A crop transform maps points of the crop to points of the photo, both in units of the side.
    """
    image = image_input(side)
    transform = op.argument(np.float32, ("N", 2, 3))
    return op.build({"image": image, "crop_transform": transform}, {"crop": _crop(image, transform, side)})


def keypoint_model(
    trunks: Sequence[Any],
    stages: Sequence[StageArrays],
    *,
    aligner: NDArray[np.float32],
    offset: NDArray[np.float32],
    uncertainty: UncertaintyArrays,
) -> Any:
    """The whole model: `image` to `keypoints`, `spread` (covariances), `confidence` and `outlier_score`.

    Parameters
    ----------
    trunks : one or two onnx.ModelProto
        Of each stage; `image` is prepared as the first one takes it.
    stages : one or two StageArrays
    aligner : float32 (2K, 6)
        Points in a row times this, and `offset` (6,) added, are the crop transform, (2, 3) in a row.
    uncertainty : UncertaintyArrays
    """
    side = side_of(trunks[0])
    image = image_input(side)
    first, pooled = _run(trunks[0], image, stages[0])
    row = op.add(op.matmul(first, op.const(aligner)), op.const(offset))
    transform = op.reshape(row, op.const(np.array([-1, 2, 3])))
    linear = op.slice(transform, op.const([0]), op.const([2]), op.const([2]))  # (N, 2, 2)
    points = op.reshape(first, op.const(np.array([0, -1, 2])))
    moves: Var | None = None
    if len(stages) == 2:
        crop = _crop(image, transform, side_of(trunks[1]))
        last, pooled = _run(trunks[1], crop, stages[1])
        in_crop = op.reshape(last, op.const(np.array([0, -1, 2])))
        shift = op.slice(transform, op.const([2]), op.const([3]), op.const([2]))
        in_photo = op.add(
            op.matmul(in_crop, op.transpose(linear, perm=[0, 2, 1])), op.transpose(shift, perm=[0, 2, 1])
        )
        moves = op.sub(in_photo, points)
        points = in_photo
    outputs = {"keypoints": points, **_uncertainty(pooled, linear, moves, uncertainty)}
    return op.build({"image": image}, outputs)


def _crop(image: Var, transform: Var, side: int) -> Var:
    """The crop of `transform` (N, 2, 3), uint8 (N, S, S, 3); beyond the photo its edge is repeated."""
    centres = (np.arange(side, dtype=np.float32) + 0.5) / side
    square = np.stack([*np.meshgrid(centres, centres), np.ones((side, side), np.float32)], axis=-1)
    # GridSample counts from -1 to 1 over the photo
    where = op.matmul(op.const(2 * square.reshape(1, -1, 3)), op.transpose(transform, perm=[0, 2, 1]))
    grid = op.reshape(op.sub(where, op.const(np.float32(1))), op.const(np.array([0, side, side, 2])))
    pixels = op.transpose(op.cast(image, to=np.float32), perm=[0, 3, 1, 2])
    sampled = op.grid_sample(pixels, grid, align_corners=0, mode="bilinear", padding_mode="border")
    rounded = op.cast(op.floor(op.add(sampled, op.const(np.float32(0.5)))), to=np.uint8)
    return op.transpose(rounded, perm=[0, 2, 3, 1])


def _run(trunk: Any, image: Var, stage: StageArrays) -> tuple[Var, Var]:
    """Points (N, 2K) by a stage, and its pooled maps (N, C)."""
    maps = op.inline(trunk, stage.levels)(image)
    shape: Var = op.const(stage.bias)
    for level, weight in zip(stage.levels, stage.weights, strict=True):
        shape = op.add(shape, op.matmul(op.flatten(maps[level]), op.const(weight)))
    shape = op.max([op.min([shape, op.const(stage.high)]), op.const(stage.low)])
    deepest = maps[stage.levels[-1]]
    pooled = op.flatten(op.global_average_pool(deepest)) if len(deepest.shape) == 4 else deepest
    return op.add(op.matmul(shape, op.const(stage.basis)), op.const(stage.mean)), pooled


def _uncertainty(pooled: Var, linear: Var, moves: Var | None, model: UncertaintyArrays) -> dict[str, Var]:
    """Covariance of each point, confidence, and outlier score."""

    def square(v: Var) -> Var:
        return op.reduce_sum(op.mul(v, v), op.const([1]), keepdims=0)

    score = square(op.matmul(op.sub(pooled, op.const(model.mean)), op.const(model.whitening)))
    b = model.log_error
    tiny = op.const(np.float32(1e-12))
    log_error = op.add(op.const(b[0]), op.mul(op.const(b[1]), op.log(op.max([score, tiny]))))
    twice_squared_scale = op.reduce_sum(op.mul(linear, linear), op.const([1, 2]), keepdims=0)
    if moves is not None:
        squares = op.reduce_mean(
            op.reduce_sum(op.mul(moves, moves), op.const([2]), keepdims=0), axes=[1], keepdims=0
        )
        ratio = op.div(op.mul(op.const(np.float32(2)), squares), op.max([twice_squared_scale, tiny]))
        log_error = op.add(log_error, op.mul(op.const(b[2]), op.log(op.max([ratio, tiny]))))
    z = op.div(op.sub(op.const(np.float32(model.log_limit)), log_error), op.const(np.float32(model.log_std)))
    half = op.const(np.float32(0.5))
    confidence = op.mul(
        half, op.add(op.const(np.float32(1)), op.erf(op.mul(z, op.const(np.float32(2**-0.5)))))
    )
    factor = op.exp(op.mul(op.const(np.float32(2)), log_error))  # (N,)
    four = op.const(np.array([-1, 1, 1, 1]))
    per_point = op.unsqueeze(linear, op.const([1]))
    within = op.matmul(
        op.matmul(per_point, op.const(model.covariance[None])), op.transpose(per_point, perm=[0, 1, 3, 2])
    )
    covariance = op.mul(within, op.reshape(factor, four))
    return {"spread": covariance, "confidence": confidence, "outlier_score": score}
