"""Photos as files and as bytes become the same upright 8-bit RGB pixels, or an ImageError."""

from __future__ import annotations

import contextlib
import io
import math
import os
import pickle
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, ImageOps, PngImagePlugin

from rehead.errors import DataError, ImageError
from rehead.images import (
    MAX_PIXELS,
    PreprocessSpec,
    image_size,
    is_image_file,
    is_image_name,
    load_image,
    read_bytes,
    read_image,
    thumbnail,
)

ORIENTATION = 0x0112
SMALL = PreprocessSpec(16, (0, 0, 0), (1, 1, 1))


def spec(size: int, **fields: Any) -> PreprocessSpec:
    return PreprocessSpec(size, (0, 0, 0), (1, 1, 1), **fields)


def smooth(width: int, height: int) -> Image.Image:
    """A picture without symmetry that JPEG keeps well."""
    y, x = np.mgrid[:height, :width]
    bands = (255 * x / width, 255 * y / height, 127 * (1 + np.sin(x / width * 5 + y / height * 3)))
    return Image.fromarray(np.stack(bands, -1).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def oriented(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = value
    return exif


def heic(image: Image.Image, orientation: int = 1) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif", reason="HEIC needs rehead[heif]")
    file = pillow_heif.from_pillow(image)
    file.info["exif"] = oriented(orientation).tobytes()
    buffer = io.BytesIO()
    file.save(buffer, quality=90)
    return buffer.getvalue()


def plain_pillow(path: Path, side: int) -> NDArray[np.uint8]:
    image: Image.Image = Image.open(path)
    image.draft("RGB", (side, side))
    image = ImageOps.exif_transpose(image).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image)


class TestLoadImage:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("size", [(500, 330), (130, 700), (40, 30)])
    def test_is_the_three_lines_of_plain_pillow(
        self, tmp_path: Path, orientation: int, size: tuple[int, int]
    ) -> None:
        path = tmp_path / "photo.jpg"
        smooth(*size).save(path, exif=oriented(orientation))
        got = load_image(path, spec(64))
        assert got.shape == (64, 64, 3) and got.dtype == np.uint8 and got.flags.writeable
        np.testing.assert_array_equal(got, plain_pillow(path, 64))

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
    def test_a_path_and_its_bytes_give_the_same(self, tmp_path: Path, kind: str) -> None:
        data = encoded(smooth(90, 70), kind)
        path = tmp_path / "über photo"
        path.write_bytes(data)
        np.testing.assert_array_equal(load_image(path, SMALL), load_image(data, SMALL))
        np.testing.assert_array_equal(load_image(str(path), SMALL), load_image(data, SMALL))
        np.testing.assert_array_equal(read_image(path), read_image(data))

    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
    def test_crop_is_resize_of_the_shorter_side_then_centre_crop(self, interpolation: Any) -> None:
        photo = smooth(300, 200)  # shorter side to 100 is 150 x 100; the centre 80 x 80 starts at (35, 10)
        filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
        expected = np.asarray(photo.resize((150, 100), filters[interpolation]))[10:90, 35:115]
        crop = spec(80, resize="crop", crop_fraction=0.8, interpolation=interpolation)
        got = load_image(encoded(photo, "PNG"), crop)
        np.testing.assert_allclose(got.astype(int), expected.astype(int), atol=1)

    def test_crop_of_a_large_jpeg_decodes_no_fewer_pixels_than_it_needs(self) -> None:
        data = encoded(smooth(800, 600), "JPEG")
        image: Image.Image = Image.open(io.BytesIO(data))
        image.draft("RGB", (200, 200))  # the shorter side is to become 100 / 0.5
        expected = image.resize((100, 100), Image.Resampling.BILINEAR, (125, 75, 275, 225))
        got = load_image(data, spec(100, resize="crop", crop_fraction=0.5))
        np.testing.assert_array_equal(got, np.asarray(expected))

    @settings(max_examples=60, deadline=None)
    @given(
        width=st.integers(1, 90),
        height=st.integers(1, 90),
        side=st.integers(1, 40),
        fraction=st.floats(0.05, 1.0),
        orientation=st.integers(1, 8),
    )
    def test_every_shape_becomes_the_square(
        self, width: int, height: int, side: int, fraction: float, orientation: int
    ) -> None:
        data = encoded(smooth(width, height), "JPEG", exif=oriented(orientation))
        crop = load_image(data, spec(side, resize="crop", crop_fraction=fraction))
        squash = load_image(data, spec(side))
        assert crop.shape == squash.shape == (side, side, 3)

    def test_colour_order_stays_rgb_for_bgr_networks(self) -> None:
        red = encoded(Image.new("RGB", (20, 20), (250, 10, 10)), "PNG")
        pixel = load_image(red, spec(8, channels="BGR", layout="NHWC"))[0, 0]
        assert pixel.tolist() == [250, 10, 10]


class TestReducedDecoding:
    @settings(max_examples=60, deadline=None)
    @given(
        width=st.integers(1, 200),
        height=st.integers(1, 200),
        least=st.tuples(st.integers(1, 60), st.integers(1, 60)),
        orientation=st.integers(1, 8),
    )
    def test_smallest_scale_that_is_large_enough_upright(
        self, width: int, height: int, least: tuple[int, int], orientation: int
    ) -> None:
        data = encoded(Image.new("RGB", (width, height)), "JPEG", exif=oriented(orientation))
        w, h = (height, width) if orientation >= 5 else (width, height)
        assert image_size(data) == (w, h)
        scale = max(k for k in (1, 2, 4, 8) if k == 1 or (w // k >= least[0] and h // k >= least[1]))
        got = read_image(data, at_least=least)
        assert got.shape == (math.ceil(h / scale), math.ceil(w / scale), 3)

    def test_whole_photo_without_a_target_and_for_other_formats(self) -> None:
        assert read_image(encoded(smooth(160, 80), "JPEG")).shape == (80, 160, 3)
        assert read_image(encoded(smooth(160, 80), "PNG"), at_least=(10, 10)).shape == (80, 160, 3)

    def test_jpeg_with_more_pictures_behind_it(self) -> None:
        data = encoded(smooth(160, 80), "MPO", save_all=True, append_images=[smooth(16, 8)])
        assert read_image(data, at_least=(40, 20)).shape == (20, 40, 3)

    def test_nonsense_target(self) -> None:
        with pytest.raises(DataError, match="at_least"):
            read_image(encoded(smooth(8, 8), "JPEG"), at_least=(0, 8))


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
    def test_all_eight(self, kind: str, orientation: int) -> None:
        stored = smooth(60, 40)
        options = (
            {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind in ("JPEG", "AVIF") else {}
        )
        data = encoded(stored, kind, exif=oriented(orientation), **options)
        stored.getexif()[ORIENTATION] = orientation
        upright = np.asarray(ImageOps.exif_transpose(stored))
        got = read_image(data)
        assert got.shape == upright.shape
        assert np.abs(got.astype(int) - upright).mean() < 3
        assert image_size(data) == (got.shape[1], got.shape[0])

    def test_png_that_keeps_its_exif_behind_the_pixels(self) -> None:
        data = encoded(smooth(60, 40), "PNG", exif=oriented(6))
        start = data.index(b"eXIf") - 4
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        iend = data.index(b"IEND") - 4
        moved = data[:start] + data[end:iend] + data[start:end] + data[iend:]
        assert image_size(moved) == (40, 60)
        np.testing.assert_array_equal(read_image(moved), read_image(data))

    @pytest.mark.parametrize(
        ("keyword", "text"),
        [
            ("XML:com.adobe.xmp", '<x:xmpmeta tiff:Orientation="6"/>'),
            ("Raw profile type exif", f"\nexif\n  32\n{oriented(6).tobytes().hex()}\n"),
        ],
    )
    def test_png_that_keeps_it_in_text(self, keyword: str, text: str) -> None:
        info = PngImagePlugin.PngInfo()
        info.add_itxt(keyword, text)
        data = encoded(smooth(60, 40), "PNG", pnginfo=info)
        assert image_size(data) == (40, 60)
        assert read_image(data).shape == (60, 40, 3)
        with pytest.raises(ImageError, match="truncated"):
            read_image(data[: len(data) * 4 // 5])

    @pytest.mark.parametrize("value", [0, 9, 42])
    def test_values_that_do_not_exist_turn_nothing(self, value: int) -> None:
        data = encoded(smooth(60, 40), "JPEG", exif=oriented(value))
        assert image_size(data) == (60, 40)
        assert read_image(data).shape == (40, 60, 3)

    def test_damaged_exif_of_a_sound_photo(self) -> None:
        data = encoded(smooth(60, 40), "JPEG", exif=b"Exif\x00\x00nonsense that is no TIFF header")
        assert read_image(data).shape == (40, 60, 3)


class TestModes:
    """Every way to store a colour ends as 8-bit RGB."""

    def test_grey(self) -> None:
        grey = Image.new("L", (6, 4), 90)
        for kind in ("JPEG", "PNG", "TIFF", "BMP", "PPM"):
            assert (read_image(encoded(grey, kind)) == 90).all()

    def test_one_bit(self) -> None:
        bits = Image.new("1", (6, 4))
        bits.putpixel((2, 1), 1)
        got = read_image(encoded(bits, "PNG"))
        assert got[1, 2].tolist() == [255, 255, 255] and got.sum() == 3 * 255

    @pytest.mark.parametrize(
        ("mode", "colour", "expected"),
        [
            ("RGBA", (200, 0, 0, 255), (200, 0, 0)),
            ("RGBA", (200, 0, 0, 0), (255, 255, 255)),
            ("RGBA", (200, 0, 0, 128), (227, 127, 127)),
            ("LA", (10, 0), (255, 255, 255)),
            ("LA", (10, 255), (10, 10, 10)),
        ],
    )
    def test_alpha_over_white(self, mode: str, colour: Any, expected: tuple[int, int, int]) -> None:
        got = read_image(encoded(Image.new(mode, (3, 3), colour), "PNG"))
        np.testing.assert_allclose(got[0, 0].astype(int), expected, atol=1)

    def test_palette(self) -> None:
        image = Image.new("P", (2, 1))
        image.putpalette([10, 20, 30, 200, 100, 50])
        image.putpixel((1, 0), 1)
        assert read_image(encoded(image, "PNG"))[0].tolist() == [[10, 20, 30], [200, 100, 50]]
        for transparency in (0, b"\x00\xff"):  # one index, or a table of alphas
            got = read_image(encoded(image, "PNG", transparency=transparency))
            assert got[0].tolist() == [[255, 255, 255], [200, 100, 50]]
        assert read_image(encoded(image, "GIF", transparency=0))[0, 0].tolist() == [255, 255, 255]

    @pytest.mark.parametrize(("mode", "colour"), [("RGB", (1, 2, 3)), ("L", 7)])
    def test_transparent_colour_without_alpha(self, mode: str, colour: Any) -> None:
        data = encoded(Image.new(mode, (3, 3), colour), "PNG", transparency=colour)
        assert (read_image(data) == 255).all()

    @pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
    def test_cmyk(self, kind: str) -> None:
        options = {"quality": 95} if kind == "JPEG" else {}
        data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), kind, **options)
        if kind == "JPEG":
            assert b"Adobe" in data  # the inverted convention
        np.testing.assert_allclose(read_image(data)[8, 8].astype(int), (255, 0, 0), atol=6)

    @pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
    def test_sixteen_bits_are_scaled_not_clipped(self, kind: str) -> None:
        values = np.array([[0, 257, 25700, 65535]], np.uint16)
        got = read_image(encoded(Image.fromarray(values), kind))
        np.testing.assert_array_equal(got[0], [[0] * 3, [1] * 3, [100] * 3, [255] * 3])

    def test_sixteen_bits_in_big_endian_tiff(self) -> None:
        image = Image.frombytes("I;16B", (2, 1), np.array([2570, 65535], ">u2").tobytes())
        assert read_image(encoded(image, "TIFF"))[0, :, 0].tolist() == [10, 255]

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([0, 257, 65535], [0, 1, 255]),
            ([0, 500_000, 1_000_000], [0, 128, 255]),
            ([-100, 0, 100], [0, 128, 255]),
            ([70_000, 70_000, 70_000], [0, 0, 0]),
        ],
    )
    def test_32_bit_integers(self, values: list[int], expected: list[int]) -> None:
        data = encoded(Image.fromarray(np.array([values], np.int32)), "TIFF")
        np.testing.assert_allclose(read_image(data)[0, :, 0].astype(int), expected, atol=1)

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([0.0, 0.5, 1.0], [0, 128, 255]),
            ([0.0, 100.0, 255.0], [0, 100, 255]),
            ([0.0, 257.0, 65535.0], [0, 1, 255]),
            ([-1.0, 0.0, 1.0], [0, 128, 255]),
            ([math.nan, 0.2, math.inf], [0, 51, 255]),
            ([math.nan, math.nan, -math.inf], [0, 0, 0]),
        ],
    )
    def test_floats(self, values: list[float], expected: list[int]) -> None:
        data = encoded(Image.fromarray(np.array([values], np.float32)), "TIFF")
        np.testing.assert_allclose(read_image(data)[0, :, 0].astype(int), expected, atol=1)

    @pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
    def test_first_frame_of_an_animation(self, kind: str) -> None:
        red, blue = (Image.new("RGB", (16, 16), colour) for colour in ((250, 0, 0), (0, 0, 250)))
        data = encoded(red, kind, save_all=True, append_images=[blue])
        np.testing.assert_allclose(read_image(data)[8, 8].astype(int), (250, 0, 0), atol=6)

    def test_content_decides_not_the_name(self, tmp_path: Path) -> None:
        for kind in ("PNG", "JPEG", "WEBP"):
            path = tmp_path / "photo.tif"
            path.write_bytes(encoded(smooth(30, 20), kind))
            assert read_image(path).shape == (20, 30, 3)


