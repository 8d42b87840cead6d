"""Crops: aligned, named so that none is lost, and recorded."""

from __future__ import annotations

import json
from pathlib import Path, PurePath

import numpy as np
import pytest
from PIL import Image

from rehead.errors import DataError, OutputError
from rehead.faces import FaceDetector
from rehead.faces.crops import CropNames, CropPlan, detect_faces, save_crops
from rehead.faces.embedding.alignment import ARCFACE, with_margin

data = pytest.importorskip("skimage.data", reason="the photo comes from scikit-image")


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector(smallest=60, threads=1)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    (root / "rani ß").mkdir(parents=True)
    head = Image.fromarray(data.astronaut()[20:240, 100:320])
    head.save(root / "one.png")
    both = Image.new("RGB", (440, 220))
    both.paste(head, (0, 0))
    both.paste(head, (220, 0))
    both.save(root / "rani ß" / "two.png")
    Image.new("RGB", (100, 100)).save(root / "empty.png")
    (root / "broken.jpg").write_bytes(b"no picture")
    return root


def test_names_keep_folders_and_never_meet() -> None:
    names = CropNames()
    assert names.of(PurePath("rani/a.jpg"), 1) == ["rani/a.jpg"]
    assert names.of(PurePath("rani/A.png"), 1) == ["rani/A_2.jpg"]
    assert names.of(PurePath("rani/b.png"), 2) == ["rani/b-1.jpg", "rani/b-2.jpg"]
    assert names.of(PurePath("rani/b-1.png"), 1) == ["rani/b-1_2.jpg"]
    assert names.of(PurePath("c.png"), 0) == []
    assert names.of(PurePath("crowd.png"), 12)[::11] == ["crowd-01.jpg", "crowd-12.jpg"]


def test_a_margin_shrinks_the_template_about_the_middle() -> None:
    np.testing.assert_allclose(with_margin("arcface", 112, 0), ARCFACE)
    np.testing.assert_allclose(with_margin("arcface", 112, 0.5), (ARCFACE - 56) / 2 + 56)


@pytest.mark.parametrize(("size", "margin"), [(8, 0.2), (100, -0.1), (100, 5)])
def test_plans_that_make_no_sense(size: int, margin: float) -> None:
    with pytest.raises(DataError, match="crops: expected a size of 16"):
        CropPlan(size, margin)


def test_crops_and_their_record(photos: Path, tmp_path: Path, detector: FaceDetector) -> None:
    files = sorted(path for path in photos.rglob("*") if path.is_file())
    plan = CropPlan(128, 0.4)
    found = save_crops(
        detect_faces(files, detector, crops=plan),
        tmp_path / "crops",
        roots=[photos] * len(files),
        plan=plan,
        detector="mtcnn",
    )
    assert [len(result.faces) for result in found] == [0, 0, 1, 2]
    record = json.loads((tmp_path / "crops" / "faces.json").read_text("utf-8"))
    assert record["crops"]["size"] == 128
    assert record["crops"]["margin"] == 0.4
    broken, empty, one, two = record["photos"]
    assert "not an image" in broken["error"]
    assert (empty["found"], empty["faces"]) == (0, [])
    assert [face["crop"] for face in two["faces"]] == ["rani ß/two-1.jpg", "rani ß/two-2.jpg"]
    for face in (*one["faces"], *two["faces"]):
        assert set(face) == {"box", "points", "score", "quality", "complaints", "crop"}
        crop = Image.open(tmp_path / "crops" / face["crop"])
        assert crop.size == (128, 128)
        (again,) = detector.detect(np.asarray(crop.resize((256, 256))))
        assert np.abs(again.points / 2 - record["crops"]["template"]).max() < 8
    assert one["faces"][0]["points"] == found[2].faces[0].points.round(2).tolist()


def test_several_faces_by_rule(photos: Path, detector: FaceDetector) -> None:
    two = photos / "rani ß" / "two.png"
    assert [len(r.faces) for r in detect_faces([two], detector, selection="largest")] == [1]
    (refused,) = detect_faces([two], detector, selection="error")
    assert refused.error.startswith("2 faces, expected one")
    assert refused.found == 2


def test_nothing_is_overwritten(photos: Path, detector: FaceDetector) -> None:
    with pytest.raises(OutputError, match="holds files already"):
        save_crops([], photos, roots=[], plan=CropPlan(), detector="mtcnn")
    assert (photos / "one.png").is_file()
