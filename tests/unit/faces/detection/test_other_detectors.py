"""dlib's and OpenCV's detectors: their boxes, the same five points."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rehead.core.geometry import iou
from rehead.errors import MissingExtraError
from rehead.faces import FaceDetector

data = pytest.importorskip("skimage.data", reason="the photo comes from scikit-image")

POINTS = np.array([[203.7, 101.2], [247.2, 103.4], [225.0, 128.2], [202.5, 140.2], [244.9, 141.8]])
BOXES = {"dlib": [173, 80, 266, 173], "dlib-cnn": [171, 68, 257, 154], "haar": [177, 66, 272, 161]}


@pytest.mark.parametrize(("name", "package"), [("dlib", "dlib"), ("dlib-cnn", "dlib"), ("haar", "cv2")])
def test_finds_the_astronaut(name: str, package: str) -> None:
    pytest.importorskip(package, reason=f"the detector {name} is its own")
    photo = np.ascontiguousarray(data.astronaut()[20:240, 100:360])
    detector = FaceDetector(name, smallest=60, threads=1)
    face = detector.detect(photo)[0]
    assert iou(face.box[None], np.array([BOXES[name]]) - [100, 20, 100, 20])[0, 0] > 0.7
    assert np.abs(face.points - (POINTS - [100, 20])).max() < 4
    assert detector.detect(np.zeros((90, 90, 3), np.uint8)) == []


@pytest.mark.parametrize(("name", "package"), [("dlib", "dlib"), ("haar", "cv2")])
def test_photos_side_by_side_are_as_one_after_the_other(name: str, package: str) -> None:
    """Their detectors keep the photo in themselves: shared by threads, dlib's ends the process."""
    pytest.importorskip(package, reason=f"the detector {name} is its own")
    astronaut = data.astronaut()
    photos = [np.ascontiguousarray(astronaut[: 200 + 20 * n, 60 : 300 + 25 * n]) for n in range(8)]
    detector = FaceDetector(name, smallest=60, threads=1)
    alone = [[face.box.tolist() for face in detector.detect(photo)] for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        together = [[face.box.tolist() for face in faces] for faces in pool.map(detector.detect, photos * 2)]
    assert together == alone * 2
    assert sum(map(len, alone)) >= len(photos)


@pytest.mark.parametrize(("name", "package", "extra"), [("dlib", "dlib", "faces"), ("haar", "cv2", "haar")])
def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'rehead\[{extra}\]'"):
        FaceDetector(name)
