"""FineTunedKeypoints: a regressor whose network is trained too. Needs `pip install 'rehead[torch]'`."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..backbones.backbone import Backbone
from ..backbones.weights import registry
from ..core import atomic
from ..core.progress import Progress
from ..core.run_dir import check_work, work_or_temporary
from ..data import split_fingerprint
from ..errors import DataError
from ..images import PreprocessSpec, read_bytes
from ..keypoints import Annotations, KeypointRegressor
from ..keypoints.alignment import IDENTITY, JitterStd, alignment_error, photo_points, view_points
from ..keypoints.cascade import Cascade, Options, fit_cascade, spread_in_photos
from ..keypoints.export import model_graph
from ..keypoints.ridge import LinearStage
from ..keypoints.uncertainty import fit_trust

if TYPE_CHECKING:
    from .config import FineTuneConfig
    from .fit import TrainingResult
    from .keypoint_model import PointNetwork
    from .keypoint_module import PointPhotos

__all__ = ["FineTunedKeypoints"]

_WHOLE = JitterStd(scale=0.1, turn=0.1, shift=0.04)
"""Views of whole photos that are trained on: zoom and shift of the preset `light`, a turn of 6 degrees."""

_MARGIN = 0.5  # of the square: points beyond it are not believed


class FineTunedKeypoints(KeypointRegressor):
    """Place K points on photos with a network that is trained on them.

    The closed form is fitted first, and is what the trained network has to beat on photos of people that
    neither had seen. With a second look, the first remains that of the closed form and the network learns to
    look at the squares that it cuts out; without, the network sees whole photos.

    One of the `cv` folds is held out for validation. Its photos choose the epoch; for what is told of the
    network, and for the spread of its points, each half of them is judged at the epoch that the other half
    chose.

    Parameters
    ----------
    backbone : str
        The network that is trained: a plain name of rehead or one of timm.
    closed_form : str or path, optional
        Backbone of the closed form; by default the same where the core runs it, else EfficientNet-Lite0.
    options : FineTuneConfig, optional
        What is trained, and how; `head` is one of `training.point_network.POINT_HEADS`, `augment` one of
        `training.points.POINT_AUGMENTS`, "auto" is "default". By default heat maps, all blocks at the same
        rate of 1e-3, and batches of 16. `bn_stats` "auto" is "batch" below a `conv` head.
    loss : {"l1", "l2"}
        Mean absolute or mean squared error of coordinates.
    side : int
        Of the squares that the network sees, pixels.
    keep : {"better", "always"}
        "better" keeps the trained network where it is better than the closed form by more than one standard
        error; "always" in any case.
    weights : None, "none" or path
        What the network starts from: its published weights, random numbers, or a state dict.
    work : path, optional
        Folder where the state after each epoch is kept, for `resume`; whoever names it removes it.
    resume : bool
        Continue the training in `work`.
    size, cascade, mirror, shakes, cv, coverage, random_state, threads, progress
        As in KeypointRegressor.

    Attributes
    ----------
    training_ : dict
        JSON: options, curves, errors of both on the held-out photos, and which was kept.

    Notes
    -----
    All else is as in KeypointRegressor; where the trained network was kept, `held_out_` is NaN but for the
    photos of the fold that was held out.
    """

    def __init__(
        self,
        backbone: str = "efficientnet_lite0",
        *,
        closed_form: str | os.PathLike[str] | None = None,
        options: FineTuneConfig | None = None,
        loss: Literal["l1", "l2"] = "l1",
        side: int = 128,
        keep: Literal["better", "always"] = "better",
        weights: str | os.PathLike[str] | None = None,
        work: str | os.PathLike[str] | None = None,
        resume: bool = False,
        size: int | None = None,
        cascade: Literal["auto"] | bool = "auto",
        mirror: Literal["auto", False] | Sequence[int] = "auto",
        n_jitter: int = 1,
        cv: int = 5,
        coverage: float = 0.95,
        random_state: int = 0,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(
            backbone,
            size=size,
            weights=weights,
            cascade=cascade,
            mirror=mirror,
            n_jitter=n_jitter,
            cv=cv,
            coverage=coverage,
            random_state=random_state,
            threads=threads,
            progress=progress,
        )
        self.closed_form = closed_form
        self.options = options
        self.loss = loss
        self.side = side
        self.keep = keep
        self.work = work
        self.resume = resume

    # what there is to begin with

    def _options(self) -> FineTuneConfig:
        from .config import FineTuneConfig

        options = self.options or FineTuneConfig(head="heatmap", lr=1e-3, layer_decay=1.0, batch_size=16)
        if options.augment == "auto":
            options = replace(options, augment="default")
        if options.head == "conv" and options.bn_stats == "auto":
            # by frozen statistics a conv head does not get off the mean shape (benchmarks/RESULTS.md)
            return replace(options, bn_stats="batch")
        return options

    def _check_options(self) -> None:
        from .keypoint_module import check_points
        from .trainer import resolve_device

        super()._check_options()
        check_points(self._options(), self.loss)
        resolve_device(self._options())
        if self.keep not in ("better", "always"):
            raise DataError(f"keep is {self.keep!r}; expected 'better' or 'always'")
        if os.fspath(self.backbone).lower().endswith(".onnx"):
            raise DataError(
                f"{os.fspath(self.backbone)}: an ONNX file cannot be trained; use it in closed form "
                "(--head ridge)"
            )
        check_work(self.work, resume=self.resume)

    def network(self) -> Backbone:
        """The backbone of the closed form."""
        from .trainable import set_trainable

        options = self._options()
        built = self._built(np.full((2, 2), 0.5), options)
        # options that the network cannot follow are refused here, before any photo is looked at
        set_trainable(built, options.train)
        if built.record["sha256"] == "random" and options.train != "all":
            raise DataError(
                f"{self.backbone} starts from random numbers, so all of it has to be trained; "
                f"leave out --train {options.train}"
            )
        same = self.backbone in registry.names()
        own = self.closed_form or (self.backbone if same else "efficientnet_lite0")
        given = self.weights if same and own == self.backbone and self.weights != "none" else None
        return KeypointRegressor(own, size=self.size, weights=given).network()

    def _built(self, start: NDArray[np.float64], options: FineTuneConfig) -> PointNetwork:
        from .keypoint_model import point_network

        return point_network(
            os.fspath(self.backbone),
            start,
            size=self.side,
            weights="pretrained" if self.weights is None else self.weights,
            head=options.head,
            dropout=options.dropout,
            seed=self.random_state,
        )

    # fitting

    def _learn(
        self, rows: Annotations, fold: NDArray[np.intp], network: Backbone, options: Options
    ) -> tuple[Cascade, bytes, PreprocessSpec]:
        from .fit import train_network
        from .keypoint_model import exported
        from .keypoint_module import looked_at

        closed = fit_cascade(rows.paths, rows.units, fold, network, options)
        started, settings = time.perf_counter(), self._options()
        right = self._right(rows, closed)
        model = self._built(np.nanmean(view_points(right, rows.units), axis=0), settings)
        photos = self._photos(rows, closed, right, fold == 0, network, model)
        with work_or_temporary(self.work) as work:
            trained = train_network(
                model,
                photos,
                settings,
                work=work,
                identity=self._identity(rows, model, network, closed),
                pretrained=model.record["sha256"] != "random",
                seed=self.random_state,
                resume=self.resume,
                progress=self.progress,
            )
            answers = looked_at(model, photos, work / "photos.npy")
        self._logs = trained.logs
        placed = self._with(closed, photos, trained, answers, rows.groups)
        self.training_ = self._account(model, trained, placed, closed, photos, rows.groups)
        self.training_["seconds"] = round(time.perf_counter() - started, 3)
        if self.training_["kept"] == "closed form":
            graph = model_graph([network.trunk] * len(closed.stages), closed)
            return closed, graph, network.preprocess
        self._network_record = {**model.record, "trained": settings.train, "head": settings.head}
        trunks = [network.trunk, exported(model)] if self._twice(closed) else [exported(model)]
        return placed, model_graph(trunks, placed), photos.prepared

    def _twice(self, closed: Cascade) -> bool:
        return self.cascade is not False and closed.alignment.moves

    def _right(self, rows: Annotations, closed: Cascade) -> NDArray[np.float64]:
        """The right view of each photo (n, 2, 3)."""
        if not self._twice(closed):
            return np.broadcast_to(IDENTITY, (len(rows), 2, 3)).copy()
        return closed.alignment.views(np.where(np.isnan(rows.units), closed.first, rows.units))

    def _photos(
        self,
        rows: Annotations,
        closed: Cascade,
        right: NDArray[np.float64],
        validation: NDArray[np.bool_],
        network: Backbone,
        model: PointNetwork,
    ) -> PointPhotos:
        from .keypoint_module import PointPhotos

        twice = self._twice(closed)
        looked = closed.alignment.views(closed.first) if twice else right
        return PointPhotos(
            rows.paths,
            rows.units,
            right,
            looked,
            alignment_error(looked, right) if twice else _WHOLE,
            self.permutation_,
            validation,
            network.preprocess if twice else model.preprocess,
            self.loss,
        )

    def _identity(
        self, rows: Annotations, model: PointNetwork, network: Backbone, closed: Cascade
    ) -> dict[str, Any]:
        return {
            "network": model.name,
            "weights": model.record["sha256"],
            "side": self.side,
            "size": network.preprocess.size,
            "loss": self.loss,
            "cascade": "yes" if self._twice(closed) else "no",
            "split": split_fingerprint(
                [_sha256(path) for path in rows.paths], rows.points.round(3).tolist(), rows.groups.tolist()
            ),
            "folds": self.cv,
        }

    def _with(
        self,
        closed: Cascade,
        photos: PointPhotos,
        trained: TrainingResult,
        answers: NDArray[np.float32],
        groups: NDArray[np.str_],
    ) -> Cascade:
        """The cascade that ends in the trained network."""
        from .cross_fit import cross_fit

        held, count = photos.validation, photos.points[0].size
        goal = photos.as_used(np.flatnonzero(held))[1]
        people = np.unique(groups[held], return_inverse=True)[1]

        def loss(placed: NDArray[np.float32], part: NDArray[np.bool_]) -> float:
            return float(np.nanmean(np.abs(placed - goal)[part]))

        seen = np.full(photos.points.shape, np.nan)
        seen[held] = cross_fit(trained.val_outputs, people % 2 == 1, loss)
        placed = photo_points(photos.looked, seen)
        twice = self._twice(closed)
        upright = (
            photos.looked
            if twice
            else closed.alignment.views(np.where(np.isnan(placed), closed.first, placed))
        )
        errors = view_points(upright, placed) - view_points(upright, photos.points)
        moves = seen - view_points(upright, closed.first) if twice else None
        fold = np.where(held, 0, -1)
        trust, expected = fit_trust(errors, moves, answers, fold, coverage=self.coverage)
        stage = _passed_on(count, answers.shape[1])
        return replace(
            closed,
            stages=(closed.stages[0], stage) if twice else (stage,),
            trust=trust,
            path=tuple(step for step in closed.path if twice and step.look == 1),
            held_out=placed,
            spread=spread_in_photos(trust, expected, upright),
        )

    # what is told of it

    def _account(
        self,
        model: PointNetwork,
        trained: TrainingResult,
        placed: Cascade,
        closed: Cascade,
        photos: PointPhotos,
        groups: NDArray[np.str_],
    ) -> dict[str, Any]:
        from .summary import summarize_keypoints

        held = photos.validation
        network, form = (
            np.nanmean(np.abs(of.held_out[held] - photos.points[held]), axis=(1, 2))
            for of in (placed, closed)
        )
        options = {**self._options().to_dict(), "loss": self.loss}
        always = self.keep == "always"
        return summarize_keypoints(model, options, trained, network, form, groups[held], always=always)

    def _manifest(self) -> dict[str, Any]:
        kept = self.training_["kept"] == "network"
        return {**super()._manifest(), **({"network": self._network_record} if kept else {})}

    def write_logs(self, folder: Path) -> None:
        """Write logs/curves.csv and TensorBoard's events into a run's folder."""
        logs: Mapping[str, bytes] = self._logs
        for name, data in logs.items():
            atomic.write_bytes(folder / "logs" / name, data)


def _sha256(path: Path) -> str:
    return hashlib.sha256(read_bytes(path)).hexdigest()


def _passed_on(count: int, width: int) -> LinearStage:
    """The stage that takes the first `count` of `width` numbers as the points that they are."""
    return LinearStage(
        ("trained",),
        (np.eye(width, count, dtype=np.float32),),
        np.zeros(count, np.float32),
        np.full(count, -_MARGIN, np.float32),
        np.full(count, 1 + _MARGIN, np.float32),
        np.eye(count, dtype=np.float32),
        np.zeros(count, np.float32),
    )
