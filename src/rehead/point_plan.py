"""What is asked for when points are learnt, as one value, and the regressor that it comes to.

The options of `rehead keypoints train` by their own names, as `plan` has those of `rehead train`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .features import Progress
from .keypoints import KeypointRegressor, KeypointRun, NamedDetector, train_keypoints
from .plan import arguments_of
from .run_directory import make_way, work_folder

if TYPE_CHECKING:
    from .training.options import TrainingOptions

__all__ = ["PointPlan", "carry_out_points"]


@dataclass(frozen=True, kw_only=True)
class PointPlan:
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
        What is trained besides the head, as in `TrainingOptions`; None: "all".
    loss, side, keep
        As in `TrainedKeypoints`.
    dropout, epochs, patience, lr, optimizer, schedule, warm_up, weight_decay, layer_decay, batch_size, \
augment, views, clip, average, batch_norm, precision, accelerator, devices
        As in `TrainingOptions`.
    """

    backbone: str = "efficientnet_lite0"
    size: int | None = None
    weights: Path | None = None
    cascade: Literal["auto"] | bool = "auto"
    mirror: Literal["auto", False] | tuple[int, ...] = "auto"
    shakes: int = 1
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
    warm_up: float = 0.1
    weight_decay: float = 0.01
    layer_decay: float = 1.0
    batch_size: int = 16
    augment: str = "default"
    views: int = 4
    clip: float = 1.0
    average: float = 0.98
    batch_norm: Literal["auto", "kept", "counted"] = "auto"
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
        """The regressor, not fitted; `work` and `resume` as in `TrainedKeypoints`.

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
            "shakes": self.shakes,
            "cv": self.folds,
            "coverage": self.coverage,
            "random_state": self.seed,
            "threads": self.threads,
            "progress": progress,
        }
        if not self.trains_network:
            return KeypointRegressor(self.backbone, **shared)
        from .trained_keypoints import TrainedKeypoints

        return TrainedKeypoints(
            self.backbone,
            options=self._training_options(),
            loss=self.loss,
            side=self.side,
            keep=self.keep,
            work=work,
            resume=resume,
            **shared,
        )

    def _training_options(self) -> TrainingOptions:
        from .training.options import TrainingOptions

        named = {f.name: getattr(self, f.name) for f in fields(TrainingOptions) if hasattr(self, f.name)}
        return TrainingOptions(**{**named, "train": self.train or "all"})

    def arguments(self) -> list[str]:
        """The options of `rehead keypoints train` that differ from what it does by itself, as words."""
        return arguments_of(self, PointPlan())


def carry_out_points(
    plan: PointPlan,
    points: str | os.PathLike[str],
    out: Path,
    *,
    images: str | os.PathLike[str] | None = None,
    group: str = "auto",
    strict: bool = False,
    detector: NamedDetector | None = None,
    resume: bool = False,
    overwrite: bool = False,
    command: Sequence[str] = (),
    progress: Progress | None = None,
) -> KeypointRun:
    """Learn as planned, into the run directory `out`; what a network's training needs lies beside it.

    Parameters
    ----------
    plan : PointPlan
    points, images, group, strict, detector
        As in `keypoints.train_keypoints`.
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
        make_way(out, resume=resume, overwrite=overwrite)
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
