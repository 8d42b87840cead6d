"""Whether sums over features are as exact as they say, how long a change takes, and what they cost.

    python benchmarks/sums.py FOLDER [FOLDER ...] [--changes 100]

Each FOLDER has a folder for each class. Features are in rehead's cache from the first run on.

    exact      a random half of the photos is learnt, then as many changes as asked for, each of 1 to 16
               photos that come or go; largest difference of logits and outlier scores of all photos from
               those of the photos that are left, summed at once, and whether the sums are the same to the
               bit. "float64" has the same features without rounding, "float32" their sums in float32
    rounding   largest difference of a logit that the rounding of features makes, beside the spread of logits
    detour     the same of solving in the features instead of in principal components (`rehead.heads.ridge`)
    seconds    processor time of adding 20 photos that are in the cache, by sums, and of `fit` on all of them
    bytes      of statistics.npz and of the model file
    loss       held-out log loss of the best ridge, and of the best head of any kind
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rehead import ImageClassifier
from rehead.classification.statistics_file import statistics_beside
from rehead.data import read_dataset
from rehead.heads import statistics as sums
from rehead.heads.pca import fit_pca
from rehead.heads.ridge import fit_ridge
from rehead.heads.statistics import Statistics

L2 = 1e-3
"""Strength of the heads that are compared."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--changes", type=int, default=100)
    given = parser.parse_args()
    for folder in given.folders:
        print(folder.name)
        model = ImageClassifier(keep_statistics=True).fit(folder)
        dataset = read_dataset(folder)
        X = model.transform(list(dataset.paths))
        y = np.unique(dataset.labels, return_inverse=True)[1].astype(np.intp)
        blocks = model.fitted_.backbone.blocks
        head = model.head_
        print(f"  loss       ridge {head.chosen.log_loss:.4f}, any {head.chosen.log_loss - head.forgone:.4f}")
        for name, step, dtype in (
            ("exact", sums.STEP, np.float64),
            ("float64", 0.0, np.float64),
            ("float32", 0.0, np.float32),
        ):
            print(f"  {name:10} " + exactness(X, y, blocks, given.changes, step, dtype))
        print("  rounding   " + rounding(X, y, blocks))
        print("  seconds    " + seconds(model, folder))


class _Unrounded:
    """Sums of features as they are, while it is entered."""

    def __init__(self, step: float) -> None:
        self._step = step

    def __enter__(self) -> None:
        self._kept = sums.rounded
        if not self._step:
            sums.rounded = lambda rows: rows.astype(np.float64)

    def __exit__(self, *_: object) -> None:
        sums.rounded = self._kept


def exactness(
    X: NDArray[np.float32], y: NDArray[np.intp], blocks: list[slice], changes: int, step: float, dtype: type
) -> str:
    """Differences after many changes, as a phrase."""
    rng = np.random.default_rng(0)
    classes = int(y.max()) + 1
    there = rng.random(len(y)) < 0.5

    def of(rows: NDArray[np.intp]) -> Statistics:
        found = Statistics.from_rows(X[rows], y[rows], classes)
        return Statistics(found.counts, found.sums.astype(dtype), found.gram.astype(dtype))

    with _Unrounded(step):
        total = of(np.flatnonzero(there))
        for _ in range(changes):
            rows = rng.choice(len(y), rng.integers(1, 17), replace=False)
            come, go = rows[~there[rows]], rows[there[rows]]
            total = total + of(come) - of(go)
            there[rows] = ~there[rows]
        whole = of(np.flatnonzero(there))
    as_double = [
        Statistics(s.counts, s.sums.astype(np.float64), s.gram.astype(np.float64)) for s in (total, whole)
    ]
    logits = [X @ weight + bias for weight, bias in (s.solve(L2, blocks) for s in as_double)]
    scores = [s.distance(blocks).scores(X) for s in as_double]
    bits = np.array_equal(total.gram, whole.gram) and np.array_equal(total.sums, whole.sums)
    return (
        f"{changes} changes: logits {np.abs(logits[0] - logits[1]).max():.1e}, "
        f"outlier scores {np.abs(scores[0] - scores[1]).max():.1e}, the same bits: {bits}"
    )


def rounding(X: NDArray[np.float32], y: NDArray[np.intp], blocks: list[slice]) -> str:
    """What rounding features, and solving without principal components, change, as a phrase."""
    classes = int(y.max()) + 1
    found = []
    for step in (sums.STEP, 0.0):
        with _Unrounded(step):
            weight, bias = Statistics.from_rows(X, y, classes).solve(L2, blocks)
        found.append(X @ weight + bias)
    pca = fit_pca(X, blocks)
    theta = fit_ridge(pca.z, y, np.ones(len(y)), L2)
    weights = pca.weights(theta[:-1], theta[-1])
    detour = np.abs(X @ weights[0] + weights[1] - found[0]).max()
    return (
        f"logits {np.abs(found[0] - found[1]).max():.1e}, detour by principal components {detour:.1e}, "
        f"spread of logits {found[0].std():.2f}"
    )


def seconds(model: ImageClassifier, folder: Path) -> str:
    """Processor time of an update and of a training, in turns, and sizes of files, as a phrase."""
    dataset = read_dataset(folder)
    some = [dataset.paths[n] for n in range(0, len(dataset), max(1, len(dataset) // 20))][:20]
    labels = [path.parent.name for path in some]
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "model.onnx"
        model.forget(some).save(path)
        kept, file = statistics_beside(path).stat().st_size, path.stat().st_size
        sizes = f"{kept:,} bytes of statistics, {file:,} of model"
        times: dict[str, list[float]] = {"update": [], "load, update, save": [], "fit": []}
        for _ in range(2):
            start = time.process_time()
            again = ImageClassifier.load(path)
            middle = time.process_time()
            again.partial_fit(some, labels)
            times["update"].append(time.process_time() - middle)
            again.save(Path(work) / "again.onnx")
            times["load, update, save"].append(time.process_time() - start)
            start = time.process_time()
            ImageClassifier(keep_statistics=True).fit(folder)
            times["fit"].append(time.process_time() - start)
    return ", ".join(f"{what} {np.median(each):.2f}" for what, each in times.items()) + f"; {sizes}"


if __name__ == "__main__":
    main()
