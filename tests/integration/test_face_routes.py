"""Faces and keypoints of a service: /identify, /verify, /people and /keypoints."""

from __future__ import annotations

import base64
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest

from rehead.cli import main
from rehead.core.model_file import read_model_file, write_model_file
from rehead.errors import MissingExtraError
from rehead.faces import Face, Quality
from rehead.faces.gallery.gallery import FaceGallery
from rehead.faces.pipeline import FacePipeline
from rehead.faces.verification import calibration
from rehead.faces.verification.calibration import Calibration
from rehead.faces.verification.verify import verify
from rehead.keypoints import load_keypoints, predict_on_faces
from rehead.serving import keypoint_routes
from rehead.serving.app import create_app
from rehead.serving.face_service import FaceService
from rehead.serving.models import ModelSet
from served_app import served_app

KEY = bytes(range(32))
GOLDEN = Path(__file__).parents[1] / "golden"
MODELS = [GOLDEN / "classifier_protocol3.onnx", GOLDEN / "keypoints_protocol2.onnx"]
SECOND = {"X-Enrol-Token": "second-token-of-20-letters"}
Photo = Callable[..., bytes]


@pytest.fixture
def photo(face_photo: Callable[..., Path], tmp_path: Path) -> Photo:
    """The bytes of a photo of some people."""

    def of(*people: int, variant: int = 0) -> bytes:
        return face_photo(tmp_path / "photo.png", *people, variant=variant).read_bytes()

    return of


@pytest.fixture
def gallery(
    tmp_path: Path, photo: Photo, face_pipeline: FacePipeline, face_calibration: Calibration
) -> Callable[[], FaceGallery]:
    def opened(create: bool = False) -> FaceGallery:
        return FaceGallery(
            tmp_path / "people.db", face_pipeline, key=KEY, calibration=face_calibration, create=create
        )

    with opened(create=True) as made:
        made.enroll("Rani", [photo(1, variant=n) for n in range(3)])
    return opened


@pytest.fixture
def serve(face_pipeline: FacePipeline, face_calibration: Calibration) -> Callable[..., Any]:
    def of(gallery: Callable[[], FaceGallery] | None = None, **options: Any) -> Any:
        faces = FaceService(face_pipeline, gallery, calibration=face_calibration)
        return served_app(create_app(ModelSet(MODELS), faces=faces, **options))

    return of


@pytest.fixture
def client(serve: Callable[..., Any], gallery: Callable[[], FaceGallery]) -> Iterator[httpx.Client]:
    with (
        serve(gallery, enrol_token=SECOND["X-Enrol-Token"]) as (host, port),
        httpx.Client(base_url=f"http://{host}:{port}") as opened,
    ):
        yield opened


class FixedDetector:
    """Finds a face where it is told to."""

    name = "mtcnn"

    def __init__(self) -> None:
        self.boxes = [[4.0, 5.0, 40.0, 44.0]]

    def detect(self, photo: Any) -> list[Face]:
        points = np.array([[14, 20], [30, 20], [22, 27], [16, 34], [28, 34]], float)
        return [Face(np.array(box, float), points, 1.0, Quality(36, 90, 0, 0, 0)) for box in self.boxes]


def files(*photos: bytes) -> list[tuple[str, bytes]]:
    return [("photo", photo) for photo in photos]


def names(client: httpx.Client, photo: bytes) -> list[str]:
    (answer,) = client.post("/identify", content=photo).raise_for_status().json()["answers"]
    return [face["name"] for face in answer["faces"]]


def test_faces_are_identified(client: httpx.Client, gallery: Callable[[], FaceGallery], photo: Photo) -> None:
    group = photo(1, 77, variant=9)
    with gallery() as opened:
        expected = [each.to_dict() for each in opened.identify(group)]
        threshold = opened.threshold().sentence
    reply = client.post("/identify", files=files(group, photo(), b"torn")).json()["answers"]
    assert reply[0] == {"faces": expected, "threshold": threshold}
    assert [face["name"] for face in reply[0]["faces"]] == ["Rani", "unknown"]
    assert reply[0]["faces"][1]["reason"].startswith("nobody is like it enough")
    assert reply[0]["faces"][1]["face"]["box"] == [24, 0, 48, 24]
    assert reply[1]["faces"] == []
    assert reply[2]["faces"] == []
    assert "not an image" in reply[2]["error"]
    encoded = {"photos": [base64.b64encode(group).decode()]}
    assert client.post("/identify", json=encoded).json()["answers"] == reply[:1]