class TestHeif:
    def test_real_file(self, tmp_path: Path) -> None:
        path = tmp_path / "photo.jpg"
        path.write_bytes(heic(smooth(64, 48)))
        before = dict(Image.OPEN)
        got = read_image(path)
        assert np.abs(got.astype(int) - np.asarray(smooth(64, 48))).mean() < 4
        assert image_size(path) == (64, 48)
        assert "HEIF" not in set(Image.OPEN) - set(before), "Pillow must not change for others"

    def test_orientation(self) -> None:
        image = smooth(64, 48)
        data = heic(image, orientation=6)
        upright = np.asarray(image.transpose(Image.Transpose.ROTATE_270))
        assert image_size(data) == (48, 64)
        assert np.abs(read_image(data).astype(int) - upright).mean() < 4

    def test_damaged(self, tmp_path: Path) -> None:
        path = tmp_path / "photo.heic"
        path.write_bytes(heic(smooth(64, 48))[:300])
        with pytest.raises(ImageError, match=r"photo\.heic: damaged or truncated"):
            read_image(path)

    def test_without_the_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(100)
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
        with pytest.raises(ImageError, match=r"pip install 'rehead\[heif\]'"):
            read_image(data)

    def test_a_film_is_no_photo(self) -> None:
        with pytest.raises(ImageError, match="not an image"):
            read_image(b"\x00\x00\x00\x14ftypisom\x00\x00\x02\x00mp41" + bytes(200))


