"""Size, sharpness and pose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from rehead.faces import Quality, QualityLimits
from rehead.faces.detection.quality import _face_model, _pose, measure_quality
from rehead.faces.embedding.alignment import ARCFACE, DLIB


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Turns the model by its pitch, its yaw and its roll, in this order; x right, y down, z to the camera."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


@settings(max_examples=60, deadline=None)
@given(st.floats(-60, 60), st.floats(-40, 40), st.floats(-170, 170), st.floats(0.2, 5))
def test_pose_of_the_model_seen_from_afar(yaw: float, pitch: float, roll: float, scale: float) -> None:
    points = (_face_model() @ rotation(yaw, pitch, roll).T)[:, :2] * scale + [100, 80]
    np.testing.assert_allclose(_pose(points), [yaw, pitch, roll], atol=1e-6)


def test_signs_are_as_said() -> None:
    nose_to_the_right = DLIB + np.array([[0, 0], [0, 0], [15, 0], [0, 0], [0, 0]])
    nose_up = DLIB - np.array([[0, 0], [0, 0], [0, 15], [0, 0], [0, 0]])
    assert _pose(nose_to_the_right)[0] > 15
    assert _pose(nose_up)[1] > 15
    assert np.abs(_pose(DLIB)).max() < 1e-9


def test_sharpness_falls_with_blur_and_not_with_size() -> None:
    data = pytest.importorskip("skimage.data", reason="the photo comes from scikit-image")
    photo = Image.fromarray(data.astronaut())
    box = np.array([179.0, 61, 268, 174])
    points = np.array([[203.8, 101.1], [247.2, 103.3], [225, 128.2], [202.5, 140.3], [244.8, 141.8]])
    sharp = measure_quality(np.asarray(photo), box, points)
    blurred = [
        measure_quality(np.asarray(photo.filter(ImageFilter.GaussianBlur(radius))), box, points).sharpness
        for radius in (1, 2, 4)
    ]
    assert sharp.sharpness > blurred[0] > blurred[1] > blurred[2]
    large = measure_quality(
        np.asarray(photo.resize((1024, 1024), Image.Resampling.LANCZOS)), box * 2, points * 2
    )
    assert large.sharpness == pytest.approx(sharp.sharpness, rel=0.15)
    assert sharp.side == 89
    assert large.side == 178


@pytest.mark.parametrize("turned", [False, True])
def test_sunglasses_and_masks_are_noted(turned: bool) -> None:
    data = pytest.importorskip("skimage.data", reason="the photo comes from scikit-image")
    box = np.array([179.0, 61, 268, 174])
    points = np.array([[203.8, 101.1], [247.2, 103.3], [225, 128.2], [202.5, 140.3], [244.8, 141.8]])

    def covered(colour: tuple[int, int, int] | None, *boxes: tuple[float, float, float, float]) -> object:
        photo = Image.fromarray(data.astronaut())
        for part in boxes:
            ImageDraw.Draw(photo).rounded_rectangle(part, 10, fill=colour)
        pixels, moved = np.asarray(photo), points
        if turned:
            pixels = np.ascontiguousarray(np.rot90(pixels))
            moved = np.stack([points[:, 1], pixels.shape[0] - points[:, 0]], axis=1)
        quality = measure_quality(pixels, box, moved)
        assert quality.to_dict().get("covered", []) == list(quality.covered)
        return quality.covered

    mask = (185.0, 120.0, 262.0, 175.0)
    assert covered(None) == ()
    for cloth in ((120, 170, 210), (245, 245, 245), (20, 20, 22)):
        assert covered(cloth, mask) == ("mouth",)
    assert covered((20, 20, 24), (186, 90, 220, 112), (230, 92, 266, 114)) == ("eyes",)


def test_complaints_say_what_is_wrong() -> None:
    limits = QualityLimits()
    assert limits.complaints(Quality(80, 20, 5, -10, 90)) == ()
    bad = Quality(18, 2, -70, 45, 0)
    assert limits.kinds(bad) == ("too small", "blurred", "turned away", "turned away")
    small, blurred, aside, up = limits.complaints(bad)
    assert small == "18 pixels wide, less than 32"
    assert blurred == "blurred: sharpness 2.0, less than 4"
    assert aside == "turned aside by 70 degrees, more than 50"
    assert up == "turned up or down by 45 degrees, more than 40"
    covered = Quality(80, 20, 0, 0, 0, ("eyes", "mouth"))
    assert limits.kinds(covered) == ("covered", "covered")
    assert limits.complaints(covered) == (
        "eyes covered, as by sunglasses",
        "mouth covered, as by a mask",
    )


def test_arcface_is_nearly_straight_ahead() -> None:
    assert np.abs(_pose(ARCFACE)[0]) < 5
