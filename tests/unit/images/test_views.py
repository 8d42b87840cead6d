from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rehead.images import CAMERA_VIEWS, camera_view, luma


@pytest.fixture(scope="module")
def photo() -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 200, (8, 6, 3)).repeat(8, axis=0).repeat(8, axis=1)
    return np.asarray((coarse + rng.normal(0, 8, coarse.shape)).clip(0, 255), np.uint8)


@pytest.mark.parametrize("name", CAMERA_VIEWS)
@pytest.mark.parametrize("shape", [(64, 48), (7, 3), (1, 1)])
def test_a_view_has_the_shape_of_the_photo_and_is_always_the_same(
    name: str, shape: tuple[int, int], photo: NDArray[np.uint8]
) -> None:
    pixels = photo[: shape[0], : shape[1]].copy()
    before = pixels.copy()
    view = camera_view(pixels, name)
    assert view.shape == pixels.shape
    assert view.dtype == np.uint8
    assert view.flags.writeable
    np.testing.assert_array_equal(view, camera_view(pixels, name))
    np.testing.assert_array_equal(pixels, before)


def test_each_view_does_what_its_name_says(photo: NDArray[np.uint8]) -> None:
    views = {name: camera_view(photo, name).astype(float) for name in CAMERA_VIEWS}

    def detail(pixels: NDArray[np.float64]) -> float:
        return float(np.abs(np.diff(pixels, axis=1)).mean())

    assert (np.ptp(views["grey"], axis=2) == 0).all()
    np.testing.assert_allclose(views["grey"][..., 0], luma(photo), atol=1)
    assert detail(views["blurred or small"]) < 0.5 * detail(photo.astype(float))
    assert 0 < np.abs(views["strongly compressed"] - photo).mean() < 20
    assert views["dark"].mean() == pytest.approx(0.4 * photo.mean(), rel=0.02)
    assert views["bright"].mean() > 1.3 * photo.mean()
