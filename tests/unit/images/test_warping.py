"""Photos turned, shrunk and grown: every pixel lands where geometry says, and nothing is aliased."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rehead.core.geometry import invert, transformed
from rehead.errors import DataError
from rehead.images import patches, pyramid, warped, write_jpeg


def ramp(width: int, height: int) -> np.ndarray:
    """Red grows with x, green with y, both 0..250 from edge to edge."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([x / width * 250, y / height * 250, 0 * x], -1).round().astype(np.uint8)


def test_identity_is_the_photo() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(warped(photo, np.eye(2, 3), 32), photo)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.03, 3), st.floats(-3.1, 3.1))
def test_pixels_land_where_the_map_says(scale: float, angle: float) -> None:
    photo, side = ramp(900, 700), 24
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[c, -s], [s, c]])
    matrix = np.column_stack([turn, side / 2 - turn @ [450, 350]])
    found = warped(photo, matrix, side)
    y, x = np.mgrid[:side, :side] + 0.5
    there = transformed(np.stack([x, y], -1), invert(matrix))
    inside = ((there > 40) & (there < [860, 660])).all(axis=-1)
    expected = there / [900, 700] * 250
    assert np.abs(found[..., :2] - expected)[inside].max() < 1.6


def test_fine_stripes_become_grey_not_moire() -> None:
    photo = np.zeros((1000, 1000, 3), np.uint8)
    photo[:, ::2] = 255
    matrix = np.array([[0.073, 0.01, -1], [-0.01, 0.073, 8]])
    inner = warped(photo, matrix, 64)[20:44, 20:44]
    assert inner.std() < 6
    assert abs(inner.mean() - 127.5) < 3


def test_what_lies_outside_is_black() -> None:
    photo = np.full((20, 20, 3), 255, np.uint8)
    found = warped(photo, np.array([[1.0, 0, 20], [0, 1, 0]]), 40)
    assert (found[:, :19] == 0).all()
    assert (found[1:19, 22:38] == 255).all()
    assert (warped(photo, np.array([[1.0, 0, 500], [0, 1, 0]]), 40) == 0).all()


def test_a_flat_map_is_refused() -> None:
    with pytest.raises(DataError, match="flattens"):
        warped(np.zeros((4, 4, 3), np.uint8), np.zeros((2, 3)), 8)


def test_patches_take_parts_and_are_black_outside() -> None:
    boxes = np.array([[100.0, 50, 300, 150], [-20.5, -10, 20.5, 31], [390, 190, 410, 210]])
    inner, corner, far = patches(ramp(400, 200), boxes, 10)
    expected = np.arange(10) + 0.5
    np.testing.assert_allclose(inner[5, :, 0], expected * 12.5 + 62.5, atol=1.5)
    np.testing.assert_allclose(inner[:, 5, 1], expected * 12.5 + 62.5, atol=1.5)
    assert (corner[:, :4] == 0).all()
    assert (far[:4, :4].sum(axis=-1) > 400).all()
    assert (far[6:, 6:] == 0).all()


def test_pyramid_keeps_every_pixel_in_place() -> None:
    sizes = [(300, 150), (57, 31), (12, 7)]
    for size, small in zip(sizes, pyramid(ramp(400, 200), sizes), strict=True):
        assert small.shape == (size[1], size[0], 3)
        np.testing.assert_allclose(
            small[size[1] // 2, :, 0], (np.arange(size[0]) + 0.5) / size[0] * 250, atol=6
        )


def test_write_jpeg(tmp_path: Path) -> None:
    write_jpeg(tmp_path / "new" / "a.jpg", ramp(40, 30))
    with Image.open(tmp_path / "new" / "a.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (40, 30))
        assert np.abs(np.asarray(image).astype(int) - ramp(40, 30)).mean() < 2
