from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rehead.errors import DataError, GalleryError, ImageError, OtherEmbedderError, UnknownNameError
from rehead.faces.gallery.gallery import FaceGallery
from rehead.faces.gallery.maintenance import rebuild
from rehead.faces.gallery.store import GalleryStore
from rehead.faces.pipeline import FacePipeline
from rehead.faces.verification.calibration import Calibration
from rehead.serving.face_service import FaceService

KEY = bytes(range(32))
Photo = Callable[..., bytes]


@pytest.fixture
def photo(face_photo: Callable[..., Path], tmp_path: Path) -> Photo:
    """The bytes of a photo of some people."""
    return lambda *people, variant=0: face_photo(
        tmp_path / "photo.png", *people, variant=variant
    ).read_bytes()


@pytest.fixture
def gallery_file(tmp_path: Path, photo: Photo, face_pipeline: FacePipeline) -> Path:
    path = tmp_path / "people.db"
    with FaceGallery(path, face_pipeline, key=KEY, create=True) as made:
        made.enroll("Rani", [photo(1, variant=n) for n in range(3)])
    return path


@pytest.fixture
def service(
    gallery_file: Path, face_pipeline: FacePipeline, face_calibration: Calibration
) -> Iterator[FaceService]:
    def opened() -> FaceGallery:
        return FaceGallery(gallery_file, face_pipeline, key=KEY, calibration=face_calibration)

    made = FaceService(face_pipeline, opened, calibration=face_calibration)
    yield made
    made.close()


def names(service: FaceService, photo: bytes) -> list[str]:
    return [face["name"] for face in service.identify(photo)["faces"]]


def test_faces_are_identified_as_the_gallery_does(
    service: FaceService, gallery_file: Path, photo: Photo, face_pipeline: FacePipeline,
    face_calibration: Calibration,
) -> None:  # fmt: skip
    group = photo(1, 77, variant=9)
    answer = service.identify(group)
    with FaceGallery(gallery_file, face_pipeline, key=KEY, calibration=face_calibration) as opened:
        assert answer["faces"] == [each.to_dict() for each in opened.identify(group)]
        assert answer["threshold"] == opened.threshold().sentence
    assert names(service, group) == ["Rani", "unknown"]
    assert service.identify(photo())["faces"] == []
    with pytest.raises(ImageError):
        service.identify(b"no photo")


def test_two_photos_are_compared(service: FaceService, photo: Photo) -> None:
    same = service.verify(photo(5, variant=1), photo(5, variant=2))
    other = service.verify(photo(5, variant=1), photo(6, variant=2))
    assert (same["same"], other["same"]) == (True, False)
    assert same["measured_on"]["source"] == "made up"
    assert 0 <= same["false_matches"]["value"] <= same["false_matches"]["high"] <= same["target"]
    with pytest.raises(ImageError, match="no face was found"):
        service.verify(photo(5), photo())


def test_people_are_enrolled_and_removed(service: FaceService, gallery_file: Path, photo: Photo) -> None:
    stranger = photo(9, variant=7)
    assert names(service, stranger) == ["unknown"]
    done = service.enroll("Örn", [photo(9, variant=1), photo(9, variant=2), photo()], consent="asked")
    assert (done["added"], done["known"]) == (2, 0)
    assert done["skipped"] == [{"photo": "photo 3", "reason": "no face was found"}]
    assert names(service, stranger) == ["Örn"]
    assert [(person["name"], person["consent"]) for person in service.people()] == [
        ("Rani", None),
        ("Örn", "asked"),
    ]
    with GalleryStore(gallery_file, key=KEY) as store:
        assert {record.path for record in store.photos()} == {""}
    assert service.remove("Örn")["templates"] == 2
    assert names(service, stranger) == ["unknown"]
    with pytest.raises(UnknownNameError, match="unknown person"):
        service.remove("Örn")


def test_nobody_is_enrolled_without_a_name_or_a_face(service: FaceService, photo: Photo) -> None:
    for name, photos in (("", [photo(3)]), ("unknown", [photo(3)]), ("a" * 201, [photo(3)])):
        with pytest.raises(DataError, match="name"):
            service.enroll(name, photos)
    with pytest.raises(DataError, match="nobody was enrolled: photo 1: no face was found"):
        service.enroll("Örn", [photo()])
    with pytest.raises(DataError, match="nobody was enrolled: there is no photo"):
        service.enroll("Örn", [])
    with pytest.raises(DataError, match="is past"):
        service.enroll("Örn", [photo(3)], expires="2001-01-01")
    assert [person["name"] for person in service.people()] == ["Rani"]


def test_changes_by_another_process_are_noticed(
    service: FaceService, gallery_file: Path, photo: Photo, face_pipeline: FacePipeline
) -> None:
    with FaceGallery(gallery_file, face_pipeline, key=KEY) as other:
        other.enroll("Örn", [photo(9, variant=1)])
    assert names(service, photo(9, variant=7)) == ["Örn"]
    with FaceGallery(gallery_file, face_pipeline, key=KEY) as other:
        other.remove("Rani")
    assert names(service, photo(1, variant=7)) == ["unknown"]


def test_another_embedder_is_noticed(
    service: FaceService, gallery_file: Path, photo: Photo, other_face_pipeline: FacePipeline, tmp_path: Path
) -> None:
    for n in range(3):
        (tmp_path / f"{n}.png").write_bytes(photo(1, variant=n))
    (tmp_path / "photo.png").unlink()
    rebuild(gallery_file, other_face_pipeline, key=KEY, photos=[tmp_path])
    with pytest.raises(OtherEmbedderError):
        service.identify(photo(1))


def test_many_ask_at_once(service: FaceService, photo: Photo) -> None:
    photos = [photo(1 + n % 2, variant=n) for n in range(8)]
    expected = [names(service, each)[0] for each in photos]
    assert {"Rani", "unknown"} == set(expected)
    start = threading.Barrier(8)

    def ask(photo: bytes) -> str:
        start.wait()
        return names(service, photo)[0]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, photos)) == expected


def test_without_a_gallery_photos_are_compared_only(
    face_pipeline: FacePipeline, face_calibration: Calibration, photo: Photo
) -> None:
    service = FaceService(face_pipeline, calibration=face_calibration)
    assert not service.has_gallery
    assert service.verify(photo(5, variant=1), photo(5, variant=2))["same"]
    with pytest.raises(DataError, match="no gallery is served"):
        service.identify(photo(5))
    service.close()


def test_what_is_missing_is_said_at_the_start(
    tmp_path: Path, face_pipeline: FacePipeline, gallery_file: Path
) -> None:
    with pytest.raises(DataError, match="what scores of blocks mean is not known"):
        FaceService(face_pipeline)
    with pytest.raises(GalleryError, match="there is no such gallery"):
        FaceService(face_pipeline, lambda: FaceGallery(tmp_path / "none.db", face_pipeline))
    with pytest.raises(DataError, match="what scores of blocks mean is not known"):
        FaceService(face_pipeline, lambda: FaceGallery(gallery_file, face_pipeline, key=KEY))
