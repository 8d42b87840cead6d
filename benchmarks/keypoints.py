"""Error on people who were not trained on, what each step adds, and at what cost.

    python benchmarks/keypoints.py FOLDER [--strangers FOLDER ...] [--constants]

FOLDER holds train.csv and train/, test.csv and test/, as `rehead keypoints train` takes them, no person in
both; without them nothing is measured. The error is the mean absolute one of x and y as a fraction of the
photo's side, on the test photos.

Steps: the mean shape; the deepest map alone without mirrored photos; feature maps and views chosen by
cross-validation; the second stage. Then the fraction of test points within their ellipses, how well
confidence ranks photos by error (Spearman), the fraction of grey and coarse test photos that is called
outliers, and milliseconds for a photo, one after the other and warm, by the median.

With --strangers, folders of photos without the object: the fraction that is called outliers, beside that of
the test photos, and the area under the ROC curve of score and of confidence.

With --constants, each constant is changed by itself, with everything else as it is.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from rehead import KeypointRegressor
from rehead.data import list_photos
from rehead.images import CAMERA_VIEWS, camera_view, load_image, read_bytes
from rehead.keypoints import (
    Annotations,
    KeypointPrediction,
    KeypointPredictor,
    alignment,
    read_annotations,
    ridge,
)
from rehead.keypoints import feature_maps as maps_module
from rehead.keypoints.formats import CENTRE
from rehead.keypoints.uncertainty import ellipse_distance

REPEATS = 100  # photos timed


@contextmanager
def changed(module: Any, name: str, value: Any) -> Iterator[None]:
    """The module with another constant."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def error(answers: list[KeypointPrediction], rows: Annotations) -> NDArray[np.float64]:
    """Of each photo, as a fraction of its side."""
    predicted = np.stack([answer.points for answer in answers]) + CENTRE
    return np.asarray(np.nanmean(np.abs(predicted / rows.sizes[:, None] - rows.units), axis=(1, 2)))


def measured(name: str, train: Annotations, test: Annotations, **options: Any) -> KeypointPredictor:
    """Fit, test, and print a row."""
    start, work = time.perf_counter(), time.process_time()
    regressor = KeypointRegressor(**options).fit_annotations(train)
    wall, work = time.perf_counter() - start, time.process_time() - work
    model = regressor.predictor()
    held_out = float(np.nanmean(np.abs(regressor.cascade_.held_out - train.units)))
    errors = error(model.predict([str(path) for path in test.paths]), test)
    size = len(regressor._graph) / 1e6
    print(
        f"{name:42} | {100 * errors.mean():.2f} % | {100 * held_out:.2f} % | {wall:5.1f} s "
        f"| {work:5.1f} s | {size:.1f} MB",
        flush=True,
    )
    return model


def steps(train: Annotations, test: Annotations) -> KeypointPredictor:
    """What each step adds."""
    print("step | test | held out | wall | processor time | file")
    mean = np.nanmean(train.units, axis=0)
    print(f"{'mean shape':42} | {100 * float(np.nanmean(np.abs(test.units - mean))):.2f} %")
    plain: Callable[..., list[tuple[maps_module.FeatureMap, ...]]]
    plain = lambda network: [maps_module.candidate_feature_maps(network)[-1][-1:]]  # noqa: E731
    from rehead.keypoints import cascade

    with changed(cascade, "candidate_feature_maps", plain):
        measured("one map, one view", train, test, cascade=False, mirror=False)
    measured("maps of several depths, mirrored photos", train, test, cascade=False)
    measured("second stage without jitter", train, test, n_jitter=0)
    return measured("second stage (the default)", train, test)


def uncertainty(model: KeypointPredictor, test: Annotations) -> None:
    """Coverage of the ellipses, and how well confidence ranks photos."""
    answers = model.predict([str(path) for path in test.paths])
    errors = np.stack([a.points for a in answers]) + CENTRE - test.points
    inside = ellipse_distance(errors, np.stack([a.covariance for a in answers]))
    known = ~np.isnan(inside)
    for level in (0.5, 0.8, 0.95):
        print(f"ellipses of {level:.0%} hold {(inside[known] <= -2 * np.log(1 - level)).mean():.1%}")
    rank = spearmanr([-a.confidence for a in answers], error(answers, test)).statistic
    print(f"confidence against error, Spearman {rank:.2f}")


