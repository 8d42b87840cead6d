"""Model files that somebody changed and sealed anew: a right answer, or one line that names the file.

The changes are drawn by seed, of the graph, of its bytes and of the manifest; `make test-all` draws more.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

from rehead import load_keypoints, load_model
from rehead.backbones.activations import list_layers
from rehead.backbones.backbone import load_backbone
from rehead.classification.saliency import Explainer
from rehead.core import model_file
from rehead.core.model_file import read_model_file
from rehead.errors import ReheadError

GOLDEN = Path(__file__).parents[1] / "golden"
OPERATORS = ("Relu", "Add", "Concat", "Identity", "Constant", "Softmax", "Reshape", "Slice", "Evil", "Gemm",
             "GlobalAveragePool", "Flatten", "Cast", "If", "ReduceMean", "AveragePool",
             "Sub", "Expand")  # fmt: skip
VALUES: tuple[Any, ...] = (None, {}, [], [1], "x", "", -1, float("nan"), 10**400, 1e308, True, {"a": 1})


def graph_of(name: str) -> tuple[bytes, dict[str, Any]]:
    """What comes before the manifest, and the manifest."""
    file = read_model_file(GOLDEN / f"{name}.onnx")
    return file.graph[: model_file._metadata(file.graph)[1]], dict(file.manifest)


def sealed(path: Path, graph: bytes, manifest: object) -> Path:
    path.write_bytes(graph + model_file._sealed(graph, json.dumps(manifest).encode()))
    return path


def changed_graph(graph: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.25:
        data = bytearray(graph)
        for _ in range(draw.choice([1, 2, 8])):
            data[draw.randrange(len(data))] = draw.randrange(256)
        return bytes(data)
    model = onnx.load_from_string(graph)
    node = draw.choice(model.graph.node)
    made = [name for each in model.graph.node for name in each.output]
    output = draw.choice(model.graph.output)

    def attribute() -> None:
        for each in node.attribute:
            each.i = draw.choice([-5, 0, 7, 2**40])
            each.ints[:] = [draw.choice([-1, 0, 99, 2**40]) for _ in each.ints]

    def weights() -> None:
        constants = [each.attribute[0].t for each in model.graph.node if each.op_type == "Constant"]
        tensor = draw.choice([*constants, *model.graph.initializer])
        tensor.data_type = draw.choice([tensor.data_type, 1, 7, 11])
        tensor.dims[:] = [draw.choice([length, 0, 1, 2**30]) for length in tensor.dims]

    draw.choice([
        lambda: setattr(node, "op_type", draw.choice(OPERATORS)),
        lambda: setattr(node, "domain", draw.choice(["evil", "com.microsoft"])),
        lambda: node.ClearField(draw.choice(["input", "output", "attribute"])),
        lambda: node.input.append(draw.choice([*made, "image", ""])),
        lambda: node.input.__setitem__(slice(0, 1), [draw.choice([*made, "image"])]),
        lambda: model.graph.node.remove(node),
        lambda: model.graph.node.add().CopyFrom(node),
        lambda: model.graph.output.remove(output),
        lambda: setattr(output.type.tensor_type.shape.dim[-1], "dim_value", draw.choice([0, 1, 5, 2**30])),
        attribute,
        weights,
    ])()  # fmt: skip
    return bytes(model.SerializeToString())


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a record."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*before, key)
        yield from places(value[key], (*before, key))


def changed_manifest(manifest: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    manifest = copy.deepcopy(manifest)
    *way, last = draw.choice(list(places(manifest)))
    at: Any = manifest
    for key in way:
        at = at[key]
    at[last] = draw.choice(VALUES)
    return manifest


def check(path: Path, *uses: Callable[[Path], object]) -> None:
    for use in uses:
        try:
            use(path)
        except ReheadError as error:
            assert "\n" not in str(error)
            assert path.name in str(error) or "tiny.onnx" in str(error)  # the name that it gives itself


def classify(path: Path) -> None:
    answer = load_model(path, threads=1).predict(GOLDEN / "classifier_protocol1_known.png")[0]
    json.dumps(answer.to_dict(), allow_nan=False)


def explain(path: Path) -> None:
    Explainer(path, threads=1).explain(GOLDEN / "classifier_protocol1_known.png")


def place(path: Path) -> None:
    answer = load_keypoints(path, threads=1).predict(GOLDEN / "keypoints_protocol2.png")[0]
    json.dumps(answer.to_dict(), allow_nan=False)


def key(path: Path) -> None:
    assert load_backbone(path).context


seeds = pytest.mark.parametrize(
    "seed", [*range(15), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(15, 250))]
)


@seeds
def test_a_changed_graph(tmp_path: Path, seed: int, capfd: pytest.CaptureFixture[str]) -> None:
    graph, manifest = graph_of("classifier_protocol1")
    path = sealed(tmp_path / "model.onnx", changed_graph(graph, random.Random(seed)), manifest)
    check(path, classify, explain, key, list_layers)
    assert capfd.readouterr().out == ""


@seeds
def test_a_changed_manifest(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    graph, manifest = graph_of("classifier_protocol1")
    check(sealed(tmp_path / "model.onnx", graph, changed_manifest(manifest, draw)), classify, explain, key)
    graph, manifest = graph_of("keypoints_protocol2")
    check(sealed(tmp_path / "points.onnx", graph, changed_manifest(manifest, draw)), place)
