"""`rehead serve` and requests that no honest client sends: it refuses them, and goes on as before."""

from __future__ import annotations

import contextlib
import http.client
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hostile_requests import KINDS, TOKEN, attack, exchange, good_photo
from rehead import ImageClassifier
from rehead.faces.gallery.gallery import FaceGallery
from rehead.faces.pipeline import FacePipeline, default_pipeline
from rehead.faces.verification.calibration import Calibration
from rehead.images import write_png
from rehead.serving.app import create_app
from rehead.serving.face_service import FaceService
from rehead.serving.models import ModelSet
from rehead.serving.options import ServeOptions
from served_app import served_app

pytest.importorskip("fastapi", reason="needs rehead[serve]")

GOLDEN = Path(__file__).parents[1] / "golden"
LIMITS = ("--upload-seconds", 1, "--max-megabytes", 8)
SECONDS = 60  # within which each request is answered or dropped, on a busy machine too
AT_ONCE = 8


@dataclass
class Running:
    """A service: its address, and its process where it has one of its own."""

    address: tuple[str, int]
    pid: int | None = None

    def ask(self, path: str, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(*self.address, timeout=SECONDS)
        try:
            connection.request("POST", path, body)
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def memory(self, what: str) -> int:
        """MB of the process: "VmRSS" now, "VmHWM" at its most."""
        status = Path(f"/proc/{self.pid}/status").read_text("ascii")
        return int(status.split(f"{what}:")[1].split()[0]) // 1024


@pytest.fixture(scope="module")
def model(tiny_onnx: Path, photo_folder: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    photos = photo_folder(folder / "photos", {"a": 12, "b": 12})
    ImageClassifier(tiny_onnx, cache=False).fit(photos).save(folder / "model.onnx")
    return folder / "model.onnx"


@contextlib.contextmanager
def served(*arguments: object) -> Iterator[Running]:
    """`rehead serve` as a process; it must end in peace, and say nothing of errors."""
    command = [sys.executable, "-m", "rehead", "serve", *map(str, arguments), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        said: list[str] = []
        listening = threading.Thread(target=lambda: said.extend(process.stderr or ()), daemon=True)
        listening.start()
        try:
            line = process.stdout.readline()
            assert line.startswith("http://"), said
            yield Running(("127.0.0.1", int(line.rsplit(":", 1)[1].strip("/\n"))), process.pid)
        finally:
            process.terminate()
            process.wait(SECONDS)
            listening.join(SECONDS)
        assert not [line for line in said if "Traceback" in line or "failed" in line], said
        assert process.returncode in (0, -signal.SIGTERM)


def assail(service: Running, model: str, numbers: range, *, seed: int = 0) -> Counter[int | None]:
    """Send hostile requests, some at a time; how often each status came, None for a dropped connection.

    An honest client asks meanwhile, and gets the same answer each time, or is asked to wait.
    """

    def one(number: int) -> int | None:
        hostile = attack(seed, number, model)
        try:
            status, body = exchange(service.address, hostile, seconds=SECONDS)
        except TimeoutError:
            pytest.fail(f"{hostile.kind}, number {number}: no answer within {SECONDS} s")
        assert status is None or status < 500 or status in (501, 503), (hostile.kind, number, status, body)
        assert b"Traceback" not in body, (hostile.kind, number)
        return status

    photo, done = good_photo(size=(80, 60), seed=3), threading.Event()
    expected = service.ask("/predict", photo)
    assert expected[0] == 200

    def honest() -> int:
        answered = 0
        while not done.wait(0.05):
            answer = service.ask("/predict", photo)
            assert answer == expected or answer[0] == 503
            answered += answer == expected
        return answered

    with ThreadPoolExecutor(1) as beside:
        asking = beside.submit(honest)
        try:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                found = Counter(pool.map(one, numbers))
        finally:
            done.set()
        assert asking.result() > 0
    assert service.ask("/predict", photo) == expected
    return found


def test_a_seed_gives_the_same_requests_of_every_kind() -> None:
    made = [attack(0, number, "m") for number in range(300)]
    assert made == [attack(0, number, "m") for number in range(300)]
    assert len({each.kind for each in made}) >= KINDS - 2  # of which two are rare


def test_300_hostile_requests(model: Path) -> None:
    with served(model, GOLDEN / "keypoints_protocol2.onnx", *LIMITS) as service:
        found = assail(service, "model", range(300))
    assert found[200] < 150
    assert found[400] > 50


def test_100_hostile_requests_about_faces(
    model: Path,
    tmp_path: Path,
    face_photo: Any,
    face_pipeline: FacePipeline,
    face_calibration: Calibration,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rani = face_photo(tmp_path / "rani.png", 1)

    def opened(create: bool = False) -> FaceGallery:
        return FaceGallery(tmp_path / "people.db", face_pipeline, calibration=face_calibration, create=create)

    with opened(create=True) as gallery:
        gallery.enroll("Rani", [rani])
    faces = FaceService(face_pipeline, opened, calibration=face_calibration)
    options = ServeOptions(upload_seconds=1, max_megabytes=8)
    app = create_app(ModelSet([model]), options, faces=faces, enrol_token=TOKEN)
    with served_app(app) as address:
        service = Running(address)
        before = service.ask("/identify", rani.read_bytes())
        assert b'"name":"Rani"' in before[1]
        found = assail(service, "model", range(1000, 1100))
        assert service.ask("/identify", rani.read_bytes()) == before
    assert found[404] < 40
    assert not [record for record in caplog.records if record.exc_info]
    with opened() as gallery:
        assert "Rani" in {person.name for person in gallery.people()}


@pytest.mark.slow
def test_10_000_hostile_requests(model: Path, tmp_path: Path) -> None:
    data = pytest.importorskip("skimage.data", reason="scikit-image has the photo of a face")
    write_png(tmp_path / "photos" / "astronaut.png", data.astronaut())
    with FaceGallery(tmp_path / "people.db", default_pipeline(), create=True) as gallery:
        assert gallery.enroll("Eileen", [tmp_path / "photos" / "astronaut.png"]).enrolled
    (tmp_path / "token").write_text(TOKEN, "ascii")
    more = ["--gallery", tmp_path / "people.db", "--enrol-token-file", tmp_path / "token"]
    with served(model, GOLDEN / "keypoints_protocol2.onnx", *LIMITS, *more) as service:
        found = assail(service, "model", range(2000), seed=1)
        settled = service.memory("VmRSS")
        found += assail(service, "model", range(2000, 10_000), seed=1)
        left, peak = service.memory("VmRSS"), service.memory("VmHWM")
    print(f"statuses {dict(found)}; MB after 2,000 {settled}, after 10,000 {left}, at its most {peak}")
    assert left < settled + 150
    assert peak < 2000
