"""`rehead faces detect` and `rehead faces capture`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rehead.cli.faces.preview import picture_of, ppm
from rehead.faces import FaceDetector
from rehead.faces.capture import CapturedFrame

data = pytest.importorskip("skimage.data", reason="the photo comes from scikit-image")
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "my photos"
    root.mkdir()
    Image.fromarray(data.astronaut()[:300, 60:360]).save(root / "größe.jpg", quality=95)
    Image.new("RGB", (100, 100)).save(root / "empty.png")
    (root / "broken.jpg").write_bytes(b"no picture")
    return root


def test_detect_prints_and_cuts(cli: Cli, photos: Path, tmp_path: Path) -> None:
    code, out, err = cli("faces", "detect", photos, "--out", tmp_path / "crops")
    assert (code, err) == (0, "")
    assert "1 face in 3 photos, none in 1, 1 left out" in out
    assert "not an image" in out
    assert sorted(path.name for path in (tmp_path / "crops").iterdir()) == ["faces.json", "größe.jpg"]
    code, _, err = cli("faces", "detect", photos, "--out", tmp_path / "crops")
    assert code == 2
    assert "holds files already" in err


def test_detect_as_json(cli: Cli, photos: Path) -> None:
    code, out, _ = cli("faces", "detect", photos, "--json", "--several", "largest")
    assert code == 0
    broken, empty, portrait = json.loads(out)
    assert broken.keys() == {"photo", "error"}
    assert empty["faces"] == []
    assert portrait["faces"][0]["box"][0] == pytest.approx(119, abs=3)
    assert len(portrait["faces"][0]["points"]) == 5


def test_detect_when_nothing_can_be_read(cli: Cli, photos: Path) -> None:
    code, _, err = cli("faces", "detect", photos / "broken.jpg")
    assert code == 2
    assert err.startswith(f"rehead: {photos / 'broken.jpg'}: not an image")


def test_capture_from_a_folder(cli: Cli, photos: Path, tmp_path: Path) -> None:
    arguments = ("--from", photos, "--person", "Rani", "--count", 3, "--out", tmp_path / "people")
    code, out, err = cli("faces", "capture", *arguments)
    assert (code, err) == (0, "")
    assert f"unreadable: {photos / 'broken.jpg'}: not an image" in out
    assert f"kept 1 face of 2 frames, in {tmp_path / 'people' / 'Rani'}; left out: 1 no face" in out
    with Image.open(tmp_path / "people" / "Rani" / "Rani_0001.jpg") as kept:
        assert kept.size == (224, 224)


def test_capture_that_keeps_nothing_fails(cli: Cli, photos: Path, tmp_path: Path) -> None:
    (photos / "größe.jpg").unlink()
    code, out, err = cli(
        "faces", "capture", "--from", photos, "--person", "Rani", "--out", tmp_path / "people"
    )
    assert code == 2
    assert "kept" not in out
    assert "no face was kept of 1 frame; left out: 1 no face" in err
    assert not (tmp_path / "people").exists()


def test_ffmpeg_has_no_say(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="videos are read by OpenCV")
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(5000))
    command = [sys.executable, "-m", "rehead", "faces", "capture", "--from", "broken.mp4", "--person", "Rani"]
    done = subprocess.run(
        [*command, "--out", "people"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    expected = "rehead: broken.mp4: not a video that OpenCV can open; expected such as .mp4, .avi or .mkv\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


def test_the_preview_draws_the_box() -> None:
    frame = np.ascontiguousarray(data.astronaut())
    face = FaceDetector(smallest=60, threads=1).detect(frame)[0]
    left, top, _, _ = face.box.round().astype(int)
    green, yellow = (picture_of(CapturedFrame(frame, face, note, 1))[top, left] for note in ("", "blurred"))
    assert green[1] > green[0]
    assert yellow[0] > yellow[2]
    assert not (frame[top, left] == green).all()
    wide = picture_of(CapturedFrame(np.zeros((10, 2000, 3), np.uint8), None, "no face", 0))
    assert wide.shape == (3, 640, 3)
    assert ppm(wide).startswith(b"P6 640 3 255 ")
    assert len(ppm(wide)) == len(b"P6 640 3 255 ") + wide.size
