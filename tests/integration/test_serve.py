"""`rehead serve`: what it answers, what it refuses, and that no request is lost."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from rehead import load_model
from rehead.core.model_file import read_model_file, write_model_file
from rehead.errors import DataError, MissingExtraError, UnknownNameError
from rehead.serving.app import create_app
from rehead.serving.batching import Engine, Overloaded, TooMany
from rehead.serving.extra import check_extra
from rehead.serving.models import ModelSet
from rehead.serving.options import ServeOptions, is_loopback
from rehead.serving.security import read_token

_GOLDEN = Path(__file__).parents[1] / "golden"
_MODEL = _GOLDEN / "classifier_protocol3.onnx"
_TOKEN = "0123456789abcdef"
_WAIT = 60.0  # seconds, beyond which something hangs

Serve = Callable[..., "Served"]


@pytest.fixture(scope="module")
def photo() -> bytes:
    return (_GOLDEN / "classifier_protocol3_known.png").read_bytes()


@pytest.fixture(scope="module")
def stranger() -> bytes:
    return (_GOLDEN / "classifier_protocol3_unknown.png").read_bytes()


@pytest.fixture(scope="module")
def models() -> ModelSet:
    return ModelSet([f"one={_MODEL}", f"two={_GOLDEN / 'classifier_protocol1.onnx'}"])


@contextlib.contextmanager
def client_of(models: ModelSet, token: str | None = None, **options: Any) -> Iterator[TestClient]:
    app = create_app(models, ServeOptions(**options), token=token)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def client(models: ModelSet) -> Iterator[TestClient]:
    with client_of(models) as client:
        yield client


# answers


@pytest.mark.parametrize("form", ["raw", "multipart", "json"])
def test_a_photo_is_answered_as_by_predict(client: TestClient, photo: bytes, form: str) -> None:
    expected = [each.to_dict() for each in load_model(_MODEL, threads=1).predict([photo] * 2)]
    if form == "raw":
        got = client.post("/predict", content=photo, headers={"content-type": "image/png"})
        expected = expected[:1]
    elif form == "multipart":
        got = client.post("/predict", files=[("photo", ("../../a.png", photo)), ("photo", ("b.png", photo))])
    else:
        got = client.post("/predict", json={"photos": [base64.b64encode(photo).decode()] * 2})
    assert got.status_code == 200
    version = client.get("/models").json()[0]["version"]
    assert got.json() == {"model": "one", "version": version, "answers": expected}


def test_a_model_is_chosen_by_its_name(client: TestClient, photo: bytes) -> None:
    assert client.post("/predict?model=two", content=photo).json()["model"] == "two"
    got = client.post("/predict?model=three", content=photo)
    assert got.status_code == 404
    assert "three" in got.json()["error"]


def test_each_photo_has_its_answer_or_its_error(client: TestClient, photo: bytes, stranger: bytes) -> None:
    parts = [("photo", ("", each)) for each in (photo, b"no photo", stranger)]
    first, second, third = client.post("/predict", files=parts).json()["answers"]
    assert first["label"] != "unknown"
    assert set(second) == {"photo", "error"}
    assert third["label"] == "unknown"
    assert third["reason"]


def test_models_say_what_they_are(client: TestClient) -> None:
    first, second = client.get("/models").json()
    assert [first["name"], second["name"]] == ["one", "two"]
    assert first["labels"] == list(load_model(_MODEL).labels)
    assert read_model_file(_MODEL).digest.startswith(first["version"])


def test_a_map_says_what_each_place_adds(client: TestClient, photo: bytes, stranger: bytes) -> None:
    parts = [("photo", ("", each)) for each in (photo, b"no photo", stranger)]
    plain = client.post("/predict", files=parts).json()["answers"]
    asked = client.post("/predict?maps=true", files=parts).json()["answers"]
    maps = [answer.pop("map", None) for answer in asked]
    assert asked == plain
    assert np.shape(maps[0]) == np.shape(maps[2]) == (4, 4)
    assert np.ptp(maps[0]) > 0
    assert maps[1] is None


def test_points_have_no_map(photo: bytes) -> None:
    with client_of(ModelSet([_GOLDEN / "keypoints_protocol2.onnx"])) as client:
        (answer,) = client.post("/predict?maps=true", content=photo).json()["answers"]
    assert "points" in answer
    assert "map" not in answer


# refusals


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{"),
        ("application/json", b'{"photos": []}'),
        ("application/json", b'{"photos": ["?"]}'),
        ("application/json", b'{"photos": 3}'),
        ("application/json", b"[" * 100_000),
        ("multipart/form-data", b"--x"),
        ("multipart/form-data; boundary=x", b"--x\r\nbroken"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--',
        ),
        ("image/jpeg", b""),
    ],
)
def test_a_body_that_holds_no_photo_is_the_clients_fault(client: TestClient, kind: str, body: bytes) -> None:
    got = client.post("/predict", content=body, headers={"content-type": kind})
    assert got.status_code == 400
    assert set(got.json()) == {"error"}


def test_a_body_may_have_so_many_bytes(models: ModelSet, photo: bytes) -> None:
    def in_pieces() -> Iterator[bytes]:
        yield from [b"0" * 1000] * 11

    with client_of(models, max_megabytes=0.01) as client:
        assert client.post("/predict", content=b"0" * 10_001).status_code == 413
        assert client.post("/predict", content=in_pieces()).status_code == 413
        assert client.post("/predict", content=photo).status_code == 200


def test_a_request_that_could_never_fit_into_the_queue_is_too_large(models: ModelSet, photo: bytes) -> None:
    with client_of(models, queue=1) as client:
        got = client.post("/predict", files=[("photo", ("", photo))] * 50)
    assert got.status_code == 413


def test_only_names_of_this_machine_are_answered(models: ModelSet) -> None:
    with client_of(models, allow_host=("photos.example.org",)) as client:
        for host, status in {
            "localhost": 200,
            "127.0.0.1:8000": 200,
            "[::1]:8000": 200,
            "photos.example.org": 200,
            "evil.example.org": 421,
            "localhost.evil.example.org": 421,
            "": 421,
            "[": 421,
        }.items():
            assert client.get("/models", headers={"host": host}).status_code == status, host


def test_only_named_origins_may_ask_from_a_browser(models: ModelSet, photo: bytes) -> None:
    with client_of(models, allow_origin=("https://good.example",)) as client:

        def asked(origin: str) -> Any:
            return client.post("/predict", content=photo, headers={"origin": origin})

        assert asked("https://evil.example").status_code == 403
        assert asked("null").status_code == 403
        assert "access-control-allow-origin" not in asked("http://localhost").headers
        good = asked("https://good.example")
        assert good.headers["access-control-allow-origin"] == "https://good.example"
        preflight = client.options("/predict", headers={"origin": "https://good.example"})
        assert preflight.status_code == 204


def test_a_token_is_asked_for(models: ModelSet) -> None:
    with client_of(models, token=_TOKEN) as client:
        refused = client.get("/models")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        for wrong in ("", "Bearer", "Bearer x", f"Basic {_TOKEN}", f"Bearer {_TOKEN}x"):
            assert client.get("/models", headers={"authorization": wrong}).status_code == 401
        assert client.get("/models", headers={"authorization": f"Bearer {_TOKEN}"}).status_code == 200


def test_a_browser_gives_the_token_once(models: ModelSet) -> None:
    with client_of(models, token=_TOKEN) as client:
        assert client.get("/models?token=wrong").status_code == 401
        first = client.get(
            f"http://localhost//evil.example/models?token={_TOKEN}&a=1", follow_redirects=False
        )
        assert first.status_code == 303
        assert first.headers["location"] == "/evil.example/models?a=1"
        assert "HttpOnly" in first.headers["set-cookie"]
        assert "samesite=strict" in first.headers["set-cookie"].lower()
        assert client.get("/models").status_code == 200


def test_a_client_has_a_rate(models: ModelSet, photo: bytes) -> None:
    with client_of(models, rate=0.5) as client:
        assert client.post("/predict", content=photo).status_code == 200
        refused = client.post("/predict", content=photo)
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 2
        assert client.get("/models").status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/models", "/predict", "/../../etc/passwd", "/docs/..%2f..%2fpyproject.toml"]
)
def test_every_answer_has_the_security_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers


def test_an_error_shows_no_trace(
    models: ModelSet, photo: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(type(models.get()), "answer", broken)
    with client_of(models) as client:
        got = client.post("/predict", content=photo)
        assert client.post("/predict", content=photo).status_code == 500  # and the queue has its room again
    assert got.status_code == 500
    assert "secret" not in got.text
    assert "nosniff" in got.headers["x-content-type-options"]
    assert "secret" in caplog.text


def test_uploads_stay_in_memory(client: TestClient, photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a file was made")

    for name in ("TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile", "mkstemp"):
        monkeypatch.setattr(f"tempfile.{name}", refused)
    large = photo + b"0" * 5_000_000  # more than what Starlette's own form holds in memory
    assert client.post("/predict", files={"photo": ("a.png", large)}).status_code == 200


# the engine


def test_the_queue_is_bounded_and_its_room_comes_back() -> None:
    async def run() -> None:
        engine, go = Engine(queue=2, workers=1), threading.Event()
        try:
            waiting = [asyncio.create_task(engine.run([lambda: go.wait(_WAIT)])) for _ in range(3)]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded) as refused:
                await engine.run([lambda: True])
            assert refused.value.retry_after >= 1
            with pytest.raises(TooMany):
                await engine.run([lambda: True] * 4)
            go.set()
            assert await asyncio.gather(*waiting) == [[True]] * 3
            assert await engine.run([lambda: 1, lambda: 2, lambda: 3]) == [1, 2, 3]
        finally:
            go.set()
            engine.close()

    asyncio.run(run())


def test_names_of_models(tmp_path: Path) -> None:
    shutil.copy(_MODEL, tmp_path / "cats.onnx")
    found = ModelSet([tmp_path / "cats.onnx", f"dogs={_MODEL}"])
    assert [model.name for model in found] == ["cats", "dogs"]
    with pytest.raises(DataError, match="another model is called 'cats'"):
        ModelSet([tmp_path / "cats.onnx", f"cats={_MODEL}"])
    with pytest.raises(UnknownNameError, match="did you mean 'cats'"):
        found.get("cat")


@pytest.mark.parametrize("token", ["", "short", "with a space inside it", "ünïcödé-ünïcödé-ünïcödé"])
def test_a_token_that_could_be_guessed_is_refused(tmp_path: Path, token: str) -> None:
    (tmp_path / "token").write_text(token, "utf-8")
    with pytest.raises(DataError, match="token"):
        read_token(tmp_path / "token")


def test_addresses_of_this_machine_alone() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.9.9.9", "::1", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.168.1.2", "example.org"]))


# descriptions and numbers


def test_numbers_for_prometheus(models: ModelSet, photo: bytes, stranger: bytes) -> None:
    with client_of(models) as client:
        client.post("/predict", files=[("photo", ("", each)) for each in (photo, stranger, b"no photo")])
        client.get("/made/up")
        text = client.get("/metrics").text
    lines = text.splitlines()
    assert 'rehead_requests_total{route="/predict",status="200"} 1.0' in lines
    assert 'rehead_requests_total{route="other",status="404"} 1.0' in lines
    assert 'rehead_answers_total{label="unknown",model="one"} 1.0' in lines
    assert 'rehead_unknown_total{model="one",reason="unlike"} 1.0' in lines
    assert 'rehead_unreadable_total{model="one"} 1.0' in lines
    assert "rehead_waiting_photos 0.0" in lines
    assert "made" not in text


def test_the_description_says_bodies_and_answers(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    assert description["openapi"].startswith("3.0.")  # Swagger UI 4 shows no later one
    predict = description["paths"]["/predict"]["post"]
    assert {"image/*", "multipart/form-data", "application/json"} <= set(predict["requestBody"]["content"])
    assert {"200", "400", "404", "408", "413", "503"} <= set(predict["responses"])


def test_the_description_is_shown_without_a_network(client: TestClient) -> None:
    page = client.get("/docs")
    assert "//" not in page.text.replace("<!DOCTYPE", "")
    for name in ("docs/swagger-ui.css", "docs/swagger-ui-bundle.js", "docs/start.js"):
        assert name in page.text
        assert client.get(f"/{name}").status_code == 200
    assert client.get("/docs/index.html").status_code == 404


# the process


class Served:
    """`rehead serve` in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "rehead", "serve", *arguments, "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        if not self.address:
            raise AssertionError(self.process.communicate()[1])
        self.port = int(self.address.split(":")[2].split("/")[0])
        self.url = f"http://127.0.0.1:{self.port}"

    def end(self) -> tuple[int, str]:
        """Ask it to end; exit code and error output."""
        self.process.send_signal(signal.SIGTERM)
        errors = self.process.communicate(timeout=_WAIT)[1]
        return self.process.returncode, errors


