from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rehead.errors import DataError, GalleryError, ImageError, OtherEmbedderError
from rehead.faces.gallery.audit import AuditThresholds, audit
from rehead.faces.gallery.enrolment import people_in
from rehead.faces.gallery.gallery import FaceGallery
from rehead.faces.gallery.identification import identify
from rehead.faces.gallery.maintenance import rebuild
from rehead.faces.gallery.store import GalleryStore
from rehead.faces.pipeline import FacePipeline
from rehead.faces.verification.calibration import Calibration
from rehead.faces.verification.verify import verify

FacePhoto = Callable[..., Path]
KEY = bytes(range(32))
NAMES = {"Rani": 1, "blå, [b]": 2, "Örn's": 3}


@pytest.fixture(scope="module")
def folder(face_photo: FacePhoto, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("people")
    for name, person in NAMES.items():
        for variant in range(4):
            face_photo(root / name / f"{variant}.png", person, variant=variant)
    return root


@pytest.fixture
def gallery(
    tmp_path: Path, folder: Path, face_pipeline: FacePipeline, face_calibration: Calibration
) -> Iterator[FaceGallery]:
    with FaceGallery(
        tmp_path / "people.db", face_pipeline, key=KEY, create=True, calibration=face_calibration
    ) as made:
        assert [e.enrolled and e.enrolled.added for e in made.enroll_folder(folder)] == [4, 4, 4]
        yield made


def test_everybody_in_a_group_photo(gallery: FaceGallery, face_photo: FacePhoto, tmp_path: Path) -> None:
    group = face_photo(tmp_path / "group.png", 3, 77, 1, variant=9)
    answers = gallery.identify(group)
    assert [each.name for each in answers] == ["Örn's", "unknown", "Rani"]
    stranger = answers[1]
    assert stranger.nearest in NAMES
    assert stranger.score < stranger.threshold
    assert "nobody is like it enough" in stranger.reason
    assert stranger.probability < 0.5 < answers[0].probability
    assert answers[0].margin > 0.1
    assert answers[0].reason == ""
    assert [each.face.box[0] for each in answers] == [0, 24, 48]


def test_nobody_in_a_photo_is_an_empty_list(
    gallery: FaceGallery, face_photo: FacePhoto, tmp_path: Path
) -> None:
    assert gallery.identify(face_photo(tmp_path / "scene.png")) == []


def test_an_empty_gallery_knows_nobody(
    face_photo: FacePhoto, tmp_path: Path, face_pipeline: FacePipeline, face_calibration: Calibration
) -> None:
    photo = face_photo(tmp_path / "a.png", 1)
    with FaceGallery(
        tmp_path / "p.db", face_pipeline, key=KEY, create=True, calibration=face_calibration
    ) as empty:
        (answer,) = empty.identify(photo)
    assert (answer.name, answer.nearest, answer.reason) == ("unknown", "", "the gallery is empty")
    assert math.isnan(answer.score)


def test_a_batch_goes_on_after_a_bad_photo(
    gallery: FaceGallery, face_photo: FacePhoto, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no photo")
    good = face_photo(tmp_path / "good.png", 2, variant=8)
    first, second = gallery.identify_each([bad, good])
    assert isinstance(first, ImageError)
    assert not isinstance(second, ImageError)
    assert [each.name for each in second] == ["blå, [b]"]


def test_enrolling_lists_what_it_leaves_out(
    gallery: FaceGallery, face_photo: FacePhoto, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    photos = [
        tmp_path / "torn.jpg",
        face_photo(tmp_path / "scene.png"),
        folder / "Rani/0.png",
        face_photo(tmp_path / "two.png", 9, 10),
        face_photo(tmp_path / "one.png", 9, variant=1),
    ]
    done = gallery.enroll("new", photos, selection="largest")
    assert done.enrolled is not None
    assert done.enrolled.added == 2
    reasons = {Path(path).name: reason for path, reason in done.skipped}
    assert reasons["scene.png"] == "no face was found"
    assert reasons["0.png"] == "the same photo is enrolled as 'Rani'"
    assert reasons["torn.jpg"].startswith("truncated")
    assert [(Path(path).name, words) for path, words in done.notes] == [
        ("two.png", "2 faces; one was taken, by the rule 'largest'")
    ]
    again = gallery.enroll("new", photos[-1:])
    assert again.enrolled is not None
    assert (again.enrolled.added, again.enrolled.known) == (0, 1)
    nobody = gallery.enroll("nobody", photos[:2])
    assert nobody.enrolled is None
    assert "nobody" not in [person.name for person in gallery.people()]


def test_several_faces_can_be_refused(gallery: FaceGallery, face_photo: FacePhoto, tmp_path: Path) -> None:
    two = face_photo(tmp_path / "two.png", 9, 10)
    done = gallery.enroll("new", [two], selection="error")
    assert "2 faces, expected one" in done.skipped[0][1]


def test_the_threshold_follows_the_gallery(
    gallery: FaceGallery, face_photo: FacePhoto, tmp_path: Path
) -> None:
    before = gallery.threshold()
    assert before.templates == 12
    for person in range(20, 40):
        gallery.enroll(str(person), [face_photo(tmp_path / f"{person}.png", person)])
    after = gallery.threshold()
    assert (after.templates, after.fpir) == (32, 0.01)
    assert after.comparison.value > before.comparison.value
    assert "cannot be promised" in after.sentence
    assert not after.may_name
    assert after.supported_fpir == pytest.approx(32 * after.calibration.min_fmr)


def test_nobody_is_named_at_a_rate_that_is_not_supported_unless_it_is_accepted(
    gallery: FaceGallery, face_photo: FacePhoto, tmp_path: Path
) -> None:
    photo = face_photo(tmp_path / "a.png", 1, variant=9)
    (named,) = gallery.identify(photo)
    assert (named.name, named.fpir, named.supported_fpir) == ("Rani", 0.01, 0.01)
    for person in range(20, 40):
        gallery.enroll(str(person), [face_photo(tmp_path / f"{person}.png", person)])
    (refused,) = gallery.identify(photo)
    supported = 32 * gallery.threshold().calibration.min_fmr
    assert (refused.name, refused.nearest) == ("unknown", "Rani")
    assert refused.reason == (
        "nobody is named: 1 % of strangers cannot be promised, no better than 1.9 % is supported"
    )
    assert refused.to_dict()["strangers_supported"] == pytest.approx(supported, rel=1e-5)
    assert "ask for --strangers 0.02" in gallery.threshold().refusal
    gallery.accept_unsupported, gallery._cached = True, None
    (accepted,) = gallery.identify(photo)
    assert accepted.name == "Rani"
    assert accepted.supported_fpir == pytest.approx(supported)


def test_the_probability_is_of_this_gallery_and_share_of_strangers(
    gallery: FaceGallery, face_photo: FacePhoto, tmp_path: Path
) -> None:
    (known,) = gallery.identify(face_photo(tmp_path / "a.png", 1, variant=9))
    limit = gallery.threshold()
    scores = np.array([known.score, -0.2, -0.3], np.float32)
    assert known.probability > 0.99
    # Bayes' rule with one person and a stranger in even shares is the pair's own probability
    pair = limit.calibration.probability(0.5)
    alone = replace(limit, templates=1)
    assert alone.probability(np.array([0.5], np.float32)) == pytest.approx(pair)
    # the more templates and the more strangers, the lower
    for other in (replace(limit, templates=1200), replace(limit, prior=0.99)):
        assert other.probability(scores) < limit.probability(scores)
    # as likely as another of the same score
    twice = limit.probability(np.array([0.9, 0.9, 0.0], np.float32))
    assert twice == pytest.approx(0.5, abs=0.01)
    assert math.isnan(limit.probability(np.zeros(0, np.float32)))


def test_a_name_given_twice_in_one_photo_is_noted(
    gallery: FaceGallery, face_photo: FacePhoto, tmp_path: Path
) -> None:
    answers = gallery.identify(face_photo(tmp_path / "a.png", 1, 2, 1, variant=9))
    assert [each.name for each in answers] == ["Rani", "blå, [b]", "Rani"]
    assert [each.notes for each in answers] == [
        ("Rani is named 2 times in this photo",),
        (),
        ("Rani is named 2 times in this photo",),
    ]


def test_the_answer_says_how_a_face_was_found(
    gallery: FaceGallery, face_photo: FacePhoto, tmp_path: Path
) -> None:
    seen = gallery.pipeline.analyze(face_photo(tmp_path / "a.png", 1, variant=9), "all")
    lying = replace(seen, faces=(replace(seen.faces[0], turn=90, stretched=True),))
    (answer,) = gallery.identify_observation(lying)
    assert answer.to_dict()["notes"] == [
        "found with the photo turned 90 degrees clockwise",
        "found with the contrast of a dark photo stretched",
    ]


def test_strangers_stay_unknown(gallery: FaceGallery, face_photo: FacePhoto, tmp_path: Path) -> None:
    photos = [face_photo(tmp_path / f"{n}.png", n) for n in range(60, 200)]
    named = [
        each for answers in gallery.identify_each(photos) if isinstance(answers, list) for each in answers
    ]
    assert sum(each.name != "unknown" for each in named) <= 3
    assert len(named) == 140


def test_a_score_or_a_threshold_that_is_nan_names_nobody(
    gallery: FaceGallery, face_photo: FacePhoto, tmp_path: Path
) -> None:
    observation = gallery.pipeline.analyze(face_photo(tmp_path / "a.png", 1, variant=9), "all")
    (known,) = gallery.identify_observation(observation)
    assert known.name == "Rani"
    (answer,) = gallery.identify_observation(replace(observation, vectors=observation.vectors * math.nan))
    assert answer.name == "unknown"
    limit = gallery.threshold()
    lost = replace(limit, comparison=replace(limit.comparison, value=math.nan))
    (answer,) = identify(
        observation, gallery.store.templates(), lost, limits=gallery.limits, refuse_poor=False
    )
    assert answer.name == "unknown"


def test_an_embedding_that_is_not_finite_is_an_error_of_its_photo(
    face_photo: FacePhoto, face_pipeline: FacePipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(face_pipeline.embedder), "embed", lambda *_: np.full((1, 32), np.nan))
    with pytest.raises(ImageError, match=r"a\.png: the embedder gave no finite numbers"):
        face_pipeline.analyze(face_photo(tmp_path / "a.png", 1), "all")


def test_a_gallery_calibrates_itself_where_nothing_else_does(
    tmp_path: Path, face_photo: FacePhoto, face_pipeline: FacePipeline
) -> None:
    probe = face_photo(tmp_path / "probe.png", 5, variant=100)
    with FaceGallery(
        tmp_path / "p.db", face_pipeline, key=KEY, create=True, fpir=0.5, accept_unsupported=True
    ) as gallery:
        gallery.enroll("5", [face_photo(tmp_path / f"5/{v}.png", 5, variant=v) for v in range(3)])
        with pytest.raises(DataError, match="what scores of blocks mean is not known; measure it with"):
            gallery.identify(probe)
        for person in range(6, 46):
            photos = [face_photo(tmp_path / f"{person}/{v}.png", person, variant=v) for v in range(3)]
            gallery.enroll(str(person), photos)
        limit = gallery.threshold()
        assert limit.calibration.source == "this gallery"
        assert limit.calibration.people == 41
        assert [each.name for each in gallery.identify(probe)] == ["5"]


def test_a_calibration_of_another_embedder_is_refused(
    gallery: FaceGallery, face_calibration: Calibration, folder: Path
) -> None:
    other = replace(face_calibration, fingerprint="other")
    photo = folder / "Rani/0.png"
    with pytest.raises(DataError, match="of another embedder than blocks"):
        verify(photo, photo, gallery.pipeline, calibration=other)


def test_the_audit_finds_what_was_put_in(gallery: FaceGallery, face_photo: FacePhoto, tmp_path: Path) -> None:
    wrong = face_photo(tmp_path / "wrong.png", 2, variant=50)
    gallery.enroll("Rani", [wrong, face_photo(tmp_path / "odd.png", 90)])
    gallery.enroll("Rani again", [face_photo(tmp_path / f"{v}.png", 1, variant=v) for v in range(60, 64)])
    found = {(issue.kind, issue.person, issue.other, Path(path).name) for issue, path in gallery.audit()}
    assert ("mislabelled", "Rani", "blå, [b]", "wrong.png") in found
    assert ("odd", "Rani", "", "odd.png") in found
    assert ("duplicate", "Rani", "Rani again", "") in found
    assert not any("Örn's" in entry for entry in found)


def test_the_audit_of_many_people_who_are_all_different_names_few_of_them(
    face_calibration: Calibration,
) -> None:
    rng = np.random.default_rng(5)
    people = np.repeat(np.arange(300), 2)
    rows = rng.normal(size=(300, 32))[people] + 0.35 * rng.normal(size=(600, 32))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    thresholds = AuditThresholds.of(face_calibration, 300)
    assert thresholds.by_chance == pytest.approx(face_calibration.min_fmr * 300 * 299 / 2)
    assert thresholds.same_person < thresholds.other_person
    found = audit(rows, people, [str(n) for n in range(300)], thresholds)
    assert len([issue for issue in found if issue.row is None]) <= thresholds.by_chance
    few = AuditThresholds.of(face_calibration, 3)
    assert few.other_person == few.same_person
    assert few.by_chance < 0.05


def test_rebuilding_for_another_embedder(
    gallery: FaceGallery,
    folder: Path,
    face_photo: FacePhoto,
    other_face_pipeline: FacePipeline,
    face_calibration: Calibration,
    tmp_path: Path,
) -> None:
    path = gallery.store.path
    moved = face_photo(tmp_path / "moved.png", 1, variant=30)
    gallery.enroll("Rani", [moved])
    gallery.close()
    with pytest.raises(OtherEmbedderError, match="gallery rebuild"):
        FaceGallery(path, other_face_pipeline, key=KEY)
    (tmp_path / "elsewhere").mkdir()
    moved.rename(tmp_path / "elsewhere/other name.png")
    with pytest.raises(GalleryError, match=r"1 of 13 photos cannot be embedded anew, such as .*moved\.png"):
        rebuild(path, other_face_pipeline, key=KEY)
    done = rebuild(path, other_face_pipeline, key=KEY, photos=[tmp_path / "elsewhere"])
    assert (done.photos, done.lost) == (13, [])
    with GalleryStore(path, key=KEY, embedding_spec=other_face_pipeline.embedder.embedding_spec) as again:
        assert [(p.name, p.photos) for p in again.people()] == [("Rani", 5), ("blå, [b]", 4), ("Örn's", 4)]
        expected = other_face_pipeline.analyze(folder / "Rani/0.png", "largest").vectors[0]
        np.testing.assert_array_equal(again.templates().vectors[0], expected)
    (tmp_path / "elsewhere/other name.png").unlink()
    done = rebuild(path, other_face_pipeline, key=KEY, drop_missing=True)
    assert (done.photos, len(done.lost)) == (12, 1)


def test_verify(
    face_photo: FacePhoto, face_pipeline: FacePipeline, face_calibration: Calibration, tmp_path: Path
) -> None:
    a, b = (face_photo(tmp_path / f"{v}.png", 4, variant=v) for v in (1, 2))
    other = face_photo(tmp_path / "other.png", 5)
    same = verify(a, b, face_pipeline, calibration=face_calibration)
    assert same.same
    assert same.probability > 0.9
    assert same.threshold.target_fmr == 0.001
    assert same.threshold.fmr.low <= same.threshold.fmr.value <= same.threshold.fmr.high
    different = verify(a, other.read_bytes(), face_pipeline, calibration=face_calibration, target_fmr=0.01)
    assert not different.same
    assert different.score < different.threshold.value < same.threshold.value
    assert different.found == (1, 1)
    with pytest.raises(DataError, match="support no better than"):
        verify(a, b, face_pipeline, calibration=face_calibration, target_fmr=1e-9)
    scene = face_photo(tmp_path / "scene.png")
    with pytest.raises(ImageError, match=r"scene\.png: no face was found"):
        verify(a, scene, face_pipeline, calibration=face_calibration)


def test_verify_ends_its_threads_before_it_says_that_the_first_photo_is_unreadable(
    face_photo: FacePhoto, face_pipeline: FacePipeline, face_calibration: Calibration, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no photo")
    good = face_photo(tmp_path / "good.png", 4)
    threads = set(threading.enumerate())
    with pytest.raises(ImageError, match=r"bad\.jpg") as caught:
        verify(bad, good, face_pipeline, calibration=face_calibration)
    assert set(threading.enumerate()) <= threads
    del caught


def test_photos_of_all_kinds_give_the_same_face(face_pipeline: FacePipeline, tmp_path: Path) -> None:
    pixels = np.full((24, 24, 3), 200, np.uint8)  # bright: its 16 bits are seen to be 16
    alpha = np.concatenate([pixels, np.full((24, 24, 1), 255, np.uint8)], axis=2)
    Image.fromarray(alpha).save(tmp_path / "alpha.jpg", "PNG")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    vectors, failed = face_pipeline.embed_one(
        [tmp_path / name for name in ("alpha.jpg", "grey.png", "deep.png", "none.png")], "largest"
    )
    assert np.isfinite(vectors[:3]).all()
    assert [(row, reason) for row, reason in failed] == [(3, "there is no such file")]
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(vectors[0], vectors[2])


def test_people_in_a_folder(tmp_path: Path, face_photo: FacePhoto) -> None:
    with pytest.raises(DataError, match="no such folder"):
        people_in(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"nobody is in it \(.*no photo.*\); expected one folder a person"):
        people_in(tmp_path)
    face_photo(tmp_path / "Rani/deep/0.png", 1)
    assert [(name, [p.name for p in photos]) for name, photos in people_in(tmp_path)] == [("Rani", ["0.png"])]
