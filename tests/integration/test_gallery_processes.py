"""Galleries as several processes see them: enrolling at once, and killed in the middle."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rehead.faces.gallery.store import GalleryStore

KEY = bytes(range(32))

# enrols people PREFIX0, PREFIX1, ... and prints each name once it is on the disk
ENROLLING = """
import sys
import numpy as np
from rehead.faces.gallery.records import NewTemplate
from rehead.faces.gallery.store import GalleryStore

path, prefix, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
spec = {"name": "fake", "sha256": "ab", "dimensions": 8, "distance": "cosine"}
with GalleryStore(path, embedding_spec=spec, key=bytes(range(32)), create=True) as store:
    for n in range(count):
        rows = np.eye(8, dtype=np.float32)
        new = [NewTemplate(f"{prefix}{n}-{i}", f"{i}.jpg", row, {}) for i, row in enumerate(rows)]
        print(store.enroll(f"{prefix}{n}", new).name, flush=True)
"""


def enrolling(path: Path, prefix: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", ENROLLING, str(path), prefix, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_enrol_at_once(tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    running = [enrolling(path, prefix, 25) for prefix in ("a", "b")]
    told = [process.communicate(timeout=60) for process in running]
    assert [(process.returncode, errors) for process, (_, errors) in zip(running, told, strict=True)] == [
        (0, ""),
        (0, ""),
    ]
    with GalleryStore(path, key=KEY) as store:
        assert {person.name for person in store.people()} == {f"{p}{n}" for p in "ab" for n in range(25)}
        assert len(store.templates()) == 2 * 25 * 8


@pytest.mark.parametrize("after", [1, 7, 20])
def test_whoever_was_acknowledged_survives_a_kill(tmp_path: Path, after: int) -> None:
    path = tmp_path / "people.db"
    with enrolling(path, "p", 100_000) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(after)]
        process.send_signal(signal.SIGKILL)
        # not `communicate`, which does not see what `readline` has already taken from the pipe
        acknowledged += process.stdout.read().split()
    assert process.returncode == -signal.SIGKILL
    with GalleryStore(path, key=KEY) as store:
        people = store.people()
        assert set(acknowledged) <= {person.name for person in people}
        assert len(people) <= len(acknowledged) + 1
        assert {person.photos for person in people} == {8}
        assert len(store.templates()) == 8 * len(people)
