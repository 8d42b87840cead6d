"""What is asked for when a model is trained, as one value, and the estimator that it comes to.

The command line, recipes and comparisons all say what they want with a `TrainConfig` or a
`KeypointTrainConfig`, whose parts declare the options, so that the same options lead to the same model
wherever they come from.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..classification.options import ClassifierOptions
from ..core.locking import locked
from ..core.options import arguments_of, option_values, options_of
from ..core.progress import Progress
from ..core.run_dir import prepare_output, work_folder
from ..data.options import SplitOptions, TableOptions
from ..errors import DataError
from ..faces.options import REPLACED, FaceOptions
from ..finetune.config import FineTuneConfig, KeypointFineTuneConfig
from ..keypoints.options import KeypointOptions

if TYPE_CHECKING:
    from ..classification.estimator import ImageClassifier
    from ..data import Dataset
    from ..data.split import Split
    from ..finetune.classifier import FineTunedClassifier
    from ..keypoints import FaceFinder, KeypointRegressor
    from .keypoints import KeypointRun
    from .run import Run

__all__ = [
    "FACES",
    "KeypointTrainConfig",
    "TrainConfig",
    "from_scratch_only",
    "run_keypoint_training",
    "run_training",
]

FACES = "faces"
"""A backbone that encodes faces only: the default embedder. "faces:FILE.onnx" is another one."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The options of `rehead train`.

    Parameters
    ----------
    classifier : ClassifierOptions
    finetune : FineTuneConfig
    split : SplitOptions
    table : TableOptions
    faces : FaceOptions, optional
        Classify the faces of photos, instead of whole photos through a backbone.
    """

    classifier: ClassifierOptions = field(default_factory=ClassifierOptions)
    finetune: FineTuneConfig = field(default_factory=FineTuneConfig)
    split: SplitOptions = field(default_factory=SplitOptions)
    table: TableOptions = field(default_factory=TableOptions)
    faces: FaceOptions | None = None

    @property
    def trains_network(self) -> bool:
        """Whether more is asked for than the best linear head on a frozen network of the core."""
        if self.faces:
            return self._asks_for_training
        return self._asks_for_training or not is_of_the_core(os.fspath(self.classifier.backbone))

    @property
    def _asks_for_training(self) -> bool:
        finetune = self.finetune
        return (
            finetune.train not in ("auto", "frozen") or finetune.head != "linear" or finetune.keep != "better"
        )

    def with_backbone(self, name: str) -> TrainConfig:
        """The same with another backbone; "faces" and "faces:FILE" encode faces."""
        if not is_of_faces(name):
            return replace(self, classifier=replace(self.classifier, backbone=name), faces=None)
        _, _, file = name.partition(":")
        classifier = replace(self.classifier, backbone=ClassifierOptions().backbone)
        return replace(self, classifier=classifier, faces=FaceOptions(embedder=file or "dlib"))

    def estimator(
        self, *, work: Path | None = None, resume: bool = False, progress: Progress | None = None
    ) -> ImageClassifier | FineTunedClassifier:
        """The classifier, not fitted; `work` and `resume` as in `FineTunedClassifier`.

        Raises
        ------
        DataError, UnknownNameError, MissingExtraError
            Options out of range or that do not go together; torch is needed and not there.
        """
        from ..classification.estimator import ImageClassifier

        options = option_values(self.classifier)
        if self.faces is None:
            base = ImageClassifier(**options, progress=progress)
            if not self.trains_network:
                return base
            if self.classifier.keeps_statistics:
                raise DataError(
                    "statistics are kept of a frozen network with a linear head: leave out "
                    "--keep-statistics, or what trains the network"
                )
            from ..finetune import require_torch
            from ..finetune.classifier import FineTunedClassifier

            require_torch()
            return FineTunedClassifier(base, self.finetune, work=work, resume=resume)
        defaults = options_of(ClassifierOptions)
        given = any(options[name] != defaults[name].default for name in REPLACED if name != "cache")
        if given or self.trains_network:
            raise DataError(
                f"{FACES}: a face embedder is used frozen, with a linear head, as it is; leave "
                "out the options for what is trained, backbone, weights, preprocessing, size and levels"
            )
        from ..faces.encoder import FaceEncoder

        encoder = FaceEncoder(**option_values(self.faces))
        head = {name: value for name, value in options.items() if name not in REPLACED}
        return ImageClassifier(encoder=encoder, **head, progress=progress)

    def arguments(self) -> list[str]:
        """The options of `rehead train` that differ from what it does by itself, as words."""
        owners = (self.classifier, self.split, self.table, self.finetune)
        return [word for owner in owners for word in arguments_of(owner)]


@dataclass(frozen=True, kw_only=True)
class KeypointTrainConfig:
    """The options of `rehead keypoints train`.

    Parameters
    ----------
    regressor : KeypointOptions
    finetune : KeypointFineTuneConfig, optional
        Train a network too; None: closed form.
    """

    regressor: KeypointOptions = field(default_factory=KeypointOptions)
    finetune: KeypointFineTuneConfig | None = None

    @property
    def trains_network(self) -> bool:
        """Whether more is asked for than the closed form."""
        return self.finetune is not None

    def estimator(
        self, *, work: Path | None = None, resume: bool = False, progress: Progress | None = None
    ) -> KeypointRegressor:
        """The regressor, not fitted; `work` and `resume` as in `FineTunedKeypoints`.

        Raises
        ------
        DataError, UnknownNameError, MissingExtraError
            Options out of range; torch is needed and not there.
        """
        from ..keypoints import KeypointRegressor

        options = option_values(self.regressor)
        if self.finetune is None:
            return KeypointRegressor(**options, progress=progress)
        from ..finetune import require_torch
        from ..finetune.keypoints import FineTunedKeypoints

        require_torch()
        return FineTunedKeypoints(
            **options, config=self.finetune, work=work, resume=resume, progress=progress
        )

    def arguments(self) -> list[str]:
        """The options of `rehead keypoints train` that differ from what it does by itself, as words."""
        words = arguments_of(self.regressor)
        if self.finetune is not None:
            words += ["--head", self.finetune.head, *arguments_of(self.finetune, without=("head",))]
        return words


def is_of_the_core(backbone: str) -> bool:
    """Whether the core runs that backbone by itself, without torch."""
    from ..backbones.weights import registry

    return backbone in registry.names() or backbone.lower().endswith(".onnx") or is_of_faces(backbone)


def is_of_faces(backbone: str) -> bool:
    """Whether that backbone is an embedder of faces."""
    return backbone.partition(":")[0] == FACES


def from_scratch_only(name: str) -> bool:
    """Whether the network has no pretrained weights; MissingExtraError where only torch would know."""
    if is_of_the_core(name):
        return False
    from ..finetune import require_torch

    require_torch()
    from ..finetune.small_cnns import SMALL_CNNS

    return name in SMALL_CNNS


def run_training(
    config: TrainConfig,
    photos: str | os.PathLike[str] | Dataset | Split,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    command: Sequence[str] = (),
    progress: Progress | None = None,
) -> Run:
    """Train as configured, into the run directory `out`; what a network's training needs lies beside it.

    Parameters
    ----------
    config : TrainConfig
    photos : path, Dataset or Split
        As in `train`.
    out : Path
    resume : bool
        Continue the training that was killed; without one, DataError.
    overwrite : bool
        Replace an earlier run, and an unfinished training.
    command, progress
        As in `train` and `ImageClassifier`.

    Raises
    ------
    ReheadError
    """
    from .train import train

    with _work_folder(config, out, resume=resume, overwrite=overwrite) as work:
        return train(
            photos,
            out,
            classifier=config.estimator(work=work, resume=resume, progress=progress),
            split=config.split,
            table=config.table,
            overwrite=overwrite,
            command=command,
        )


def run_keypoint_training(
    config: KeypointTrainConfig,
    points: str | os.PathLike[str],
    out: Path,
    *,
    images: str | os.PathLike[str] | None = None,
    group: str = "auto",
    strict: bool = False,
    detector: FaceFinder | None = None,
    resume: bool = False,
    overwrite: bool = False,
    command: Sequence[str] = (),
    progress: Progress | None = None,
) -> KeypointRun:
    """Learn as configured, into the run directory `out`; what a network's training needs lies beside it.

    Parameters
    ----------
    config : KeypointTrainConfig
    points, images, group, strict, detector
        As in `train_keypoints`.
    out : Path
    resume : bool
        Continue the training that was killed; without one, DataError.
    overwrite : bool
        Replace an earlier run, and an unfinished training.
    command, progress
        As in `train_keypoints` and `KeypointRegressor`.

    Raises
    ------
    ReheadError
    """
    from .keypoints import train_keypoints

    with _work_folder(config, out, resume=resume, overwrite=overwrite) as work:
        return train_keypoints(
            points,
            out,
            images=images,
            regressor=config.estimator(work=work, resume=resume, progress=progress),
            group=group,
            strict=strict,
            detector=detector,
            overwrite=overwrite,
            command=command,
        )


@contextlib.contextmanager
def _work_folder(
    config: TrainConfig | KeypointTrainConfig, out: Path, *, resume: bool, overwrite: bool
) -> Iterator[Path]:
    """Where a network's training keeps its state beside `out`; removed when the run stands."""
    work = work_folder(out)
    with locked(out):
        if config.trains_network:
            prepare_output(out, resume=resume, overwrite=overwrite)
        yield work
        if config.trains_network:
            shutil.rmtree(work, ignore_errors=True)
