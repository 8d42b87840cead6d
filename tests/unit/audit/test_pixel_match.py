"""Photos laid over each other: one picture, or two that resemble each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rehead.audit.label_issues import _outlier_limit
from rehead.audit.pixel_match import AGREE, agreement, pixel_duplicates


def picture(seed: int) -> Image.Image:
    """Shapes at several scales."""
    rng = np.random.default_rng(seed)
    pixels = sum(
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (n, n, 3), dtype=np.uint8)).resize(
                (200, 160), Image.Resampling.BICUBIC
            ),
            dtype=np.float64,
        )
        for n in (4, 9, 18)
    )
    return Image.fromarray((np.asarray(pixels) / 3).astype(np.uint8))


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """One picture in six ways, then another one, then one in the same light and shade as that."""
    first, second = picture(0), picture(1)
    third = Image.blend(second.resize((4, 4), Image.Resampling.BOX).resize((200, 160)), picture(2), 0.5)
    ways = {
        "plain.png": first,
        "saved.jpg": first,
        "half.png": first.resize((100, 80)),
        "trimmed.png": first.crop((10, 8, 200, 152)),
        "mirrored.png": first.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "dark.png": first.point(lambda level: level // 2),
        "other.png": second,
        "alike.png": third,
    }
    for name, photo in ways.items():
        photo.save(tmp_path / name, quality=50)
    return [tmp_path / name for name in ways]


def test_one_picture_in_many_ways_and_none_that_resembles(photos: list[Path]) -> None:
    together = np.zeros(len(photos), dtype=np.intp)
    found = pixel_duplicates(photos, together)
    assert len(set(found[:6].tolist())) == 1
    assert len(set(found[5:].tolist())) == 3
    features = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32) + np.arange(8)[:, None] // 6
    assert len(set(pixel_duplicates(photos, together, features)[5:].tolist())) == 3


def test_groups_are_only_ever_divided(photos: list[Path]) -> None:
    found = pixel_duplicates(photos, np.array([0, 1, 0, 1, -1, -1, 2, 2]))
    assert found[0] == found[2] != found[1] == found[3]
    assert found[4] == found[5] == -1
    assert found[6] != found[7]
    photos[2].unlink()
    gone = pixel_duplicates(photos, np.array([0, -1, 0, -1, -1, -1, -1, -1]))
    assert gone[0] != gone[2]


def test_agreement_of_nothing() -> None:
    flat = np.full((48, 48), 7, np.float32)
    noise = np.random.default_rng(0).normal(size=(48, 48)).astype(np.float32)
    assert agreement(noise, noise) == pytest.approx(1)
    assert agreement(flat, noise) < AGREE


def test_strangers_are_beyond_the_tail_and_a_tail_alone_has_none() -> None:
    rng = np.random.default_rng(0)
    beyond = [int((scores > _outlier_limit(scores)).sum()) for scores in rng.exponential(size=(40, 500))]
    assert 1 < np.mean(beyond) < 4  # two by design; the scale is estimated from 50
    scores = np.append(rng.exponential(size=500), [30.0, 40.0, 50.0])
    assert (scores > _outlier_limit(scores))[-3:].all()
    assert _outlier_limit(np.zeros(0)) == np.inf
