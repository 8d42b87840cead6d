"""ImageClassifier: a linear head on a frozen network, with scikit-learn's grammar."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from ..backbones import graphs
from ..backbones.backbone import Backbone, load_backbone
from ..backbones.features import Features, duplicate_groups, extract
from ..core.progress import Progress
from ..core.rejection import choose_operating_point
from ..data import Dataset, check_trainable, cv_folds, merge_groups
from ..data.inputs import LabelledPhotos, Photos, as_labels, as_paths, read_labelled, training_rows, warnings
from ..errors import DataError, DatasetError
from ..heads import FittedHead, select_head
from ..heads.mahalanobis import RelativeMahalanobis, fit_distance, held_out_scores
from ..heads.temperature import fit_temperature, softmax
from ..images import PreprocessSpec, load_image
from .export import write_classifier
from .training_data import TrainingFeatures

__all__ = ["ImageClassifier"]

_MIRROR_UP_TO = 200  # photos; mirrored ones cost as much again and gain little, benchmarks/head_candidates.py


class ImageClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Classify photos with a pretrained network and a new linear head.

    Parameters
    ----------
    backbone : str or path
        A name of `rehead weights list`, or an ONNX file with its preprocessing record beside it.
    preprocess : PreprocessSpec, path or None
        Instead of the backbone's own record.
    weights : path or None
        Weight file of the named backbone, instead of looking for it.
    n_levels : "auto" or int
        How many of the last depths to take features from; "auto" lets cross-validation choose between
        the last, the last two and all.
    mirror : "auto" or bool
        Whether to train on mirrored photos too, if cross-validation finds that they help; "auto" tries
        it with up to 200 photos.
    class_weight : None or "balanced"
        "balanced" weighs every class the same, however many photos it has.
    cv : int
        Folds of the cross-validation.
    coverage : float
        Share of photos of known classes that are answered rather than called "unknown".
    random_state : int
        Seed of the folds.
    strict : bool
        Whether an unreadable photo is an error; otherwise it is left out and listed.
    cache : bool or path
        Keep features in rehead's cache, in another folder, or not at all.
    threads : int or None
        Processors to use, all by default.
    progress : callable or None
        Called as progress(done, total) while features are taken.

    Attributes
    ----------
    classes_ : ndarray (K,)
        Of str, or of the integers that `fit` was given; a model file's are always text.
    selection_ : FittedHead
        The head that was chosen, and the path that was searched.
    temperature_ : float
        What logits are divided by, from held-out predictions.
    operating_point_ : OperatingPoint
    unreadable_ : list of (str, str)
        Name and reason of the photos that were left out.
    n_photos_ : int
        Photos that were trained on.
    n_folds_, n_levels_ : int
        Folds that were used, and depths of the backbone.
    weights_record_ : dict
        Name, sha256 and licences of the backbone's weights.
    class_counts_ : dict of str to int
        Photos of each class that were trained on.
    warnings_ : list of str
        Plain sentences about data that are thin.

    Notes
    -----
    `predict` always answers a class, as scikit-learn's metrics expect. A saved model's
    `Predictor.predict` answers "unknown" where it should.
    """

    kind = "classifier"
    """What its model file calls itself."""

    takes_validation = False
    """Whether photos of a validation split are held out, instead of being trained on too."""

    def __init__(
        self,
        backbone: str | os.PathLike[str] = "efficientnet_lite0",
        *,
        preprocess: PreprocessSpec | str | os.PathLike[str] | None = None,
        weights: str | os.PathLike[str] | None = None,
        n_levels: Literal["auto"] | int = "auto",
        mirror: Literal["auto"] | bool = "auto",
        class_weight: Literal["balanced"] | None = None,
        cv: int = 5,
        coverage: float = 0.95,
        random_state: int = 0,
        strict: bool = False,
        cache: bool | str | os.PathLike[str] = True,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.backbone = backbone
        self.preprocess = preprocess
        self.weights = weights
        self.n_levels = n_levels
        self.mirror = mirror
        self.class_weight = class_weight
        self.cv = cv
        self.coverage = coverage
        self.random_state = random_state
        self.strict = strict
        self.cache = cache
        self.threads = threads
        self.progress = progress

    # fitting

    def fit(self, X: Photos, y: ArrayLike | None = None, groups: ArrayLike | None = None) -> ImageClassifier:
        """Fit the head.

        Parameters
        ----------
        X : path or sequence of paths
            A folder of class folders or a CSV, whose labels are taken (its rows for testing are left
            alone); or n photos.
        y : array-like of str or int (n,), optional
            Class of each photo; not with a folder or CSV.
        groups : array-like (n,), optional
            Photos that share one never stand on both sides of a fold. Near-duplicates share one anyway.

        Returns
        -------
        self

        Raises
        ------
        DataError
            Too few classes or photos, or with `strict` an unreadable photo.
        """
        self._check_options()
        return self._fit_head(self._look(training_rows(X, y, groups)))

    def fit_split(self, dataset: Dataset, groups: NDArray[Any]) -> ImageClassifier:
        """Fit on the photos of a dataset, in these groups (n,)."""
        return self.fit(dataset.paths, dataset.labels, groups)

    def _look(self, rows: LabelledPhotos) -> TrainingFeatures:
        """Take the features of the training photos, and see which photos belong together."""
        names, paths, labels, groups, _ = rows
        self.__dict__.pop("_backbone", None)  # not fitted any more, should fitting fail
        network = self.network()
        features = self.extract(paths, network, mirror=self.mirrors(len(paths)))
        if self.strict and features.errors:
            raise features.errors[0][1]
        keep = features.readable
        check_trainable(rows.as_dataset(keep))
        self.classes_, target = np.unique(labels[keep], return_inverse=True)
        self.class_counts_ = dict(zip(map(str, self.classes_), np.bincount(target).tolist(), strict=True))
        self.n_photos_ = len(target)
        self.unreadable_ = [(names[row], error.reason) for row, error in features.errors]
        group = merge_groups(
            duplicate_groups(features, network)[keep], *([groups[keep]] if groups is not None else [])
        )
        self._seen = tuple(digest for digest, ok in zip(features.digests, keep, strict=True) if ok)
        self._files = [path for path, ok in zip(paths, keep, strict=True) if ok]
        mirrored = features.mirrored[keep] if features.mirrored is not None else None
        plain = features.plain if keep.all() else features.plain[keep]
        return TrainingFeatures(network, plain, mirrored, target, group, keep)

    def _fit_head(self, look: TrainingFeatures) -> ImageClassifier:
        """Choose the head by cross-validation."""
        network, fold = look.network, self._folds(look)
        self.selection_ = self._select(look, fold)
        self._calibrate(look.plain, look.target, fold, network)
        self._backbone = network
        self.weights_record_ = {"name": network.name, **network.weights}
        self.n_levels_ = len(network.levels)
        self.n_folds_ = int(fold.max()) + 1
        self.warnings_ = self._warnings(fold)
        return self

    def _folds(self, look: TrainingFeatures) -> NDArray[np.intp]:
        fold = cv_folds(look.target, look.group, count=self.cv, seed=self.random_state)
        if fold.max() < 1:
            raise DatasetError(
                "every class consists of one group of photos (near-duplicates, a burst, or a group that was "
                "given); add photos of other scenes"
            )
        return fold

    def _select(self, look: TrainingFeatures, fold: NDArray[np.intp]) -> FittedHead:
        return select_head(
            look.plain,
            look.target,
            fold,
            look.network.blocks,
            mirrored=look.mirrored,
            n_levels=self._n_levels(len(look.network.levels)),
            balanced=self.class_weight == "balanced",
        )

    def _calibrate(
        self, X: NDArray[np.float32], target: NDArray[np.intp], fold: NDArray[np.intp], network: Backbone
    ) -> None:
        """Temperature and thresholds, from predictions of photos that the head did not see."""
        held = fold >= 0
        logits = self.selection_.held_out[held]
        self.temperature_ = fit_temperature(logits, target[held], smooth=True)
        outliers = held_out_scores(X, target, network.blocks, fold)[held]
        self.operating_point_ = choose_operating_point(
            softmax(logits / self.temperature_), outliers, coverage=self.coverage
        )
        self._distance: RelativeMahalanobis = fit_distance(X, target, network.blocks)

    def _warnings(self, fold: NDArray[np.intp]) -> list[str]:
        return warnings(self.class_counts_, fold, self.coverage)

    def _check_options(self) -> None:
        if self.class_weight not in (None, "balanced"):
            raise DataError(f"class_weight is {self.class_weight!r}; expected None or 'balanced'")
        if self.cv < 2:
            raise DataError(f"cv is {self.cv}; expected 2 folds or more")
        if not 0 < self.coverage <= 1:
            raise DataError(f"coverage is {self.coverage}; expected more than 0 and at most 1")
        if self.mirror not in ("auto", True, False):
            raise DataError(f"mirror is {self.mirror!r}; expected 'auto', True or False")
        if self.threads is not None and self.threads < 1:
            raise DataError(f"threads is {self.threads}; expected 1 or more, or None for all processors")
        if self.n_levels != "auto" and not (isinstance(self.n_levels, int) and self.n_levels >= 1):
            raise DataError(f"n_levels is {self.n_levels!r}; expected 'auto' or a whole number from 1")

    def _n_levels(self, levels: int) -> list[int]:
        if self.n_levels == "auto":
            return sorted({1, min(2, levels), levels})
        return [min(self.n_levels, levels)]

    def mirrors(self, photos: int) -> bool:
        """Whether mirrored photos are tried when there are that many."""
        return self.mirror is True or (self.mirror == "auto" and photos <= _MIRROR_UP_TO)

    def network(self) -> Backbone:
        """The backbone that the options name, ready to run."""
        return load_backbone(self.backbone, preprocess=self.preprocess, weights=self.weights)

    def extract(self, paths: Sequence[Path], network: Backbone, *, mirror: bool = False) -> Features:
        """Features of photos, with this classifier's cache, threads and progress."""
        return extract(
            paths,
            network,
            mirror=mirror,
            cache=self.cache is not False,
            cache_root=None if isinstance(self.cache, bool) else Path(self.cache),
            threads=self.threads,
            progress=self.progress,
        )

    def pixels(self, paths: Sequence[Path], network: Backbone) -> NDArray[np.uint8]:
        """What the network gets of photos, uint8 (n, S, S, 3) RGB; ImageError where one is unreadable."""
        return np.stack([load_image(path, network.preprocess) for path in paths])

    @property
    def backbone_(self) -> Backbone:
        """The network whose features the head takes; after fitting."""
        check_is_fitted(self)
        return self._backbone

    @property
    def parameters_(self) -> dict[str, int]:
        """Numbers of network and head, "total", and how many of them were fitted, "trained"."""
        check_is_fitted(self)
        head = self.selection_.weight.size + self.selection_.bias.size
        return {"total": graphs.count_parameters(self._backbone.trunk) + head, "trained": head}

    @property
    def training_(self) -> dict[str, Any] | None:
        """How a network was trained, as JSON; None where none was."""
        return None

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_backbone")

    # predicting

    def decision(self, X: Photos) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Calibrated probabilities (n, K) and outlier scores (n,); ImageError where a photo is unreadable."""
        check_is_fitted(self)
        features = self.extract(as_paths(X), self._backbone)
        if features.errors:
            raise features.errors[0][1]
        return self.decision_of(features.plain)

    def decision_of(self, features: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """As `decision`, of features (n, D) of all depths."""
        check_is_fitted(self)
        used = features[:, features.shape[1] - len(self.selection_.weight) :]
        logits = used @ self.selection_.weight + self.selection_.bias
        return softmax(logits / self.temperature_), self._distance.scores(features)

    def predict_proba(self, X: Photos) -> NDArray[np.float64]:
        """Calibrated probability of each class.

        Parameters
        ----------
        X : path or sequence of paths
            Photos, or a folder of them.

        Returns
        -------
        float64 ndarray of shape (n, K)
            Columns in the order of `classes_`; rows in the order of X, a folder's sorted by name.
        """
        return self.decision(X)[0]

    def predict(self, X: Photos) -> NDArray[Any]:
        """Most probable class of each photo, (n,), of the type of `classes_`."""
        best = self.predict_proba(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[best]
        return labels

    def score(self, X: Photos, y: ArrayLike | None = None, sample_weight: ArrayLike | None = None) -> float:
        """Share of photos whose class is predicted rightly.

        `y` may be left out where X is a folder of class folders or a CSV; where that has photos for
        testing, only those are used.
        """
        check_is_fitted(self)
        if y is None:
            dataset = read_labelled(X)
            if (tested := dataset.splits == "test").any():
                dataset = dataset.take(tested)
            X, y = dataset.paths, dataset.labels
        return float(super().score(X, as_labels(y), sample_weight))

    # the model file

    def save(self, path: str | os.PathLike[str], *, extra: Mapping[str, Any] | None = None) -> None:
        """Write the model file: one ONNX with preprocessing, head, calibration and limits inside.

        The file is run on a few of the training photos first, and written only if it agrees with the
        fitted head to 1e-4.

        Parameters
        ----------
        path : path
        extra : mapping, optional
            Further entries of the manifest, such as "metrics".
        """
        check_is_fitted(self)
        write_classifier(path, self, self._distance, self._files, self._seen, extra or {})

    def write_logs(self, folder: Path) -> None:
        """Write into a run's folder what a training left besides; nothing where none was."""
