"""Levels and strength of a head chosen again by photos that were not learnt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rehead import ImageClassifier
from rehead.classification import reselection
from rehead.classification.fitted import FittedClassifier
from rehead.classification.reselection import STRENGTHS, head_logits, reselect_head
from rehead.classification.statistics import PhotoStatistics
from rehead.evaluation.intervals import Interval
from rehead.heads import SearchPoint
from rehead.heads.temperature import calibrated_loss

PhotoFolder = Callable[..., Path]
Rows = tuple[NDArray[np.float32], NDArray[np.intp]]
CLASSES = {"ant": 8, "bee": 8, "cat": 8}


@pytest.fixture(scope="module")
def fitted(
    tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path_factory: pytest.TempPathFactory
) -> FittedClassifier:
    folder = photo_folder(tmp_path_factory.mktemp("photos"), CLASSES)
    return ImageClassifier(backbone=tiny_onnx, mirror=False, keep_statistics=True).fit(folder).fitted_


def rows_of_first_level(n: int, seed: int) -> Rows:
    """Features (n, 32) of which the first level's 8 tell the class, and the last level's 24 a little."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    X = rng.normal(size=(n, 32))
    X[:, :3] += 2.5 * np.eye(3)[y]
    X[:, 8:11] += 0.7 * np.eye(3)[y]
    return X.astype(np.float32), y.astype(np.intp)


def having(fitted: FittedClassifier, rows: Rows, levels: int, l2: float) -> FittedClassifier:
    """One that learnt these rows, with a head of so many levels and that strength."""
    sums = fitted.statistics
    assert sums is not None
    sums = sums.without_photos(sums.learnt.digests, *_features_of(fitted))
    digests = [f"{n:064x}" for n in range(len(rows[1]))]
    sums = sums.with_photos(digests, rows[1], rows[0], None)
    sums = replace(sums, point=SearchPoint(levels, False, "ridge", l2, float("nan")))
    return replace(fitted, statistics=sums, head=sums.head())


def _features_of(fitted: FittedClassifier) -> tuple[NDArray[np.float32], None]:
    sums = fitted.statistics
    assert sums is not None
    order = dict(zip(fitted.trained_on.digests, range(len(sums.learnt)), strict=True))
    found = fitted.encoder.extract(fitted.trained_on.paths)
    rows = np.argsort([order[digest] for digest in found.digests])
    return found.plain[rows], None


def reselected(
    fitted: FittedClassifier, rows: Rows, group: NDArray[np.intp] | None = None
) -> tuple[FittedClassifier, NDArray[np.float64], reselection.Reselection]:
    X, y = rows
    group = np.arange(len(y)) if group is None else group
    found, logits, said = reselect_head(fitted, X, y, group, group % 5)
    assert said is not None
    return found, logits, said


def test_photos_choose_the_levels_that_tell_more(fitted: FittedClassifier) -> None:
    before = having(fitted, rows_of_first_level(300, 1), levels=1, l2=1e-3)
    rows = rows_of_first_level(150, 2)
    after, logits, said = reselected(before, rows)
    assert (said.changed, said.chosen.n_levels, said.tried) == (True, 2, 2 * len(STRENGTHS))
    assert after.head.weight.shape == (32, 3)
    assert after.statistics is not None
    assert after.statistics.point.n_levels == 2
    np.testing.assert_array_equal(after.head.weight, after.statistics.head().weight)
    assert after.trained_parameters == 33 * 3
    assert calibrated_loss(logits, rows[1]) < calibrated_loss(head_logits(before.head, rows[0]), rows[1])
    assert "chosen again" in said.sentence
    assert "before, the last level, L2 0.001" in said.sentence
    assert {point.log_loss for point in after.head.path} > {said.chosen.log_loss}
    again = reselected(after, rows)[2]
    assert not again.changed
    assert "none of 21 others was better" in again.sentence


@pytest.mark.parametrize(
    ("photos", "names", "message"),
    [(99, None, "there are 99"), (150, 2, "there are 150, none of 'cat'"), (300, 60, "there are 60")],
)
def test_few_photos_choose_nothing(
    fitted: FittedClassifier, photos: int, names: int | None, message: str
) -> None:
    before = having(fitted, rows_of_first_level(300, 1), levels=1, l2=1e-3)
    X, y = rows_of_first_level(photos, 2)
    group = None
    if names == 2:
        y = y % 2
    elif names:
        group = np.arange(photos) % names  # so many that do not belong together
    after, logits, said = reselected(before, (X, y), group)
    assert (said.changed, said.tried) == (False, 0)
    assert message in said.sentence
    assert after is before
    np.testing.assert_array_equal(logits, head_logits(before.head, X))


