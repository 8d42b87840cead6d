"""Containers that give another size than their pictures have."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rehead.errors import ImageError
from rehead.images import image_size, read_image
from rehead.images.avif_size import coded_sizes


def photo(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize((width, height))


def avif(width: int, height: int, **options: Any) -> bytes:
    buffer = io.BytesIO()
    photo(width, height).save(buffer, "AVIF", **options)
    return buffer.getvalue()


def smaller(data: bytes, width: int, height: int) -> bytes:
    """The file with another size in the box that says how large its picture is."""
    at = data.index(b"ispe") + 8
    return data[:at] + width.to_bytes(4, "big") + height.to_bytes(4, "big") + data[at + 8 :]


@pytest.mark.parametrize("size", [(64, 48), (1, 1), (333, 77)])
@pytest.mark.parametrize("options", [{}, {"quality": 20, "subsampling": "4:4:4"}])
def test_size_of_an_avif_by_its_own_header(size: tuple[int, int], options: dict[str, Any]) -> None:
    found = set(coded_sizes(avif(*size, **options)))
    assert found == {size}


def test_film_in_avif_has_another_header() -> None:
    assert (64, 48) in coded_sizes(avif(64, 48, save_all=True, append_images=[photo(64, 48)]))


def test_avif_that_decodes_past_the_limit() -> None:
    data = smaller(avif(400, 300), 40, 30)
    for read in (read_image, image_size):
        with pytest.raises(ImageError, match="400 x 300 pixels, more than the limit of 100000"):
            read(data, max_pixels=100_000)


def test_heic_whose_picture_has_another_size() -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="HEIC needs rehead[heif]")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(photo(128, 128)).save(buffer, quality=50)
    assert read_image(buffer.getvalue()).shape == (128, 128, 3)
    with pytest.raises(ImageError):
        read_image(smaller(buffer.getvalue(), 64, 48))


@pytest.mark.skipif("REHEAD_TEST_FAULTS" not in os.environ, reason="REHEAD_TEST_FAULTS names no folder")
@pytest.mark.parametrize("name", ["avif-lie-16384x8192.avif", "heic-size-lie.heic", "prog-9459-2000.jpg"])
def test_files_that_showed_it(name: str) -> None:
    with pytest.raises(ImageError):
        read_image(Path(os.environ["REHEAD_TEST_FAULTS"]) / name)
