"""What is asked for when a classifier is trained, as one value, and the classifier that it comes to.

The options of `rehead train` by their own names: the command line, recipes and comparisons all say what
they want with a `TrainConfig`, so that the same options lead to the same classifier wherever they come from.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from ..backbones.weights import registry
from ..classification.estimator import ImageClassifier
from ..core.progress import Progress
from ..core.run_dir import prepare_output, work_folder
from ..data.split import Split
from ..errors import DataError
from ..images import PreprocessSpec
from ..keypoints import FaceFinder, KeypointRegressor
from .keypoints import KeypointRun, train_keypoints
from .train import Run, train

if TYPE_CHECKING:
    from ..finetune.config import FineTuneConfig

__all__ = [
    "FACES",
    "OF_THE_NETWORK",
    "KeypointTrainConfig",
    "TrainConfig",
    "arguments_of",
    "from_scratch_only",
    "is_of_faces",
    "is_of_the_core",
    "run_keypoint_training",
    "run_training",
]


OF_THE_NETWORK = (
    *("dropout", "epochs", "patience", "lr", "optimizer", "schedule", "warmup"),
    *("weight_decay", "layer_decay", "batch_size", "augment", "cached_views", "label_smoothing", "mixup"),
    *("grad_clip", "ema", "interpolate", "bn_stats", "refit"),
    *("precision", "accelerator", "devices"),
)
"""Options that say how a network is trained, and nothing where none is."""


FACES = "faces"
"""A backbone that looks at faces only: the default embedder. "faces:FILE.onnx" is another one."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The options of `rehead train`.

    Parameters
    ----------
    backbone : str
        A name of `rehead weights list` or of timm, an ONNX file, "faces" or "faces:FILE.onnx".
    preprocess, weights, depths, mirror, coverage, strict, cache, threads
        As in `ImageClassifier`; `weights` may be Path("none"), random numbers.
    balanced : bool
        Weigh every class the same.
    folds : int
        Of the cross-validation that chooses the head.
    test_share : float
        Share of the photos that is held out, where none are given for testing.
    bursts : bool
        Whether photos of one burst stay on one side of the split, as near-duplicates do.
    seed : int
        Of the split, the folds and the training.
    train : str or None
        What is trained besides the head, as in `FineTuneConfig`; None: nothing of a pretrained network,
        all of one that starts from random numbers.
    network : str or None
        Train this network from random numbers, instead of `backbone`.
    size : int or None
        Side of the photos, pixels.
    keep, refit
        As in `FineTunedClassifier`.
    head, dropout, epochs, patience, lr, optimizer, schedule, warmup, weight_decay, layer_decay, \
