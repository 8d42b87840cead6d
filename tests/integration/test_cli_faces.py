"""The verbs of galleries, in this process, with a detector and an embedder of blocks of colour."""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import json
import os
import shlex
import sqlite3
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rehead.faces.pipeline import FacePipeline
from rehead.faces.verification import calibration
from rehead.faces.verification.calibration import Calibration, read_calibration
from rehead.images import read_image

FacePhoto = Callable[..., Path]
Cli = Callable[..., tuple[int, str, str]]
FACE = {"box", "points", "score", "quality"}
"""What a face is in JSON, wherever it is written."""


@pytest.fixture
def cli(
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    face_pipeline: FacePipeline,
    other_face_pipeline: FacePipeline,
    face_calibration: Calibration,
) -> Cli:
    """Run `rehead faces`; `--embedder other` is one of other weights."""
    for verb in ("enroll", "identify", "verify", "cluster", "evaluate", "gallery"):
        monkeypatch.setattr(
            f"rehead.cli.faces.{verb}.load_pipeline",
            lambda faces, threads: other_face_pipeline if faces.embedder == "other" else face_pipeline,
        )
    monkeypatch.setattr(calibration, "_all", lambda: {face_calibration.fingerprint: face_calibration})
    monkeypatch.delenv("REHEAD_GALLERY_KEY", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return partial(cli, "faces")


@pytest.fixture
def people(tmp_path: Path, face_photo: FacePhoto) -> Path:
    for name, person in {"Rani": 1, "blå, [b]": 2}.items():
        for variant in range(3):
            face_photo(tmp_path / "people" / name / f"{variant}.png", person, variant=variant)
    (tmp_path / "people/Rani/torn.jpg").write_bytes(b"torn")
    face_photo(tmp_path / "people/Rani/scene.png")
    return tmp_path / "people"


@pytest.fixture
def gallery(cli: Cli, people: Path, tmp_path: Path) -> list[object]:
    """Options that name a gallery with two people in it."""
    options: list[object] = ["--gallery", tmp_path / "my people.db", "--key-file", tmp_path / "people.key"]
    code, out, err = cli("enroll", people, *options)
    assert (code, err) == (0, "")
    assert "made the key" in out
    assert "Rani: 3 photos enrolled" in out
    assert "torn.jpg: not an image that Pillow can read" in out
    assert "scene.png: no face was found" in out
    assert "2 people, 6 photos" in out
    return options


def test_a_new_gallery_needs_a_key_or_to_be_asked_without(cli: Cli, people: Path, tmp_path: Path) -> None:
    code, _, err = cli("enroll", people, "--gallery", tmp_path / "p.db")
    assert code == 2
    assert "--key-file FILE, which is made" in err
    assert "--no-encryption" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "p.db").exists()
    code, out, _ = cli("enroll", people, "--gallery", tmp_path / "p.db", "--no-encryption")
    assert code == 0
    code, out, _ = cli("gallery", "list", tmp_path / "p.db")
    assert "not encrypted" in out