@pytest.mark.parametrize(("better", "chosen"), [(0, 0), (1, 0), (20, 1)])
def test_another_is_chosen_where_it_is_better_by_more_than_a_standard_error(better: int, chosen: int) -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 120)
    logits = 2 * np.eye(3)[y] + rng.normal(size=(120, 3))
    other = logits.copy()
    worst = np.argsort(logits[np.arange(120), y] - logits.max(axis=1))[:better]
    other[worst] += 2 * np.eye(3)[y[worst]]
    points = [SearchPoint(1, False, "ridge", l2, float("nan")) for l2 in (0.1, 0.01)]
    judged = reselection._Judged(points, [logits, other], y, np.arange(120), np.ones(120))
    number, difference, losses = judged.choose(np.ones(120, bool))
    assert number == chosen
    assert (difference is not None) == bool(chosen)
    assert (losses[1] < losses[0]) == bool(better)


def test_each_fold_is_answered_by_what_the_others_choose(
    fitted: FittedClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = having(fitted, rows_of_first_level(300, 1), levels=1, l2=1e-3)
    X, y = rows_of_first_level(150, 2)
    fold, better = np.arange(150) % 5, Interval(-1.0, -2.0, -0.5)

    def choose(
        judged: reselection._Judged, rows: NDArray[np.bool_]
    ) -> tuple[int, Interval | None, list[float]]:
        number = 7 if not rows[fold == 3].any() else 4
        return number, better, [1.0] * len(judged.points)

    monkeypatch.setattr(reselection._Judged, "choose", choose)
    after, logits, _ = reselect_head(before, X, y, np.arange(150), fold)
    sums = after.statistics
    assert sums is not None
    points = [before.statistics.point, *after.head.path[1:]]  # type: ignore[union-attr]
    mine, others = (head_logits(replace(sums, point=points[n]).head(), X) for n in (4, 7))
    np.testing.assert_allclose(logits[fold != 3], mine[fold != 3])
    ratio = logits[fold == 3] / others[fold == 3]
    np.testing.assert_allclose(ratio, ratio[0, 0])  # on one scale with the others
    assert not np.allclose(ratio, 1)


def test_of_many_photos_some_choose(fitted: FittedClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    before = having(fitted, rows_of_first_level(300, 1), levels=1, l2=1e-3)
    monkeypatch.setattr(reselection, "_MOST", 110)
    _, logits, said = reselected(before, rows_of_first_level(200, 2))
    assert (said.chosen.n_levels, logits.shape) == (2, (200, 3))


def test_levels_are_chosen_of_those_that_sums_and_options_have(
    tiny_onnx: Path, photo_folder: PhotoFolder, tmp_path: Path
) -> None:
    folder = photo_folder(tmp_path / "photos", CLASSES)

    def kept(**options: Any) -> tuple[ImageClassifier, PhotoStatistics]:
        model = ImageClassifier(backbone=tiny_onnx, keep_statistics=True, mirror=False, **options).fit(folder)
        assert model.fitted_.statistics is not None
        return model, model.fitted_.statistics

    assert kept()[1].level_choices == (1, 2)
    assert kept(n_levels=2)[1].level_choices == (2,)
    _, narrow = kept(class_weight="balanced", n_levels=1)  # its head has sums of its own
    assert replace(narrow, levels=(1, 2)).level_choices == (1,)
    model, wide = kept(class_weight="balanced", n_levels=2)
    fewer = replace(wide, levels=(1, 2), point=replace(wide.point, n_levels=1))
    assert fewer.level_choices == (1, 2)
    model.fitted_ = replace(model.fitted_, statistics=fewer, head=fewer.head())
    model.save(tmp_path / "model.onnx")
    again = ImageClassifier.load(tmp_path / "model.onnx")
    assert again.fitted_.statistics is not None
    assert again.fitted_.statistics.level_choices == (1, 2)
    np.testing.assert_array_equal(again.head_.weight, fewer.head().weight)
    assert again.head_.weight.shape == (24, 3)