@contextlib.contextmanager
def unreadable(path: Path) -> Iterator[None]:
    path.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)  # root may read everything
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        path.chmod(0o600)


READERS: list[Callable[[Any], object]] = [
    read_image,
    lambda source: load_image(source, SMALL),
    image_size,
    lambda source: thumbnail(source, 16),
]


class TestBadFiles:
    @pytest.mark.parametrize("read", [*READERS, read_bytes])
    def test_missing_folder_empty(self, tmp_path: Path, read: Callable[[Any], object]) -> None:
        empty = tmp_path / "empty.jpg"
        empty.touch()
        for path, reason in ((tmp_path / "no.jpg", "no such file"), (tmp_path, "a folder"), (empty, "empty")):
            with pytest.raises(ImageError, match=reason) as caught:
                read(path)
            assert caught.value.path == str(path) and str(path) in str(caught.value)
            assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("name", ["a\0b.jpg", "photo.jpg/inside.jpg", "n" * 5000])
    def test_impossible_names(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "photo.jpg").write_bytes(encoded(smooth(8, 8), "JPEG"))
        with pytest.raises(ImageError, match="cannot be read"):
            read_image(f"{tmp_path}/{name}")

    @pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions of POSIX")
    def test_no_permission(self, tmp_path: Path) -> None:
        path = tmp_path / "private.jpg"
        path.write_bytes(encoded(smooth(8, 8), "JPEG"))
        with unreadable(path), pytest.raises(ImageError, match="no permission"):
            read_image(path)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe.jpg"
        os.mkfifo(pipe)
        with pytest.raises(ImageError, match="not a regular file"):
            read_image(pipe)

    @pytest.mark.parametrize("read", READERS)
    def test_empty_bytes_and_text(self, read: Callable[[Any], object]) -> None:
        with pytest.raises(ImageError, match="image bytes: the file is empty"):
            read(b"")
        with pytest.raises(ImageError, match="not an image that Pillow can read"):
            read(b"<!DOCTYPE html><title>404</title>" * 9)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM"])
    def test_truncated(self, tmp_path: Path, kind: str) -> None:
        data = encoded(smooth(64, 64), kind)
        path = tmp_path / "cut.jpg"
        path.write_bytes(data[: len(data) * 4 // 5])
        for _ in range(2):  # a second look must not find the half picture of the first
            with pytest.raises(ImageError, match=r"cut\.jpg: truncated: "):
                read_image(path)

    def test_cut_within_the_header(self) -> None:
        with pytest.raises(ImageError, match="begins like PNG"):
            read_image(encoded(smooth(8, 8), "PNG")[:12])

    def test_formats_that_are_not_photos_are_refused(self) -> None:
        postscript = encoded(smooth(8, 8), "EPS")  # Pillow would start Ghostscript
        with pytest.raises(ImageError, match="not an image"):
            read_image(postscript)

    def test_error_survives_pickling(self) -> None:
        with pytest.raises(ImageError) as caught:
            read_image(b"x")
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301


class TestPixelLimit:
    @pytest.mark.parametrize("read", READERS)
    def test_bomb_is_refused_by_its_header(self, read: Callable[[Any], object]) -> None:
        for width, height in ((9459, 9460), (12_000, 12_000), (30_000, 30_000)):  # Pillow: warns, errs
            header = encoded(Image.new("1", (1, 1)), "BMP")
            bomb = header[:18] + width.to_bytes(4, "little") + height.to_bytes(4, "little") + header[26:]
            with pytest.raises(ImageError, match=r"pixels, more than the limit|too many pixels"):
                read(bomb)

    def test_message_and_threshold(self) -> None:
        data = encoded(smooth(30, 20), "PNG")
        assert read_image(data, max_pixels=600).shape == (20, 30, 3)
        with pytest.raises(ImageError, match=r"30 x 20 pixels, more than the limit of 599"):
            read_image(data, max_pixels=599)
        with pytest.raises(ImageError, match="limit of 599"):
            load_image(data, SMALL, max_pixels=599)

    def test_pillow_is_left_as_it_was(self) -> None:
        before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        read_image(encoded(smooth(30, 20), "PNG"))
        assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == before == (MAX_PIXELS, False)


def corrupt_exif() -> bytes:
    """A JPEG whose EXIF makes Pillow warn: one entry that points behind its end."""
    entry = b"\x01\x0f\x00\x02" + (5000).to_bytes(4, "big") + (4000).to_bytes(4, "big")
    exif = b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01" + entry + bytes(4)
    return encoded(smooth(60, 40), "JPEG", exif=exif)


class TestWarnings:
    def test_the_file_does_make_pillow_warn(self) -> None:
        with pytest.warns(UserWarning), Image.open(io.BytesIO(corrupt_exif())) as image:
            image.getexif()

    def test_none_here_and_none_lost_elsewhere(self) -> None:
        data = corrupt_exif()
        done, heard = threading.Event(), []

        def bystander() -> None:
            while not done.wait(0.001):
                try:
                    warnings.warn("mine", stacklevel=1)
                except UserWarning:
                    heard.append(True)
                else:
                    heard.append(False)

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            thread = threading.Thread(target=bystander)
            thread.start()
            try:
                with ThreadPoolExecutor(4) as pool:
                    shapes = set(pool.map(lambda _: read_image(data).shape, range(200)))
            finally:
                done.set()
                thread.join()
            with pytest.raises(UserWarning, match="mine"):
                warnings.warn("mine", stacklevel=1)
        assert shapes == {(40, 60, 3)}
        assert heard and all(heard)

    def test_filters_do_not_grow(self) -> None:
        data = corrupt_exif()
        read_image(data)
        before = len(warnings.filters)
        for _ in range(5):
            read_image(data)
        assert len(warnings.filters) == before

    def test_what_was_said_once_is_not_said_again_for_every_photo(self) -> None:
        data = corrupt_exif()
        with warnings.catch_warnings(record=True) as log:
            warnings.simplefilter("default")
            for _ in range(4):
                read_image(data)
                warnings.warn("mine", stacklevel=1)
        assert [str(entry.message) for entry in log] == ["mine"]

    def test_filters_stay_picklable(self) -> None:
        """joblib sends them to its workers."""
        read_image(corrupt_exif())
        first = pickle.loads(pickle.dumps(warnings.filters[0]))  # noqa: S301
        assert first == warnings.filters[0]

    def test_importing_changes_nothing(self) -> None:
        code = (
            "import sys, warnings, numpy, PIL.Image\n"
            "before, formats = list(warnings.filters), dict(PIL.Image.OPEN)\n"
            "import rehead.images\n"
            "assert warnings.filters == before and PIL.Image.OPEN == formats\n"
            "assert not {'sklearn', 'scipy', 'onnx', 'onnxruntime', 'pillow_heif'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


VALID = {
    "JPEG": encoded(smooth(40, 30), "JPEG", exif=oriented(6)),
    "progressive": encoded(smooth(40, 30), "JPEG", progressive=True),
    "PNG": encoded(smooth(40, 30), "PNG", exif=oriented(8)),
    "APNG": encoded(smooth(40, 30), "PNG", save_all=True, append_images=[smooth(40, 30)]),
    "GIF": encoded(smooth(40, 30), "GIF"),
    "TIFF": encoded(smooth(40, 30), "TIFF", exif=oriented(3)),
    "WEBP": encoded(smooth(40, 30), "WEBP", exif=oriented(5)),
}


class TestDamage:
    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("name", VALID)
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(draw=st.data())
    def test_flipped_and_cut_bytes_give_an_array_or_an_image_error(
        self, name: str, draw: st.DataObject
    ) -> None:
        data = bytearray(VALID[name])
        anywhere = st.one_of(st.integers(0, min(len(data), 300) - 1), st.integers(0, len(data) - 1))
        for place, value in draw.draw(st.lists(st.tuples(anywhere, st.integers(0, 255)), max_size=5)):
            data[place] = value
        damaged = bytes(data[: draw.draw(st.one_of(st.just(len(data)), st.integers(1, len(data))))])
        for read in READERS:
            with contextlib.suppress(ImageError):
                read(damaged)


class TestThumbnail:
    @pytest.mark.parametrize("orientation", [1, 6])
    def test_longest_side_and_aspect(self, orientation: int) -> None:
        data = encoded(smooth(400, 200), "JPEG", exif=oriented(orientation), comment=b"secret")
        small = thumbnail(data, 80)
        image = Image.open(io.BytesIO(small))
        assert image.format == "JPEG"
        assert image.size == ((80, 40) if orientation == 1 else (40, 80))
        assert not image.getexif() and b"secret" not in small
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).resize(image.size)
        assert np.abs(np.asarray(image).astype(int) - np.asarray(upright)).mean() < 5

    def test_small_photos_are_not_enlarged_and_thin_ones_keep_a_pixel(self) -> None:
        assert image_size(thumbnail(encoded(smooth(30, 20), "PNG"), 80)) == (30, 20)
        assert image_size(thumbnail(encoded(smooth(900, 2), "PNG"), 80)) == (80, 1)

    def test_quality(self) -> None:
        rng = np.random.default_rng(0)
        data = encoded(Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)), "PNG")
        assert len(thumbnail(data, 64, quality=20)) < len(thumbnail(data, 64, quality=90))


