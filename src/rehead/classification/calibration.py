"""Temperature and limits of a classifier that was changed, and how good it is, by photos it did not learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..core.progress import Progress
from ..core.rejection import choose_operating_point, outlier_rate
from ..core.text import count, first_of
from ..data import cv_folds
from ..data.inputs import LabelledPhotos
from ..errors import DatasetError
from ..evaluation import Evaluation, evaluate
from ..heads.temperature import fit_temperature, softmax
from .fitted import FittedClassifier
from .options import ClassifierOptions
from .reselection import Reselection, reselect_head
from .training_data import groups_of, style_views

__all__ = ["measured"]


def measured(
    fitted: FittedClassifier,
    rows: LabelledPhotos,
    options: ClassifierOptions,
    progress: Progress | None = None,
) -> tuple[FittedClassifier, Evaluation, Reselection | None]:
    """The same with temperature and limits set by photos that were not learnt, and how good it is on them.

    The photos are divided into folds, near-duplicates on one side; each fold is judged by the temperature and
    the limits of the others. Photos that were learnt, and unreadable ones, are left out. Where statistics
    are kept and photos are enough, levels and strength are chosen again (`reselection`).

    Raises
    ------
    DatasetError
        Photos of other classes; fewer than two that do not belong together.
    """
    found = fitted.encoder.extract(rows.paths, threads=options.threads, progress=progress)
    if options.strict and found.errors:
        raise found.errors[0][1]
    learnt = set(fitted.trained_on.digests)
    new = found.readable & np.array([digest not in learnt for digest in found.digests], bool)
    names = [str(name) for name in fitted.classes]
    if strange := sorted({str(label) for label in rows.labels.tolist()} - set(names)):
        raise DatasetError(f"photos to check of classes that were not learnt: {first_of(strange)}")
    group = groups_of(found, fitted.backbone, new, rows.groups)
    if len(np.unique(group)) < 2:
        raise DatasetError(
            f"{count(len(rows.paths), 'photo')} to check, of which {int(new.sum())} can be read and were not "
            "learnt; expected two or more that do not belong together"
        )
    target = np.array([names.index(str(label)) for label in rows.labels[new].tolist()], np.intp)
    plain, picked = found.plain[new], np.flatnonzero(new).tolist()
    fold = _folds(target, group, options)
    fitted, logits, reselection = reselect_head(fitted, plain, target, group, fold, seed=options.random_state)
    views = style_views(
        fitted.encoder, [rows.paths[n] for n in picked], [found.digests[n] for n in picked], plain, options
    )
    model = fitted.outlier_model
    if views is not None and model.styles is not None and views.names == model.styles.names:
        parts = model.parts(plain), model.parts(views.rows)
        model = model.calibrate_styles(*parts, views.style, outlier_rate(options.coverage))
    outliers = model.scores(plain)
    evaluation = _cross_checked(fitted, target, logits, outliers, group, fold, options)
    temperature = fit_temperature(logits, target, smooth=True)
    point = choose_operating_point(softmax(logits / temperature), outliers, coverage=options.coverage)
    fitted = replace(fitted, temperature=temperature, outlier_model=model, operating_point=point, changes={})
    return fitted, evaluation, reselection


def _folds(target: NDArray[np.intp], group: NDArray[np.intp], options: ClassifierOptions) -> NDArray[np.intp]:
    fold = np.maximum(cv_folds(target, group, count=options.cv, seed=options.random_state), 0)
    if fold.any():
        return fold
    halves: NDArray[np.intp] = np.unique(group, return_inverse=True)[1] % 2  # every class is one group
    return halves


def _cross_checked(
    fitted: FittedClassifier,
    target: NDArray[np.intp],
    logits: NDArray[np.float64],
    outliers: NDArray[np.float32],
    group: NDArray[np.intp],
    fold: NDArray[np.intp],
    options: ClassifierOptions,
) -> Evaluation:
    """How good the answers are, each by the temperature and limits of the other folds."""
    probabilities, accepted = np.zeros_like(logits), np.zeros(len(target), bool)
    for number in np.unique(fold):
        out = fold == number
        temperature = fit_temperature(logits[~out], target[~out], smooth=True)
        known = softmax(logits[~out] / temperature)
        point = choose_operating_point(known, outliers[~out], coverage=options.coverage)
        probabilities[out] = softmax(logits[out] / temperature)
        accepted[out] = point.accept(probabilities[out], outliers[out])
    return evaluate(
        target,
        probabilities,
        [str(name) for name in fitted.classes],
        groups=group,
        accepted=accepted,
        seed=options.random_state,
    )
