"""A fitted classifier: what every fit returns, what decides, and what a model file is written from."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backbones import graphs
from ..backbones.backbone import Backbone
from ..backbones.encoder import Encoder
from ..core.model_file import write_model_file
from ..core.parallel import one_blas_thread
from ..core.photos import File
from ..core.rejection import OperatingPoint
from ..core.runtime import open_session
from ..core.text import count
from ..heads import FittedHead
from ..heads.mahalanobis import RelativeMahalanobis
from ..heads.temperature import softmax
from ..images import golden_pictures, png
from .export import check_parity, classifier_graph
from .options import ClassifierOptions
from .self_test import golden_record, small_copies
from .statistics import PhotoStatistics
from .statistics_file import SavedStatistics, statistics_beside, write_statistics
from .training_data import TrainingFeatures

__all__ = ["FittedClassifier", "TrainedOn"]


@dataclass(frozen=True)
class TrainedOn:
    """What a classifier was trained on.

    Parameters
    ----------
    paths : tuple of path or bytes
    digests : tuple of str
        Sha256 of each file.
    class_counts : mapping of str to int
        Photos of each class.
    unreadable : tuple of (str, str)
        Name and reason of the photos that were left out.
    folds : int
        Of the cross-validation that chose the head; 0 where a network was trained.
    class_weight : str or None
    seed : int
    engine : mapping of str to str
        What took the features: name, version, precision.
    golden : bool
        Whether small copies of some of the photos go into the model file.
    """

    paths: tuple[File, ...]
    digests: tuple[str, ...]
    class_counts: Mapping[str, int]
    unreadable: tuple[tuple[str, str], ...]
    folds: int
    class_weight: str | None
    seed: int
    engine: Mapping[str, str]
    golden: bool = False

    @staticmethod
    def of(data: TrainingFeatures, options: ClassifierOptions, *, folds: int) -> TrainedOn:
        """The record of training features."""
        return TrainedOn(
            data.paths,
            data.digests,
            data.class_counts,
            data.unreadable,
            folds,
            options.class_weight,
            options.random_state,
            data.backbone.engine.record(),
            options.golden,
        )


@dataclass(frozen=True, eq=False)
class FittedClassifier:
    """Encoder, head, temperature and limits: all that an answer takes.

    Parameters
    ----------
    encoder : Encoder
    backbone : Backbone
        The encoder's.
    classes : ndarray (K,)
    head : FittedHead
    temperature : float
        What logits are divided by.
    outlier_model : RelativeMahalanobis
    operating_point : OperatingPoint
        Limits for "unknown".
    trained_on : TrainedOn
    warnings : tuple of str
        Plain sentences about data that are thin.
    trained_parameters : int
        How many numbers were fitted.
    statistics : PhotoStatistics or None
        What it keeps to learn and forget.
    changes : mapping of str to int
        What happened since temperature and limits were measured: photos "added", "forgotten", "merged".
    """

    encoder: Encoder
    backbone: Backbone
    classes: NDArray[Any]
    head: FittedHead
    temperature: float
    outlier_model: RelativeMahalanobis
    operating_point: OperatingPoint
    trained_on: TrainedOn
    warnings: tuple[str, ...]
    trained_parameters: int
    statistics: PhotoStatistics | None = None
    changes: Mapping[str, int] = field(default_factory=dict)

    @property
    def unmeasured(self) -> str:
        """What was not measured since the last change, as a sentence; "" where all was."""
        if not self.changes:
            return ""
        done = ", ".join(f"{count(n, 'photo')} {what}" for what, n in self.changes.items())
        return (
            f"Probabilities, limits and test results were not measured since the last change ({done}); "
            "`--check photos/` measures them."
        )

    @property
    def weights_record(self) -> dict[str, Any]:
        """Name, sha256 and licences of the backbone's weights."""
        return {"name": self.backbone.name, **self.backbone.weights}

    @property
    def parameters(self) -> dict[str, int]:
        """Numbers of network and head, "total", and how many of them were fitted, "trained"."""
        total = graphs.count_parameters(self.backbone.model) + self.head.parameters
        return {"total": total, "trained": self.trained_parameters}

    @one_blas_thread
    def decide(self, features: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Calibrated probabilities (n, K) and outlier scores (n,) of features (n, D) of all levels."""
        used = features[:, features.shape[1] - len(self.head.weight) :]
        logits = used @ self.head.weight + self.head.bias
        return softmax(logits / self.temperature), self.outlier_model.scores(features)

    def decide_photos(
        self, paths: Sequence[File], *, threads: int | None = None, progress: Any = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """As `decide`, of photos; ImageError where one is unreadable."""
        return self.decide(self.features(paths, threads=threads, progress=progress))

    def features(
        self, paths: Sequence[File], *, threads: int | None = None, progress: Any = None
    ) -> NDArray[np.float32]:
        """Features (n, D) of photos, all levels side by side; ImageError where one is unreadable."""
        found = self.encoder.extract(paths, threads=threads, progress=progress)
        if found.errors:
            raise found.errors[0][1]
        return found.plain

    def save(self, path: str | os.PathLike[str], extra: Mapping[str, Any] | None = None) -> None:
        """Write the model file: one ONNX with preprocessing, head, calibration and limits inside.

        The file is run on a few of the training photos first, and written only if it agrees with the fitted
        head to 1e-4. What it keeps to learn and forget is written beside it, see `statistics_beside`.

        Parameters
        ----------
        path : path
        extra : mapping, optional
            Further entries of the manifest, such as "metrics".

        Raises
        ------
        ModelFileError
            The file would not answer as the classifier does.
        OutputError
            It cannot be written.
        """
        preprocess = self.backbone.preprocess
        whole = self.encoder.kind == "classifier" and preprocess.resize == "squash"
        resize = preprocess if whole else None
        graph = classifier_graph(self.backbone, self.head, self.temperature, self.outlier_model, resize)
        session = open_session(graph, threads=1)
        photos = self.trained_on.paths or [png(picture) for picture in golden_pictures()]
        check_parity(session, self.encoder.pixels, lambda some: self.decide_photos(some)[0], photos)
        manifest = self._manifest()
        if self.statistics is not None:
            manifest["statistics"] = write_statistics(
                statistics_beside(path), self._saved_with(self.statistics)
            )
        further: dict[str, Any] = {**self.encoder.manifest(), **(extra or {})}
        if self.encoder.kind == "classifier":
            shown = self.trained_on.paths if self.trained_on.golden else ()
            pictures = [*golden_pictures(), *small_copies(shown)]
            further["golden"] = golden_record(
                session, preprocess, manifest["labels"], self.operating_point, pictures
            )
        write_model_file(path, graph, {**manifest, **further})

    def _saved_with(self, statistics: PhotoStatistics) -> SavedStatistics:
        styles, allowances = self.outlier_model.styles, self.outlier_model.allowances
        return SavedStatistics(
            statistics,
            self.temperature,
            self.operating_point,
            styles.limit if styles else 0.0,
            allowances,
            self.changes,
        )

    def _manifest(self) -> dict[str, Any]:
        chosen, trained_on, styles = self.head.chosen, self.trained_on, self.outlier_model.styles
        return {
            "kind": self.encoder.kind,
            "labels": [str(name) for name in self.classes],
            "preprocess": self.backbone.preprocess.to_dict(),
            "backbone": self.weights_record,
            "depths": [level.name for level in self.backbone.levels],
            "head": {
                "loss": chosen.loss,
                "depths": chosen.n_levels,
                "mirrored": chosen.mirrored,
                "strength": chosen.l2,
                "log_loss": None if math.isnan(chosen.log_loss) else chosen.log_loss,
                "temperature": self.temperature,
                "class_weight": trained_on.class_weight,
                "folds": trained_on.folds,
                "seed": trained_on.seed,
                "engine": dict(trained_on.engine),
            },
            "operating_point": self.operating_point.to_dict(),
            **({"unmeasured": self.unmeasured} if self.changes else {}),
            **({"styles": styles.to_dict()} if styles else {}),
            "photos": dict(trained_on.class_counts),
            "unreadable": [name for name, _ in trained_on.unreadable],
            "seen": " ".join(sorted(digest[:12] for digest in trained_on.digests)),
        }
