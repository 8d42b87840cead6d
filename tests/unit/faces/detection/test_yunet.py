"""YuNet: a network of the same outputs that sees red cells is decoded; and the real file, where it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import pytest
from numpy.typing import NDArray

from rehead.backbones.graphs.yunet import any_size
from rehead.backbones.weights import faces, locate
from rehead.core.geometry import iou
from rehead.errors import WeightsError
from rehead.faces import FaceDetector
from rehead.faces.detection import yunet
from rehead.faces.detection.yunet import YuNet
from rehead.images import pyramid

SHIFT = [
    0.5,
    0.25,
    np.log(3.0),
    np.log(4.0),
]  # middle of the box in its cell, logarithms of its sides in cells
POINTS = [0.0, 0, 1, 0, 0.5, 0.5, 0.1, 1, 0.9, 1]


def red_cells(path: Path) -> Path:
    """A network that sees a face in every cell that is wholly red: of B, G and R from 0 to 255 only R."""
    nodes, arrays, outputs = [], {"rows": np.array([0, -1, 1]), "half": np.float32(0.5)}, []

    def add(kind: str, inputs: list[str], output: str, **options: object) -> str:
        nodes.append(onnx.helper.make_node(kind, inputs, [output], **options))
        return output

    arrays["red"] = np.array([-1, -1, 1], np.float32).reshape(1, 3, 1, 1) / 255
    red = add("Conv", ["input", "red"], "redness")
    for side in (8, 16, 32):
        sides = {"kernel_shape": [side] * 2, "strides": [side] * 2}
        least = add("AveragePool", [red], f"mean {side}", **sides)
        cell = add("Transpose", [least], f"cell {side}", perm=[0, 2, 3, 1])
        score = add("Reshape", [cell, "rows"], f"cls_{side}")
        add("Identity", [score], f"obj_{side}")
        nothing = add("Sub", [score, score], f"nothing {side}")
        for name, values in (("bbox", SHIFT), ("kps", POINTS)):
            arrays[f"{name} {side}"] = np.array(values, np.float32)
            add("Add", [nothing, f"{name} {side}"], f"{name}_{side}")
        for name, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            shape = [1, (640 // side) ** 2, width]
            outputs.append(onnx.helper.make_tensor_value_info(f"{name}_{side}", 1, shape))
    image = onnx.helper.make_tensor_value_info("input", 1, [1, 3, 640, 640])
    given = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    graph = onnx.helper.make_graph(nodes, "red cells", [image], outputs, given)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 11)], ir_version=6)
    onnx.save(model, path)
    return path


@pytest.fixture
def from_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    def use(path: Path) -> None:
        monkeypatch.setenv("REHEAD_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(locate, "locate", lambda spec: path)

    return use


@pytest.fixture
def red(tmp_path: Path, from_file: Callable[[Path], None]) -> YuNet:
    from_file(red_cells(tmp_path / "red.onnx"))
    return YuNet(threads=1)


def test_boxes_points_and_scores_are_decoded(red: YuNet) -> None:
    photo = np.zeros((50, 90, 3), np.uint8)
    photo[16:24, 40:48] = 255, 0, 0
    found = red.detect_boxes(photo, smallest=20)
    assert found.scores == pytest.approx([1.0])
    np.testing.assert_allclose(found.boxes, [[44 - 12, 18 - 16, 44 + 12, 18 + 16]], rtol=1e-6)
    np.testing.assert_allclose(found.points[0], [40, 16] + 8 * np.array(POINTS).reshape(5, 2), rtol=1e-6)


def test_blue_is_not_red_and_nothing_is_nothing(red: YuNet) -> None:
    photo = np.zeros((50, 90, 3), np.uint8)
    assert len(red.detect_boxes(photo, smallest=20).scores) == 0
    photo[16:24, 40:48] = 0, 0, 255
    assert len(red.detect_boxes(photo, smallest=20).scores) == 0
    assert len(red.detect_boxes(photo[:1, :1], smallest=20).scores) == 0


def test_scores_are_the_mean_of_both_answers_and_have_a_limit(red: YuNet) -> None:
    photo = np.zeros((32, 32, 3), np.uint8)
    photo[:8, :8, 0] = 230
    assert red.detect_boxes(photo, smallest=20).scores == pytest.approx([230 / 255], abs=1e-6)
    photo[:8, :8, 0] = 255 * 0.79
    assert len(red.detect_boxes(photo, smallest=20).scores) == 0


def test_a_face_is_found_once_and_large_ones_in_the_small_photo(red: YuNet) -> None:
    photo = np.zeros((640, 640, 3), np.uint8)
    photo[128:256, 256:384] = 255, 0, 0
    found = red.detect_boxes(photo, smallest=20)
    # at a quarter of the size the square is one cell of 32 pixels
    assert iou(found.boxes, np.array([[320.0 - 192, 160 - 256, 320 + 192, 160 + 256]])).max() > 0.99
    assert iou(found.boxes, found.boxes)[~np.eye(len(found.boxes), dtype=bool)].max(initial=0) <= 0.3


@pytest.mark.parametrize(("smallest", "scale"), [(10, 2.0), (40, 0.5)])
def test_smaller_faces_are_sought_in_a_larger_photo(
    smallest: float, scale: float, red: YuNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, int]] = []

    def spied(pixels: NDArray[np.uint8], wanted: list[tuple[int, int]]) -> Iterator[NDArray[np.uint8]]:
        sizes.extend(wanted)
        return pyramid(pixels, wanted)

    monkeypatch.setattr(yunet, "pyramid", spied)
    red.detect_boxes(np.zeros((100, 400, 3), np.uint8), smallest=smallest)
    assert [*sizes[0]] == [400 * scale, 100 * scale]
    assert max(sizes[-1]) <= 300


def test_another_network_is_refused(tmp_path: Path, tiny_onnx: Path) -> None:
    with pytest.raises(WeightsError, match="is no YuNet: expected the outputs cls_8"):
        any_size(tiny_onnx)
    (tmp_path / "a.onnx").write_bytes(b"<html>")
    with pytest.raises(WeightsError, match="cannot be read as ONNX"):
        any_size(tmp_path / "a.onnx")


def test_what_is_known_of_the_weights() -> None:
    file = faces.get("yunet")
    assert (file.weights_licence, file.size, file.filename) == (
        "MIT",
        232_589,
        "face_detection_yunet_2023mar.onnx",
    )


@pytest.fixture
def published(from_file: Callable[[Path], None]) -> Path:
    path = Path(os.environ.get("REHEAD_TEST_DATA", "")) / "onnx" / "yunet_s.onnx"
    if not path.is_file():
        pytest.skip("YuNet's file is not shipped: REHEAD_TEST_DATA is to be a folder with onnx/yunet_s.onnx")
    from_file(path)
    return path


def test_finds_the_astronaut(published: Path) -> None:
    data = pytest.importorskip("skimage.data", reason="the photo comes from scikit-image")
    astronaut = np.asarray(data.astronaut())
    (face,) = FaceDetector("yunet", threads=1).detect(astronaut)
    assert iou(face.box[None], np.array([[179.3, 60.7, 268.0, 174.5]]))[0, 0] > 0.8
    points = np.array([[203.7, 101.2], [247.2, 103.4], [225.0, 128.2], [202.5, 140.2], [244.9, 141.8]])
    assert np.abs(face.points - points).max() < 8
    (dark,) = FaceDetector("yunet", threads=1).detect((astronaut * 0.1).astype(np.uint8))
    assert iou(face.box[None], dark.box[None])[0, 0] > 0.8
    assert FaceDetector("yunet", threads=1).detect(np.ascontiguousarray(data.coffee())) == []


def test_is_decoded_as_opencv_does_it(published: Path) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV's own decoding")
    data = pytest.importorskip("skimage.data", reason="the photo comes from scikit-image")
    photo = np.ascontiguousarray(data.astronaut()[:256, :256])
    _, (row,) = cv2.FaceDetectorYN.create(str(published), "", (256, 256), 0.8).detect(photo[..., ::-1].copy())
    found = YuNet(threads=1).detect_boxes(photo, smallest=20)
    np.testing.assert_allclose(found.boxes, [[*row[:2], *(row[:2] + row[2:4])]], atol=0.05)
    np.testing.assert_allclose(found.points[0], row[4:14].reshape(5, 2), atol=0.05)
    assert found.scores == pytest.approx([row[14]], abs=1e-4)