def test_the_key_may_come_from_the_environment(
    cli: Cli, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REHEAD_GALLERY_KEY", "7" * 64)
    assert cli("enroll", people, "--gallery", tmp_path / "p.db")[0] == 0
    assert cli("gallery", "list", tmp_path / "p.db")[1].endswith("encrypted\n")
    monkeypatch.setenv("REHEAD_GALLERY_KEY", "8" * 64)
    code, _, err = cli("gallery", "list", tmp_path / "p.db")
    assert (code, "this is not the key" in err) == (2, True)


def test_enrolling_again_changes_nothing(cli: Cli, people: Path, gallery: list[object]) -> None:
    code, out, _ = cli("enroll", people, *gallery)
    assert code == 0
    assert "Rani: 0 photos enrolled, 3 there already" in out
    assert "2 people, 6 photos" in out


def test_enrolling_one_person(cli: Cli, face_photo: FacePhoto, tmp_path: Path, gallery: list[object]) -> None:
    face_photo(tmp_path / "new/a.png", 9)
    code, out, _ = cli("enroll", tmp_path / "new", "--person", "Örn", "--expires", "2999-12-31", *gallery)
    assert code == 0
    assert "Örn: 1 photo enrolled" in out
    face_photo(tmp_path / "empty/scene.png")
    code, out, err = cli("enroll", tmp_path / "empty", "--person", "nobody", *gallery)
    assert code == 2
    assert "nobody could be enrolled" in err


def test_identify(cli: Cli, face_photo: FacePhoto, tmp_path: Path, gallery: list[object]) -> None:
    group = face_photo(tmp_path / "group.png", 2, 99, variant=8)
    scene = face_photo(tmp_path / "scene.png")
    (tmp_path / "torn.png").write_bytes(b"torn")
    photos = [group, scene, tmp_path / "torn.png"]
    code, out, err = cli("identify", *photos, *gallery)
    assert code == 0
    assert "blå, [b]" in out
    assert "unknown" in out
    assert "no face was found" in out
    assert "unreadable" in out
    assert "at most 1 % of strangers are taken for somebody, by 200 people of made up and 6 templates" in out
    assert "1 of 3 photos could not be read" in err
    records = json.loads(cli("identify", *photos, *gallery, "--format", "json")[1])
    assert [face["name"] for face in records[0]["faces"]] == ["blå, [b]", "unknown"]
    assert records[0]["faces"][0]["face"]["quality"]["side"] == 64
    assert records[0]["faces"][0]["complaints"] == []
    assert set(records[0]["faces"][0]["face"]) == FACE
    assert records[1]["faces"] == []
    assert "error" in records[2]
    lines = cli("identify", *photos, *gallery, "--format", "jsonl")[1].splitlines()
    assert [json.loads(line) for line in lines] == records
    rows = list(csv.DictReader(io.StringIO(cli("identify", *photos, *gallery, "--format", "csv")[1])))
    assert [row["name"] for row in rows] == ["blå, [b]", "unknown", "", ""]
    assert rows[3]["error"].startswith("not an image")
    code, _, err = cli("identify", tmp_path / "torn.png", *gallery)
    assert code == 2
    assert "torn.png" in err
    assert {row["strangers_supported"] for row in rows[:2]} == {"0.01"}


def test_an_unsupported_share_of_strangers_is_said_in_every_form(
    cli: Cli, face_photo: FacePhoto, tmp_path: Path, gallery: list[object]
) -> None:
    photo = face_photo(tmp_path / "a.png", 2, variant=8)
    asked = ["identify", photo, *gallery, "--strangers", "0.00001"]
    for form in ("table", "json", "jsonl", "csv"):
        code, out, err = cli(*asked, "--format", form)
        assert code == 0
        assert "nobody is named: 0.001 % of strangers cannot be promised" in err
        assert "ask for --strangers 0.0038" in err
        assert "--accept-unsupported" in err
        assert "unknown" in out
        assert "no better than 0.36 % is supported" in out
        code, out, err = cli(*asked, "--format", form, "--accept-unsupported")
        assert "cannot be promised" in err
        assert "blå, [b]" in out
        if form != "table":
            assert "0.00363636" in out


def test_a_drawing_has_names_and_boxes(
    cli: Cli, face_photo: FacePhoto, tmp_path: Path, gallery: list[object]
) -> None:
    photo = face_photo(tmp_path / "a.png", 2, 2, variant=8)
    code, out, _ = cli("identify", photo, *gallery, "--out", tmp_path / "drawn.png")
    assert code == 0
    assert "blå, [b] is named 2 times in this photo" in out
    drawn, plain = read_image(tmp_path / "drawn.png"), read_image(photo)
    assert drawn.shape == plain.shape
    assert (drawn != plain).any()
    cli("identify", photo, tmp_path / "people", *gallery, "--out", tmp_path / "drawn")
    assert len(list((tmp_path / "drawn").glob("*.png"))) == 8  # one of the nine photos is torn


def test_a_probability_follows_from_the_share_of_strangers(
    cli: Cli, face_photo: FacePhoto, tmp_path: Path, gallery: list[object]
) -> None:
    photo = face_photo(tmp_path / "a.png", 2, variant=8)
    few, many = (
        json.loads(cli("identify", photo, *gallery, "--format", "json", "--prior", prior)[1])[0]["faces"][0]
        for prior in ("0.1", "0.999")
    )
    assert (few["prior"], many["prior"]) == (0.1, 0.999)
    assert few["probability"] > many["probability"]


def test_low_quality_is_said_and_can_be_refused(
    cli: Cli, face_photo: FacePhoto, tmp_path: Path, gallery: list[object]
) -> None:
    blurred = face_photo(tmp_path / "blurred/a.png", 1, variant=245)
    code, out, _ = cli("identify", blurred, *gallery)
    assert code == 0
    assert "Rani" in out
    assert "of low quality: blurred" in out
    (face,) = json.loads(cli("identify", blurred, *gallery, "--refuse-poor", "--format", "json")[1])[0][
        "faces"
    ]
    assert (face["name"], face["nearest"]) == ("unknown", "Rani")
    assert face["reason"].startswith("of low quality: blurred")
    assert "note: " in cli("enroll", blurred.parent, "--person", "Rani", *gallery)[1]
    other = face_photo(tmp_path / "other/a.png", 3, variant=245)
    code, out, _ = cli("enroll", other.parent, "--person", "Örn", *gallery, "--refuse-poor")
    assert code == 2
    assert "left out: " in out


def test_verify(cli: Cli, face_photo: FacePhoto, tmp_path: Path) -> None:
    a, b = face_photo(tmp_path / "a.png", 4, variant=1), face_photo(tmp_path / "b.png", 4, 6, variant=2)
    other = face_photo(tmp_path / "other.png", 7)
    code, out, err = cli("verify", a, b)
    assert (code, err) == (0, "")
    assert out.startswith("The same person: score ")
    assert "of pairs of different people match (" in out
    assert "as measured on made up, 200 people" in out
    assert "b.png: 2 faces" in out
    assert cli("verify", a, other)[1].startswith("Different people: score ")
    record = json.loads(cli("verify", a, other, "--json")[1])
    assert record["same"] is False
    assert record["target"] == 0.001
    assert record["score"] < record["threshold"]
    assert all(set(face) == FACE for face in record["faces"])
    code, _, err = cli("verify", a, b, "--false-matches", "1e-9")
    assert code == 2
    assert "0 of 4,950 pairs of different people support no better than 0.00061" in err
    code, _, err = cli("verify", a, face_photo(tmp_path / "scene.png"))
    assert (code, "scene.png: no face was found" in err) == (2, True)
    code, _, err = cli("verify", a, b, "--embedder", "other")
    assert (code, "--save-calibration" in err) == (2, True)
    code, _, err = cli("verify", a, b, "--several", "nearest")
    assert (code, "'nearest' is not one of" in err) == (2, True)


def test_cluster(cli: Cli, face_photo: FacePhoto, tmp_path: Path) -> None:
    for variant in range(3):
        face_photo(tmp_path / f"photos/{variant}.png", 4, 5, variant=variant)
    face_photo(tmp_path / "photos/alone.png", 9)
    face_photo(tmp_path / "photos/scene.png")
    (tmp_path / "photos/torn.png").write_bytes(b"torn")
    code, out, _ = cli("cluster", tmp_path / "photos", "--out", tmp_path / "groups.json")
    assert code == 0
    assert "group 1: 3 faces: 0.png, 1.png, 2.png" in out
    assert "7 faces in 6 photos: 2 groups, and 1 face alone" in out
    assert "torn.png" in out
    record = json.loads((tmp_path / "groups.json").read_text())
    assert [len(group) for group in record["groups"]] == [3, 3, 1]
    assert record["false_matches"] == pytest.approx(0.01 / 7)
    cli("cluster", tmp_path / "photos/alone.png", "--out", tmp_path / "one.json")
    one = json.loads((tmp_path / "one.json").read_text())
    assert one["false_matches"] == 0.01
    assert one["threshold"] < record["threshold"], "the more faces, the more alike they must be"
    assert all(set(face) == {"photo", *FACE} for group in record["groups"] for face in group)
    assert {face["box"][0] for face in record["groups"][0]} in ({0}, {24})


def test_gallery_verbs(cli: Cli, tmp_path: Path, gallery: list[object]) -> None:
    file, *key = gallery[1], *gallery[2:]
    code, out, _ = cli("gallery", "list", file, *key)
    assert code == 0
    assert "2 people, faces of blocks, encrypted" in out
    listed = json.loads(cli("gallery", "list", file, *key, "--json")[1])
    assert [person["name"] for person in listed["people"]] == ["Rani", "blå, [b]"]
    assert "consent: not noted" in cli("gallery", "show", file, "Rani", *key)[1]
    shown = json.loads(cli("gallery", "show", file, "Rani", *key, "--json")[1])
    assert len(shown["photos"]) == 3
    assert set(shown["photos"][0]["face"]) == FACE
    code, _, err = cli("gallery", "show", file, "Rany", *key)
    assert (code, "did you mean 'Rani'?" in err) == (2, True)

    code, out, _ = cli("gallery", "export", file, "--out", tmp_path / "e.json", *key, "--templates")
    assert "in the clear" in out
    exported = json.loads((tmp_path / "e.json").read_text())
    assert len(exported["people"][0]["photos"][0]["embedding"]) == 32
    cli("gallery", "export", file, "--out", tmp_path / "one.json", "--person", "Rani", *key)
    assert "embedding" not in (tmp_path / "one.json").read_text()

    code, out, _ = cli("gallery", "remove", file, "Rani", *key)
    assert "removed Rani: 3 faces deleted; the photos themselves are not in the gallery" in out
    assert "people.key holds a new key, with which older copies of the gallery cannot be read." in out
    assert "1 person, faces" in cli("gallery", "list", file, *key)[1]
    assert cli("gallery", "remove", file, *key)[0] == 2
    assert "nobody to remove" in cli("gallery", "remove", file, "--expired", *key)[1]
    removed = json.loads(cli("gallery", "remove", file, "blå, [b]", *key, "--json")[1])
    assert removed[0]["templates"] == 3
    code, _, err = cli("gallery", "remove", file, "Rani", *key)
    assert (code, "nobody is in this gallery" in err) == (2, True)


def test_a_gallery_can_be_put_right(
    cli: Cli, people: Path, face_photo: FacePhoto, tmp_path: Path, gallery: list[object]
) -> None:
    file, *key = gallery[1], *gallery[2:]
    for variant in range(60, 64):
        face_photo(tmp_path / f"again/{variant}.png", 1, variant=variant)
    wrong = face_photo(tmp_path / "again/wrong.png", 2, variant=50)
    cli("enroll", tmp_path / "again", "--person", "Rani 2", *gallery, "--consent", "form 7")
    code, out, err = cli("gallery", "check", file, *key)
    assert (code, err) == (0, "")
    assert f"look at: {wrong}: enrolled as 'Rani 2', but looks like 'blå, [b]'" in out
    assert "look at: 'Rani' and 'Rani 2' may be one person" in out
    assert "11 faces of 3 people, 2 things to look at" in out
    kinds = {each["kind"] for each in json.loads(cli("gallery", "check", file, *key, "--json")[1])}
    assert kinds == {"mislabelled", "duplicate"}

    code, out, err = cli("gallery", "remove", file, "Rani 2", "--photo", wrong, *key)
    assert (code, err) == (0, "")
    assert "removed 1 photo of Rani 2: 1 face deleted" in out
    assert "1 photo of 'Rani'" not in out
    assert cli("gallery", "remove", file, "Rani", "Rani 2", "--photo", wrong, *key)[0] == 2
    assert cli("gallery", "remove", file, "Rani", "--expired", "--photo", wrong, *key)[0] == 2
    code, out, _ = cli("gallery", "merge", file, "Rani", "Rani 2", *key)
    assert (code, out) == (0, "Rani 2 is Rani now: 7 photos, consent: form 7, last day: none\n")
    assert cli("gallery", "rename", file, "Rani", "Rani K.", *key)[1] == "Rani is Rani K. now\n"
    code, _, err = cli("gallery", "rename", file, "Rani K.", "blå, [b]", *key)
    assert (code, "`gallery merge`" in err) == (2, True)
    assert "Rani K.: 7 photos" in cli("gallery", "show", file, "Rani K.", *key)[1]
    assert "0 things to look at" in cli("gallery", "check", file, *key)[1]


def test_a_new_key(cli: Cli, tmp_path: Path, gallery: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    file, *key = gallery[1], *gallery[2:]
    old = (tmp_path / "people.key").read_text().split()[0]
    code, out, err = cli("gallery", "rekey", file, *key)
    assert (code, err) == (0, "")
    assert f"{tmp_path}/people.key holds the new key" in out
    assert old not in (tmp_path / "people.key").read_text()
    monkeypatch.setenv("REHEAD_GALLERY_KEY", old)
    code, _, err = cli("gallery", "list", file)
    assert (code, "this is not the key" in err) == (2, True)
    monkeypatch.setenv("REHEAD_GALLERY_KEY", (tmp_path / "people.key").read_text())
    code, _, err = cli("gallery", "rekey", file)
    assert (code, "name one for the new key with --to" in err) == (2, True)
    out = cli("gallery", "remove", file, "Rani")[1]
    assert "The key is the same, so older copies of the gallery can be read with it" in out
    assert cli("gallery", "rekey", file, "--to", tmp_path / "own.key")[0] == 0
    assert "1 person" in cli("gallery", "list", file, "--key-file", tmp_path / "own.key")[1]
    out = cli("gallery", "remove", file, "blå, [b]", "--key-file", tmp_path / "own.key", "--keep-key")[1]
    assert "The key is the same" in out


def test_a_removal_beside_a_reader_says_that_nothing_is_overwritten(
    cli: Cli, gallery: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, *key = gallery[1], *gallery[2:]
    monkeypatch.setattr("rehead.faces.gallery.schema._READER_TIMEOUT", 0.05)
    with contextlib.closing(sqlite3.connect(str(file), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM people").fetchall()
        code, out, _ = cli("gallery", "remove", file, "Rani", *key)
    assert code == 0
    assert "Another process is reading the gallery, and before that ends nothing is overwritten." in out
    assert "is overwritten in the gallery" not in out


def test_a_key_for_a_gallery_without_encryption_is_refused(
    cli: Cli, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--gallery", tmp_path / "p.db"]
    assert cli("enroll", people, *options, "--no-encryption")[0] == 0
    (tmp_path / "k.key").write_text("7" * 64)
    (tmp_path / "k.key").chmod(0o600)
    for verb in (["enroll", people], ["identify", people]):
        code, _, err = cli(*verb, *options, "--key-file", tmp_path / "k.key")
        assert (code, "the gallery is not encrypted, but a key is given" in err) == (2, True)
    monkeypatch.setenv("REHEAD_GALLERY_KEY", "7" * 64)
    assert "leave out --key-file and REHEAD_GALLERY_KEY" in cli("gallery", "list", tmp_path / "p.db")[2]
    assert cli("enroll", people, *options, "--no-encryption")[0] == 0
    monkeypatch.delenv("REHEAD_GALLERY_KEY")
    out = cli("gallery", "remove", tmp_path / "p.db", "Rani")[1]
    assert "Nothing is encrypted, so older copies of the gallery still show it." in out


def test_a_key_that_a_kill_cut_off(cli: Cli, people: Path, tmp_path: Path) -> None:
    (tmp_path / "p.key").touch(0o600)
    options = ["--gallery", tmp_path / "p.db", "--key-file", tmp_path / "p.key"]
    code, _, err = cli("enroll", people, *options)
    assert (code, "remove the file and enrol again" in err) == (2, True)
    (tmp_path / "p.key").unlink()
    assert cli("enroll", people, *options)[0] == 0


def test_what_others_can_read_is_said(cli: Cli, tmp_path: Path, gallery: list[object]) -> None:
    file, *key = gallery[1], *gallery[2:]
    assert isinstance(file, Path)
    out = tmp_path / "e.json"
    out.touch(0o644)
    assert cli("gallery", "export", file, "--out", out, "--templates", *key)[0] == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    file.chmod(0o644)
    (tmp_path / "people.key").chmod(0o640)
    code, _, err = cli("gallery", "list", file, *key)
    assert code == 0
    assert err.splitlines() == [
        f"rehead: other users can read {path}; run `chmod 600 {shlex.quote(str(path))}`"
        for path in (file, tmp_path / "people.key")
    ]


@pytest.mark.parametrize("verb", ["remov", "delete", "renam", "removes"])
def test_no_verb_is_suggested_for_a_wrong_one(cli: Cli, gallery: list[object], verb: str) -> None:
    code, _, err = cli("gallery", verb, gallery[1], "Rani", *gallery[2:])
    assert code == 2
    assert "did you mean" not in err.lower()
    assert f"no such command '{verb}'; expected one of list, show, rename" in err


def test_bad_folders_are_listed_and_the_others_enrolled(
    cli: Cli, people: Path, face_photo: FacePhoto, tmp_path: Path
) -> None:
    face_photo(people / "unknown/0.png", 9)
    (people / "Rani").rename(os.fsdecode(os.fsencode(people) + b"/Ren\xe9"))
    (people / "blå, [b]" / "notes.txt").write_text("no photo", "utf-8")
    options = ["--gallery", tmp_path / "p.db", "--key-file", tmp_path / "p.key"]
    code, out, err = cli("enroll", people, *options)
    assert code == 1
    assert "unknown: 'unknown' cannot be a person's name; it means nobody" in out
    assert "cannot be a person's name; it is not UTF-8" in out
    assert "blå, [b]: 3 photos enrolled" in out
    assert "1 person, 3 photos" in out
    passed_over, left_out = err.splitlines()
    assert passed_over == "1 file was passed over (no photos): 'blå, [b]/notes.txt'."
    assert left_out == "rehead: 2 folders left out, see above"


def test_nothing_is_made_where_nobody_can_be_enrolled(cli: Cli, people: Path, tmp_path: Path) -> None:
    options = ["--gallery", tmp_path / "p.db", "--key-file", tmp_path / "p.key"]
    for arguments, words in {
        (people, "--expires", "2020-01-01"): "2020-01-01 is past",
        (people / "Rani", "--person", "unknown"): "means nobody",
        (tmp_path / "none",): "there is no such folder",
        (people, "--consent", "\udce9"): "not UTF-8",
    }.items():
        code, _, err = cli("enroll", *arguments, *options)
        assert (code, words in err) == (2, True)
    assert list(tmp_path.iterdir()) == [people]


def test_sync(cli: Cli, people: Path, face_photo: FacePhoto, gallery: list[object]) -> None:
    face_photo(people / "Rani/0.png", 1, variant=30)
    (people / "Rani/1.png").unlink()
    out = cli("enroll", people, *gallery, "--sync")[1]
    assert "Rani: 1 photo enrolled, 1 there already" in out
    assert f"  removed: {people}/Rani/0.png: was replaced" in out
    assert f"  removed: {people}/Rani/1.png: was deleted" in out
    assert "2 people, 5 photos" in out


def test_everybody_has_expired(
    cli: Cli, people: Path, gallery: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, *key = gallery[1], *gallery[2:]
    cli("enroll", people, *gallery, "--expires", datetime.date.today().isoformat())
    monkeypatch.setattr("rehead.faces.gallery.records.today", lambda: datetime.date(2999, 1, 1))
    out = cli("identify", people / "Rani/0.png", *gallery, "--format", "csv")[1]
    assert "everybody in the gallery has expired" in out
    assert "0 faces of 0 people, 2 more expired" in cli("gallery", "check", file, *key)[1]
    out = cli("gallery", "remove", file, "--expired", *key)[1]
    assert "removed Rani: 3 faces deleted" in out


def test_remove_checks_all_names_first(cli: Cli, gallery: list[object]) -> None:
    file, *key = gallery[1], *gallery[2:]
    assert cli("gallery", "remove", file, "Rani", "none", *key)[0] == 2
    assert "2 people" in cli("gallery", "list", file, *key)[1]


def test_rebuild(cli: Cli, people: Path, gallery: list[object]) -> None:
    file, *key = gallery[1], *gallery[2:]
    code, _, err = cli("enroll", people, *gallery, "--embedder", "other")
    assert (code, "gallery rebuild" in err) == (2, True)
    code, out, _ = cli("gallery", "rebuild", file, *key, "--embedder", "other")
    assert code == 0
    assert "6 photos embedded anew by blocks" in out
    code, _, err = cli("identify", people, *gallery)
    assert (code, "gallery rebuild" in err) == (2, True)


def write_lfw(folder: Path, face_photo: FacePhoto, people: int) -> Path:
    for person in range(people):
        for variant in (1, 2):
            name = f"P_{person}"
            face_photo(folder / name / f"{name}_{variant:04d}.png", person, variant=variant)
    face_photo(folder / "P_3/P_3_0002.png")
    pairs = [f"P_{n} 1 2" for n in range(people)]
    pairs += [f"P_{n} 1 P_{(n + 5) % people} 2" for n in range(people)]
    (folder / "pairs.txt").write_text(f"1 {people}\n" + "\n".join(pairs) + "\n")
    return folder


def test_evaluate_pairs(cli: Cli, face_photo: FacePhoto, tmp_path: Path) -> None:
    folder = write_lfw(tmp_path / "lfw", face_photo, 60)
    options = ["--out", tmp_path / "out", "--save-calibration", tmp_path / "c.json"]
    code, out, err = cli("evaluate", folder / "pairs.txt", *options)
    assert (code, err) == (0, "")
    assert "2 pairs with a face that was not found count as wrong" in out
    assert "of people, made of one set of pairs" in out
    assert "too few" in out
    assert "P_3_0002.png: no face was found" in out
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["pairs"]["failures"] == 2
    assert metrics["pairs"]["accuracy"]["value"] > 0.95
    html = (tmp_path / "out/report.html").read_text()
    assert "The worst pairs" in html
    assert html.count("data:image/jpeg;base64,") >= 4
    assert "P_3_0001 · P_3_0002" in html
    assert read_calibration(tmp_path / "c.json").people == 60
    record = json.loads(cli("evaluate", folder / "pairs.txt", "--images", folder, "--json")[1])
    assert record == metrics
    code, _, err = cli("evaluate", folder / "P_1/P_1_0001.png")
    assert (code, "the pairs cannot be read (not text)" in err) == (2, True)


def test_evaluate_people(cli: Cli, face_photo: FacePhoto, tmp_path: Path) -> None:
    folder = write_lfw(tmp_path / "lfw", face_photo, 40)
    face_photo(folder / "P_7/wrong.png", 8, variant=9)
    code, out, _ = cli("evaluate", folder, "--out", tmp_path / "out")
    assert code == 0
    assert "of enrolled people were most like their own person" in out
    assert "enrolled as 'P_7', but looks like 'P_8'" in out
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["people"] == 40
    assert metrics["audit"][0]["kind"] == "mislabelled"
    html = (tmp_path / "out/report.html").read_text()
    assert "Open-set identification" in html
    assert "Photos and labels to check" in html
    assert "enrolled as ‘P_7’, but looks like ‘P_8’" in html, "the page lists what the audit found"
    code, out, _ = cli("evaluate", write_lfw(tmp_path / "few", face_photo, 6))
    assert "Identification was not tried: 6 people" in out
    assert cli("evaluate", folder, "--images", folder)[0] == 2


@pytest.mark.parametrize(
    "verb", ["", "enroll", "identify", "verify", "cluster", "evaluate", "train", "gallery", "gallery rekey"]
)
def test_help(cli: Cli, verb: str) -> None:
    code, out, _ = cli(*verb.split(), "--help")
    assert code == 0
    assert " ".join(["faces", *verb.split()]) in out


def test_train(
    cli: Cli,
    face_photo: FacePhoto,
    face_parts: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rehead.faces.encoder.FaceDetector", lambda name, threads: face_parts[0])
    monkeypatch.setattr("rehead.faces.encoder.FaceEmbedder", lambda name, **_: face_parts[1])
    for name, person in {"Rani": 10, "blå": 60}.items():
        for variant in range(15):
            face_photo(tmp_path / "photos" / name / f"{variant}.png", person, variant=11 * (7 * variant % 15))
    face_photo(tmp_path / "photos/Rani/scene.png")
    face_photo(tmp_path / "photos/Rani/two.png", 10, 90, variant=100)
    code, out, _ = cli("train", tmp_path / "photos", "--out", tmp_path / "run")
    assert code == 0
    assert "test photos were named correctly" in " ".join(out.split())
    assert "Rani/scene.png: no face was found" in out
    assert (tmp_path / "run/report.html").is_file()
    assert cli("train", tmp_path / "photos", "--out", tmp_path / "run")[0] == 2
