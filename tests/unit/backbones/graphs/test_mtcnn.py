"""MTCNN's graphs pool before PReLU, and still answer as the paper's order does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rehead.backbones.graphs import mtcnn
from rehead.core.runtime import open_session
from rehead.errors import WeightsError

torch = pytest.importorskip("torch", reason="the networks are compared with their torch originals")
F = torch.nn.functional

# layers as the files have them: "conv" kernel, inputs, outputs; "dense" inputs, outputs; "prelu" outputs
SHAPES: dict[str, list[tuple[int, ...]]] = {
    "p": [(3, 3, 3, 10), (10,), (1, 1, 10), (3, 3, 10, 16), (16,), (1, 1, 16), (3, 3, 16, 32), (32,),
          (1, 1, 32), (1, 1, 32, 4), (4,), (1, 1, 32, 2), (2,)],
    "r": [(3, 3, 3, 28), (28,), (1, 1, 28), (3, 3, 28, 48), (48,), (1, 1, 48), (2, 2, 48, 64), (64,),
          (1, 1, 64), (576, 128), (128,), (128,), (128, 4), (4,), (128, 2), (2,)],
    "o": [(3, 3, 3, 32), (32,), (1, 1, 32), (3, 3, 32, 64), (64,), (1, 1, 64), (3, 3, 64, 64), (64,),
          (1, 1, 64), (2, 2, 64, 128), (128,), (1, 1, 128), (1152, 256), (256,), (256,), (256, 4), (4,),
          (256, 10), (10,), (256, 2), (2,)],
}  # fmt: skip
POOLS: dict[str, list[tuple[int, bool]]] = {
    "p": [(2, True)],
    "r": [(3, True), (3, False)],
    "o": [(3, True), (3, False), (2, True)],
}
NETWORKS = {"p": mtcnn.proposal_network, "r": mtcnn.refinement_network, "o": mtcnn.output_network}
SIDES = {"p": 37, "r": 24, "o": 48}

Arrays = list[NDArray[np.float32]]


def weights(name: str, *, slopes: tuple[float, float]) -> Arrays:
    rng = np.random.default_rng(ord(name))
    arrays = []
    for shape in SHAPES[name]:
        if shape[:2] == (1, 1) and len(shape) == 3:
            arrays.append(rng.uniform(*slopes, shape))
        else:
            fan = int(np.prod(shape[:-1])) or 1
            arrays.append(rng.normal(size=shape) * (np.sqrt(2 / fan) if len(shape) > 1 else 0.1))
    return [array.astype(np.float32) for array in arrays]


def pooled(x: Any, kernel: int, same: bool) -> Any:
    if same:  # as TensorFlow pads: the odd pixel at the end
        height, width = (max(0, (-(-s // 2) - 1) * 2 + kernel - s) for s in x.shape[2:])
        below, right = height // 2, width // 2
        x = F.pad(x, (right, width - right, below, height - below), value=-float("inf"))
    return F.max_pool2d(x, kernel, 2)


def expected(name: str, arrays: Arrays, photos: NDArray[np.uint8]) -> dict[str, Any]:
    """The paper's order."""
    left: Iterator[Any] = map(torch.from_numpy, arrays)

    def conv(x: Any) -> Any:
        return F.conv2d(x, next(left).permute(3, 2, 0, 1), next(left))

    def dense(x: Any) -> Any:
        return x @ next(left) + next(left)

    x = (torch.from_numpy(photos).permute(0, 3, 1, 2).float() - 127.5) / 128
    for kernel, same in POOLS[name]:
        x = pooled(F.prelu(conv(x), next(left).flatten()), kernel, same)
    for _ in range(2 if name == "p" else 1):
        x = F.prelu(conv(x), next(left).flatten())
    if name == "p":
        shift, face = conv(x), conv(x).softmax(1)[:, 1]
        return {"face": face, "shift": shift}
    x = F.prelu(dense(x.permute(0, 3, 2, 1).flatten(1)), next(left))
    answer = {"shift": dense(x)}
    if name == "o":
        answer["points"] = dense(x)
    return {"face": dense(x).softmax(1)[:, 1], **answer}


@pytest.mark.parametrize("slopes", [(-1.5, 1.5), (0.0, 0.5), (-1.0, -0.1)], ids=str)
@pytest.mark.parametrize("name", ["p", "r", "o"])
def test_as_in_the_papers_order(name: str, slopes: tuple[float, float]) -> None:
    arrays = weights(name, slopes=slopes)
    photos = np.random.default_rng(1).integers(0, 256, (3, SIDES[name], SIDES[name], 3), np.uint8)
    photos[1] //= 3  # a dark one
    photos[2, :, ::2] = 255
    session = open_session(NETWORKS[name](arrays).SerializeToString(), threads=1)
    found = dict(
        zip((o.name for o in session.get_outputs()), session.run(None, {"image": photos}), strict=True)
    )
    with torch.no_grad():
        answers = expected(name, arrays, photos)
    assert found.keys() == answers.keys()
    for key, answer in answers.items():
        scale = max(1.0, float(answer.abs().max()))
        assert answer.std() > 1e-3, f"{key} says nothing"
        np.testing.assert_allclose(found[key], answer.numpy(), rtol=0, atol=1e-5 * scale, err_msg=key)


@pytest.mark.parametrize("name", ["p", "r", "o"])
def test_weights_of_another_network_are_refused(name: str) -> None:
    arrays = weights(name, slopes=(0, 1))
    with pytest.raises(WeightsError, match=f"mtcnn_{name}net: .* has none where"):
        NETWORKS[name](arrays[:-1])
    with pytest.raises(WeightsError, match="has more arrays"):
        NETWORKS[name]([*arrays, arrays[0]])
    with pytest.raises(WeightsError, match=r"has shape \(5,\) where"):
        NETWORKS[name]([arrays[0], np.zeros(5, np.float32), *arrays[2:]])
