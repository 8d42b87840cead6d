"""MTCNN on a real photo: the faces that are there, wherever and however the photo lies, and no others."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rehead.core.geometry import iou
from rehead.errors import DataError, ImageError, UnknownNameError
from rehead.faces import FaceDetector, FaceEmbedder
from rehead.faces.detection.mtcnn import nms

data = pytest.importorskip("skimage.data", reason="the photo comes from scikit-image")

# facenet-pytorch 2.6.0 (MTCNN by another hand, in torch), thresholds 0.6, 0.7, 0.7, on this photo
REFERENCE_BOX = np.array([179.3, 60.7, 268.0, 174.5])
REFERENCE_POINTS = np.array([[203.7, 101.2], [247.2, 103.4], [225.0, 128.2], [202.5, 140.2], [244.9, 141.8]])


@pytest.fixture(scope="module")
def astronaut() -> NDArray[np.uint8]:
    return np.asarray(data.astronaut())


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector(threads=1)


def test_as_the_reference_finds_it(detector: FaceDetector, astronaut: NDArray[np.uint8]) -> None:
    (face,) = detector.detect(astronaut)
    assert iou(face.box[None], REFERENCE_BOX[None])[0, 0] > 0.95
    assert np.abs(face.points - REFERENCE_POINTS).max() < 1.0
    assert face.score > 0.99


def test_points_are_in_order(detector: FaceDetector, astronaut: NDArray[np.uint8]) -> None:
    left_eye, right_eye, nose, left_mouth, right_mouth = detector.detect(astronaut)[0].points
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < right_mouth[0]
    assert left_eye[1] < nose[1] < left_mouth[1]


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_exif_comes_first(orientation: int, detector: FaceDetector, astronaut: NDArray[np.uint8]) -> None:
    lying = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(astronaut).transpose(lying[orientation]).save(buffer, "JPEG", exif=exif, quality=95)
    (face,) = detector.detect(buffer.getvalue())
    assert iou(face.box[None], REFERENCE_BOX[None])[0, 0] > 0.9


def test_other_kinds_of_pictures(
    tmp_path: Path, detector: FaceDetector, astronaut: NDArray[np.uint8]
) -> None:
    photo = Image.fromarray(astronaut)
    photo.convert("L").save(tmp_path / "grey.png")
    photo.convert("RGBA").save(tmp_path / "rgba.jpg", "PNG")
    for path in (tmp_path / "grey.png", tmp_path / "rgba.jpg"):
        assert iou(detector.detect(path)[0].box[None], REFERENCE_BOX[None])[0, 0] > 0.85


def test_boxes_end_at_the_edge(detector: FaceDetector, astronaut: NDArray[np.uint8]) -> None:
    (face,) = detector.detect(np.ascontiguousarray(astronaut[80:, :250]))
    assert (face.box >= 0).all()
    assert (face.box[2:] <= [250, 432]).all()
    assert face.box[1] == 0


@pytest.mark.parametrize("scale", [0.25, 3.0])
def test_small_and_large_photos(scale: float, detector: FaceDetector, astronaut: NDArray[np.uint8]) -> None:
    side = round(512 * scale)
    photo = np.asarray(Image.fromarray(astronaut).resize((side, side), Image.Resampling.BICUBIC))
    (face,) = detector.detect(photo)
    assert iou(face.box[None] / scale, REFERENCE_BOX[None])[0, 0] > 0.75


def test_a_second_look_finds_smaller_faces(astronaut: NDArray[np.uint8]) -> None:
    photo = np.asarray(Image.fromarray(astronaut).resize((64, 64), Image.Resampling.LANCZOS))
    once, twice = (FaceDetector(smallest=40, retry=retry, threads=1) for retry in (False, True))
    assert once.detect(photo) == []
    (face,) = twice.detect(photo)
    assert 8 < face.quality.side < 16


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_photo_that_lies_without_exif(
    turn: int, detector: FaceDetector, astronaut: NDArray[np.uint8]
) -> None:
    (upright,) = detector.detect(astronaut[:300])
    lying = np.ascontiguousarray(np.rot90(astronaut[:300], turn // 90))  # counterclockwise
    (face,) = detector.detect(lying)
    assert face.turn == turn
    assert face.notes == (f"found with the photo turned {turn} degrees clockwise",)
    assert face.to_dict()["notes"] == list(face.notes)
    assert 0 <= face.box[0] < face.box[2] <= lying.shape[1]
    assert 0 <= face.box[1] < face.box[3] <= lying.shape[0]
    left, right = face.points[:2]
    assert np.degrees(np.arctan2(*(right - left)[::-1])) % 360 == pytest.approx(360 - turn, abs=10)
    embedder = FaceEmbedder(threads=1)
    same = embedder.embed(astronaut, [upright])[0] @ embedder.embed(lying, [face])[0]
    assert same > 0.99
    assert upright.notes == ()
    assert "notes" not in upright.to_dict()


def test_a_dark_photo_is_tried_again_with_its_contrast_stretched(
    detector: FaceDetector, astronaut: NDArray[np.uint8]
) -> None:
    (light,) = detector.detect(astronaut)
    dark = (astronaut * 0.04).astype(np.uint8)
    assert FaceDetector(retry=False, threads=1).detect(dark) == []
    (face,) = detector.detect(dark)
    assert iou(face.box[None], REFERENCE_BOX[None])[0, 0] > 0.85
    assert face.notes == ("found with the contrast of a dark photo stretched",)
    embedder = FaceEmbedder(threads=1)
    same = embedder.embed(astronaut, [light])[0] @ embedder.embed(dark, [face])[0]
    assert same > 0.97


def test_no_face_is_an_empty_list(detector: FaceDetector) -> None:
    for photo in (data.coffee(), np.zeros((300, 200, 3), np.uint8), np.full((5, 400, 3), 255, np.uint8)):
        assert detector.detect(np.ascontiguousarray(photo)) == []
    assert detector.detect(np.zeros((1, 1, 3), np.uint8)) == []


def test_several_faces_come_largest_first(detector: FaceDetector, astronaut: NDArray[np.uint8]) -> None:
    head = Image.fromarray(astronaut[20:220, 110:310])
    page = Image.new("RGB", (700, 400), "grey")
    page.paste(head.resize((100, 100)), (20, 20))
    page.paste(head, (200, 100))
    page.paste(head.resize((300, 300)), (400, 50))
    faces = detector.detect(np.asarray(page))
    assert [round(face.box[0] // 200) for face in faces] == [2, 1, 0]
    assert [face.quality.side for face in faces] == sorted((f.quality.side for f in faces), reverse=True)


def test_what_is_refused(detector: FaceDetector, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'mtcnn'"):
        FaceDetector("mtcn")
    with pytest.raises(DataError, match="smallest must be 4"):
        FaceDetector(smallest=1)
    with pytest.raises(DataError, match=r"array of float64 and shape \(4, 4, 3\); expected a path"):
        detector.detect(np.zeros((4, 4, 3)))  # type: ignore[arg-type]
    (tmp_path / "a.jpg").write_bytes(b"nothing")
    with pytest.raises(ImageError, match=r"a\.jpg"):
        detector.detect(tmp_path / "a.jpg")


def test_thinning_keeps_the_surest() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30], [22, 22, 26, 26]])
    scores = np.array([0.7, 0.9, 0.8, 0.6])
    assert nms(boxes, scores, 0.5).tolist() == [1, 2, 3]
    assert nms(boxes, scores, 0.5, of_smaller=True).tolist() == [1, 2]
    assert nms(boxes[:0], scores[:0], 0.5).tolist() == []


@pytest.mark.parametrize("of_smaller", [False, True])
def test_many_boxes_are_thinned_as_one_by_one(of_smaller: bool) -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 200, (700, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 60, (700, 2))], axis=1)
    scores = rng.uniform(size=700).round(2)  # some are equal
    kept: list[int] = []
    for n in np.argsort(-scores, kind="stable"):
        sides = np.minimum(boxes[n, 2:], boxes[kept, 2:]) - np.maximum(boxes[n, :2], boxes[kept, :2])
        common = sides.clip(0).prod(axis=1)
        areas = (boxes[[n, *kept], 2:] - boxes[[n, *kept], :2]).prod(axis=1)
        whole = np.minimum(areas[0], areas[1:]) if of_smaller else areas[0] + areas[1:] - common
        if (common <= 0.3 * whole).all():
            kept.append(int(n))
    assert nms(boxes, scores, 0.3, of_smaller=of_smaller).tolist() == kept
