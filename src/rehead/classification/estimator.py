"""ImageClassifier: a linear head on a frozen network, with scikit-learn's grammar."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..backbones.backbone import Backbone, load_backbone
from ..backbones.encoder import Encoder, PhotoEncoder, for_answers, for_photos
from ..backbones.weights import registry
from ..core.engines import find_engine
from ..core.estimator import Estimator
from ..core.options import check_options, option_values, options_of
from ..core.photos import Photos
from ..core.preprocess import PreprocessSpec
from ..core.progress import Progress
from ..core.rejection import OperatingPoint, choose_operating_point, outlier_rate
from ..core.runtime import trim_memory
from ..data import Dataset
from ..data.inputs import as_labels, photo_files, read_labelled, training_rows
from ..data.inputs import warnings as data_warnings
from ..errors import DataError
from ..heads import FittedHead, select_head
from ..heads.held_out import fit_held_out
from ..heads.temperature import fit_temperature, softmax
from .fitted import FittedClassifier, TrainedOn
from .incremental import check_keeps, with_statistics
from .incremental_mixin import IncrementalMixin
from .options import ClassifierOptions
from .training_data import TrainingFeatures, extract_features

__all__ = ["FittedMixin", "ImageClassifier", "choose_head", "fit_classifier", "fit_warnings"]


class FittedMixin(Estimator):
    """What every classifier does with what it fitted, `fitted_`."""

    sklearn_mixins = ("ClassifierMixin", "TransformerMixin")
    fitted_attribute = "fitted_"

    fitted_: FittedClassifier

    @property
    def options(self) -> ClassifierOptions:
        """The options of the head."""
        raise NotImplementedError

    def decision(self, X: Photos) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Calibrated probabilities (n, K) and outlier scores (n,); ImageError where a photo is unreadable."""
        self._check_fitted()
        return self.fitted_.decide_photos(photo_files(X), threads=self.options.threads)

    def predict_proba(self, X: Photos) -> NDArray[np.float64]:
        """Calibrated probability of each class.

        Parameters
        ----------
        X : photos
            Paths, bytes, binary files, Pillow images or uint8 pixels, one or several; or a folder of photos.

        Returns
        -------
        float64 ndarray of shape (n, K)
            Columns in the order of `classes_`; rows in the order of X, a folder's sorted by name.
        """
        return self.decision(X)[0]

    def transform(self, X: Photos) -> NDArray[np.float32]:
        """Features of photos, float32 (n, D): those that the network gives, all levels side by side."""
        self._check_fitted()
        return self.fitted_.features(photo_files(X), threads=self.options.threads)

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
        self._check_fitted()
        if y is None:
            dataset = read_labelled(X)
            if (tested := dataset.splits == "test").any():
                dataset = dataset.take(tested)
            X, y = dataset.paths, dataset.labels
        from sklearn.metrics import accuracy_score

        return float(accuracy_score(as_labels(y), self.predict(X), sample_weight=sample_weight))

    def save(self, path: str | os.PathLike[str], *, extra: Mapping[str, Any] | None = None) -> None:
        """Write the model file, as `FittedClassifier.save`."""
        self._check_fitted()
        self.fitted_.save(path, extra)

    # what is told of it

    @property
    def classes_(self) -> NDArray[Any]:
        """The classes (K,), of str or of the numbers that `fit` was given; a model file's are text."""
        return self.fitted_.classes

    @property
    def head_(self) -> FittedHead:
        """The head that was chosen, and the path that was searched."""
        return self.fitted_.head

    @property
    def temperature_(self) -> float:
        """What logits are divided by, from held-out predictions."""
        return self.fitted_.temperature

    @property
    def operating_point_(self) -> OperatingPoint:
        """Limits for "unknown"."""
        return self.fitted_.operating_point

    @property
    def unreadable_(self) -> list[tuple[str, str]]:
        """Name and reason of the photos that were left out."""
        return list(self.fitted_.trained_on.unreadable)

    @property
    def warnings_(self) -> list[str]:
        """Plain sentences about data that are thin."""
        return list(self.fitted_.warnings)