@pytest.fixture
def serve() -> Iterator[Serve]:
    made: list[Served] = []

    def run(*arguments: object) -> Served:
        made.append(Served(*map(str, arguments)))
        return made[-1]

    yield run
    for each in made:
        each.process.kill()
        each.process.communicate()


posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


def _other_version(path: Path) -> str:
    """Write the golden model with another manifest; its version."""
    file = read_model_file(_MODEL)
    manifest = {**file.manifest, "created": "2000-01-01T00:00:00+00:00"}
    write_model_file(path, file.graph, manifest)
    return read_model_file(path).digest[:12]


def _eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + _WAIT
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@posix
def test_no_request_is_lost_when_a_model_changes_or_the_service_ends(
    serve: Serve, tmp_path: Path, photo: bytes
) -> None:
    model = tmp_path / "model.onnx"
    shutil.copy(_MODEL, model)
    served = serve(model)
    stop, statuses, failures = threading.Event(), list[int](), list[Exception]()

    def ask() -> None:
        while not stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=_WAIT)
            kept = False
            try:
                while not stop.is_set():
                    connection.request("POST", "/predict", photo, {"content-type": "image/png"})
                    answer = connection.getresponse()
                    answer.read()
                    statuses.append(answer.status)
                    if answer.will_close:
                        break
                    kept = True
            except (OSError, http.client.HTTPException) as error:
                if kept:
                    failures.append(error)
                return  # a new connection that the service never accepted
            finally:
                connection.close()

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()

    def version() -> str:
        found: str = httpx.get(f"{served.url}/models").json()[0]["version"]
        return found

    before = version()
    new = _other_version(tmp_path / "new.onnx")
    assert new != before
    (tmp_path / "new.onnx").replace(model)
    served.process.send_signal(signal.SIGHUP)
    _eventually(lambda: version() == new)
    model.write_bytes(_MODEL.read_bytes()[:-20])  # cut short
    served.process.send_signal(signal.SIGHUP)
    lines: list[str] = []
    assert served.process.stderr is not None
    lines.append(served.process.stderr.readline())
    lines.append(served.process.stderr.readline())
    assert version() == new
    count = len(statuses)
    _eventually(lambda: len(statuses) > count + 10)
    code, _ = served.end()
    stop.set()
    for thread in threads:
        thread.join(_WAIT)
    assert code == 0
    assert set(statuses) == {200}
    assert failures == []
    assert "now version" in lines[0]
    assert "refused" in lines[1]


