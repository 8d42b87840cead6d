"""What the page's server answers: only with the token, and whatever it is asked."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

from rehead.errors import ImageError, OutputError
from rehead.pages.words import words
from rehead.studio import app as studio_app
from rehead.studio import findings
from rehead.studio.app import create_app
from rehead.studio.project import Project, open_project

TOKEN = "a token of these tests"


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((9, 9, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "photos")
    made.folder.add(png(1), "1.png", "cat")
    made.folder.add(png(2), "2.png", "dog")
    return made


@pytest.fixture
def client(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client with the token, of a project that nobody audits meanwhile."""
    monkeypatch.setattr(project, "tick", lambda: None)
    with TestClient(create_app(project, token=TOKEN), base_url="http://127.0.0.1:1234") as made:
        made.headers["authorization"] = f"Bearer {TOKEN}"
        yield made


def test_the_state_is_sent_once(client: TestClient) -> None:
    state = client.get("/api/state").json()
    assert [(one["name"], len(one["photos"])) for one in state["classes"]] == [("cat", 1), ("dog", 1)]
    assert state["needs"] == [{"key": "needs.photos", "classes": ["cat", "dog"]}]
    again = client.get("/api/state", params={"seen": state["version"]}).json()
    assert again == {"version": state["version"]}
    client.post("/api/make", json={"name": "bird"})
    assert client.get("/api/state", params={"seen": state["version"]}).json()["version"] != state["version"]


def test_few_scenes_are_said(project: Project) -> None:
    for label in ("cat", "dog"):
        for number in range(12):
            project.folder.add_frame(png(10 + number), label, "20260102030405006", number)
    assert project.state()["hints"] == [{"key": "hint.scenes", "classes": ["cat", "dog"]}]
    for number in range(4):
        project.folder.add_frame(png(50 + number), "cat", f"2026010203040500{number}", 0)
    assert project.state()["hints"] == [{"key": "hint.scenes", "classes": ["dog"]}]


def test_an_address_without_the_token_shows_an_empty_page(client: TestClient) -> None:
    del client.headers["authorization"]
    assert "<main>" in client.get("/").text
    assert client.get("/static/studio.js").status_code == 200
    for path in ("/api/state", "/thumbnail?id=cat/1.png", "/runs/run-1/report.html"):
        assert client.get(path).status_code == 401
    assert client.post("/api/make", json={"name": "x"}).status_code == 401
    assert client.post("/api/photos?label=cat&name=x.png", content=png(3)).status_code == 401


def test_a_page_of_another_origin_changes_nothing(client: TestClient) -> None:
    answer = client.post("/api/make", json={"name": "x"}, headers={"origin": "http://evil.example"})
    assert answer.status_code == 403
    assert client.get("/api/state", headers={"host": "evil.example"}).status_code == 421


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "to", "ids", "label", "paths", "finding"]), inner, max_size=4
        )
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=ANYTHING, what=st.sampled_from([*sorted(set(studio_app._CHANGES) - {"train"}), "..", "nothing"]))
def test_any_request_is_answered_without_a_failure(client: TestClient, body: Any, what: str) -> None:
    assert client.post(f"/api/{what}", content=json.dumps(body)).status_code in (200, 400, 404, 405, 409)
    assert client.post(f"/api/{what}", content=json.dumps(body)[:-1]).status_code in (400, 404, 405, 409, 200)


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "cat/../dog/2.png", "/etc/passwd", "", "\0"])
def test_no_name_leads_out_of_the_folder(name: str, client: TestClient) -> None:
    assert client.get("/thumbnail", params={"id": name}).status_code in (400, 409)
    assert client.get(f"/runs/{quote(name) or 'x'}/report.html").status_code in (404, 409)
    answer = client.post("/api/photos", params={"label": "cat", "name": name}, content=png(9))
    assert answer.json() == {"added": True}
    photos = client.get("/api/state").json()["classes"][0]["photos"]
    assert all(re.fullmatch(r"cat/[^/]+", photo["id"]) for photo in photos)


def test_what_is_refused_has_a_key_and_its_values(client: TestClient) -> None:
    answer = client.post("/api/make", json={"name": "CAT"})
    assert answer.status_code == 409
    assert answer.json() == {
        "error": "There is a class “cat” already.",
        "key": "refused.class-there",
        "values": {"name": "cat"},
    }


