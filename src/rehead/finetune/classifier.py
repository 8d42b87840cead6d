"""FineTunedClassifier: a classifier whose network is trained too. Needs `pip install 'rehead[torch]'`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..backbones.backbone import load_backbone
from ..backbones.encoder import Encoder, PhotoEncoder, for_photos
from ..backbones.weights import registry
from ..classification.estimator import (
    FittedMixin,
    ImageClassifier,
    choose_head,
    fit_classifier,
    level_counts,
)
from ..classification.fitted import FittedClassifier
from ..classification.options import ClassifierOptions
from ..classification.training_data import TrainingFeatures, extract_features
from ..core import atomic
from ..core.engines import find_engine
from ..core.options import check_options
from ..core.photos import Photos
from ..core.preprocess import GreyRange
from ..core.progress import Progress
from ..core.run_dir import check_work, work_or_temporary
from ..data import Dataset, holdout_mask, split_fingerprint
from ..data.inputs import training_rows
from ..errors import DataError, DatasetError
from ..heads.model_selection import balanced_weights
from . import require_torch
from .config import FineTuneConfig

if TYPE_CHECKING:
    from .cross_fit import ValidationScore
    from .fit import TrainingResult
    from .model import Network

__all__ = ["FineTunedClassifier"]


class FineTunedClassifier(FittedMixin):
    """Classify photos with a network that is trained on them.

    Where the network is pretrained, its linear head starts from the one that the base classifier would fit on
    the levels that are trained (LP-FT, Kumar et al. 2022), other heads are trained on the frozen network
    first, and the trained network is kept only if its log loss on the validation photos is less than that of
    the frozen one, by more than one standard error. For that each half of these photos is scored by the
    weights that the other half chose.

    Parameters
    ----------
    base : ImageClassifier
        The classifier on the frozen network: what it starts from, and what is kept where training does not
        help. Its `backbone` is a name of `model.PLAIN_NAMES` or of timm; its `weights` a state dict.
    config : FineTuneConfig, optional
        What is trained, and how; by default nothing but the head, which is what `base` does.
    work : path, optional
        Folder where the state after each epoch is kept, for `resume`; whoever names it removes it.
    resume : bool
        Continue the training in `work`.

    Attributes
    ----------
    fitted_ : FittedClassifier
        And its parts, as of `ImageClassifier`. Temperature and limits come from photos that were not yet
        trained on.
    training_ : dict or None
        JSON: options, parameters, curves, scores on the validation photos, and which was kept.
    """

    takes_validation = True

    def __init__(
        self,
        base: ImageClassifier,
        config: FineTuneConfig | None = None,
        *,
        work: str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> None:
        self.base = base
        self.config = config
        self.work = work
        self.resume = resume

    # what there is to begin with

    @property
    def options(self) -> ClassifierOptions:
        """The options of the head: those of the base."""
        return self.base

    @property
    def progress(self) -> Progress | None:
        """That of the base."""
        return self.base.progress

    @property
    def pretrained(self) -> bool:
        """Whether the network starts from weights, rather than from random ones."""
        from .small_cnns import SMALL_CNNS

        asked = self.config.train if self.config else "auto"
        return asked != "scratch" and self.base.backbone not in SMALL_CNNS

    def _check_options(self) -> FineTuneConfig:
        require_torch()
        check_options(self.base)
        config = (self.config or FineTuneConfig()).resolve_auto(pretrained=self.pretrained)
        name = os.fspath(self.base.backbone)
        if self.base.encoder is not None:
            raise DataError("a base with an encoder of its own is used frozen; fit it as it is")
        if self.base.preprocess is not None:
            raise DataError(
                f"{self.base.preprocess}: a record of preprocessing is for frozen networks of the core"
            )
        if name.lower().endswith(".onnx"):
            raise DataError(f"{name}: an ONNX file cannot be trained; use it frozen, with a linear head")
        if not self.pretrained and config.train != "all":
            raise DataError(
                f"{name} starts from random weights, so all of it has to be trained; leave out "
                f"--train {config.train}"
            )
        check_work(self.work, resume=self.resume)
        return config

    def _build(self, classes: int, config: FineTuneConfig, grey_range: GreyRange | None = None) -> Network:
        from .fit import new_network

        asked = self.base.grey_range
        limits = grey_range if isinstance(asked, str) else asked
        weights: Any = "none" if not self.pretrained else "pretrained"
        if self.base.weights is not None:
            if not self.pretrained:
                raise DataError(f"{self.base.weights}: a weight file and --train scratch exclude each other")
            weights = Path(self.base.weights)
        network = new_network(
            os.fspath(self.base.backbone),
            config,
            classes=classes,
            size=self.base.size,
            weights=weights,
            seed=self.base.random_state,
        )
        network.preprocess = replace(network.preprocess, grey_range=limits)
        return network

    def make_encoder(self) -> Encoder:
        """The frozen network; the default backbone, to see near-duplicates with, where it is random."""
        config = self._check_options()
        engine = find_engine(self.base.engine)
        from .export import frozen_backbone
        from .trainable import set_trainable

        # options that the network cannot follow are refused here, before any photo is looked at
        built = self._build(2, FineTuneConfig() if self.pretrained else config)
        set_trainable(built, config.train)
        name = os.fspath(self.base.backbone)
        if not self.pretrained:
            backbone = load_backbone("efficientnet_lite0").with_grey_range(built.preprocess.grey_range)
        elif self.base.weights is None and name in registry.names():
            backbone = load_backbone(name, preprocess=built.preprocess)
        else:
            backbone = frozen_backbone(built)
        cache = self.base.cache if isinstance(self.base.cache, bool) else Path(self.base.cache)
        return PhotoEncoder(backbone.with_engine(engine), cache)

    # fitting

    def fit(
        self,
        X: Photos,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        *,
        validation: ArrayLike | None = None,
    ) -> Self:
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
        config = self._check_options()
        if self.base.keeps_statistics:
            raise DataError(
                "statistics are kept of a frozen network: leave out --keep-statistics, or --train"
            )
        self.__dict__.pop("fitted_", None)  # not fitted any more, should fitting fail
        self.training_: dict[str, Any] | None = None
        self._logs: Mapping[str, bytes] = {}
        encoder = self.make_encoder()
        rows = training_rows(X, y, groups)
        encoder = for_photos(encoder, rows.paths, threads=self.base.threads)
        data = extract_features(rows, encoder, self.base, self.progress)
        only_a_head = config.train == "frozen" and config.head == "linear" and self.pretrained
        if only_a_head and config.keep == "better":
            self.fitted_ = fit_classifier(data, encoder, self.base)
            return self
        mask = rows.splits == "val" if validation is None else np.asarray(validation, dtype=bool)
        held_out = self._held_out(data, mask[data.readable], config)
        trained = self._fit_network(data, held_out, config)
        self.fitted_ = trained or fit_classifier(data, encoder, self.base)
        return self

    def fit_split(self, dataset: Dataset, groups: NDArray[Any]) -> Self:
        """Fit on the photos of a dataset, in these groups (n,); its validation photos are not trained on."""
        return self.fit(dataset.paths, dataset.labels, groups, validation=dataset.splits == "val")

    def _held_out(
        self, data: TrainingFeatures, given: NDArray[np.bool_], config: FineTuneConfig
    ) -> NDArray[np.bool_]:
        """The validation photos."""
        if given.any():
            held_out: NDArray[np.bool_] = given & ~np.isin(data.group, data.group[~given])
        else:
            held_out = holdout_mask(
                data.target, data.group, fraction=config.validation_share, seed=self.base.random_state
            )
        if not held_out.any():
            raise DatasetError(
                "too few different photos to hold any out for validation; add photos, or train the head only "
                "(--train frozen)"
            )
        if lacking := set(range(len(data.classes))) - set(data.target[~held_out].tolist()):
            names = ", ".join(repr(str(data.classes[n])) for n in sorted(lacking))
            raise DatasetError(f"all photos of {names} are validation photos; add some to train on")
        return held_out

    def _fit_network(
        self, data: TrainingFeatures, held_out: NDArray[np.bool_], config: FineTuneConfig
    ) -> FittedClassifier | None:
        """Train the network; None where the frozen one is to be kept."""
        from .calibrate import calibrated_classifier
        from .cross_fit import compare, held_out_logits, score
        from .fit import ALL
        from .summary import summarize

        started = time.perf_counter()
        limits = data.backbone.preprocess.grey_range
        network = self._build(len(data.classes), config, limits)
        probe = self._probe(data, held_out) if self.pretrained else None
        target, group = data.target[held_out], data.group[held_out]
        weight = self._weights(data.target)[held_out]
        refit: Network | None = None
        with work_or_temporary(self.work) as work:
            trained = self._train(network, data, held_out, config, work)
            logits = held_out_logits(trained.val_outputs, target, group, weight, seed=self.base.random_state)
            scored = score(logits, target, weight)
            comparison = compare(scored, probe, group) if probe else None
            kept = comparison is None or comparison.better or config.keep == "always"
            if kept and config.refit:
                refit = self._build(len(data.classes), config, limits)
                self._train(refit, data, np.zeros_like(held_out), config, work / ALL, refit_of=trained)
        self._logs = trained.logs
        everyone, seconds = len(data) if refit else None, time.perf_counter() - started
        self.training_ = summarize(
            refit or network, config, trained, scored, probe, comparison, kept, everyone, seconds
        )
        if not kept:
            return None
        parameters = self.training_["parameters"]["trained"]
        return calibrated_classifier(
            network, refit, data, held_out, logits, weight, config, self.base, parameters
        )

    def _probe(self, data: TrainingFeatures, held_out: NDArray[np.bool_]) -> ValidationScore:
        """How good the frozen network's best head is."""
        from .cross_fit import score_probe

        part = data.take(~held_out)
        best = choose_head(part, part.folds(self.base), self.base)
        weight = self._weights(data.target)[held_out]
        return score_probe(best, data.plain[held_out], data.target[held_out], weight)

    def _train(
        self,
        network: Network,
        data: TrainingFeatures,
        held_out: NDArray[np.bool_],
        config: FineTuneConfig,
        work: Path,
        refit_of: TrainingResult | None = None,
    ) -> TrainingResult:
        """Train on all photos but those held out, from the best fitted head of what is trained."""
        from .classification_module import ClassificationTask
        from .fit import train_network
        from .linear_probe import init_from_probe
        from .trainable import set_trainable

        balanced = self.base.class_weight == "balanced"
        if self.pretrained and config.head == "linear":
            set_trainable(network, config.train)
            part = data.take(~held_out)
            init_from_probe(
                network,
                part,
                part.folds(self.base),
                n_levels=lambda levels: level_counts(self.base, levels),
                balanced=balanced,
            )
        return train_network(
            network,
            ClassificationTask(list(data.paths), data.target, held_out, balanced),
            config,
            work=work,
            identity=self._identity(data, held_out, network),
            pretrained=self.pretrained,
            seed=self.base.random_state,
            resume=self.resume,
            refit_of=refit_of,
            progress=self.progress,
        )

    def _weights(self, target: NDArray[np.intp]) -> NDArray[np.float64]:
        return balanced_weights(target) if self.base.class_weight == "balanced" else np.ones(len(target))

    def _identity(
        self, data: TrainingFeatures, held_out: NDArray[np.bool_], network: Network
    ) -> dict[str, Any]:
        """What a training must have in common with the one that it continues."""
        sides = np.where(held_out, "validation", "train").tolist()
        return {
            "network": network.name,
            "n_levels": network.n_levels,
            "weights": network.record["sha256"],
            "size": network.preprocess.size,
            "labels": data.classes.tolist(),
            "balanced": self.base.class_weight == "balanced",
            "split": split_fingerprint(data.digests, data.target.tolist(), sides),
        }

    def write_logs(self, folder: Path) -> None:
        """Write logs/curves.csv and TensorBoard's events into a run's folder."""
        for name, data in self._logs.items():
            atomic.write_bytes(folder / "logs" / name, data)
