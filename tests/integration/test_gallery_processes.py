"""Galleries as several processes see them: enrolling at once, and killed in the middle of any step."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from postgres_server import Server
from rehead.errors import WrongKeyError
from rehead.faces.gallery.encryption import find_key, write_key_file
from rehead.faces.gallery.records import NewTemplate, Person
from rehead.faces.gallery.store import GalleryStore

KEY = bytes(range(32))

# enrols people PREFIX0, PREFIX1, ... and prints each name once it is on the disk
ENROLLING = """
import sys
import time
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


def enrolling(path: Path | str, prefix: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", ENROLLING, str(path), prefix, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a gallery can be made."""
    if request.param == "sqlite":
        return str(tmp_path / "people.db")
    server: Server = request.getfixturevalue("postgres")
    return server.new_url()


def test_two_processes_enrol_at_once(place: str) -> None:
    path = place
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
def test_whoever_was_acknowledged_survives_a_kill(place: str, after: int) -> None:
    path = place
    with enrolling(path, "p", 100_000) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(after)]
        process.send_signal(signal.SIGKILL)
        # not `communicate`, which does not see what `readline` has already taken from the pipe
        acknowledged += process.stdout.read().split()
    assert process.returncode == -signal.SIGKILL
    with GalleryStore(path, key=KEY) as store:
        people = settled(store)
        assert set(acknowledged) <= {person.name for person in people}
        assert len(people) <= len(acknowledged) + 1
        assert {person.photos for person in people} == {8}
        assert len(store.templates()) == 8 * len(people)


def settled(store: GalleryStore) -> list[Person]:
    """The people once the server has noticed that their writer is gone."""
    for _ in range(100):
        before = store.people()
        time.sleep(0.05)
        if len(store.people()) == len(before):
            break
    return store.people()


# removes one of two people, and ends at once where a step of the new key is reached
REMOVING = """
import os, sys
from rehead.faces.gallery import database, encryption, store
from rehead.faces.gallery.encryption import GalleryKey, find_key

path, key, step = sys.argv[1:]

def end(*_, **__):
    os._exit(9)

def torn(self):
    self._beside(self.gallery).write_text("ab")
    end()

def staged(self, original=GalleryKey.stage):
    original(self)
    end()

def rewrapped(self, following, original=database.GalleryDatabase._rewrap):
    original(self, following)
    end()

with store.GalleryStore(path, key=find_key(key)) as opened:
    if step == "torn":
        GalleryKey.stage = torn
    elif step == "staged":
        GalleryKey.stage = staged
    elif step == "rewrapped":
        database.GalleryDatabase._rewrap = rewrapped
    elif step == "committed":
        database.GalleryDatabase._settle_key = end
    elif step == "replacing":
        encryption._copy_access = end
    elif step == "replaced":
        encryption._overwrite = end
    elif step == "cleared":
        database.GalleryDatabase.clear_deleted = end
    opened.remove(["a"])
"""


@pytest.mark.parametrize(
    ("step", "done"),
    [
        ("torn", False),
        ("staged", False),
        ("rewrapped", False),
        ("committed", True),
        ("replacing", True),
        ("replaced", True),
        ("cleared", True),
    ],
)
def test_a_removal_that_is_killed_leaves_a_gallery_that_opens(
    tmp_path: Path, step: str, *, done: bool
) -> None:
    path, file = tmp_path / "people.db", tmp_path / "people.key"
    spec = {"name": "fake", "sha256": "ab", "dimensions": 8, "distance": "cosine"}
    with GalleryStore(path, embedding_spec=spec, key=write_key_file(file), create=True) as store:
        for number, name in enumerate("ab"):
            store.enroll(name, [NewTemplate(name, f"{name}.jpg", np.eye(8, dtype=np.float32)[number], {})])
    shutil.copy(path, tmp_path / "copy.db")
    first = find_key(file)
    command = [sys.executable, "-W", "error", "-c", REMOVING, str(path), str(file), step]
    assert subprocess.run(command, check=False, timeout=60).returncode == 9
    for _ in range(2):  # what was begun is ended, or undone, by whoever opens it next
        with GalleryStore(path, key=find_key(file)) as store:
            assert store.templates().names == (("b",) if done else ("a", "b"))
        assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.db", "people.db", "people.key"]
        assert (find_key(file) != first) == done
    with GalleryStore(path, key=find_key(file)) as store:
        store.remove(["b"] if done else ["a"])
    with pytest.raises(WrongKeyError):
        GalleryStore(tmp_path / "copy.db", key=find_key(file))
    with GalleryStore(tmp_path / "copy.db", key=first) as copy:
        assert len(copy.templates()) == 2, "only with the key of that time"