def styles(model: KeypointPredictor, test: Annotations) -> None:
    """Test photos as another camera takes them."""
    photos = [load_image(path, model.preprocess) for path in test.paths]
    for name in CAMERA_VIEWS:
        answers = [model.predict_crop(camera_view(photo, name), (1, 1), (0, 0, 1, 1)) for photo in photos]
        print(f"{name} test photos: {np.mean([bool(a.reason) for a in answers]):.1%} called outliers")


def latency(model: KeypointPredictor, test: Annotations) -> None:
    """Milliseconds for a photo: the file is read and decoded too."""
    seconds, network = [], []
    data = [read_bytes(path) for path in test.paths]
    for n in range(REPEATS):
        start = time.perf_counter()
        model.predict(data[n % len(data)])
        seconds.append(time.perf_counter() - start)
        pixels = np.zeros((1, model.preprocess.size, model.preprocess.size, 3), np.uint8)
        start = time.perf_counter()
        model._session.run(None, {"image": pixels})
        network.append(time.perf_counter() - start)
    print(
        f"a photo: {1000 * np.median(seconds):.1f} ms, of which the graph {1000 * np.median(network):.1f} ms"
    )


def strangers(model: KeypointPredictor, test: Annotations, folder: Path) -> None:
    """Photos without the object."""
    own = model.predict([str(path) for path in test.paths])
    others = [a for a in model.predict_each(list_photos(folder)) if isinstance(a, KeypointPrediction)]
    truth = [0] * len(own) + [1] * len(others)
    score = roc_auc_score(truth, [a.outlier_score for a in [*own, *others]])
    confidence = roc_auc_score(truth, [-a.confidence for a in [*own, *others]])
    outliers = np.mean([bool(a.reason) for a in others])
    print(
        f"{folder.name}, {len(others)} photos: {outliers:.1%} called outliers (test photos "
        f"{np.mean([bool(a.reason) for a in own]):.1%}), AUROC of the score {score:.3f}, of confidence "
        f"{confidence:.3f}"
    )


def constants(train: Annotations, test: Annotations) -> None:
    """Each constant by itself."""
    print("change | test | held out | wall | processor time | file")
    for side in (160, 224, 256):
        measured(f"side {side} px", train, test, size=side)
    for fill in (0.6, 0.8):
        with changed(alignment, "_FILL", fill):
            measured(f"shape takes {fill} of the crop", train, test)
    for n_jitter in (2, 3):
        measured(f"{n_jitter} jittered crops", train, test, n_jitter=n_jitter)
    for floor in (0.0, 0.3):
        with changed(ridge, "_FLOOR", floor):
            measured(f"floor of the deviation {floor}", train, test)
    for residue in (0.01, 0.1, 0.5):
        with changed(ridge, "_MAX_RESIDUE", residue):
            measured(f"residue {residue}", train, test)
    with changed(maps_module, "_SIDES", (4, 40)):
        measured("maps of up to 40 px", train, test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path())
    parser.add_argument("--strangers", type=Path, nargs="*", default=[])
    parser.add_argument("--constants", action="store_true")
    options = parser.parse_args()
    if not (options.folder / "train.csv").is_file():
        print(f"{options.folder}: no train.csv with points in it; nothing measured")
        sys.exit()
    splits = (options.folder / "train", options.folder / "test")
    train, test = (read_annotations(split.with_suffix(".csv"), split) for split in splits)
    if options.constants:
        constants(train, test)
        return
    model = steps(train, test)
    uncertainty(model, test)
    styles(model, test)
    latency(model, test)
    for folder in options.strangers:
        strangers(model, test, folder)


if __name__ == "__main__":
    main()
