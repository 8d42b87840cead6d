"""FineTunedClassifier: a classifier whose network is trained too. Needs `pip install 'rehead[torch]'`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..backbones.backbone import Backbone, load_backbone
from ..backbones.features import Features, extract
from ..backbones.weights import registry
from ..classification.estimator import ImageClassifier
from ..classification.training_data import TrainingFeatures
from ..core import atomic
from ..core.progress import Progress
from ..core.rejection import choose_operating_point
from ..core.run_dir import check_work, work_or_temporary
from ..data import Dataset, holdout_mask, split_fingerprint
from ..data.inputs import Photos, training_rows
from ..errors import DataError, DatasetError
from ..heads import FittedHead, SearchPoint
from ..heads.mahalanobis import fit_distance
from ..heads.model_selection import balanced_weights
from ..heads.temperature import calibrated_loss, fit_temperature, softmax

if TYPE_CHECKING:
    from .config import FineTuneConfig
    from .cross_fit import ValidationScore
    from .fit import TrainingResult
    from .model import Network

__all__ = ["FineTunedClassifier"]


class FineTunedClassifier(ImageClassifier):
    """Classify photos with a network that is trained on them.

    Where the network is pretrained, its linear head starts from the one that `ImageClassifier` would
    fit on the depths that are trained (LP-FT, Kumar et al. 2022), other heads are trained on the frozen
    network first, and the trained network is kept only if its log loss on the validation photos is less than
    that of the frozen one, by more than one standard error. For that each half of these photos is judged by
    the weights that the other half chose.

    Parameters
    ----------
    backbone : str
        A name of `training.networks.PLAIN_NAMES` or of timm.
    options : FineTuneConfig, optional
        What is trained, and how.
    size : int, optional
        Side of the photos, pixels, instead of the network's own.
    weights : None, "none" or path
        What the network starts from: its published weights, random numbers, or a state dict.
    validation_share : float
        Share of the training photos that is held out to choose the epoch, the temperature and the limits
        for "unknown", where no validation photos are given.
    keep : {"better", "always"}
        "always" keeps the trained network even where the frozen one is as good; where no more than a linear
        head is trained, it is trained by gradient steps, as the options say.
    refit : bool
        Train a network that is kept once more on all photos, those for validation too, for as many epochs
        as were best without them. Temperature and limits are those that were set before.
    work : path, optional
        Folder where the state after each epoch is kept, for `resume`; whoever names it removes it.
    resume : bool
        Continue the training in `work`.
    depths, mirror, class_weight, cv, coverage, random_state, strict, cache, threads, progress
        As in ImageClassifier; `n_levels`, `mirror` and `cv` are those of the frozen network's heads.

    Attributes
    ----------
    training_ : dict or None
        JSON: options, parameters, curves, scores on the validation photos, and which was kept.

    Notes
    -----
    All else is as in ImageClassifier: temperature and limits come from photos that were not yet trained on.
    """

    takes_validation = True

    def __init__(
        self,
        backbone: str = "efficientnet_lite0",
        *,
        options: FineTuneConfig | None = None,
        size: int | None = None,
        weights: str | os.PathLike[str] | None = None,
        validation_share: float = 0.2,
        keep: Literal["better", "always"] = "better",
        refit: bool = True,
        work: str | os.PathLike[str] | None = None,
        resume: bool = False,
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
        super().__init__(
            backbone,
            weights=weights,
            n_levels=n_levels,
            mirror=mirror,
            class_weight=class_weight,
            cv=cv,
            coverage=coverage,
            random_state=random_state,
            strict=strict,
            cache=cache,
            threads=threads,
            progress=progress,
        )
        self.options = options
        self.size = size
        self.validation_share = validation_share
        self.keep = keep
        self.refit = refit
        self.work = work
        self.resume = resume

    # what there is to begin with

    def _options(self) -> FineTuneConfig:
        from .config import FineTuneConfig

        return (self.options or FineTuneConfig()).resolve_auto(pretrained=self.pretrained)

    def _check_options(self) -> None:
        super()._check_options()
        options = self._options()
        if self.keep not in ("better", "always"):
            raise DataError(f"keep is {self.keep!r}; expected 'better' or 'always'")
        if not 0 < self.validation_share < 1:
            raise DataError(f"validation_share is {self.validation_share}; expected more than 0, less than 1")
        if not self.pretrained and options.train != "all":
            raise DataError(
                f"{self.backbone} starts from random numbers, so all of it has to be trained; "
                f"leave out --train {options.train}"
            )
        check_work(self.work, resume=self.resume)

    @property
    def pretrained(self) -> bool:
        """Whether the network starts from weights, rather than from random numbers."""
        from .small_cnns import SMALL_CNNS

        return self.weights != "none" and self.backbone not in SMALL_CNNS

    def _build(self, classes: int, options: FineTuneConfig) -> Network:
        from .fit import new_network

        weights: Any = self.weights
        if weights is None:
            weights = "pretrained"
        elif weights != "none":
            weights = Path(weights)
        return new_network(
            os.fspath(self.backbone),
            options,
            classes=classes,
            size=self.size,
            weights=weights,
            seed=self.random_state,
        )

    def network(self) -> Backbone:
        """The frozen network; the default backbone, to see near-duplicates with, where it is random."""
        from .config import FineTuneConfig
        from .export import frozen_backbone
        from .trainable import set_trainable

        self._check_options()
        plain = FineTuneConfig()
        # options that the network cannot follow are refused here, before any photo is looked at
        built = self._build(2, plain if self.pretrained else self._options())
        set_trainable(built, self._options().train)
        if not self.pretrained:
            return load_backbone("efficientnet_lite0")
        if self.weights is None and self.backbone in registry.names():
            return load_backbone(self.backbone, preprocess=built.preprocess)
        return frozen_backbone(built)

    def extract(self, paths: Any, network: Backbone, *, mirror: bool = False) -> Features:
        """As ImageClassifier's; features of a trained network are needed once and not kept."""
        if "trained" not in network.weights:
            return super().extract(paths, network, mirror=mirror)
        return extract(paths, network, cache=False, threads=self.threads, progress=self.progress)

    # fitting

    def fit(
        self,
        X: Photos,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        *,
        validation: ArrayLike | None = None,
    ) -> FineTunedClassifier:
        """Train the network.

        Parameters
        ----------
        X, y, groups
            As in `ImageClassifier.fit`.
        validation : array-like of bool (n,), optional
            Which photos are not trained on but choose the epoch, the temperature and the limits; by
            default a stratified share. Those with a near-duplicate among the others are trained on.

        Returns
        -------
        self

        Raises
        ------
        DataError, UnknownNameError, WeightsError, TrainingError, OutputError
            Options or photos that do not fit; a loss that is not a number.
        """
        self._check_options()
        self._training: dict[str, Any] | None = None
        self._logs: Mapping[str, bytes] = {}
        rows = training_rows(X, y, groups)
        look = self._look(rows)
        options = self._options()
        only_a_head = options.train == "frozen" and options.head == "linear" and self.pretrained
        if only_a_head and self.keep == "better":
            self._fit_head(look)
            return self
        mask = rows.splits == "val" if validation is None else np.asarray(validation, dtype=bool)
        held = self._held_out(look, mask[look.readable])
        self._fit_network(look, held, options)
        return self

    def fit_split(self, dataset: Dataset, groups: NDArray[Any]) -> FineTunedClassifier:
        """Fit on the photos of a dataset, in these groups (n,); its validation photos are not trained on."""
        return self.fit(dataset.paths, dataset.labels, groups, validation=dataset.splits == "val")

    def _held_out(self, look: TrainingFeatures, given: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The validation photos."""
        if given.any():
            held: NDArray[np.bool_] = given & ~np.isin(look.group, look.group[~given])
        else:
            held = holdout_mask(
                look.target, look.group, fraction=self.validation_share, seed=self.random_state
            )
        if not held.any():
            raise DatasetError(
                "too few different photos to hold any out for validation; add photos, or train the head only "
                "(--train frozen)"
            )
        if lacking := set(range(len(self.classes_))) - set(look.target[~held].tolist()):
            names = ", ".join(repr(str(self.classes_[n])) for n in sorted(lacking))
            raise DatasetError(f"all photos of {names} are validation photos; add some to train on")
        return held

    def _fit_network(self, look: TrainingFeatures, held: NDArray[np.bool_], options: FineTuneConfig) -> None:
        from .cross_fit import compare, held_out_logits, score
        from .fit import ALL
        from .summary import summarize

        started = time.perf_counter()
        network = self._build(len(self.classes_), options)
        probe = self._probe(look, held) if self.pretrained else None
        target, group, weight = look.target[held], look.group[held], self._weights(look.target)[held]
        again: Network | None = None
        with work_or_temporary(self.work) as work:
            trained = self._train(network, look, held, options, work)
            logits = held_out_logits(trained.val_outputs, target, group, weight, seed=self.random_state)
            judged = score(logits, target, weight)
            verdict = compare(judged, probe, group) if probe else None
            kept = verdict is None or verdict.better or self.keep == "always"
            if kept and self.refit:
                again = self._build(len(self.classes_), options)
                self._train(again, look, np.zeros_like(held), options, work / ALL, refit_of=trained)
        self._logs = trained.logs
        everyone, seconds = len(held) if again else None, time.perf_counter() - started
        made = again or network
        self._training = summarize(made, options, trained, judged, probe, verdict, kept, everyone, seconds)
        if kept:
            self._take(network, again, look.target, held, logits)
        else:
            self._fit_head(look)

    def _probe(self, look: TrainingFeatures, held: NDArray[np.bool_]) -> ValidationScore:
        """How good the frozen network's best head is."""
        from .cross_fit import score_probe

        part = look.take(~held)
        best = self._select(part, self._folds(part))
        return score_probe(best, look.plain[held], look.target[held], self._weights(look.target)[held])

    def _train(
        self,
        network: Network,
        look: TrainingFeatures,
        held: NDArray[np.bool_],
        options: FineTuneConfig,
        work: Path,
        refit_of: TrainingResult | None = None,
    ) -> TrainingResult:
        """Train on all photos but those held out, from the best fitted head of what is trained."""
        from .classification_module import ClassificationTask
        from .fit import train_network
        from .linear_probe import init_from_probe
        from .trainable import set_trainable

        balanced = self.class_weight == "balanced"
        if self.pretrained and options.head == "linear":
            set_trainable(network, options.train)
            part = look.take(~held)
            init_from_probe(network, part, self._folds(part), n_levels=self._n_levels, balanced=balanced)
        return train_network(
            network,
            ClassificationTask(self._files, look.target, held, balanced),
            options,
            work=work,
            identity=self._identity(look, held, network),
            pretrained=self.pretrained,
            seed=self.random_state,
            resume=self.resume,
            refit_of=refit_of,
            progress=self.progress,
        )

    def _take(
        self,
        network: Network,
        again: Network | None,
        target: NDArray[np.intp],
        held: NDArray[np.bool_],
        logits: NDArray[np.float32],
    ) -> None:
        """Calibrate the trained network by the photos that it was not trained on, `held`, and take it.

        Temperature and limits pass on to the network that was trained `again` on all photos.
        """
        from .export import trained_backbone
        from .fit import last_layer

        kept, recorded = again or network, {**network.record, "trained": self._options().train}
        backbone = trained_backbone(network, recorded)
        features = self.extract(self._files, backbone).plain
        self.temperature_ = fit_temperature(logits, target[held], smooth=True)
        self._distance = fit_distance(features[~held], target[~held], backbone.blocks)
        self.operating_point_ = choose_operating_point(
            softmax(logits / self.temperature_), self._distance.scores(features[held]), coverage=self.coverage
        )
        if again:
            backbone = trained_backbone(again, recorded)
            self._distance = fit_distance(self.extract(self._files, backbone).plain, target, backbone.blocks)
        loss = calibrated_loss(logits, target[held], self._weights(target)[held])
        point = SearchPoint(kept.n_levels, False, "network", self._options().weight_decay, loss)
        everyone = np.full((len(held), len(self.classes_)), np.nan)
        everyone[held] = logits
        self.selection_ = FittedHead(*last_layer(kept), point, (), everyone)
        self._backbone = backbone
        self.weights_record_ = dict(backbone.weights)
        self.n_levels_ = len(backbone.levels)
        self.n_folds_ = 0
        self.warnings_ = self._warnings(np.zeros(int(held.sum()), dtype=np.intp))

    def _weights(self, target: NDArray[np.intp]) -> NDArray[np.float64]:
        return balanced_weights(target) if self.class_weight == "balanced" else np.ones(len(target))

    def _identity(self, look: TrainingFeatures, held: NDArray[np.bool_], network: Network) -> dict[str, Any]:
        sides = np.where(held, "validation", "train").tolist()
        return {
            "network": network.name,
            "n_levels": network.n_levels,
            "weights": network.record["sha256"],
            "size": network.preprocess.size,
            "labels": self.classes_.tolist(),
            "balanced": self.class_weight == "balanced",
            "split": split_fingerprint(self._seen, look.target.tolist(), sides),
        }

    # what is told of it

    @property
    def training_(self) -> dict[str, Any] | None:
        """See the class."""
        return getattr(self, "_training", None)

    @property
    def parameters_(self) -> dict[str, int]:
        """See ImageClassifier; where the trained network was kept, its trained numbers."""
        counts = super().parameters_
        if self.training_ and self.training_["kept"] == "network":
            counts["trained"] = self.training_["parameters"]["trained"]
        return counts

    def write_logs(self, folder: Path) -> None:
        """Write logs/curves.csv and TensorBoard's events into a run's folder."""
        for name, data in getattr(self, "_logs", {}).items():
            atomic.write_bytes(folder / "logs" / name, data)
