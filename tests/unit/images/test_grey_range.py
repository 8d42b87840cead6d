"""Grey photos of 10, 12 and 16 bits, floats and 32-bit integers are as bright as they were taken."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from rehead.core.preprocess import PreprocessSpec
from rehead.images import find_grey_range, load_image, read_image, thumbnail

SQUARE = PreprocessSpec(4, (0, 0, 0), (1, 1, 1))


def encoded(values: ArrayLike, kind: str, dtype: Any = np.uint16, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.atleast_2d(np.asarray(values, dtype))).save(buffer, kind, **options)
    return buffer.getvalue()


def with_significant_bits(png: bytes, bits: int) -> bytes:
    """The PNG with an sBIT chunk behind its header."""
    body = b"sBIT" + bytes([bits])
    chunk = struct.pack(">I", 1) + body + struct.pack(">I", zlib.crc32(body))
    return png[:33] + chunk + png[33:]


def written(folder: Path, photos: Sequence[bytes]) -> list[Path]:
    paths = [folder / f"{n}.png" for n in range(len(photos))]
    for path, data in zip(paths, photos, strict=True):
        path.write_bytes(data)
    return paths


def levels(image: NDArray[np.uint8]) -> list[int]:
    return [int(value) for value in image[0, :, 0]]


class TestWhatAFileSays:
    def test_significant_bits_of_a_png_whose_values_are_as_they_came(self) -> None:
        png = with_significant_bits(encoded([0, 1023, 2047, 3001], "PNG"), 12)
        assert levels(read_image(png)) == [0, 64, 127, 187]

    def test_significant_bits_of_a_png_whose_values_fill_all_bits(self) -> None:
        png = with_significant_bits(encoded([0, 16384, 32768, 65520], "PNG"), 12)
        assert levels(read_image(png)) == [0, 64, 128, 255]

    def test_dark_photo_whose_values_fill_all_bits(self) -> None:
        """Multiples of 16 only: shifted up from 12 bits, and dark."""
        png = with_significant_bits(encoded([0, 16, 2048, 4080], "PNG"), 12)
        assert levels(read_image(png)) == [0, 0, 8, 16]

    def test_depth_that_a_file_says_counts_in_a_model_that_saw_none(self) -> None:
        png = with_significant_bits(encoded([[3001, 1023], [3001, 1023]], "PNG"), 12)
        assert levels(load_image(png, PreprocessSpec(2, (0, 0, 0), (1, 1, 1)))) == [187, 64]

    def test_largest_sample_value_of_a_tiff(self) -> None:
        tiff = encoded([0, 400, 999], "TIFF", tiffinfo={281: 4095})
        assert levels(read_image(tiff)) == [0, 25, 62]

    def test_that_of_a_tiff_in_a_model(self) -> None:
        tiff = encoded(np.full((4, 4), 2048), "TIFF", tiffinfo={281: 4095})
        spec = PreprocessSpec(4, (0, 0, 0), (1, 1, 1), grey_range=(0, 65535))
        assert load_image(tiff, spec).max() == 128


class TestOnePhoto:
    @pytest.mark.parametrize(("largest", "white"), [(255, 255), (1001, 1023), (4000, 4095), (16000, 16383)])
    def test_is_taken_for_the_depth_that_holds_it(self, largest: int, white: int) -> None:
        for kind in ("PNG", "TIFF"):
            assert levels(read_image(encoded([0, largest], kind))) == [0, round(255 * largest / white)]

    def test_thumbnail_is_not_black(self) -> None:
        small = thumbnail(encoded(np.full((8, 8), 3000), "PNG"), 8)
        assert np.asarray(Image.open(io.BytesIO(small))).min() > 150

    def test_model_without_a_range_reads_as_before(self) -> None:
        assert load_image(encoded(np.full((4, 4), 4095), "PNG"), SQUARE).max() == 16
        floats = encoded(np.linspace(0, 900, 16).reshape(4, 4), "TIFF", np.float32)
        assert load_image(floats, SQUARE).max() == 4


class TestFolder:
    def test_one_range_for_dark_and_bright_photos(self, tmp_path: Path) -> None:
        paths = written(tmp_path, [encoded(np.full((4, 4), value), "PNG") for value in (300, 1500, 4001)])
        found = find_grey_range(paths, threads=2)
        assert list(found or ()) == [0, 4095]
        spec = PreprocessSpec(4, (0, 0, 0), (1, 1, 1), grey_range=found)
        assert [int(load_image(path, spec).max()) for path in paths] == [19, 93, 249]

    @pytest.mark.parametrize(
        ("values", "dtype", "expected"),
        [
            ([0.0, 0.7], np.float32, (0, 1)),
            ([0.0, 900.0], np.float32, (0, 1023)),
            ([-20.0, 35.5, np.nan], np.float32, (-20, 35.5)),
            ([0, 100_000], np.int32, (0, 100_000)),
            ([0, 4000], np.int32, (0, 4095)),
        ],
    )
    def test_floats_and_32_bits(
        self, tmp_path: Path, values: list[float], dtype: Any, expected: tuple[float, float]
    ) -> None:
        assert find_grey_range(written(tmp_path, [encoded(values, "TIFF", dtype)])) == expected

    def test_none_for_photos_of_8_bits_and_files_that_are_none(self, tmp_path: Path) -> None:
        colour = encoded(np.zeros((4, 4, 3)), "PNG", np.uint8)
        grey = encoded(np.zeros((4, 4)), "TIFF", np.uint8)
        damaged = encoded(np.zeros((4, 4)), "PNG")[:45]
        paths = [*written(tmp_path, [colour, grey, b"", b"text", damaged]), tmp_path / "gone.png"]
        found = find_grey_range(paths)
        assert found is None


def test_range_must_be_black_before_white() -> None:
    from rehead.errors import DataError

    for bad in ((4095, 0), (1,), "0,1", (0, float("nan"))):
        with pytest.raises(DataError, match="grey_range"):
            PreprocessSpec(4, (0, 0, 0), (1, 1, 1), grey_range=bad)  # type: ignore[arg-type]
