"""A classifier from a folder of features: the head by sums, limits by photos that it did not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ..backbones.backbone import Backbone
from ..backbones.encoder import PhotoEncoder
from ..core.options import options_of
from ..core.rejection import choose_operating_point, outlier_rate
from ..data.inputs import check_names
from ..data.inputs import warnings as data_warnings
from ..errors import DataError
from ..heads.mahalanobis import Parts, RelativeMahalanobis
from ..heads.statistics import Statistics
from ..heads.streamed import SomeRows, StreamedSearch, distance_of_present, training_sums
from ..heads.temperature import fit_temperature, softmax
from .feature_rows import Division, FeatureRows
from .fitted import FittedClassifier, TrainedOn
from .options import ClassifierOptions

__all__ = ["check_streamed", "fit_features", "fold_sums", "sums_of_fold"]

_VIEWS = 1000  # views of photos, two hundred of each style; 100 gave the same limits (benchmarks/RESULTS.md)
_SEEN = 100_000  # photos whose marks the model file keeps, 1.3 MB
_NAMED = 1000  # unreadable photos that the model file names, and run.json; unreadable.csv has all


def check_streamed(options: ClassifierOptions) -> None:
    """Refuse options that need all photos at once, or the photos themselves; DataError."""
    said = {
        "statistics_by_class": "update and forget need the photos as files",
        "keep_statistics": "update and forget need the photos as files",
        "class_weight": "weighing classes needs a Gram matrix of each",
        "golden": "the photos are not at hand any more",
        "engine": "features are taken by ONNX Runtime",
    }
    declared = options_of(ClassifierOptions)
    for name, why in said.items():
        if getattr(options, name) != declared[name].default:
            raise DataError(
                f"{declared[name].flag} does not go with photos read as a stream: {why}; leave it out"
            )
    if options.mirror is True:
        raise DataError(
            "--mirror yes does not go with photos read as a stream: they are seen once; leave it out"
        )


def fold_sums(photos: FeatureRows, division: Division, folds: int) -> list[Statistics]:
    """The sums over the training photos of each fold."""
    return training_sums(
        photos.read, photos.target, division.fold, len(photos.classes), photos.folder.record.width, folds
    )


def sums_of_fold(photos: FeatureRows, division: Division, number: int) -> Statistics:
    """The sums over the training photos of one fold."""
    d, only = photos.folder.record.width, np.where(division.fold == number, 0, -1)
    return training_sums(photos.read, photos.target, only, len(photos.classes), d, 1)[0]


def fit_features(
    photos: FeatureRows,
    division: Division,
    backbone: Backbone,
    options: ClassifierOptions,
    sums: Sequence[Statistics] | None = None,
) -> FittedClassifier:
    """Choose the head by its held-out log loss, and set temperature and limits by held-out photos.

    Parameters
    ----------
    photos : FeatureRows
    division : Division
        Its folds are those of the cross-validation.
    backbone : Backbone
        That took the features.
    options : ClassifierOptions
    sums : sequence of Statistics, optional
        What `fold_sums` gives, where they were made already.
    """
    check_streamed(options)
    check_names(np.array(photos.classes))
    sums = sums or fold_sums(photos, division, options.cv)
    blocks, levels = backbone.blocks, options.level_counts(len(backbone.levels))
    search = StreamedSearch(sums, photos.read, photos.target, division.fold, division.order, blocks, levels)
    head, held = search.run()
    y = photos.target[held.rows]
    temperature = fit_temperature(head.held_out, y, smooth=True)
    limits = _Outliers(photos, division, backbone, search, held)
    model, scores = limits.fitted(outlier_rate(options.coverage))
    probabilities = softmax(head.held_out / temperature)
    point = choose_operating_point(probabilities, scores, coverage=options.coverage)
    counts = dict(zip(photos.classes, search.total.counts.tolist(), strict=True))
    warnings = data_warnings(counts, division.fold[division.fold >= 0], options.coverage)
    encoder = PhotoEncoder(backbone, options.cache is not False)
    return FittedClassifier(
        encoder,
        backbone,
        np.array(photos.classes, dtype=np.str_),
        head,
        temperature,
        model,
        point,
        _trained_on(photos, division, backbone, options, counts),
        tuple(warnings),
        head.parameters,
    )


def _trained_on(
    photos: FeatureRows,
    division: Division,
    backbone: Backbone,
    options: ClassifierOptions,
    counts: dict[str, int],
) -> TrainedOn:
    trained = photos.digest[division.is_in("train")]
    seen = tuple(f"{mark:016x}" for mark in trained.tolist()) if len(trained) <= _SEEN else ()
    return TrainedOn(
        (),
        seen,
        counts,
        tuple(islice(photos.folder.unreadable(), _NAMED)),
        options.cv,
        None,
        options.random_state,
        backbone.engine.record(),
    )


@dataclass
class _Outliers:
    """The outlier score, and what held-out photos have."""

    photos: FeatureRows
    division: Division
    backbone: Backbone
    search: StreamedSearch
    held: SomeRows

    def fitted(self, accepted: float) -> tuple[RelativeMahalanobis, NDArray[np.float32]]:
        """The score fitted to all rows, its styles calibrated by held-out ones; and the scores of those."""
        search, blocks = self.search, self.backbone.blocks
        rows, style, views = self._views()
        styles = self._styles(rows, style, views)
        model = distance_of_present(search.total, blocks, styles)
        parts, others = Parts.empty(len(self.held.rows)), Parts.empty(len(rows))
        fold, of_views = self.division.fold[self.held.rows], self.division.fold[rows]
        for number in np.unique(fold).tolist():
            without = distance_of_present(search.total - search.sums[number], blocks, styles)
            parts.put(fold == number, without.parts(self.held.X[fold == number]))
            others.put(of_views == number, without.parts(views[of_views == number]))
        if styles is not None:
            known = np.isfinite(others.plain)
            model = model.calibrate_styles(parts, others.take(known), style[known], accepted)
        return model, model.combine(parts)

    def _views(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
        trained = self.division.fold >= 0
        rows, style, views = self.photos.views(trained)
        some = np.argsort(self.division.order[rows], kind="stable")[:_VIEWS]
        return rows[some], style[some], views[some]

    def _styles(
        self, rows: NDArray[np.intp], style: NDArray[np.intp], views: NDArray[np.float32]
    ) -> tuple[tuple[str, ...], NDArray[np.float32]] | None:
        """Names and shifts of the styles, where every one is seen."""
        names = tuple(self.photos.folder.record.styles)
        if len(np.unique(style)) < len(names):
            return None
        wanted = np.zeros(len(self.photos), bool)
        wanted[rows] = True
        plain = SomeRows.read(self.photos.read, wanted)
        changes = views - plain.X[np.searchsorted(plain.rows, rows)]
        return names, np.stack([changes[style == k].mean(axis=0) for k in range(len(names))])