@dataclass(kw_only=True, repr=False, eq=False)
class ImageClassifier(ClassifierOptions, IncrementalMixin, FittedMixin):
    """Classify photos with a pretrained network and a new linear head.

    Parameters
    ----------
    backbone : str or path
        A name of `rehead weights list`, or an ONNX file with its preprocessing record beside it.
    encoder : Encoder, optional
        What turns photos into features instead of a backbone, such as `faces.FaceEncoder`; `backbone`,
        `weights`, `size`, `grey_range`, `preprocess`, `n_levels`, `engine` and `cache` are then its own
        affair.
    preprocess : PreprocessSpec, path or None
        Instead of the backbone's own record.
    weights : path or None
        Weight file of the named backbone, instead of looking for it.
    size : int or None
        Side of the square that photos are brought to, pixels, for backbones that are known by name.
    grey_range : "auto" or (black, white)
        Of grey photos of more than 8 bits whose file does not say it, such as (0, 4095) for 12 bits in a
        file of 16; "auto" takes the smallest of 8, 10, 12, 14 and 16 bits that holds all photos given to
        `fit`. It is part of the model file.
    n_levels : "auto" or int
        How many of the last feature levels to take; "auto" lets cross-validation choose between the last,
        the last two and all.
    mirror : "auto" or bool
        Whether to train on mirrored photos too, if cross-validation finds that they help; "auto" tries
        it with up to 200 photos.
    engine : str
        What takes the features that the head is fitted on: "onnxruntime", "openvino" (bf16 where the
        processor has it), "cuda", "coreml", "directml"; "auto" is the fastest that `rehead engines` measured
        on this machine, and "onnxruntime" where it was not run. The fitted classifier answers by ONNX
        Runtime in fp32 all the same, as its model file does.
    golden : bool
        Whether the model file keeps small copies of five training photos, which `rehead check` asks it
        besides drawn pictures.
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
    keep_statistics : bool
        Keep sums over the photos, for `partial_fit`, `forget` and `merge`; the head is then a ridge.
    statistics_by_class : bool
        Keep those of each class apart, so that a whole class can be forgotten without its photos.
    progress : callable or None
        Called as progress(done, total) while features are taken.

    Attributes
    ----------
    fitted_ : FittedClassifier
        All that was fitted; the following are its parts.
    classes_ : ndarray (K,)
    head_ : FittedHead
    temperature_ : float
    operating_point_ : OperatingPoint
    unreadable_ : list of (str, str)
    warnings_ : list of str
    change_ : Change
        What the last `partial_fit`, `forget` or `merge` did.

    Notes
    -----
    `predict` always answers a class, as scikit-learn's metrics expect. A saved model's
    `Predictor.predict` answers "unknown" where it should.
    """

    encoder: Encoder | None = None
    progress: Progress | None = None

    takes_validation = False
    """Whether photos of a validation split are held out, instead of being trained on too."""

    training_ = None
    """How a network was trained, as JSON; None where none was."""

    @property
    def options(self) -> ClassifierOptions:
        """The options of the head: its own."""
        return self

    def fit(
        self,
        X: Photos,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit the head.

        Parameters
        ----------
        X : path, or photos
            A folder of class folders or a CSV, whose labels are taken (its rows for testing are left
            alone); or n photos, each of any kind that `core.photos` lists, such as a path or bytes.
        y : array-like of str or numbers (n,), optional
            Class of each photo; not with a folder or CSV.
        groups : array-like (n,), optional
            Photos that share one never stand on both sides of a fold. Near-duplicates share one anyway.
        sample_weight : array-like (n,), optional
            Weight of each photo for the head and the temperature, 0 or more; photos of weight 0 are left out.
            The limits for "unknown" count every other photo once.

        Returns
        -------
        self

        Raises
        ------
        DataError
            Too few classes or photos, or with `strict` an unreadable photo.
        """
        check_options(self)
        if self.keeps_statistics:
            check_keeps(self, weighted=sample_weight is not None, encoder=self.encoder)
        self.__dict__.pop("fitted_", None)  # not fitted any more, should fitting fail
        encoder = self.make_encoder()
        rows = training_rows(X, y, groups, sample_weight)
        encoder = for_photos(encoder, rows.paths, threads=self.threads)
        data = extract_features(rows, encoder, self, self.progress)
        self.fitted_ = fit_classifier(data, encoder, self)
        return self

    def fit_split(self, dataset: Dataset, groups: NDArray[Any]) -> Self:
        """Fit on the photos of a dataset, in these groups (n,)."""
        return self.fit(dataset.paths, dataset.labels, groups)

    def make_encoder(self) -> Encoder:
        """What the options say turns photos into features, ready to run."""
        check_options(self)
        cache = self.cache if isinstance(self.cache, bool) else Path(self.cache)
        if self.encoder is None:
            return PhotoEncoder(self._backbone(), cache)
        given = {*option_values(self)} & {
            "backbone",
            "weights",
            "size",
            "grey_range",
            "preprocess",
            "n_levels",
            "engine",
        }
        declared = options_of(ClassifierOptions)
        if said := sorted(name for name in given if getattr(self, name) != declared[name].default):
            raise DataError(f"{' and '.join(said)} cannot be given beside encoder, which has its own")
        return self.encoder

    def _backbone(self) -> Backbone:
        engine = find_engine(self.engine)
        preprocess = self.preprocess if self.size is None else self._sized(self.size)
        backbone = load_backbone(self.backbone, preprocess=preprocess, weights=self.weights)
        if not isinstance(self.grey_range, str):
            backbone = backbone.with_grey_range(self.grey_range)
        return backbone.with_engine(engine)

    def _sized(self, size: int) -> PreprocessSpec:
        name = os.fspath(self.backbone)
        if self.preprocess is not None or name not in registry.names():
            raise DataError(
                f"size {size} is for networks that are known by name; that of {name} is in its record of "
                "preprocessing"
            )
        return registry.get(name).sized(size)


def fit_classifier(data: TrainingFeatures, encoder: Encoder, options: ClassifierOptions) -> FittedClassifier:
    """Choose the head by cross-validation, and set temperature and limits by what it did not see."""
    fold = data.folds(options)
    head = choose_head(data, fold, options)
    trim_memory()
    checked = fold >= 0
    logits = head.held_out[checked]
    weight = None if data.sample_weight is None else data.sample_weight[checked]
    temperature = fit_temperature(logits, data.target[checked], weight, smooth=True)
    answering = for_answers(encoder)
    blocks = data.backbone.blocks
    outlier_model, outliers = fit_held_out(
        data.plain, data.target, blocks, fold, data.views, outlier_rate(options.coverage)
    )
    fitted = FittedClassifier(
        answering,
        answering.backbone,
        data.classes,
        head,
        temperature,
        outlier_model,
        choose_operating_point(softmax(logits / temperature), outliers[checked], coverage=options.coverage),
        TrainedOn.of(data, options, folds=int(fold.max()) + 1),
        fit_warnings(data, fold, encoder, options),
        head.parameters,
    )
    return with_statistics(fitted, data, options) if options.keeps_statistics else fitted


def choose_head(data: TrainingFeatures, fold: NDArray[np.intp], options: ClassifierOptions) -> FittedHead:
    """The best linear head by cross-validation, on the last levels that the options let it choose from."""
    return select_head(
        data.plain,
        data.target,
        fold,
        data.backbone.blocks,
        mirrored=data.mirrored,
        n_levels=options.level_counts(len(data.backbone.levels)),
        balanced=options.class_weight == "balanced",
        sample_weight=data.sample_weight,
        ridge_only=options.keeps_statistics,
    )


def fit_warnings(
    data: TrainingFeatures, fold: NDArray[np.intp], encoder: Encoder, options: ClassifierOptions
) -> tuple[str, ...]:
    """What should be known before relying on a fit to these photos."""
    thin = data_warnings(data.class_counts, fold, options.coverage)
    return (*thin, *encoder.warnings(data.paths))
