"""A model file needs no rehead: what `rehead export --for python` writes gives the same answers."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from PIL import Image

from rehead import ImageClassifier, load_model
from rehead.core.preprocess import PreprocessSpec
from rehead.exporting import export_model


class PhotoFolder(Protocol):
    def __call__(
        self, folder: Path, counts: dict[str, int], *, seed: int = 0, size: tuple[int, int] = (72, 56)
    ) -> Path: ...


def of_all_kinds(folder: Path, photo: Image.Image) -> Iterator[Path]:
    """The photo as files of all kinds that cameras, phones and programs write."""
    width, height = photo.size
    grey = np.asarray(photo.convert("L")).astype(np.uint16) * 257
    alpha = photo.convert("RGBA")
    alpha.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))))
    palette = photo.quantize(64)
    palette.info["transparency"] = 3
    exif = Image.Exif()
    kinds = {
        "cmyk.jpg": photo.convert("CMYK"),
        "grey.jpg": photo.convert("L"),
        "grey16.png": Image.fromarray(grey),
        "grey16.tif": Image.fromarray(grey),
        "alpha.png": alpha,
        "alpha.webp": alpha,
        "grey-alpha.png": alpha.convert("LA"),
        "palette.png": palette,
        "palette.gif": photo.quantize(64),
        "bits.png": photo.convert("1"),
        "photo.bmp": photo,
    }
    for name, picture in kinds.items():
        picture.save(folder / name)
        yield folder / name
    for orientation in range(2, 9):
        exif[0x0112] = orientation
        photo.save(folder / f"turned{orientation}.jpg", exif=exif)
        yield folder / f"turned{orientation}.jpg"
    photo.resize((width, height * 5)).save(folder / "tall.jpg", progressive=True, subsampling=0)
    yield folder / "tall.jpg"


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, tiny_onnx: Path, photo_folder: PhotoFolder
) -> tuple[Path, list[Path]]:
    """A model file, and photos: small, large, of all kinds of files, and one that is unknown."""
    root = tmp_path_factory.mktemp("plain")
    counts = {"blå": 12, "red fish": 12, "third": 12}
    ImageClassifier(tiny_onnx).fit(photo_folder(root / "train", counts)).save(root / "model.onnx")
    few = dict.fromkeys(counts, 2)
    photos = sorted(photo_folder(root / "new", few, seed=1).rglob("*.jpg"))
    photos += sorted(photo_folder(root / "large", few, seed=2, size=(500, 301)).rglob("*.jpg"))
    (root / "kinds").mkdir()
    photos += of_all_kinds(root / "kinds", Image.open(photos[-1]))
    noise = np.random.default_rng(5).integers(0, 2, (24, 24, 3), dtype=np.uint8) * 255
    Image.fromarray(noise).save(root / "noise.png")
    return root / "model.onnx", [*photos, root / "noise.png"]


@pytest.fixture(scope="module")
def exported(trained: tuple[Path, list[Path]]) -> Path:
    return export_model(trained[0], trained[0].with_name("deployed"), "python").folder


def answers(python: Path | str, folder: Path, photos: list[Path]) -> list[tuple[str, str, float]]:
    """What predict.py prints, started from another folder."""
    done = subprocess.run(
        [python, "-I", "-X", "utf8", folder / "predict.py", *photos],
        capture_output=True,
        encoding="utf-8",
        cwd=folder.parent,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    return [(name, label, float(probability)) for name, label, probability in lines]


def assert_same_answers(python: Path | str, folder: Path, model: Path, photos: list[Path]) -> None:
    found, expected = answers(python, folder, photos), load_model(model).predict(photos)
    assert [row[:2] for row in found] == [(answer.photo, answer.label) for answer in expected]
    probabilities = [answer.probability for answer in expected]
    np.testing.assert_allclose([row[2] for row in found], probabilities, rtol=0, atol=1e-6)
    assert {row[1] for row in found} == {"blå", "red fish", "third", "unknown"}


def test_the_script_agrees_with_rehead(trained: tuple[Path, list[Path]], exported: Path) -> None:
    assert_same_answers(sys.executable, exported, *trained)


def test_the_script_crops_as_rehead_does(tmp_path: Path, tiny_onnx: Path, photo_folder: PhotoFolder) -> None:
    spec = PreprocessSpec(
        32, (123.7, 116.3, 103.5), (58.4, 57.1, 57.4), resize="crop", crop_fraction=0.875,
        interpolation="bicubic", grey_range=(0, 4095),
    )  # fmt: skip
    photos = photo_folder(tmp_path / "photos", {"a": 12, "b": 12}, size=(90, 140))
    ImageClassifier(tiny_onnx, preprocess=spec).fit(photos).save(tmp_path / "model.onnx")
    some = sorted(photos.rglob("*.jpg"))[::5]
    dark = np.asarray(Image.open(some[0]).convert("L")).astype(np.uint16) * 16
    Image.fromarray(dark).save(tmp_path / "dark.png")
    some.append(tmp_path / "dark.png")
    folder = export_model(tmp_path / "model.onnx", tmp_path / "deployed", "python").folder
    expected = [answer.probability for answer in load_model(tmp_path / "model.onnx").predict(some)]
    found = [probability for _, _, probability in answers(sys.executable, folder, some)]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_the_script_uses_three_packages_and_is_short(exported: Path) -> None:
    lines = (exported / "predict.py").read_text("utf-8").splitlines()
    imported = {line.split()[1] for line in lines if line.startswith(("import ", "from "))}
    assert imported == {"PIL", "json", "numpy", "onnxruntime", "pathlib", "sys"}
    code = lines[lines.index("from PIL import Image, ImageOps") + 1 :]
    assert len([line for line in code if line.strip()]) <= 24
    assert all(len(line) <= 110 for line in lines)


def test_the_exported_check_says_that_the_answers_are_the_same(exported: Path, tmp_path: Path) -> None:
    def run(script: Path) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-I", str(script)], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout

    text = (exported / "check.py").read_text("utf-8")
    code, said = run(exported / "check.py")
    assert (code, said.splitlines()[0]) == (0, "the same: 0 of 5 other answers")
    assert len(text.splitlines()) < 40
    shutil.copy(exported / "model.onnx", tmp_path)
    swapped = text.replace("np.asarray(photo)", "np.asarray(photo)[..., ::-1]")
    (tmp_path / "check.py").write_text(swapped, "utf-8")
    code, said = run(tmp_path / "check.py")
    assert (code, said.partition(":")[0]) == (1, "not the same")


@pytest.mark.slow
def test_the_oldest_onnxruntime_gives_the_same_answers(exported: Path, tmp_path: Path) -> None:
    """The oldest that has a wheel for Python 3.11; KServe's Triton has it."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    done = subprocess.run(
        [*pip, "onnxruntime==1.15.*", "numpy<2", "pillow>=10.1"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"pip has none here: {done.stderr.strip().splitlines()[-1]}")
    done = subprocess.run(
        [str(python), "-I", str(exported / "check.py")], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("the same: ")


@pytest.mark.slow
def test_the_script_agrees_where_nothing_else_is_installed(
    trained: tuple[Path, list[Path]], exported: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "install", "--requirement", str(exported / "requirements.txt")],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"pip cannot reach an index: {done.stderr.strip().splitlines()[-1]}")
    only = subprocess.run([python, "-I", "-c", "import rehead"], capture_output=True, text=True, check=False)
    assert "No module named 'rehead'" in only.stderr
    assert_same_answers(python, exported, *trained)