def test_colour_profile_does_not_change_the_pixels() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    with_profile = encoded(smooth(30, 20), "PNG", icc_profile=profile)
    np.testing.assert_array_equal(read_image(with_profile), np.asarray(smooth(30, 20)))


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("a.jpg", True),
        ("A.JPEG", True),
        ("ü b.HEIC", True),
        ("sub/dir.x/photo.webp", True),
        ("photo.jpg.txt", False),
        ("jpg", False),
        (".jpg", False),
        ("folder/._photo.jpg", False),
        ("notes.pdf", False),
    ],
)
def test_is_image_name(name: str, taken: bool) -> None:
    assert is_image_name(name) is taken
    assert is_image_name(Path(name)) is taken


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "PPM", "WEBP", "TIFF", "JPEG2000", "AVIF"])
def test_every_format_is_known_by_its_first_bytes(kind: str, tmp_path: Path) -> None:
    Image.init()
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow does not write {kind}")
    for mode in ("RGB", "L"):
        Image.new(mode, (32, 32), 90).save(tmp_path / "photo", format=kind)
        assert is_image_file(tmp_path / "photo")


@pytest.mark.parametrize(
    "text", [b"", b"BMW and Audi, by year", b"P5 is a chord", b"GIF", b"%PDF-1.4", b"II."]
)
def test_other_files_are_no_images_by_their_first_bytes(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "photo").write_bytes(text)
    assert not is_image_file(tmp_path / "photo")
    assert not is_image_file(tmp_path / "not there")
    assert not is_image_file(tmp_path)
