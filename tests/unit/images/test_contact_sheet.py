from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rehead.images.contact_sheet import Bar, Tile, draw_boxes, draw_sheet, fitted, overlay, viridis


def test_colours_are_viridis() -> None:
    # matplotlib.colormaps["viridis"] at 0, 1/4, 1/2, 3/4 and 1
    expected = [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)]
    found = viridis(np.array([-3.0, -1.5, 0.0, 1.5, 3.0]), -3, 3)
    assert np.abs(found.astype(int) - expected).max() <= 2
    beyond = viridis(np.array([-9.0, 9.0, np.nan]), -3, 3)
    assert beyond.tolist() == [list(expected[0]), list(expected[-1]), [255, 255, 255]]


def test_numbers_that_are_all_alike_have_a_colour() -> None:
    assert (viridis(np.full((2, 3), 5.0), 5, 5) == viridis(np.zeros((2, 3)), 0, 1)).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 60), st.booleans())
def test_the_longer_side_is_as_asked(height: int, width: int, side: int, smooth: bool) -> None:
    found = fitted(np.zeros((height, width, 3), np.uint8), side, smooth=smooth)
    assert max(found.shape[:2]) == side
    assert abs(min(found.shape[:2]) - max(1, side * min(height, width) / max(height, width))) <= 0.5


def test_colours_lie_over_their_box_only() -> None:
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    found = overlay(np.full((10, 20, 3), 100, np.uint8), red, (5, 2, 15, 8)).astype(int)
    assert (found[2:8, 5:15, 0] > found[2:8, 5:15, 1] + 100).all()
    outside = np.ones((10, 20), bool)
    outside[2:8, 5:15] = False
    assert (np.ptp(found[outside], axis=1) == 0).all()


@pytest.mark.parametrize(
    "name", ["alpaca", "größe 'x\"", "アルパカ", "a" * 300, "line\nbreak", "", "\U0001f41f"]
)
def test_any_name_can_be_drawn(name: str) -> None:
    tiles = [Tile(np.zeros((30, 50, 3), np.uint8), (name, name)) for _ in range(5)]
    plain = draw_sheet([Tile(tile.pixels) for tile in tiles], columns=3)
    found = draw_sheet(tiles, columns=3, title=name, note=name, bar=Bar(-1, 2, "value"), lead=tiles[0])
    assert found.shape[0] > plain.shape[0]
    assert plain.shape[1] == 3 * 50 + 2 * 14 + 2 * 20
    assert (plain[20:50, 20:70] == 0).all(), "the first tile, at its own size"
    assert found.shape[1] < 1000, "names do not widen the sheet without end"


def test_words_are_there() -> None:
    tile = Tile(np.full((20, 200, 3), 255, np.uint8), ("probability",))
    assert (draw_sheet([tile], columns=1)[44:64] < 128).any()


@pytest.mark.parametrize("ends", [(0.0, 0.0), (-1e-9, 1e-9), (3, 1e6), (-12.5, 0)])
def test_bars_of_any_range(ends: tuple[float, float]) -> None:
    found = draw_sheet([Tile(np.zeros((9, 9, 3), np.uint8))], columns=1, bar=Bar(*ends, "drop"))
    assert found.shape[1] < 300


def test_boxes_are_drawn_with_their_words_within_the_photo() -> None:
    photo = np.full((200, 300, 3), 90, np.uint8)
    boxes = np.array([[20.0, 60, 80, 140], [250, 0, 300, 40], [-9, 190, 400, 230]])
    drawn = draw_boxes(
        photo, boxes, ["Örn [b]", "a name that is far too long for what is left of it" * 3, ""]
    )
    assert drawn.shape == photo.shape
    changed = (drawn != photo).any(axis=2)
    assert changed[60, 20:80].all()
    assert not changed[100, 30:70].any()
    assert changed[42:60, 20:50].any(), "the words stand above the box"
    assert (photo == 90).all()
    np.testing.assert_array_equal(draw_boxes(photo, np.zeros((0, 4)), []), photo)
