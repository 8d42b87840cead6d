"""A trained network as a classifier, calibrated by the photos that it was not trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..backbones.backbone import Backbone
from ..backbones.encoder import PhotoEncoder
from ..classification.estimator import ImageClassifier, fit_warnings
from ..classification.fitted import FittedClassifier, TrainedOn
from ..classification.training_data import TrainingFeatures, style_views
from ..core.rejection import choose_operating_point, outlier_rate
from ..heads import FittedHead, SearchPoint
from ..heads.held_out import fit_split
from ..heads.mahalanobis import StyleViews, fit_distance
from ..heads.temperature import calibrated_loss, fit_temperature, softmax
from .config import FineTuneConfig
from .export import trained_backbone
from .fit import last_layer
from .model import Network

__all__ = ["calibrated_classifier"]


def calibrated_classifier(
    network: Network,
    refit: Network | None,
    data: TrainingFeatures,
    held_out: NDArray[np.bool_],
    logits: NDArray[np.float32],
    weight: NDArray[np.float64],
    config: FineTuneConfig,
    base: ImageClassifier,
    trained_parameters: int,
) -> FittedClassifier:
    """The trained network with temperature and limits from the photos that it was not trained on.

    Parameters
    ----------
    network : Network
        Trained on all photos but those held out.
    refit : Network or None
        The same, trained once more on all photos; temperature and limits pass on to it.
    data : TrainingFeatures
        n photos.
    held_out : bool ndarray (n,)
    logits : float32 ndarray (m, K)
        Of the photos held out, by weights that other photos chose.
    weight : float64 ndarray (m,)
        Sample weights of the same.
    config : FineTuneConfig
    base : ImageClassifier
        Its options.
    trained_parameters : int
    """
    adopted, recorded = refit or network, {**network.record, "trained": config.train}
    backbone = trained_backbone(network, recorded)
    (features, views), target = _features(data, backbone, base), data.target
    temperature = fit_temperature(logits, target[held_out], smooth=True)
    accepted = outlier_rate(base.coverage)
    distance = fit_split(features, target, backbone.blocks, held_out, views, accepted)
    operating_point = choose_operating_point(
        softmax(logits / temperature), distance.scores(features[held_out]), coverage=base.coverage
    )
    if refit:
        backbone = trained_backbone(refit, recorded)
        features, views = _features(data, backbone, base)
        distance = fit_distance(features, target, backbone.blocks, views).calibrated_as(distance)
    loss = calibrated_loss(logits, target[held_out], weight)
    point = SearchPoint(adopted.n_levels, False, "network", config.weight_decay, loss)
    everyone = np.full((len(held_out), len(data.classes)), np.nan)
    everyone[held_out] = logits
    encoder = PhotoEncoder(backbone, cache=False)
    return FittedClassifier(
        encoder,
        backbone,
        data.classes,
        FittedHead(*last_layer(adopted), point, (), everyone),
        temperature,
        distance,
        operating_point,
        TrainedOn.of(data, base, folds=0),
        fit_warnings(data, np.zeros(int(held_out.sum()), dtype=np.intp), encoder, base),
        trained_parameters,
    )


def _features(
    data: TrainingFeatures, backbone: Backbone, base: ImageClassifier
) -> tuple[NDArray[np.float32], StyleViews | None]:
    """Of a trained network, needed once and not cached; and views of some of the photos."""
    encoder = PhotoEncoder(backbone, cache=False)
    plain = encoder.extract(data.paths, threads=base.threads, progress=base.progress).plain
    return plain, style_views(encoder, data.paths, data.digests, plain, base)