@posix
def test_a_new_file_is_seen_without_a_signal(serve: Serve, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    shutil.copy(_MODEL, model)
    served = serve(model)
    new = _other_version(tmp_path / "new.onnx")
    (tmp_path / "new.onnx").replace(model)
    _eventually(lambda: httpx.get(f"{served.url}/models").json()[0]["version"] == new)


@posix
def test_a_slow_upload_ends(serve: Serve, photo: bytes) -> None:
    served = serve(_MODEL, "--upload-seconds", "0.3")
    with socket.create_connection(("127.0.0.1", served.port), timeout=_WAIT) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
        answer = b""
        while part := slow.recv(4096):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'{"error":"the upload took longer than 0.3 seconds"}' in answer
    # one that breaks off harms nobody
    with socket.create_connection(("127.0.0.1", served.port), timeout=_WAIT) as broken:
        broken.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
    assert httpx.post(f"{served.url}/predict", content=photo).status_code == 200
    code, errors = served.end()
    assert (code, errors) == (0, "")


@posix
def test_what_is_sent_beyond_the_limit_hears_why(serve: Serve) -> None:
    served = serve(_MODEL, "--max-megabytes", "1")
    assert httpx.post(f"{served.url}/predict", content=b"0" * 3_000_000).status_code == 413


@posix
def test_another_address_gets_a_token_that_is_printed(serve: Serve) -> None:
    served = serve(_MODEL, "--host", "0.0.0.0")
    token = served.address.split("?token=")[1]
    assert httpx.get(f"{served.url}/models").status_code == 401
    assert httpx.get(f"{served.url}/models", headers={"authorization": f"Bearer {token}"}).status_code == 200
    assert served.end()[0] == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["no.onnx"], "no.onnx"),
        ([str(_MODEL), str(_MODEL)], "another model is called"),
        ([str(_MODEL), "--token-file", "no.txt"], "no.txt"),
        ([str(_MODEL), "--host", "203.0.113.1"], "cannot listen"),
        ([str(_MODEL), "--queue", "0"], "--queue"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_line(
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from rehead.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["rehead", "serve", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rehead.serving.extra.find_spec", lambda name: None if name == "uvicorn" else name)
    with pytest.raises(MissingExtraError, match=r"needs uvicorn, .* pip install 'rehead\[serve\]'"):
        check_extra("rehead serve")