def test_two_photos_are_compared(
    client: httpx.Client, photo: Photo, face_pipeline: FacePipeline, face_calibration: Calibration
) -> None:
    pair = photo(5, variant=1), photo(5, variant=2)
    reply = client.post("/verify", files=files(*pair)).json()
    assert reply == verify(*pair, face_pipeline, calibration=face_calibration).to_dict()
    assert reply["same"]
    assert reply["false_matches"]["high"] <= reply["target"] == 0.001
    assert not client.post("/verify", files=files(photo(5), photo(6))).json()["same"]
    for wrong, reason in (
        ([pair[0]], "1 photos; expected two to compare"),
        ([*pair, pair[0]], "3 photos; expected two to compare"),
        ([pair[0], photo()], "no face was found"),
        ([pair[0], b"torn"], "not an image"),
    ):
        refused = client.post("/verify", files=files(*wrong))
        assert refused.status_code == 400
        assert reason in refused.json()["error"]


def test_people_are_enrolled_and_removed_with_the_second_token(client: httpx.Client, photo: Photo) -> None:
    stranger = photo(9, variant=7)
    assert names(client, stranger) == ["unknown"]
    form = {"name": "Örn", "consent": "asked", "expires": "2999-12-31"}
    sent = files(photo(9, variant=1), photo(9, variant=2))
    done = client.post("/people/enroll", data=form, files=sent, headers=SECOND)
    assert done.json() == {"name": "Örn", "added": 2, "known": 0, "skipped": [], "notes": []}
    assert names(client, stranger) == ["Örn"]
    people = client.get("/people", headers=SECOND).json()["people"]
    assert [(each["name"], each["photos"], each["consent"]) for each in people] == [
        ("Rani", 3, None),
        ("Örn", 2, "asked"),
    ]
    gone = client.post("/people/remove", files={"name": (None, "Örn")}, headers=SECOND).json()
    assert (gone["name"], gone["templates"]) == ("Örn", 2)
    assert names(client, stranger) == ["unknown"]
    again = client.post("/people/remove", files={"name": (None, "Örn")}, headers=SECOND)
    assert (again.status_code, "unknown person" in again.json()["error"]) == (404, True)


@pytest.mark.parametrize("token", [{}, {"X-Enrol-Token": ""}, {"X-Enrol-Token": "second"},
                                   {"Authorization": "Bearer " + SECOND["X-Enrol-Token"]}])  # fmt: skip
def test_nobody_changes_people_without_the_second_token(
    client: httpx.Client, photo: Photo, token: dict[str, str]
) -> None:
    form = {"data": {"name": "Örn"}, "files": files(photo(9))}
    assert client.post("/people/enroll", headers=token, **form).status_code == 403  # type: ignore[arg-type]
    assert client.post("/people/remove", headers=token, files={"name": (None, "Rani")}).status_code == 403
    assert client.get("/people", headers=token).status_code == 403
    assert [each["name"] for each in client.get("/people", headers=SECOND).json()["people"]] == ["Rani"]


def test_without_a_second_token_nobody_does(
    serve: Callable[..., Any], gallery: Callable[[], FaceGallery], photo: Photo
) -> None:
    with serve(gallery) as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as client:
        for header in (SECOND, {"X-Enrol-Token": ""}, {}):
            refused = client.post("/people/enroll", data={"name": "x"}, files=files(photo(9)), headers=header)
            assert (refused.status_code, "--enrol-token-file" in refused.json()["error"]) == (403, True)
        assert names(client, photo(1, variant=8)) == ["Rani"]


