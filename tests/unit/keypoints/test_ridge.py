"""The kernel is that of the standardised maps, and a stage gives what the kernel gives."""

from __future__ import annotations

import numpy as np
import pytest

from rehead.heads.kernel_ridge import fit_kernel_ridge
from rehead.keypoints.feature_maps import ExtractedMaps, FeatureMap
from rehead.keypoints.ridge import fit_stage, held_out_path, make_design

MAPS = (FeatureMap("a", 3, 4, 4), FeatureMap("b", 2, 2, 2))


@pytest.fixture
def world() -> tuple[ExtractedMaps, np.ndarray]:
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(2, 30, 4))
    values = tuple(
        (hidden @ rng.normal(size=(4, s.size)) + 0.3 * rng.normal(size=(2, 30, s.size)))
        .reshape(2, 30, s.channels, s.height, s.width)
        .astype(np.float16)
        for s in MAPS
    )
    return ExtractedMaps(MAPS, values), 0.5 + 0.1 * hidden @ rng.normal(size=(4, 6))


def standardised(maps: ExtractedMaps) -> np.ndarray:
    parts = [values.reshape(60, -1).astype(np.float64) for values in maps.values]
    parts = [(p - p.mean(axis=0)) / p.std(axis=0) / np.sqrt(p.shape[1] * len(parts)) for p in parts]
    return np.concatenate(parts, axis=1)


def test_the_kernel_is_that_of_the_standardised_maps(world: tuple[ExtractedMaps, np.ndarray]) -> None:
    maps, _ = world
    X = standardised(maps)
    np.testing.assert_allclose(make_design(maps).kernel(MAPS, 2), X @ X.T, atol=2e-5)
    np.testing.assert_allclose(make_design(maps).kernel(MAPS, 1), (X @ X.T)[:30, :30], atol=2e-5)


def test_a_stage_gives_what_its_kernel_gives(world: tuple[ExtractedMaps, np.ndarray]) -> None:
    maps, targets = world
    design = make_design(maps)
    fold = np.arange(30) % 3
    point, _ = held_out_path(design, targets, fold, [(MAPS, 2)], l2_grid=(0.1,))[0]
    stage = fit_stage(design, targets, point)
    parts = [
        v.reshape(60, -1).astype(np.float32) @ w for v, w in zip(maps.values, stage.weights, strict=True)
    ]
    found = (sum(parts) + stage.bias) @ stage.basis + stage.mean
    alpha, mean = fit_kernel_ridge(design.kernel(MAPS, 2), targets.reshape(60, 6), 0.1)
    expected = design.kernel(MAPS, 2) @ alpha + mean
    assert np.sqrt(np.mean((found - expected) ** 2)) < 1.5e-3
    assert len(stage.basis) <= 6


def test_held_out_predictions_do_not_use_their_targets(world: tuple[ExtractedMaps, np.ndarray]) -> None:
    maps, targets = world
    design = make_design(maps)
    fold = np.arange(30) % 5
    (_, before), *_ = held_out_path(design, targets, fold, [(MAPS, 2)], l2_grid=(0.1,))
    spoilt = targets.copy()
    spoilt[:, fold == 2] = 1e3
    (_, after), *_ = held_out_path(design, spoilt, fold, [(MAPS, 2)], l2_grid=(0.1,))
    np.testing.assert_allclose(after[fold == 2], before[fold == 2], atol=1e-6)
    assert np.abs(after[fold != 2] - before[fold != 2]).max() > 1


def test_a_photo_of_another_kind_gets_a_shape_within_bounds(world: tuple[ExtractedMaps, np.ndarray]) -> None:
    maps, targets = world
    design = make_design(maps)
    point, _ = held_out_path(design, targets, np.arange(30) % 3, [(MAPS, 2)], l2_grid=(0.1,))[0]
    stage = fit_stage(design, targets, point)
    shape = sum(1e4 * w.sum(axis=0) for w in stage.weights) + stage.bias
    odd = np.clip(shape, stage.low, stage.high) @ stage.basis + stage.mean
    assert np.abs(shape).max() > 10
    assert np.abs(odd - stage.mean).max() < 3 * np.abs(targets - targets.mean(axis=(0, 1))).max()
