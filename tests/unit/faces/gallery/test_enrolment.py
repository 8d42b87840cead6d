"""Folders of people: which names can be enrolled, which photos are copies, and what was changed since."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rehead.errors import DataError
from rehead.faces.gallery.encryption import write_key_file
from rehead.faces.gallery.enrolment import person_folders
from rehead.faces.gallery.gallery import FaceGallery
from rehead.faces.gallery.maintenance import find_photos
from rehead.faces.pipeline import FacePipeline
from rehead.faces.verification.calibration import Calibration

FacePhoto = Callable[..., Path]


def scene(path: Path, person: int, variant: int, *, seed: int = 0, noise: int = 0, level: int = 6) -> Path:
    """A photo of a person before light and shade; `noise` and `level` save the same one otherwise."""
    rng = np.random.default_rng([person, variant, seed])
    coarse = Image.fromarray(rng.integers(0, 250, (6, 6, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((24, 24), Image.Resampling.BICUBIC)).astype(int)
    pixels += np.random.default_rng(9).integers(-noise, noise + 1, pixels.shape)
    pixels[0, 0] = 7  # where the detector looks
    pixels[2, 2] = person, variant, 0  # and the embedder
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 254).astype(np.uint8)).save(path, compress_level=level)
    return path


@pytest.fixture
def gallery(
    tmp_path: Path, face_pipeline: FacePipeline, face_calibration: Calibration
) -> Iterator[FaceGallery]:
    key = write_key_file(tmp_path / "people.key")
    with FaceGallery(
        tmp_path / "people.db", face_pipeline, key=key, create=True, calibration=face_calibration
    ) as made:
        yield made


def test_folders_that_cannot_be_enrolled_are_listed_and_the_others_go_on(
    gallery: FaceGallery, face_photo: FacePhoto, tmp_path: Path
) -> None:
    root = tmp_path / "people"
    for name in ("Rani", "unknown", "a\tb", "Zoë"):
        face_photo(root / name / "0.png", 1 + len(name))
    (root / "empty").mkdir()
    face_photo(root / "x/0.png", 9)
    (root / "x").rename(os.fsdecode(os.fsencode(root) + b"/Ren\xe9"))
    face_photo(root / "bad photo/0.png", 9)
    (root / "bad photo/0.png").rename(os.fsdecode(os.fsencode(root) + b"/bad photo/\xe9.png"))
    done = list(gallery.enroll_folder(root))
    problems = {each.name: each.problem.removeprefix(str(root)) for each in done if each.problem}
    assert set(problems) == {"unknown", "a\tb", "empty", "Ren\udce9", "bad photo"}
    assert problems["unknown"] == "/unknown: 'unknown' cannot be a person's name; it means nobody"
    assert "control characters" in problems["a\tb"]
    assert "not UTF-8" in problems["Ren\udce9"]
    assert "not UTF-8" in problems["bad photo"]
    assert "no photo" in problems["empty"]
    assert [person.name for person in gallery.people()] == ["Rani", "Zoë"]


def test_two_folders_of_one_name(face_photo: FacePhoto, tmp_path: Path) -> None:
    face_photo(tmp_path / "Rani/0.png", 1)
    face_photo(tmp_path / "Rani /0.png", 2)
    first, second = person_folders(tmp_path)
    assert (first.name, first.problem) == ("Rani", "")
    assert second.problem == f"{tmp_path}/Rani : gives the name of {tmp_path}/Rani; move the photos into it"


def test_nothing_is_looked_at_before_name_and_day_are_checked(
    gallery: FaceGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FacePipeline, "analyze", lambda *_: pytest.fail("was looked at"))
    for name, day in {"unknown": None, "Rani": "2020-01-01"}.items():
        with pytest.raises(DataError):
            gallery.enroll(name, ["0.png"], expires=day)


def test_paths_that_are_not_utf_8_can_be_enrolled(
    gallery: FaceGallery, face_photo: FacePhoto, tmp_path: Path
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/Ren\xe9"))
    photo = face_photo(tmp_path / "x/0.png", 3)
    (tmp_path / "x").rename(folder)
    assert gallery.enroll("René", [folder / photo.name]).enrolled is not None
    assert gallery.store.photos("René")[0].path == f"{tmp_path}/Ren\\xe9/0.png"


def test_a_copy_that_was_saved_again_is_no_new_template(gallery: FaceGallery, tmp_path: Path) -> None:
    first = scene(tmp_path / "0.png", 3, 1)
    other = scene(tmp_path / "1.png", 3, 2)
    copy = scene(tmp_path / "copy.png", 3, 1, noise=2, level=1)
    assert copy.read_bytes() != first.read_bytes()
    done = gallery.enroll("Rani", [first, other, copy])
    assert done.enrolled is not None
    assert done.enrolled.added == 2
    assert done.skipped == [(str(copy), f"shows the same as {first}, which is enrolled")]
    again = gallery.enroll("Rani", [scene(first, 3, 1, noise=1)])
    assert again.skipped == [(str(first), f"shows the same as {first}, which is enrolled")]
    known = gallery.enroll("Rani", [other])
    assert known.enrolled is not None
    assert (known.enrolled.added, known.enrolled.known, known.skipped) == (0, 1, [])
    assert gallery.enroll("Örn", [scene(tmp_path / "2.png", 5, 1)]).enrolled is not None


def test_photos_that_were_replaced_or_deleted_are_forgotten(gallery: FaceGallery, tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "people", scene(tmp_path / "elsewhere.png", 1, 9)
    for person, name in enumerate(("Rani", "Örn", "Zoë", "Ada"), 1):
        for variant in range(4):
            scene(root / name / f"{variant}.png", person, variant)

    def synced() -> dict[str, tuple[list[tuple[str, str]], str]]:
        folders = person_folders(root)
        done = [*gallery.enroll_each(folders, sync=True), *gallery.lost(folders)]
        return {each.name: (each.removed, each.problem) for each in done}

    assert set(synced()) == {"Rani", "Örn", "Zoë", "Ada"}
    gallery.enroll("Rani", [elsewhere])
    scene(root / "Rani/0.png", 1, 100)
    (root / "Rani/1.png").unlink()
    (root / "Rani/2.png").rename(root / "Rani/renamed.png")
    (root / "Rani/3.png").write_bytes(b"torn")
    for variant in range(4):
        scene(root / f"Örn/{variant}.png", 2, 50 + variant, seed=1)
        (root / f"Zoë/{variant}.png").unlink()
    scene(root / "Zoë/new.png", 3, 70)
    for photo in (root / "Ada").iterdir():
        photo.unlink()
    (root / "Ada").rmdir()
    before = gallery.store.key
    done = synced()
    assert done["Rani"] == (
        [(f"{root}/Rani/{number}.png", f"was {what}") for number, what in enumerate(("replaced", "deleted"))]
        + [(f"{root}/Rani/3.png", "was replaced")],
        "",
    )
    assert len(done["Örn"][0]) == len(done["Zoë"][0]) == 4
    assert done["Ada"] == (
        [],
        f"{root}/Ada: no photo enrolled as 'Ada' is there any more; `gallery remove` forgets them if that is "
        "meant",
    )
    assert {person.name: person.photos for person in gallery.people()} == {
        "Ada": 4,
        "Rani": 3,
        "Zoë": 1,
        "Örn": 4,
    }
    assert gallery.store.key != before, "what was forgotten cannot be read in older copies"
    assert {name: removed for name, (removed, _) in synced().items() if removed} == {}


def test_a_photo_that_was_saved_again_in_place_stays_enrolled(gallery: FaceGallery, tmp_path: Path) -> None:
    first, other = (scene(tmp_path / f"people/Rani/{n}.png", 3, n) for n in range(2))
    list(gallery.enroll_folder(tmp_path / "people"))
    scene(first, 3, 0, noise=2)
    (done,) = gallery.enroll_each(person_folders(tmp_path / "people"), sync=True)
    assert done.enrolled is not None
    assert (done.enrolled.added, done.enrolled.known, done.skipped) == (1, 1, [])
    assert done.removed == [(str(first), "was replaced")]
    assert [photo.path for photo in gallery.store.photos("Rani")] == [str(other), str(first)]


def test_nobody_is_forgotten_because_a_folder_has_only_unusable_photos(
    gallery: FaceGallery, tmp_path: Path
) -> None:
    photo = scene(tmp_path / "people/Rani/0.png", 1, 1)
    list(gallery.enroll_folder(tmp_path / "people"))
    photo.write_bytes(b"torn")
    (done,) = gallery.enroll_each(person_folders(tmp_path / "people"), sync=True)
    assert done.problem.startswith("no photo enrolled as 'Rani' is there any more; `gallery remove`")
    assert gallery.people()[0].photos == 1


def test_photos_by_path_name_and_digest(gallery: FaceGallery, tmp_path: Path) -> None:
    photos = [scene(tmp_path / name, 1, n) for n, name in enumerate(("a.png", "b.png", "deep/a.png"))]
    gallery.enroll("Rani", photos)
    records = gallery.store.photos("Rani")

    def found(*words: str) -> list[int]:
        return [records.index(each) for each in find_photos(gallery.store, "Rani", words)]

    assert found(str(photos[0]), "b.png") == [0, 1]
    assert found(records[2].sha256[:8].upper()) == [2]
    said_of = {
        "a.png": "2 photos of 'Rani' are meant",
        "c.png": "no photo of 'Rani'",
        "": "no photo of 'Rani'",
    }
    for word, said in said_of.items():
        with pytest.raises(DataError, match=f"{said}.*; give a path as `gallery show` lists it"):
            found(word)