WRONG_ENROLMENTS: list[tuple[list[tuple[str, bytes]], int, str]] = [
    ([("photo", b"x")], 400, "no field named name"),
    ([("name", b"")], 400, "no field named name"),
    ([("name", b"\xff")], 400, "not UTF-8"),
    ([("name", b"a"), ("name", b"b")], 400, "there twice"),
    ([("name", b"a"), ("nam\xc3\xa9", b"b")], 400, "not expected"),
    ([("name", b"unknown"), ("photo", b"x")], 400, "cannot be a person's name"),
    ([("name", b"a\nb"), ("photo", b"x")], 400, "control characters"),
    ([("name", b"a" * 201), ("photo", b"x")], 400, "201 characters"),
    ([("name", b"a"), ("photo", b"torn")], 400, "photo 1: not an image"),
    ([("name", b"a")], 400, "there is no photo"),
    ([("name", b"a"), ("expires", b"2001-01-01"), ("photo", b"x")], 400, "is past"),
    ([("name", b"a"), ("expires", b"soon"), ("photo", b"x")], 400, "is not a day"),
    ([("name", b"a")] + [("photo", b"x")] * 51, 413, "51 photos"),
]


def test_wrong_enrolments_are_refused(client: httpx.Client) -> None:
    for fields, status, reason in WRONG_ENROLMENTS:
        refused = client.post(
            "/people/enroll", files=[(name, (None, data)) for name, data in fields], headers=SECOND
        )
        assert (refused.status_code, reason in refused.json()["error"]) == (status, True), fields
        assert refused.json()["error"].isprintable()
    assert client.post("/people/enroll", content=b"x", headers=SECOND).status_code == 415
    assert len(client.get("/people", headers=SECOND).json()["people"]) == 1


def test_a_gallery_that_fails_is_not_told_to_clients(
    client: httpx.Client, tmp_path: Path, photo: Photo, other_face_pipeline: FacePipeline
) -> None:
    from rehead.faces.gallery.maintenance import rebuild

    for n in range(3):
        (tmp_path / f"{n}.png").write_bytes(photo(1, variant=n))
    (tmp_path / "photo.png").unlink()
    rebuild(tmp_path / "people.db", other_face_pipeline, key=KEY, photos=[tmp_path])
    refused = client.post("/identify", content=(tmp_path / "0.png").read_bytes())
    assert refused.status_code == 503
    assert str(tmp_path) not in refused.text


def test_what_is_not_served_is_said(serve: Callable[..., Any], photo: Photo) -> None:
    with serve() as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as client:
        assert client.post("/verify", files=files(photo(5), photo(5, variant=1))).json()["same"]
        for path in ("/identify", "/people/enroll", "/people/remove"):
            refused = client.post(path, content=photo(1), headers=SECOND)
            assert (refused.status_code, "--gallery" in refused.json()["error"]) == (404, True)
    app = create_app(ModelSet(MODELS[:1]))
    with served_app(app) as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as client:
        for path, hint in (("/verify", "--verify"), ("/identify", "--gallery"), ("/keypoints", "keypoints")):
            refused = client.post(path, content=photo(1))
            assert (refused.status_code, hint in refused.json()["error"]) == (404, True)


def test_points_are_those_of_keypoints_predict(client: httpx.Client) -> None:
    data = (GOLDEN / "keypoints_protocol2.png").read_bytes()
    (expected,) = load_keypoints(MODELS[1]).predict(data)
    reply = client.post("/keypoints", files=files(data, b"torn")).json()
    assert reply["model"] == "keypoints_protocol2"
    assert reply["answers"][0] == expected.to_dict()
    assert "not an image" in reply["answers"][1]["error"]
    named = client.post("/keypoints", params={"model": "keypoints_protocol2"}, content=data).json()
    assert named["answers"] == reply["answers"][:1]
    wrong = client.post("/keypoints", params={"model": "classifier_protocol3"}, content=data)
    assert (wrong.status_code, "is a classifier model" in wrong.json()["error"]) == (404, True)
    assert client.post("/keypoints", params={"model": "x"}, content=data).status_code == 404