def test_a_photo_that_is_too_large_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio_app, "_LARGEST", 100)
    answer = client.post("/api/photos?label=cat&name=x.png", content=bytes(101))
    assert answer.json()["key"] == "refused.large"


def test_photos_are_not_moved_from_under_a_training(
    client: TestClient, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Running:
        state = "running"

    monkeypatch.setattr(project.training, "progress", Running)
    for what, body in (
        ("move", {"ids": ["cat/1.png"], "label": "dog"}),
        ("remove", {"ids": ["cat/1.png"]}),
        ("rename", {"name": "cat", "to": "x"}),
        ("remove-class", {"name": "cat"}),
        ("undo", {}),
    ):
        assert client.post(f"/api/{what}", json=body).json()["key"] == "refused.running"


def test_every_word_of_the_page_is_in_the_table() -> None:
    table = words("rehead.studio").table
    room = files("rehead.studio")
    text = "".join(one.read_text("utf-8") for one in room.iterdir() if one.name.endswith((".js", ".j2")))
    for key in re.findall(r'\bword\("([\w. -]+)"|words\["([\w.-]+)"\]', text):
        assert "".join(key) in table
    for key in re.findall(r'\bcounted\("([\w.-]+)"', text):
        assert f"{key}.other" in table
    python = "".join(one.read_text("utf-8") for one in room.iterdir() if one.name.endswith(".py"))
    for key in re.findall(r'(?:Refused|NotWritten)\("([\w-]+)"', python):
        assert f"refused.{key}" in table
    for key in re.findall(r"\bword\(`camera\.\$\{(\w+)\}`", text):
        assert key == "key"  # an end that `whyNot` of camera.js gives
    ends = re.findall(r'Error: "(\w+)"', files("rehead.pages").joinpath("camera.js").read_text("utf-8"))
    assert {f"camera.{end}" for end in ends} <= set(table)
    assert not re.findall(r"\bword\(key\)", text)
    for what in ("add", "move", "remove", "restore", "make", "rename", "remove-class"):
        assert f"undo.{what}.other" in table
    from rehead.studio.findings import _SHOWN

    assert {f"findings.{kind}.what" for kind in _SHOWN} <= set(table)


def test_a_folder_that_may_not_be_written_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="file"), open_project(tmp_path / "file" / "photos"):
        pass


def test_a_thumbnail_does_not_list_the_folder(
    client: TestClient, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the thumbnails of 3,000 photos take 3,000 times 60 ms."""
    client.get("/api/state")
    monkeypatch.setattr(project.folder, "find", None)
    assert client.get("/thumbnail", params={"id": "cat/1.png"}).status_code == 200
    monkeypatch.undo()
    (project.folder.root / "cat" / "1.png").unlink()
    assert client.get("/thumbnail", params={"id": "cat/1.png"}).json()["key"] == "refused.gone"


def test_a_disk_that_takes_no_list_of_photos_does_not_end_the_looking(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "_QUIET", 0.0)
    table = project.folder.own / "photos.csv"
    (table / "in the way").mkdir(parents=True)
    project.tick()
    project.tick()
    assert "cannot be written" in project.state()["looking_failed"]
    assert not project.state()["looking"]


def test_whatever_fails_when_photos_are_looked_at_they_are_looked_at_again(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    again = threading.Event()

    def tick() -> None:
        if not caplog.records:
            raise RuntimeError("of this test")
        again.set()

    monkeypatch.setattr(studio_app, "_PAUSE", 0.01)
    monkeypatch.setattr(project, "tick", tick)
    with TestClient(create_app(project, token=TOKEN)):
        assert again.wait(20)
    assert "could not be looked at" in caplog.text


def test_a_photo_to_try_that_cannot_be_read_is_named(
    client: TestClient, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def predict(self, photo: bytes) -> None:
            raise ImageError(photo, "the file ends before the picture does")

    run = project.folder.runs / "run-1"
    run.mkdir()
    for name in ("run.json", "model.onnx"):
        (run / name).write_text("{}")
    monkeypatch.setattr(project.runs, "_predictor", lambda _: Broken())
    found = client.post("/runs/run-1/answer?photo=cut.jpg", content=b"x").json()
    assert found["error"] == "“cut.jpg” cannot be taken as a photo: the file ends before the picture does."
