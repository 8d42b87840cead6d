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

from hostile_requests import KINDS, attack, exchange, good_photo
from rehead import ImageClassifier

pytest.importorskip("fastapi", reason="needs rehead[serve]")

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
    """Send hostile requests, some at a time; how often each status came, None for a dropped connection."""

    def one(number: int) -> int | None:
        hostile = attack(seed, number, model)
        try:
            status, body = exchange(service.address, hostile, seconds=SECONDS)
        except TimeoutError:
            pytest.fail(f"{hostile.kind}, number {number}: no answer within {SECONDS} s")
        assert status is None or status < 500 or status in (501, 503), (hostile.kind, number, status, body)
        assert b"Traceback" not in body, (hostile.kind, number)
        return status

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return Counter(pool.map(one, numbers))


def check_answers(service: Running, before: tuple[int, bytes], photo: bytes) -> None:
    assert service.ask("/predict", photo) == before
    assert service.ask("/predict", photo) == before


def test_a_seed_gives_the_same_requests_of_every_kind() -> None:
    made = [attack(0, number, "m") for number in range(300)]
    assert made == [attack(0, number, "m") for number in range(300)]
    assert len({each.kind for each in made}) >= KINDS - 2  # of which two are rare


def test_300_hostile_requests(model: Path) -> None:
    photo = good_photo(size=(80, 60), seed=3)
    with served(model, "--upload-seconds", 2, "--max-megabytes", 8) as service:
        before = service.ask("/predict", photo)
        assert before[0] == 200
        found = assail(service, "model", range(300))
        check_answers(service, before, photo)
    assert found[200] < 150
    assert found[400] > 50


@pytest.mark.slow
def test_10_000_hostile_requests(model: Path) -> None:
    photo = good_photo(size=(80, 60), seed=3)
    with served(model, "--upload-seconds", 2, "--max-megabytes", 8) as service:
        before = service.ask("/predict", photo)
        assail(service, "model", range(1000), seed=1)
        settled = service.memory("VmRSS")
        found = assail(service, "model", range(1000, 10_000), seed=1)
        check_answers(service, before, photo)
        left, peak = service.memory("VmRSS"), service.memory("VmHWM")
    print(f"statuses {dict(found)}; MB after 1,000 {settled}, after 10,000 {left}, at its most {peak}")
    assert left < settled + 100
    assert peak < 1500