batch_size, augment, cached_views, label_smoothing, mixup, grad_clip, ema, interpolate, bn_stats, precision, \
accelerator, devices
        As in `FineTuneConfig`.
    """

    backbone: str = "efficientnet_lite0"
    preprocess: Path | None = None
    weights: Path | None = None
    n_levels: Literal["auto"] | int = "auto"
    mirror: Literal["auto"] | bool = "auto"
    balanced: bool = False
    folds: int = 5
    test_share: float = 0.2
    bursts: bool = True
    coverage: float = 0.95
    seed: int = 0
    strict: bool = False
    cache: bool = True
    threads: int | None = None
    train: str | None = None
    network: str | None = None
    size: int | None = None
    keep: Literal["better", "always"] = "better"
    refit: bool = True
    head: str = "linear"
    dropout: float = 0.0
    epochs: int = 20
    patience: int = 5
    lr: float | None = None
    optimizer: Literal["adamw", "adam", "rmsprop", "sgd"] = "adamw"
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = 0.1
    weight_decay: float = 0.01
    layer_decay: float = 0.8
    batch_size: int = 32
    augment: str = "auto"
    cached_views: int = 4
    label_smoothing: float = 0.0
    mixup: float = 0.0
    grad_clip: float = 1.0
    ema: float = 0.98
    interpolate: bool = True
    bn_stats: Literal["auto", "frozen", "batch"] = "auto"
    precision: Literal["auto", "32", "bf16-mixed", "16-mixed"] = "auto"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int = 1

    @property
    def random(self) -> bool:
        """Whether the network starts from random numbers because it was asked to."""
        return self.network is not None or self.weights == Path("none")

    @property
    def trains_network(self) -> bool:
        """Whether more is asked for than the best linear head on a frozen network of the core."""
        beyond = self.train not in (None, "frozen") or self.head != "linear"
        return self.random or beyond or self.keep != "better" or not is_of_the_core(self.backbone)

    def classifier(
        self, *, work: Path | None = None, resume: bool = False, progress: Progress | None = None
    ) -> ImageClassifier:
        """The classifier, not fitted; `work` and `resume` as in `FineTunedClassifier`.

        Raises
        ------
        DataError, UnknownNameError, MissingExtraError
            Options out of range or that do not go together; torch is needed and not there.
        """
        shared: dict[str, Any] = {
            "n_levels": self.n_levels,
            "mirror": self.mirror,
            "class_weight": "balanced" if self.balanced else None,
            "cv": self.folds,
            "coverage": self.coverage,
            "random_state": self.seed,
            "strict": self.strict,
            "cache": self.cache,
            "threads": self.threads,
            "progress": progress,
        }
        if is_of_faces(self.backbone) and self.network is None:
            return self._of_faces(shared)
        if not self.trains_network:
            prepared = self._sized() if self.size is not None else self.preprocess
            return ImageClassifier(self.backbone, preprocess=prepared, weights=self.weights, **shared)
        if self.preprocess is not None:
            raise DataError(
                f"{self.preprocess}: a record of preprocessing is for frozen networks of the core"
            )
        if self.backbone.lower().endswith(".onnx") and self.network is None:
            raise DataError(
                f"{self.backbone}: an ONNX file cannot be trained; use it frozen, with a linear head"
            )
        from ..finetune.classifier import FineTunedClassifier

        return FineTunedClassifier(
            self.network or self.backbone,
            options=self._training_options(),
            size=self.size,
            weights="none" if self.random else self.weights,
            keep=self.keep,
            refit=self.refit,
            work=work,
            resume=resume,
            **shared,
        )

    def _of_faces(self, shared: dict[str, Any]) -> ImageClassifier:
        given = [self.preprocess, self.weights, self.size]
        if self.trains_network or self.n_levels != "auto" or any(value is not None for value in given):
            raise DataError(
                f"{self.backbone}: a face embedder is used frozen, with a linear head, as it is; leave out "
                "the options for what is trained, weights, preprocessing, size and depths"
            )
        from ..faces.classifier import FaceClassifier

        options = {name: value for name, value in shared.items() if name not in ("n_levels", "cache")}
        _, _, file = self.backbone.partition(":")
        return FaceClassifier(embedder=file or "dlib", **options)

    def _sized(self) -> PreprocessSpec:
        if self.preprocess is not None or self.backbone not in registry.names():
            raise DataError(
                f"size {self.size} is for networks that are known by name; that of {self.backbone} is in "
                "its record of preprocessing"
            )
        return registry.get(self.backbone).sized(cast(int, self.size))

    def _training_options(self) -> FineTuneConfig:
        from ..finetune.config import FineTuneConfig

        named = {field.name: getattr(self, field.name) for field in fields(FineTuneConfig)}
        return FineTuneConfig(**{**named, "train": self.train or ("all" if self.random else "frozen")})

    def arguments(self) -> list[str]:
        """The options of `rehead train` that differ from what it does by itself, as words."""
        return arguments_of(self, TrainConfig())


def arguments_of(plan: Any, plain: Any) -> list[str]:
    """Fields of a plan that differ from those of `plain`, as words of a command line."""
    usual, words = asdict(plain), []
    for name, value in asdict(plan).items():
        flag = "--" + name.replace("_", "-")
        if value == usual[name]:
            continue
        if isinstance(value, bool) and name not in ("mirror", "cascade"):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            words += [flag, _word(value)]
    return words


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def is_of_the_core(backbone: str) -> bool:
    """Whether the core runs that backbone by itself, without torch."""
    return backbone in registry.names() or backbone.lower().endswith(".onnx") or is_of_faces(backbone)


def is_of_faces(backbone: str) -> bool:
    """Whether that backbone is an embedder of faces."""
    return backbone.partition(":")[0] == FACES


def from_scratch_only(name: str) -> bool:
    """Whether the network has no pretrained weights; MissingExtraError where only torch would know."""
    if is_of_the_core(name):
        return False
    from ..finetune.small_cnns import SMALL_CNNS

    return name in SMALL_CNNS


def run_training(
    plan: TrainConfig,
    photos: str | os.PathLike[str] | Split,
    out: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    command: Sequence[str] = (),
    progress: Progress | None = None,
) -> Run:
    """Train as planned, into the run directory `out`; what a network's training needs lies beside it.

    Parameters
    ----------
    plan : TrainConfig
    photos : path or Split
        As in `run.train`.
    out : Path
    resume : bool
        Continue the training that was killed; without one, DataError.
    overwrite : bool
        Replace an earlier run, and an unfinished training.
    command, progress
        As in `run.train` and `ImageClassifier`.

    Raises
    ------
    ReheadError
    """
    work = work_folder(out)
    if plan.trains_network:
        prepare_output(out, resume=resume, overwrite=overwrite)
    classifier = plan.classifier(work=work, resume=resume, progress=progress)
    run = train(
        photos,
        out,
        classifier=classifier,
        test_share=plan.test_share,
        keep_bursts=plan.bursts,
        overwrite=overwrite,
        command=command,
    )
    if plan.trains_network:
        shutil.rmtree(work, ignore_errors=True)
    return run


@dataclass(frozen=True, kw_only=True)
class KeypointTrainConfig:
    """The options of `rehead keypoints train`.

    Parameters
    ----------
    backbone : str
        The network that is trained; in closed form, the one that is looked through.
    size, weights, cascade, mirror, shakes, coverage, threads
        As in `KeypointRegressor`; `weights` may be Path("none"), random numbers to train from.
    folds, seed : int
    head : str
        "ridge": closed form; else one of `training.point_network.POINT_HEADS`.
    train : str or None
        What is trained besides the head, as in `FineTuneConfig`; None: "all".
    loss, side, keep
        As in `FineTunedKeypoints`.
    dropout, epochs, patience, lr, optimizer, schedule, warmup, weight_decay, layer_decay, batch_size, \