def test_points_are_placed_on_faces_that_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = FixedDetector()
    monkeypatch.setattr("rehead.faces.FaceDetector", lambda name, threads: detector)
    monkeypatch.setattr(keypoint_routes, "_detector", keypoint_routes._detector.__wrapped__)
    file = read_model_file(MODELS[1])
    points = {**file.manifest["points"], "frame": {"box": [0.2, 0.2, 0.8, 0.8], "aspect": 1.0}}
    graph = onnx.load_from_string(file.graph).SerializeToString()
    write_model_file(tmp_path / "framed.onnx", graph, {**file.manifest, "points": points})
    data = (GOLDEN / "keypoints_protocol2.png").read_bytes()
    (expected,) = predict_on_faces(load_keypoints(tmp_path / "framed.onnx"), detector, data)
    assert isinstance(expected, list)

    app = create_app(ModelSet([tmp_path / "framed.onnx", MODELS[1]]))
    with served_app(app) as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as client:

        def ask(**model: str) -> httpx.Response:
            return client.post("/keypoints", params={"detect": "true", **model}, content=data)

        (answer,) = ask().json()["answers"]
        assert answer == {"photo": "", "faces": [each.to_dict() for each in expected]}
        assert answer["faces"][0]["face"] == [4, 5, 40, 44]
        refused = ask(model="keypoints_protocol2")
        assert (refused.status_code, "how large faces were" in refused.json()["error"]) == (400, True)
        detector.boxes = []
        assert ask().json()["answers"] == [{"photo": "", "error": "no face was found in it", "faces": []}]
        monkeypatch.setattr("rehead.faces.FaceDetector", absent)
        refused = ask()
        assert (refused.status_code, "rehead[faces]" in refused.json()["error"]) == (501, True)


def absent(name: str, threads: int) -> Any:
    raise MissingExtraError("pip install 'rehead[faces]'")


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    face_pipeline: FacePipeline,
    face_calibration: Calibration,
) -> Callable[..., tuple[Any, int, str]]:
    """`rehead serve` in this process: the application that it would run, exit code and error output."""
    monkeypatch.setattr("rehead.cli.faces.options.load_pipeline", lambda faces, threads: face_pipeline)
    monkeypatch.setattr(calibration, "_all", lambda: {face_calibration.fingerprint: face_calibration})
    monkeypatch.delenv("REHEAD_GALLERY_KEY", raising=False)

    def run(*arguments: object) -> tuple[Any, int, str]:
        apps: list[Any] = []

        def serve(app: Any, listening: socket.socket, **options: Any) -> None:
            listening.close()
            apps.append(app)

        monkeypatch.setattr("rehead.serving.server.run", serve)
        monkeypatch.setattr(sys, "argv", ["rehead", "serve", *map(str, arguments), "--port", "0"])
        with pytest.raises(SystemExit) as end:
            main()
        return apps, int(end.value.code or 0), capsys.readouterr().err

    return run


def test_the_command_opens_the_gallery(
    command: Any, gallery: Callable[[], FaceGallery], tmp_path: Path, photo: Photo
) -> None:
    (tmp_path / "key").write_text(KEY.hex(), "ascii")
    (tmp_path / "token").write_text(SECOND["X-Enrol-Token"] + "\n", "ascii")
    given = ["--gallery", tmp_path / "people.db", "--key-file", tmp_path / "key", "--strangers", "0.05"]
    (app,), code, _ = command(*MODELS, *given, "--enrol-token-file", tmp_path / "token")
    assert code == 0
    with served_app(app) as (host, port), httpx.Client(base_url=f"http://{host}:{port}") as client:
        (answer,) = client.post("/identify", content=photo(1, variant=9)).json()["answers"]
        assert (answer["faces"][0]["name"], answer["faces"][0]["strangers"]) == ("Rani", 0.05)
        assert client.get("/people", headers=SECOND).status_code == 200
        assert client.post("/verify", files=files(photo(5), photo(5, variant=1))).json()["same"]


def test_what_cannot_be_opened_is_one_line(
    command: Any, gallery: Callable[[], FaceGallery], tmp_path: Path
) -> None:
    (tmp_path / "short").write_text("secret", "ascii")
    people = ["--gallery", tmp_path / "people.db"]
    for given, reason in (
        (["--gallery", tmp_path / "none.db"], "there is no such gallery"),
        (people, "key"),
        ([*people, "--key-file", tmp_path / "none"], "none"),
        (["--enrol-token-file", tmp_path / "short"], "give --gallery too"),
        ([*people, "--enrol-token-file", tmp_path / "none"], "none"),
        ([*people, "--enrol-token-file", tmp_path / "short"], "16"),
        ([*people, "--strangers", "2"], "strangers"),
    ):
        apps, code, said = command(MODELS[0], *given)
        assert (apps, code) == ([], 2), said
        assert reason in said
        assert "Traceback" not in said
