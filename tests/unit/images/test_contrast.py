from __future__ import annotations

import numpy as np

from rehead.images import stretched


def test_a_dark_photo_spans_the_whole_range_and_keeps_its_order() -> None:
    dark = np.random.default_rng(0).integers(3, 26, (300, 700, 3)).astype(np.uint8)
    bright = stretched(dark)
    assert bright.dtype == np.uint8
    assert bright.shape == dark.shape
    assert (bright.min(), bright.max()) == (0, 255)
    assert (np.diff(bright.ravel()[np.argsort(dark.ravel(), kind="stable")].astype(int)) >= 0).all()


def test_what_has_contrast_enough_or_none_is_returned_itself() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    assert stretched(photo, below=128) is photo
    assert stretched(photo // 4, below=128) is not photo
    for level in (0, 7, 255):
        flat = np.full((5, 9, 3), level, np.uint8)
        assert stretched(flat) is flat
