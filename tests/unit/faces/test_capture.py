"""Faces collected from videos and folders: as many as asked for, nothing overwritten, nothing lost."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rehead.errors import DataError, MissingExtraError
from rehead.faces import FaceDetector, QualityLimits
from rehead.faces.capture import CapturedFrame, capture, frames

data = pytest.importorskip("skimage.data", reason="the photo comes from scikit-image")


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector(retry=False, smallest=60, threads=1)


def view(step: int) -> np.ndarray:
    """The astronaut's head, a little elsewhere at every step."""
    return np.ascontiguousarray(data.astronaut()[step : step + 240, 100 + step : 340 + step])


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames, of which the third and the fourth show nobody."""
    cv2 = pytest.importorskip("cv2", reason="videos are read by OpenCV")
    path = tmp_path_factory.mktemp("videos") / "über uns.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (240, 240))
    for step in range(12):
        frame = view(step) if step not in (2, 3) else np.zeros((240, 240, 3), np.uint8)
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photos = tmp_path / "photos"
    photos.mkdir()
    for step in range(3):
        Image.fromarray(view(step)).save(photos / f"{step}.png")
    (photos / "3.jpg").write_bytes(b"no picture")
    Image.fromarray(view(0)).resize((60, 60)).save(photos / "4.png")
    return photos


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_frames_of_a_video_are_upright_and_rgb(video: Path) -> None:
    seen = list(frames(video, []))
    assert len(seen) == 12
    assert np.abs(seen[5].astype(int) - view(5)).mean() < 6


def test_until_there_are_enough(video: Path, tmp_path: Path, detector: FaceDetector) -> None:
    done = capture(video, "rani", tmp_path / "people", detector=detector, count=4)
    assert names(tmp_path / "people") == [f"rani/rani_000{n}.jpg" for n in (1, 2, 3, 4)]
    assert (done.frames, dict(done.rejected)) == (6, {"no face": 2})
    for path in done.train:
        assert len(detector.detect(path)) == 1, "the face is found in the crop again"


def test_the_last_are_for_validation_and_numbers_go_on(
    video: Path, tmp_path: Path, detector: FaceDetector
) -> None:
    for _ in range(2):
        capture(video, "rani", tmp_path, detector=detector, count=5, val=0.4)
    assert names(tmp_path / "train") == [f"rani/rani_{n:04d}.jpg" for n in (1, 2, 3, 6, 7, 8)]
    assert names(tmp_path / "val") == [f"rani/rani_{n:04d}.jpg" for n in (4, 5, 9, 10)]


def test_a_folder_with_a_bad_and_a_small_photo(folder: Path, tmp_path: Path, detector: FaceDetector) -> None:
    small = FaceDetector(retry=False, smallest=20, threads=1)
    done = capture(folder, "å b", tmp_path / "out", detector=small)
    assert len(done.train) == 3
    assert [(path.name, "not an image" in reason) for path, reason in done.unreadable] == [("3.jpg", True)]
    assert dict(done.rejected) == {"too small": 1}


def test_the_callback_sees_every_frame_and_may_end_it(
    video: Path, tmp_path: Path, detector: FaceDetector
) -> None:
    seen: list[CapturedFrame] = []

    def on_frame(captured: CapturedFrame) -> bool:
        seen.append(captured)
        return len(seen) < 3

    done = capture(video, "x", tmp_path, detector=detector, every=2, on_frame=on_frame)
    assert [captured.note for captured in seen] == ["", "no face", ""]
    assert [captured.kept for captured in seen] == [1, 1, 2]
    assert seen[1].face is None
    assert len(done.train) == 2


def test_interrupting_keeps_what_is_there(video: Path, tmp_path: Path, detector: FaceDetector) -> None:
    def interrupt(captured: CapturedFrame) -> bool:
        if captured.kept == 2:
            raise KeyboardInterrupt
        return True

    done = capture(video, "x", tmp_path, detector=detector, val=0.5, on_frame=interrupt)
    assert (len(done.train), len(done.val)) == (1, 1)
    assert all(path.is_file() for path in (*done.train, *done.val))


def test_limits_leave_faces_out(folder: Path, tmp_path: Path, detector: FaceDetector) -> None:
    limits = QualityLimits(sharpness=1000)
    done = capture(folder, "x", tmp_path / "out", detector=detector, limits=limits)
    assert done.train == []
    assert done.rejected["blurred"] == 3
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("person", ["", " ", "../up", "a/b", ".hidden", "nul\0"])
def test_names_that_are_no_folders(person: str, tmp_path: Path, detector: FaceDetector) -> None:
    with pytest.raises(DataError, match="expected a name that can be a folder's"):
        capture(tmp_path, person, tmp_path, detector=detector)


def test_sources_that_cannot_be_opened(tmp_path: Path, detector: FaceDetector) -> None:
    pytest.importorskip("cv2", reason="videos are read by OpenCV")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(DataError, match=r"text\.mp4: not a video that OpenCV can open"):
        capture(tmp_path / "text.mp4", "x", tmp_path / "out", detector=detector)
    with pytest.raises(DataError, match=r"none\.mp4: there is no such video or folder"):
        capture(tmp_path / "none.mp4", "x", tmp_path / "out", detector=detector)
    with pytest.raises(DataError, match="count and a step of 1 or more"):
        capture(tmp_path, "x", tmp_path / "out", detector=detector, count=0)
    assert not (tmp_path / "out").exists()


def test_no_camera(tmp_path: Path, detector: FaceDetector, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cv2", reason="cameras are read by OpenCV")
    with pytest.raises(DataError, match="no camera can be opened"):
        capture("webcam:99", "x", tmp_path / "out", detector=detector)
    assert capfd.readouterr() == ("", "")


def test_a_video_without_opencv(
    tmp_path: Path, detector: FaceDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rehead\[haar\]'"):
        capture(tmp_path / "a.mp4", "x", tmp_path / "out", detector=detector)
