"""KeypointRegressor: keypoints in closed form on a frozen network, as a scikit-learn estimator."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..backbones.backbone import Backbone, load_backbone
from ..backbones.encoder import grey_range_note
from ..backbones.weights import registry
from ..core.estimator import Estimator
from ..core.model_file import ModelFile, write_model_file
from ..core.options import check_options
from ..core.photos import File, Photos
from ..core.progress import Progress
from ..data.inputs import photo_files
from ..errors import DataError, DatasetError
from ..images import PreprocessSpec
from .annotations import Annotations, checked, read_annotations
from .cascade import Cascade, CascadeConfig, fit_cascade
from .export import model_graph
from .face_crops import points_frame
from .formats import CENTRE
from .options import KeypointOptions
from .predictor import KeypointPredictor
from .training_data import TrainingData, annotate, prepare_data

__all__ = ["KeypointRegressor"]

_SIZE = 192  # px: 224 costs a third more, and the error was 1.01 for 1.04 % (benchmarks/keypoints.py)
_MAX_VIEWS = 6000  # rows of the Gram matrices: 0.5 GB of maps, and a second for each factorisation


@dataclass(kw_only=True, repr=False, eq=False)
class KeypointRegressor(KeypointOptions, Estimator):
    """Predict K points of photos by ridge regression on spatial feature maps of a pretrained network.

    A first stage predicts the points in the photo, a second stage in the upright crop around them. Feature
    maps, l2, number of views and whether there is a second stage are chosen by cross-validation, by folds
    that keep groups together.

    Parameters
    ----------
    backbone : str or path
        A name of `rehead weights list`, or an ONNX file with its preprocessing record beside it. It needs an
        output that is a map of 4 to 20 pixels a side.
    size : int or None
        Side of the square that photos are resized to, in pixels; None means that of an ONNX file's record,
        and 192 for a named backbone.
    weights : path or None
        Weight file of the named backbone, instead of looking for it.
    grey_range : "auto" or (black, white)
        As in `ImageClassifier`.
    cascade : "auto" or bool
        Whether to use a second stage; "auto" lets cross-validation decide.
    mirror : "auto", False or sequence of int
        Whether to train on mirrored photos too, by the partner of each point, counted from 0 (`flip_idx_`);
        "auto" finds it, or none where the points show no symmetry.
    n_jitter : int
        Crops of each photo for the second stage besides the predicted one: true ones, rotated, scaled and
        shifted at random by as much as the predicted are off.
    cv : int
        Folds of the cross-validation.
    coverage : float
        Fraction of training photos that are not called outliers.
    random_state : int
        Seed of the folds and of the jitter.
    threads : int or None
        Processors to use, all by default.
    progress : callable or None
        Called as progress(done, total) with photos, once for each stage.

    Attributes
    ----------
    data_ : TrainingData
        The photos that were trained on, in folds.
    cascade_ : Cascade
        Fitted stages, and the path of the search.
    held_out_ : float64 ndarray (n, K, 2)
        Held-out predictions of the training photos, in pixels as `predict` gives them.
    held_out_covariance_ : float64 ndarray (n, K, 2, 2)
        Their covariances, in square pixels.
    n_points_ : int
    names_ : tuple of str
        Of the points; empty where they have none.
    flip_idx_ : tuple of int or None
        The partner of each point in the mirrored photo.
    n_photos_, n_groups_, n_folds_ : int
    weights_record_ : dict
        Name, sha256 and licences of the backbone's weights.
    training_ : dict
        Empty here; how a network was trained, in `FineTunedKeypoints`.
    warnings_ : list of str
        Plain sentences on data that are few, and on what was found in annotations.

    Notes
    -----
    Coordinates are pixels of the upright photo, x before y, the centre of the upper left pixel being (0, 0),
    as in dlib and OpenCV.
    """

    progress: Progress | None = None

    sklearn_mixins = ("RegressorMixin",)
    fitted_attribute = "_predictor"

    def fit(
        self, X: Photos, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> KeypointRegressor:
        """Fit both stages.

        Parameters
        ----------
        X : path or sequence of paths
            A CSV, COCO JSON or .pts as `read_annotations` takes; or n photos.
        y : array-like (n, K, 2) or (n, 2K), optional
            Points in pixels, NaN where missing; not with a file. Photos whose points are wrong are left out.
        groups : array-like (n,), optional
            Person of each photo; photos of one person are in one fold.

        Returns
        -------
        self

        Raises
        ------
        DataError
            Too few photos or people, or unusable points.
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
            rows = checked(annotate(X, y, groups))
        self.fit_annotations(rows)
        self.warnings_ += rows.notes
        return self

    def fit_annotations(self, rows: Annotations) -> KeypointRegressor:
        """Fit on annotations that were read before."""
        self._check_options()
        self.__dict__.pop("_predictor", None)
        self.training_: dict[str, Any] = {}
        self.data_ = data = prepare_data(
            rows, cv=self.cv, mirror=self.mirror, max_photos=_MAX_VIEWS // 2, seed=self.random_state
        )
        rows, self.flip_idx_, self.warnings_ = data.rows, data.flip_idx, data.warnings
        network = self._reading(self.network(), rows.paths)
        config = CascadeConfig(
            self.flip_idx_,
            self.cascade,
            self.n_jitter if (4 * len(rows)) <= _MAX_VIEWS else 0,
            self.coverage,
            self.random_state,
            self.threads,
            self.progress,
        )
        self.cascade_, self._graph, self._preprocess = self._fit(data, network, config)
        self.held_out_ = self.cascade_.held_out * rows.sizes[:, None, :] - CENTRE
        sides = rows.sizes.astype(np.float64)
        self.held_out_covariance_ = (
            self.cascade_.covariance * (sides[:, :, None] * sides[:, None, :])[:, None]
        )
        self.n_points_, self.names_ = rows.points.shape[1], rows.names
        self.n_photos_, self.n_groups_ = len(rows), len(set(rows.groups.tolist()))
        self.n_folds_ = int(data.fold.max()) + 1
        self.weights_record_ = {"name": network.name, **network.weights}
        self._train_digests = sorted(set(rows.digests()))
        self._predictor = KeypointPredictor(
            ModelFile(Path("the model"), self._manifest(), self._graph),
            threads=self.threads,
        )
        return self

    def _fit(
        self, data: TrainingData, network: Backbone, config: CascadeConfig
    ) -> tuple[Cascade, bytes, PreprocessSpec]:
        """The fitted cascade, its graph, and how photos are preprocessed for it."""
        cascade = fit_cascade(data.rows.paths, data.rows.units, data.fold, network, config)
        return cascade, model_graph([network.trunk] * len(cascade.stages), cascade), network.preprocess

    def _check_options(self) -> None:
        check_options(self)
        if isinstance(self.mirror, str) and self.mirror != "auto":
            raise DataError(f"mirror is {self.mirror!r}; expected 'auto', False or the partner of each point")

    def _reading(self, network: Backbone, paths: Sequence[File]) -> Backbone:
        """The network with the range of grey values that was asked for, or that these photos have."""
        if not isinstance(self.grey_range, str):
            return network.with_grey_range(self.grey_range)
        network = network.for_photos(paths, threads=self.threads)
        if (limits := network.preprocess.grey_range) is not None:
            self.warnings_ = [*self.warnings_, grey_range_note(limits)]
        return network

    def network(self) -> Backbone:
        """The backbone of the options, ready to run."""
        if not os.fspath(self.backbone).lower().endswith(".onnx"):
            record = registry.get(os.fspath(self.backbone)).sized(self.size or _SIZE)
        else:
            network = load_backbone(self.backbone, weights=self.weights)
            if self.size in (None, network.preprocess.size):
                return network
            record = replace(network.preprocess, size=self.size)
        return load_backbone(self.backbone, weights=self.weights, preprocess=record)

    def predict(self, X: Photos) -> NDArray[np.float64]:
        """Points of photos.

        Parameters
        ----------
        X : photos
            Paths, bytes, binary files, Pillow images or uint8 pixels, one or several; or a folder of photos.

        Returns
        -------
        float64 ndarray of shape (n, K, 2)
            Pixels of the upright photo.

        Raises
        ------
        ImageError
            A photo is unreadable.
        """
        found = [answer.points for answer in self.predictor().predict(photo_files(X))]
        return np.stack(found) if found else np.zeros((0, self.n_points_, 2))

    def predictor(self) -> KeypointPredictor:
        """The predictor that `load_keypoints` would give for the saved file."""
        self._check_fitted()
        return self._predictor

    def score(self, X: Photos, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> float:
        """Minus the mean absolute error in units of the photo's side: higher is better, 0 is perfect."""
        rows = annotate(X, y) if y is not None else read_annotations(str(X)).ordered_as(self.names_)
        predicted = self.predict([str(path) for path in rows.paths]) + CENTRE
        error = np.nanmean(np.abs(predicted / rows.sizes[:, None, :] - rows.units), axis=(1, 2))
        return -float(np.average(error, weights=None if sample_weight is None else np.asarray(sample_weight)))

    def save(self, path: str | os.PathLike[str], *, extra: Mapping[str, Any] | None = None) -> None:
        """Write the model file, whole or not at all; `extra` are further entries of its manifest."""
        self._check_fitted()
        write_model_file(path, self._graph, {**self._manifest(), **(extra or {})})

    def write_logs(self, folder: Path) -> None:
        """Write the logs of a training into a run's folder; the closed form has none."""

    def _manifest(self) -> dict[str, Any]:
        return {
            "kind": KeypointPredictor.kind,
            "preprocess": self._preprocess.to_dict(),
            "backbone": self.weights_record_,
            "points": {
                "count": self.n_points_,
                "names": list(self.names_),
                "mirror": None if self.flip_idx_ is None else list(self.flip_idx_),
                "frame": points_frame(self.data_.rows.units, self.data_.rows.sizes),
            },
            "operating_point": {
                "coverage": self.coverage,
                "outlier_score": self.cascade_.uncertainty.outlier_limit,
            },
            "head": [
                {
                    "depths": [feature_map.name for feature_map in step.point.feature_maps],
                    "views": step.point.n_views,
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
            "seen": " ".join(self._train_digests),
        }
