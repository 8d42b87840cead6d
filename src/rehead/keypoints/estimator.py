"""KeypointRegressor: K points of photos, in closed form on a frozen network, with scikit-learn's grammar."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from ..backbones.backbone import Backbone, load_backbone
from ..backbones.weights import registry
from ..core.options import check_options
from ..core.progress import Progress
from ..data import cv_folds, list_photos
from ..errors import DataError, DatasetError
from ..images import PreprocessSpec, image_size, read_bytes
from .annotations import Annotations, read_annotations
from .cascade import Cascade, Options, fit_cascade
from .export import model_graph, write_keypoints
from .face_crops import frame_of
from .flip import check_permutation, find_permutation
from .formats import CENTRE
from .options import KeypointOptions
from .predictor import KeypointPredictor

__all__ = ["KeypointRegressor"]

Photos = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

_SIDE = 192  # px: 224 costs a third more, and the error was 1.01 for 1.04 % (benchmarks/keypoints.py)
_MOST_VIEWS = 6000  # rows of the Gram matrices: 0.5 GB of maps, and a second for each factorisation


@dataclass(kw_only=True, repr=False, eq=False)
class KeypointRegressor(KeypointOptions, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Place K points on photos: ridge regression on spatial maps of a pretrained network.

    A first look places the points in the photo; the square around them is cut out upright, and a second look
    places them anew. Depths, strength, number of views and whether the second look pays are chosen by folds
    that never divide a group.

    Parameters
    ----------
    backbone : str or path
        A name of `rehead weights list`, or an ONNX file with its preprocessing record beside it. It needs an
        output that is a map of 4 to 20 pixels a side.
    size : int or None
        Side of the square that photos are brought to, in pixels; None takes the record of an ONNX file as it
        is, and 192 for a named backbone.
    weights : path or None
        Weight file of the named backbone, instead of looking for it.
    cascade : "auto" or bool
        Whether to look twice; "auto" lets the folds decide.
    mirror : "auto", False or sequence of int
        Whether to learn from mirrored photos too: the partner of each point, counted from 0; "auto" finds it,
        or none where the points show no symmetry.
    n_jitter : int
        Views of each photo for the second look, beside the one that the first look cuts out, turned, scaled
        and shifted at random as much as that is off.
    cv : int
        Folds of the cross-validation.
    coverage : float
        Share of training photos that are not called outliers.
    random_state : int
        Seed of the folds and of the views.
    threads : int or None
        Processors to use, all by default.
    progress : callable or None
        Called as progress(done, total) while photos are looked at, once for each look.

    Attributes
    ----------
    cascade_ : Cascade
        What was fitted, and the path that was searched.
    held_out_ : float64 ndarray (n, K, 2)
        Predictions of the training photos by folds that did not see them, in pixels as `predict` gives them.
    held_out_spread_ : float64 ndarray (n, K, 2, 2)
        Their covariances, in square pixels.
    n_points_ : int
    names_ : tuple of str
        Of the points; empty where they have none.
    permutation_ : tuple of int or None
        Partners under mirroring.
    n_photos_, n_groups_, n_folds_ : int
    weights_record_ : dict
        Name, sha256 and licences of the backbone's weights.
    training_ : dict
        Empty here; how a network was trained, in `FineTunedKeypoints`.
    warnings_ : list of str
        Plain sentences on data that are thin.

    Notes
    -----
    Coordinates are pixels of the upright photo, x before y, the centre of the upper left pixel being (0, 0),
    as in dlib and OpenCV.
    """

    progress: Progress | None = None

    def fit(
        self, X: Photos, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> KeypointRegressor:
        """Fit both looks.

        Parameters
        ----------
        X : path or sequence of paths
            A CSV, COCO JSON or .pts as `read_annotations` takes; or n photos.
        y : array-like (n, K, 2) or (n, 2K), optional
            Points in pixels, NaN where missing; not with a file.
        groups : array-like (n,), optional
            Photos of one person share one, and never stand on both sides of a fold.

        Returns
        -------
        self

        Raises
        ------
        DataError
            Too few photos or people, or points that cannot be used.
        ImageError
            A photo is unreadable.
        """
        if y is None:
            if not isinstance(X, str | os.PathLike):
                raise DatasetError(
                    "a list of photos needs the points of each; give them as the second argument, y"
                )
            rows = read_annotations(X)
        else:
            rows = _annotated(X, y, groups)
        return self.fit_annotations(rows)

    def fit_annotations(self, rows: Annotations) -> KeypointRegressor:
        """Fit on photos that were read with their points."""
        self._check_options()
        self.__dict__.pop("_predictor", None)
        self.warnings_: list[str] = []
        self.training_: dict[str, Any] = {}
        rows = self._enough(rows)
        fold = cv_folds(np.zeros(len(rows), dtype=int), rows.groups, count=self.cv, seed=self.random_state)
        if fold.max() < 1:
            raise DatasetError(
                f"{rows.source}: all {len(rows)} photos belong to one person or group; at least two are "
                "needed, to check on one what was learnt from the other (--group none takes every photo "
                "for itself)"
            )
        self._check_points(rows, fold)
        network = self.network()
        self.permutation_ = self._permutation(rows)
        options = Options(
            self.permutation_,
            self.cascade,
            self.n_jitter if (4 * len(rows)) <= _MOST_VIEWS else 0,
            self.coverage,
            self.random_state,
            self.threads,
            self.progress,
        )
        self.cascade_, self._graph, self._preprocess = self._learn(rows, fold, network, options)
        self.fitted_rows_ = rows
        self.held_out_ = self.cascade_.held_out * rows.sizes[:, None, :] - CENTRE
        sides = rows.sizes.astype(np.float64)
        self.held_out_spread_ = self.cascade_.spread * (sides[:, :, None] * sides[:, None, :])[:, None]
        self.n_points_, self.names_ = rows.points.shape[1], rows.names
        self.n_photos_, self.n_groups_ = len(rows), len(set(rows.groups.tolist()))
        self.n_folds_ = int(fold.max()) + 1
        self.weights_record_ = {"name": network.name, **network.weights}
        self._seen = sorted(
            {hashlib.sha256(read_bytes(path)).hexdigest()[:12] for path in rows.photos or rows.paths}
        )
        self._predictor = KeypointPredictor.of_graph(self._graph, self._manifest(), threads=self.threads)
        return self

    def _learn(
        self, rows: Annotations, fold: NDArray[np.intp], network: Backbone, options: Options
    ) -> tuple[Cascade, bytes, PreprocessSpec]:
        """What was fitted, its graph, and how photos are prepared for it."""
        cascade = fit_cascade(rows.paths, rows.units, fold, network, options)
        return cascade, model_graph([network.trunk] * len(cascade.stages), cascade), network.preprocess

    def _check_options(self) -> None:
        check_options(self)
        if isinstance(self.mirror, str) and self.mirror != "auto":
            raise DataError(f"mirror is {self.mirror!r}; expected 'auto', False or the partner of each point")

    def _enough(self, rows: Annotations) -> Annotations:
        """Not too few photos, and not more than the Gram matrices can hold."""
        if len(rows) < 4:
            raise DatasetError(
                f"{rows.source}: {len(rows)} photo{'s'[: len(rows) != 1]} with points; at least 4 are "
                "needed, and some 50 for results worth having"
            )
        most = _MOST_VIEWS // 2
        if len(rows) > most:
            kept = np.random.default_rng(self.random_state).choice(len(rows), most, replace=False)
            self.warnings_.append(
                f"{len(rows):,} photos are more than the closed form takes; it learnt from {most:,} of "
                "them, drawn at random."
            )
            rows = rows.take(np.sort(kept))
        if len(rows) < 50:
            self.warnings_.append(f"{len(rows)} photos are few to learn from; expect large errors.")
        return rows

    def _check_points(self, rows: Annotations, fold: NDArray[np.intp]) -> None:
        """Every point must be there for training, whichever fold is held out."""
        known = ~np.isnan(rows.points[:, :, 0])
        for number in range(int(fold.max()) + 1):
            if (never := np.flatnonzero(~known[fold != number].any(axis=0))).size:
                point = int(never[0])
                name = f" ({rows.names[point]})" if rows.names else ""
                raise DatasetError(
                    f"{rows.source}: point {point}{name} is given in {int(known[:, point].sum())} photos, "
                    "all of one person or fold; give it in more, or leave its columns out"
                )

    def _permutation(self, rows: Annotations) -> tuple[int, ...] | None:
        if self.mirror is False:
            return None
        if not isinstance(self.mirror, str):
            return check_permutation(self.mirror, rows.points.shape[1])
        found = find_permutation(rows.units, rows.names)
        if found is None:
            self.warnings_.append(
                "The points show no left-right symmetry, so mirrored photos were not learnt from."
            )
        return found

    def network(self) -> Backbone:
        """The backbone that the options name, ready to run."""
        if not os.fspath(self.backbone).lower().endswith(".onnx"):
            record = registry.get(os.fspath(self.backbone)).sized(self.size or _SIDE)
            return load_backbone(self.backbone, weights=self.weights, preprocess=record)
        network = load_backbone(self.backbone, weights=self.weights)
        if self.size in (None, network.preprocess.size):
            return network
        record = replace(network.preprocess, size=self.size)
        return load_backbone(self.backbone, weights=self.weights, preprocess=record)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_predictor")

    def predict(self, X: Photos) -> NDArray[np.float64]:
        """Points of photos.

        Parameters
        ----------
        X : path or sequence of paths
            Photos, or a folder of them.

        Returns
        -------
        float64 ndarray of shape (n, K, 2)
            Pixels of the upright photo.

        Raises
        ------
        ImageError
            A photo is unreadable.
        """
        return np.stack([answer.points for answer in self.predictor().predict(_as_paths(X))])

    def predictor(self) -> KeypointPredictor:
        """What `load_keypoints` would give for the saved file."""
        check_is_fitted(self)
        return self._predictor

    def score(self, X: Photos, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> float:
        """Minus the mean absolute error in shares of the photo's side: higher is better, 0 is perfect."""
        rows = _annotated(X, y, None) if y is not None else read_annotations(str(X))
        away = (self.predict([str(path) for path in rows.paths]) + CENTRE) / rows.sizes[
            :, None, :
        ] - rows.units
        error = np.nanmean(np.abs(away), axis=(1, 2))
        return -float(np.average(error, weights=None if sample_weight is None else np.asarray(sample_weight)))

    def save(self, path: str | os.PathLike[str], *, extra: Mapping[str, Any] | None = None) -> None:
        """Write the model file, whole or not at all; `extra` are further entries of its manifest."""
        check_is_fitted(self)
        write_keypoints(path, self._graph, {**self._manifest(), **(extra or {})})

    def write_logs(self, folder: Path) -> None:
        """Write what a training has logged into a run's folder; here nothing is trained."""

    def _manifest(self) -> dict[str, Any]:
        return {
            "preprocess": self._preprocess.to_dict(),
            "backbone": self.weights_record_,
            "points": {
                "count": self.n_points_,
                "names": list(self.names_),
                "mirror": None if self.permutation_ is None else list(self.permutation_),
                "frame": frame_of(self.fitted_rows_.units, self.fitted_rows_.sizes),
            },
            "operating_point": {
                "coverage": self.coverage,
                "outlier_score": self.cascade_.trust.outlier_limit,
            },
            "head": [
                {
                    "depths": [site.name for site in step.point.sites],
                    "views": step.point.views,
                    "strength": step.point.l2,
                    "error": step.point.error,
                }
                for step in self.cascade_.path
                if step.chosen
            ],
            "photos": self.n_photos_,
            "groups": self.n_groups_,
            "folds": self.n_folds_,
            "seed": self.random_state,
            "seen": " ".join(self._seen),
        }


def _as_paths(X: Photos) -> list[Path]:
    if isinstance(X, str | os.PathLike):
        return list(list_photos(X))
    return [Path(path) for path in X]


def _annotated(X: Photos, y: ArrayLike | None, groups: ArrayLike | None) -> Annotations:
    paths = _as_paths(X)
    points = np.asarray(y, dtype=np.float64)
    if points.ndim == 2 and points.shape[1] % 2 == 0:
        points = points.reshape(len(points), -1, 2)
    if points.ndim != 3 or points.shape[0] != len(paths) or points.shape[2] != 2 or not points.size:
        raise DatasetError(
            f"{len(paths)} photos, and points of shape {points.shape}; expected ({len(paths)}, K, 2) pixels"
        )
    if np.isinf(points).any():
        raise DatasetError("points hold infinite numbers; expected pixels, NaN where one is missing")
    own = np.arange(len(paths)).astype(np.str_)
    group = own if groups is None else np.asarray(groups).astype(np.str_)
    if group.shape != own.shape:
        raise DatasetError(
            f"{len(paths)} photos, and groups of shape {group.shape}; expected one for each photo"
        )
    points = np.where(np.isnan(points).any(axis=2, keepdims=True), np.nan, points) + CENTRE
    if (bare := np.flatnonzero(np.isnan(points).all(axis=(1, 2)))).size:
        raise DatasetError(
            f"photo {bare[0]} ({paths[bare[0]]}) has no point, one of {bare.size}; leave them out"
        )
    sizes = np.array([image_size(path) for path in paths], dtype=np.int64)
    return Annotations(Path("the photos"), tuple(map(str, paths)), tuple(paths), points, sizes, group)
