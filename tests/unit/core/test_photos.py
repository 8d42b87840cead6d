"""What callers give as photos becomes paths and bytes that are read the same."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from rehead.core.photos import as_file, as_files, name_of
from rehead.errors import DataError
from rehead.images import read_image

PIXELS: NDArray[np.uint8] = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


def png(pixels: NDArray[np.uint8] = PIXELS) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def at_its_end(data: bytes) -> io.BytesIO:
    buffer = io.BytesIO(data)
    buffer.seek(0, io.SEEK_END)
    return buffer


@pytest.mark.parametrize(
    "make",
    [
        png,
        lambda: bytearray(png()),
        lambda: memoryview(png()),
        lambda: io.BytesIO(png()),
        lambda: at_its_end(png()),
        lambda: Image.open(io.BytesIO(png())),
        lambda: Image.fromarray(PIXELS),
        lambda: PIXELS,
        lambda: np.asfortranarray(PIXELS),
        lambda: PIXELS[:, ::-1][:, ::-1],
    ],
)
def test_whatever_holds_a_photo_gives_its_pixels(make: Callable[[], Any]) -> None:
    np.testing.assert_array_equal(read_image(as_file(make())), PIXELS)
    (one,) = as_files(make())
    np.testing.assert_array_equal(read_image(one), PIXELS)


def test_a_file_a_name_and_grey_pixels(tmp_path: Path) -> None:
    path = tmp_path / "ä b.png"
    path.write_bytes(png())
    with path.open("rb") as file:
        np.testing.assert_array_equal(read_image(as_file(file)), PIXELS)
    assert as_file(path) == path
    assert as_file(str(path)) == str(path)
    assert name_of(as_file(path)) == str(path)
    assert name_of(png()) == ""
    grey = PIXELS[:, :, 0]
    np.testing.assert_array_equal(read_image(as_file(grey)), np.repeat(grey[:, :, None], 3, axis=2))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "I;16", "F"])
def test_pillow_images_of_every_mode(mode: str) -> None:
    image = (
        Image.fromarray(np.full((4, 6), 0x8080, np.uint16))
        if mode == "I;16"
        else Image.new("RGB", (6, 4), (200, 100, 50)).convert("RGB" if mode == "LA" else mode)
    )
    assert read_image(as_file(image.convert("LA") if mode == "LA" else image)).shape == (4, 6, 3)


def test_orientation_and_transparency_of_a_pillow_image_are_applied() -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(buffer, "PNG", exif=exif)
    opened = Image.open(io.BytesIO(buffer.getvalue()))
    assert read_image(as_file(opened)).shape == (7, 5, 3)
    np.testing.assert_array_equal(read_image(as_file(opened)), read_image(buffer.getvalue()))
    clear = Image.new("P", (4, 4), 0)
    clear.info["transparency"] = 0
    assert (read_image(as_file(clear)) == 255).all()


@pytest.mark.parametrize(
    "several",
    [
        [png(), png()],
        (PIXELS, Image.fromarray(PIXELS)),
        iter([png(), io.BytesIO(png())]),
        np.stack([PIXELS, PIXELS]),
        pd.Series([png(), png()]),
        pd.DataFrame({"photo": [png(), png()]}),
        np.array([png(), png()], dtype=object).reshape(2, 1),
    ],
)
def test_several_photos(several: Any) -> None:
    files = list(as_files(several))
    assert len(files) == 2
    for file in files:
        np.testing.assert_array_equal(read_image(file), PIXELS)


def test_columns_of_paths() -> None:
    frame = pd.DataFrame({"path": ["a.jpg", "b.jpg"], "label": ["x", "y"]})
    for column in (frame["path"], frame[["path"]], frame["path"].to_numpy(), np.array(["a.jpg", "b.jpg"])):
        assert list(as_files(column)) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (None, "NoneType"),
        (3, r"int \(3\)"),
        ([3], r"photo 0: .* int \(3\)"),
        (["a.jpg", None], "photo 1: .* NoneType"),
        ({"a.jpg"}, "set"),
        ({"path": "a.jpg"}, "dict"),
        (np.zeros((4, 4, 3)), r"array of float64 and shape \(4, 4, 3\)"),
        (np.zeros((4, 4, 4), np.uint8), r"array of uint8 and shape \(4, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \(0, 4, 3\)"),
        (pd.DataFrame({"path": ["a"], "label": ["b"]}), r"DataFrame \(path label"),
        (pd.Series(["a.jpg", np.nan]), r"photo 1: .* float \(nan\)"),
        (io.StringIO("text"), "StringIO that gives str, not bytes; open it in binary mode"),
        (object(), "object"),
    ],
)
def test_anything_else_is_an_error_that_names_its_type(given: Any, named: str) -> None:
    with pytest.raises(DataError, match=named):
        list(as_files(given))


def test_a_closed_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png())
    with path.open("rb") as file:
        pass
    with pytest.raises(DataError, match="closed already"):
        as_file(file)
