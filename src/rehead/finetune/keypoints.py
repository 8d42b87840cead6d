"""FineTunedKeypoints: a regressor whose network is fine-tuned. Needs `pip install 'rehead[torch]'`."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..backbones.backbone import Backbone
from ..backbones.weights import registry
from ..core import atomic
from ..core.run_dir import check_work, work_or_temporary
from ..data import split_fingerprint
from ..errors import DataError
from ..images import PreprocessSpec, file_digest
from ..keypoints import Annotations, KeypointRegressor
from ..keypoints.alignment import IDENTITY, JitterStd, alignment_error, points_in_crops, points_in_photos
from ..keypoints.cascade import Cascade, CascadeConfig, covariance_in_photos, fit_cascade
from ..keypoints.export import model_graph
from ..keypoints.ridge import LinearStage
from ..keypoints.training_data import TrainingData
from ..keypoints.uncertainty import fit_uncertainty
from . import require_torch
from .config import KeypointFineTuneConfig

if TYPE_CHECKING:
    from .fit import TrainingResult
    from .keypoint_model import KeypointNetwork
    from .keypoint_module import KeypointTask

__all__ = ["FineTunedKeypoints"]

_WHOLE_PHOTO = JitterStd(scale=0.1, rotation=0.1, shift=0.04)
"""Jitter of whole photos: zoom and shift of the preset `light`, a rotation of 6 degrees."""

_MARGIN = 0.5  # of the crop: predictions are clipped beyond it


@dataclass(kw_only=True, repr=False, eq=False)
class FineTunedKeypoints(KeypointRegressor):
    """Predict K points of photos with a network that is fine-tuned on them.

    The closed form is fitted first, and is the baseline that the network has to beat on validation photos of
    other people. With a second stage, the first stage remains that of the closed form, and the network is
    trained on the crops around its points; without, on whole photos.

    One of the `cv` folds is held out for validation. Its photos choose the epoch; for the reported metrics of
    the network, and for its covariances, predictions are cross-fitted: each half of these photos is evaluated
    at the epoch that the other half chose.

    Parameters
    ----------
    backbone : str
        The network that is trained: a plain name of rehead or one of timm.
    closed_form : str or path, optional
        Backbone of the closed form; by default the same where the core runs it, else EfficientNet-Lite0.
    config : KeypointFineTuneConfig, optional
        What is trained, and how. By default heat maps, all blocks at the same rate of 1e-3, in batches of 16.
    work : path, optional
        Folder where the state after each epoch is kept, for `resume`; whoever names it removes it.
    resume : bool
        Continue the training in `work`.
    size, weights, cascade, mirror, n_jitter, cv, coverage, random_state, threads, progress
        As in KeypointRegressor.

    Attributes
    ----------
    training_ : dict
        JSON: options, curves, errors of both on the validation photos, and which was kept.

    Notes
    -----
    All else is as in KeypointRegressor; where the network was kept, `held_out_` is NaN except for the
    validation photos.
    """

    config: KeypointFineTuneConfig | None = None
    closed_form: str | os.PathLike[str] | None = None
    work: str | os.PathLike[str] | None = None
    resume: bool = False

    # what there is to begin with

    def _config(self) -> KeypointFineTuneConfig:
        return (self.config or KeypointFineTuneConfig()).resolve_auto(pretrained=not self._random)

    @property
    def _random(self) -> bool:
        return self.config is not None and self.config.train == "scratch"

    def _check_options(self) -> None:
        require_torch()
        from .trainer import resolve_device

        super()._check_options()
        config = self._config()
        resolve_device(config)
        if os.fspath(self.backbone).lower().endswith(".onnx"):
            raise DataError(
                f"{os.fspath(self.backbone)}: an ONNX file cannot be trained; use it in closed form "
                "(--head ridge)"
            )
        if self._random and self.weights is not None:
            raise DataError(f"{self.weights}: a weight file and --train scratch exclude each other")
        check_work(self.work, resume=self.resume)

    def network(self) -> Backbone:
        """The backbone of the closed form."""
        from .trainable import set_trainable

        options = self._config()
        built = self._built(np.full((2, 2), 0.5), options)
        # options that the network cannot follow are refused here, before any photo is looked at
        set_trainable(built, options.train)
        if built.record["sha256"] == "random" and options.train != "all":
            raise DataError(
                f"{self.backbone} starts from random weights, so all of it has to be trained; "
                f"leave out --train {options.train}"
            )
        same = self.backbone in registry.names()
        own = self.closed_form or (self.backbone if same else "efficientnet_lite0")
        given = self.weights if same and own == self.backbone else None
        return KeypointRegressor(own, size=self.size, weights=given).network()

    def _built(self, start: NDArray[np.float64], options: KeypointFineTuneConfig) -> KeypointNetwork:
        from .keypoint_model import keypoint_network

        return keypoint_network(
            os.fspath(self.backbone),
            start,
            size=options.side,
            weights="none" if self._random else "pretrained" if self.weights is None else self.weights,
            head=options.head,
            dropout=options.dropout,
            seed=self.random_state,
        )

    # fitting

    def _fit(
        self, data: TrainingData, network: Backbone, config: CascadeConfig
    ) -> tuple[Cascade, bytes, PreprocessSpec]:
        from .fit import train_network
        from .keypoint_model import export_network
        from .keypoint_module import KeypointTask, predict_all
        from .summary import summarize_keypoints

        rows = data.rows
        closed_form = fit_cascade(rows.paths, rows.units, data.fold, network, config)
        limits = network.preprocess.grey_range
        started, options = time.perf_counter(), self._config()
        true_crops, predicted_crops, jitter_std = self._crops(rows, closed_form)
        model = self._built(np.nanmean(points_in_crops(true_crops, rows.units), axis=0), options)
        task = KeypointTask(
            rows.paths,
            rows.units,
            true_crops,
            predicted_crops,
            jitter_std,
            self.flip_idx_,
            data.fold == 0,
            network.preprocess
            if self._two_stages(closed_form)
            else replace(model.preprocess, grey_range=limits),
            options.loss,
        )
        with work_or_temporary(self.work) as work:
            trained = train_network(
                model,
                task,
                options,
                work=work,
                identity=self._identity(rows, model, network, closed_form),
                pretrained=model.record["sha256"] != "random",
                seed=self.random_state,
                resume=self.resume,
                progress=self.progress,
            )
            outputs = predict_all(model, task, work / "photos.npy")
        self._logs = trained.logs
        tuned = self._replace_stage(closed_form, task, trained, outputs, rows.groups)
        errors, closed = (
            np.nanmean(np.abs(cascade.held_out - rows.units)[task.validation], axis=(1, 2))
            for cascade in (tuned, closed_form)
        )
        people = rows.groups[task.validation]
        self.training_ = summarize_keypoints(model, options, trained, errors, closed, people)
        self.training_["seconds"] = round(time.perf_counter() - started, 3)
        if self.training_["kept"] == "closed form":
            graph = model_graph([network.trunk] * len(closed_form.stages), closed_form)
            return closed_form, graph, network.preprocess
        self._network_record = {**model.record, "trained": options.train, "head": options.head}
        exported = export_network(model)
        trunks = [network.trunk, exported] if self._two_stages(closed_form) else [exported]
        return tuned, model_graph(trunks, tuned), task.preprocess

    def _two_stages(self, closed_form: Cascade) -> bool:
        return self.cascade is not False and closed_form.alignment.crops

    def _crops(
        self, rows: Annotations, closed_form: Cascade
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], JitterStd]:
        """True and predicted crop transforms (n, 2, 3) of the photos, and the jitter of training."""
        if not self._two_stages(closed_form):
            whole = np.broadcast_to(IDENTITY, (len(rows), 2, 3)).copy()
            return whole, whole, _WHOLE_PHOTO
        first, alignment = closed_form.first_stage, closed_form.alignment
        predicted_crops = alignment.crop_transforms(first)
        true_crops = alignment.crop_transforms(np.where(np.isnan(rows.units), first, rows.units))
        return true_crops, predicted_crops, alignment_error(predicted_crops, true_crops)

    def _identity(
        self, rows: Annotations, model: KeypointNetwork, network: Backbone, closed_form: Cascade
    ) -> dict[str, Any]:
        digests = [file_digest(path) for path in rows.paths]
        return {
            "network": model.name,
            "weights": model.record["sha256"],
            "side": self._config().side,
            "size": network.preprocess.size,
            "loss": self._config().loss,
            "cascade": "yes" if self._two_stages(closed_form) else "no",
            "split": split_fingerprint(digests, rows.points.round(3).tolist(), rows.groups.tolist()),
            "folds": self.cv,
        }

    def _replace_stage(
        self,
        closed_form: Cascade,
        task: KeypointTask,
        trained: TrainingResult,
        outputs: NDArray[np.float32],
        groups: NDArray[np.str_],
    ) -> Cascade:
        """The cascade with the trained network as its last stage."""
        from .cross_fit import cross_fit

        validation, count = task.validation, task.points[0].size
        target = task.eval_crops(np.flatnonzero(validation))[1]
        people = np.unique(groups[validation], return_inverse=True)[1]

        def loss(predicted: NDArray[np.float32], part: NDArray[np.bool_]) -> float:
            return float(np.nanmean(np.abs(predicted - target)[part]))

        in_crops = np.full(task.points.shape, np.nan)
        in_crops[validation] = cross_fit(trained.val_outputs, people % 2 == 1, loss)
        held_out = points_in_photos(task.predicted_crops, in_crops)
        alignment, first = closed_form.alignment, closed_form.first_stage
        two_stages = self._two_stages(closed_form)
        upright = (
            task.predicted_crops
            if two_stages
            else alignment.crop_transforms(np.where(np.isnan(held_out), first, held_out))
        )
        errors = points_in_crops(upright, held_out) - points_in_crops(upright, task.points)
        moves = in_crops - points_in_crops(upright, first) if two_stages else None
        fold = np.where(validation, 0, -1)
        uncertainty, log_error = fit_uncertainty(errors, moves, outputs, fold, coverage=self.coverage)
        stage = _identity_stage(count, outputs.shape[1])
        return replace(
            closed_form,
            stages=(closed_form.stages[0], stage) if two_stages else (stage,),
            uncertainty=uncertainty,
            path=tuple(step for step in closed_form.path if two_stages and step.stage == 1),
            held_out=held_out,
            covariance=covariance_in_photos(uncertainty, log_error, upright),
        )

    # the record of the training

    def _manifest(self) -> dict[str, Any]:
        kept = self.training_["kept"] == "network"
        return {**super()._manifest(), **({"network": self._network_record} if kept else {})}

    def write_logs(self, folder: Path) -> None:
        """Write logs/curves.csv and TensorBoard's events into a run's folder."""
        for name, data in self._logs.items():
            atomic.write_bytes(folder / "logs" / name, data)


def _identity_stage(count: int, width: int) -> LinearStage:
    """The stage that passes on the first `count` of `width` numbers, which are the points."""
    return LinearStage(
        ("trained",),
        (np.eye(width, count, dtype=np.float32),),
        np.zeros(count, np.float32),
        np.full(count, -_MARGIN, np.float32),
        np.full(count, 1 + _MARGIN, np.float32),
        np.eye(count, dtype=np.float32),
        np.zeros(count, np.float32),
    )
