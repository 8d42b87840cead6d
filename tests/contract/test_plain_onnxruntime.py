"""A model file needs no rehead: examples/run_model.py gives the same answers with three packages."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from PIL import Image

from rehead import ImageClassifier, load_model

SCRIPT = Path(__file__).parents[2] / "examples" / "run_model.py"


class PhotoFolder(Protocol):
    def __call__(
        self, folder: Path, counts: dict[str, int], *, seed: int = 0, size: tuple[int, int] = (72, 56)
    ) -> Path: ...


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, tiny_onnx: Path, photo_folder: PhotoFolder
) -> tuple[Path, list[Path]]:
    """A model file, and photos: small, large, turned by EXIF, grey, and one that is unknown."""
    root = tmp_path_factory.mktemp("plain")
    counts = {"blå": 12, "red fish": 12, "third": 12}
    ImageClassifier(tiny_onnx).fit(photo_folder(root / "train", counts)).save(root / "model.onnx")
    few = dict.fromkeys(counts, 2)
    photos = sorted(photo_folder(root / "new", few, seed=1).rglob("*.jpg"))
    photos += sorted(photo_folder(root / "large", few, seed=2, size=(500, 301)).rglob("*.jpg"))
    exif = Image.Exif()
    for orientation in (3, 6):
        exif[0x0112] = orientation
        Image.open(photos[-1]).save(root / f"turned {orientation}.jpg", exif=exif)
        photos.append(root / f"turned {orientation}.jpg")
    Image.open(photos[0]).convert("L").save(root / "grey.png")
    noise = np.random.default_rng(5).integers(0, 2, (24, 24, 3), dtype=np.uint8) * 255
    Image.fromarray(noise).save(root / "noise.png")
    return root / "model.onnx", [*photos, root / "grey.png", root / "noise.png"]


def assert_same_answers(python: Path | str, model: Path, photos: list[Path]) -> None:
    done = subprocess.run(
        [python, "-I", "-X", "utf8", SCRIPT, model, *photos],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = load_model(model).predict(photos)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [(name, label) for name, label, _ in lines] == [
        (answer.photo, answer.label) for answer in expected
    ]
    found = [float(probability) for _, _, probability in lines]
    np.testing.assert_allclose(found, [answer.probability for answer in expected], rtol=0, atol=1e-6)
    labels = {label for _, label, _ in lines}
    assert {"blå", "red fish", "third", "unknown"} == labels


def test_the_example_agrees_with_rehead(trained: tuple[Path, list[Path]]) -> None:
    assert_same_answers(sys.executable, *trained)


def test_the_example_does_not_use_rehead() -> None:
    imported = [line.split()[1] for line in SCRIPT.read_text("utf-8").splitlines() if "import " in line]
    assert sorted(imported) == ["PIL", "json", "numpy", "onnxruntime", "sys"]
    code = SCRIPT.read_text("utf-8").split("\n\n")[-1].strip().splitlines()
    assert len(code) <= 12, "ten lines, as promised, and two of the loop"


@pytest.mark.slow
def test_the_example_agrees_where_nothing_else_is_installed(
    trained: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "install", "onnxruntime", "numpy", "pillow"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"pip cannot reach an index: {done.stderr.strip().splitlines()[-1]}")
    only = subprocess.run([python, "-I", "-c", "import rehead"], capture_output=True, text=True, check=False)
    assert "No module named 'rehead'" in only.stderr
    assert_same_answers(python, *trained)