augment, cached_views, grad_clip, ema, bn_stats, precision, accelerator, devices
        As in `FineTuneConfig`.
    """

    backbone: str = "efficientnet_lite0"
    size: int | None = None
    weights: Path | None = None
    cascade: Literal["auto"] | bool = "auto"
    mirror: Literal["auto", False] | tuple[int, ...] = "auto"
    n_jitter: int = 1
    folds: int = 5
    coverage: float = 0.95
    seed: int = 0
    threads: int | None = None
    head: str = "ridge"
    train: str | None = None
    loss: Literal["l1", "l2"] = "l1"
    side: int = 128
    keep: Literal["better", "always"] = "better"
    dropout: float = 0.0
    epochs: int = 20
    patience: int = 5
    lr: float | None = 1e-3
    optimizer: Literal["adamw", "adam", "rmsprop", "sgd"] = "adamw"
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = 0.1
    weight_decay: float = 0.01
    layer_decay: float = 1.0
    batch_size: int = 16
    augment: str = "default"
    cached_views: int = 4
    grad_clip: float = 1.0
    ema: float = 0.98
    bn_stats: Literal["auto", "frozen", "batch"] = "auto"
    precision: Literal["auto", "32", "bf16-mixed", "16-mixed"] = "auto"
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int = 1

    @property
    def trains_network(self) -> bool:
        """Whether more is asked for than the closed form."""
        return self.head != "ridge"

    def regressor(
        self, *, work: Path | None = None, resume: bool = False, progress: Progress | None = None
    ) -> KeypointRegressor:
        """The regressor, not fitted; `work` and `resume` as in `FineTunedKeypoints`.

        Raises
        ------
        DataError, UnknownNameError, MissingExtraError
            Options out of range; torch is needed and not there.
        """
        shared: dict[str, Any] = {
            "size": self.size,
            "weights": self.weights if self.weights != Path("none") else "none",
            "cascade": self.cascade,
            "mirror": self.mirror,
            "n_jitter": self.n_jitter,
            "cv": self.folds,
            "coverage": self.coverage,
            "random_state": self.seed,
            "threads": self.threads,
            "progress": progress,
        }
        if not self.trains_network:
            return KeypointRegressor(self.backbone, **shared)
        from ..finetune.keypoints import FineTunedKeypoints

        return FineTunedKeypoints(
            self.backbone,
            options=self._training_options(),
            loss=self.loss,
            side=self.side,
            keep=self.keep,
            work=work,
            resume=resume,
            **shared,
        )

    def _training_options(self) -> FineTuneConfig:
        from ..finetune.config import FineTuneConfig

        named = {f.name: getattr(self, f.name) for f in fields(FineTuneConfig) if hasattr(self, f.name)}
        return FineTuneConfig(**{**named, "train": self.train or "all"})

    def arguments(self) -> list[str]:
        """The options of `rehead keypoints train` that differ from what it does by itself, as words."""
        return arguments_of(self, KeypointTrainConfig())


def run_keypoint_training(
    plan: KeypointTrainConfig,
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
    """Learn as planned, into the run directory `out`; what a network's training needs lies beside it.

    Parameters
    ----------
    plan : KeypointTrainConfig
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
    work = work_folder(out)
    regressor = plan.regressor(work=work, resume=resume, progress=progress)
    if plan.trains_network:
        prepare_output(out, resume=resume, overwrite=overwrite)
    run = train_keypoints(
        points,
        out,
        images=images,
        regressor=regressor,
        group=group,
        strict=strict,
        detector=detector,
        overwrite=overwrite,
        command=command,
    )
    if plan.trains_network:
        shutil.rmtree(work, ignore_errors=True)
    return run
