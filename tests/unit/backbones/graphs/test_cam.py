from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rehead.backbones import graphs
from rehead.backbones.graphs import builder as op
from rehead.backbones.graphs.cam import LinearInMaps, NotLinearError, activation_maps, linear_in_maps
from rehead.backbones.graphs.inspect import expose, layers, level_tensors
from rehead.core.runtime import open_session
from rehead.heads.mahalanobis import RelativeMahalanobis, fit_distance

SIDE = 12


def array(rng: np.random.Generator, *shape: int) -> Any:
    return op.const(rng.normal(size=shape).astype(np.float32))


def photo_input() -> Any:
    return op.argument(np.uint8, ("N", SIDE, SIDE, 3))


def maps_of(image: Any, rng: np.random.Generator, widths: list[int], strides: list[int]) -> list[Any]:
    x, inputs, found = op.cast(op.transpose(image, perm=[0, 3, 1, 2]), to=np.float32), 3, []
    for width, stride in zip(widths, strides, strict=True):
        x = op.tanh(op.conv(x, array(rng, width, inputs, 3, 3), strides=[stride] * 2, auto_pad="SAME_UPPER"))
        found.append(x)
        inputs = width
    return found


def distance(width: int, classes: int, rng: np.random.Generator) -> RelativeMahalanobis:
    target = np.arange(4 * classes) % classes
    return fit_distance(rng.normal(size=(len(target), width)).astype(np.float32), target, [slice(0, width)])


def logits_by_maps(model: Any, linear: LinearInMaps, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    exposed = expose(model, {piece.tensor: f"{n}" for n, piece in enumerate(linear.pieces)})
    maps = open_session(exposed, threads=1).run(None, {"image": pixels})
    return sum(
        (share.mean(axis=(1, 2)) for share in activation_maps(linear, [m[0] for m in maps])),
        linear.bias.copy(),
    )


def photos(rng: np.random.Generator) -> NDArray[np.uint8]:
    return rng.integers(0, 256, (1, SIDE, SIDE, 3), dtype=np.uint8)


@settings(max_examples=15, deadline=None)
@given(
    widths=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    first=st.integers(0, 2),
    classes=st.integers(2, 4),
    seed=st.integers(0, 1000),
)
def test_means_and_bias_give_back_the_logits(widths: list[int], first: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = min(first, len(widths) - 1)
    image = photo_input()
    found = maps_of(image, rng, widths, [1 + n % 2 for n in range(len(widths))])
    names = [f"depth {n}" for n in range(len(widths))]
    start = sum(widths[:first])
    weight = rng.normal(size=(sum(widths) - start, classes)).astype(np.float32)
    bias = rng.normal(size=classes).astype(np.float32)
    model = graphs.linear_model(
        op.build({"image": image}, dict(zip(names, found, strict=True))),
        names,
        first=start,
        weight=weight,
        bias=bias,
        outlier=distance(sum(widths), classes, rng),
    )
    linear = linear_in_maps(model)
    assert [piece.weight.shape for piece in linear.pieces] == [(width, classes) for width in widths[first:]]
    pixels = photos(rng)
    (features,) = open_session(model.SerializeToString(), threads=1).run(["features"], {"image": pixels})
    np.testing.assert_allclose(
        logits_by_maps(model, linear, pixels), features[0, start:] @ weight + bias, atol=1e-4
    )
    assert len(level_tensors(model)) == len(widths)


def build(how: str, rng: np.random.Generator) -> Any:
    """A classifier as others export them: what stands between the last maps and the answer."""
    image = photo_input()
    x = maps_of(image, rng, [4, 5], [2, 1])[-1]
    averaged = op.flatten(op.global_average_pool(x))
    weight, bias = array(rng, 3, 5), array(rng, 3)
    if how == "gemm":
        y = op.softmax(op.gemm(averaged, weight, bias, transB=1), axis=1)
    elif how == "reduce mean":
        y = op.gemm(op.reduce_mean(x, axes=[2, 3], keepdims=0), weight, bias, transB=1, alpha=0.5, beta=2.0)
    elif how == "average pool":
        flat = op.reshape(op.average_pool(x, kernel_shape=[6, 6]), op.const([-1, 5]))
        y = op.add(op.matmul(flat, op.const(rng.normal(size=(5, 3)).astype(np.float32))), bias)
    elif how == "channels last":
        y = op.matmul(
            op.reduce_mean(op.transpose(x, perm=[0, 2, 3, 1]), axes=[1, 2], keepdims=0), array(rng, 5, 3)
        )
    elif how == "two layers":
        y = op.gemm(op.gemm(averaged, array(rng, 7, 5), array(rng, 7), transB=1), array(rng, 3, 7), transB=1)
    elif how == "scaled":
        y = op.sub(
            op.const(np.float32(2)),
            op.div(op.mul(op.sub(averaged, array(rng, 5)), array(rng, 5)), array(rng, 5)),
        )
    elif how == "hidden layer":
        y = op.gemm(op.relu(op.gemm(averaged, array(rng, 7, 5), transB=1)), array(rng, 3, 7), transB=1)
    elif how == "flattened":
        y = op.matmul(op.flatten(x), array(rng, 5 * 36, 3))
    else:
        y = op.flatten(op.reduce_max(x, axes=[2, 3]))
    return op.build({"image": image}, {"answer": y})


@pytest.mark.parametrize(
    "how", ["gemm", "reduce mean", "average pool", "channels last", "two layers", "scaled"]
)
def test_classifiers_of_others(how: str) -> None:
    rng = np.random.default_rng(3)
    model = build(how, rng)
    pixels = photos(rng)
    (row,) = open_session(model.SerializeToString(), threads=1).run(None, {"image": pixels})
    found = logits_by_maps(model, linear_in_maps(model, "answer"), pixels)
    if how == "gemm":
        found = np.exp(found) / np.exp(found).sum()
    np.testing.assert_allclose(found, row[0], atol=1e-4)


@pytest.mark.parametrize(
    ("how", "step"), [("hidden layer", "Relu"), ("flattened", "Tanh"), ("largest", "ReduceMax")]
)
def test_what_is_not_linear_in_maps_is_said(how: str, step: str) -> None:
    with pytest.raises(NotLinearError, match=step):
        linear_in_maps(build(how, np.random.default_rng(3)), "answer")


def test_layers_are_listed_in_order_with_their_names(tiny_onnx: Path) -> None:
    from rehead.backbones.backbone import load_backbone

    found = layers(onnx.load_from_string(load_backbone(tiny_onnx).trunk))
    assert [layer.kind for layer in found] == ["Conv", "Relu", "Conv", "Relu"]
    assert [layer.shape for layer in found] == [(8, 8, 8), (8, 8, 8), (24, 4, 4), (24, 4, 4)]
    assert found[1].name == "middle"
    assert len({layer.name for layer in found}) == 4
