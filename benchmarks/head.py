"""Time of choosing and fitting the head, from features in memory.

    python benchmarks/head.py [FOLDER] [--rounds 3] [--skip-large]

`select_head` screens, cross-validates over five folds and fits: tens of fits. Beside it, in the same
run, one single fit of scikit-learn's LogisticRegression (L-BFGS, C = 1, standardised features), on all
rows, without any choosing.

1. 1,797 digits, 10 classes, 1,280 features: ReLU of a random projection of the 64 pixels. Target 4 s.
2. 10,000 rows of 100 overlapping clusters, 1,280 features. Target 120 s.
3. The photos of FOLDER (a folder for each class), if given: all depths, mirrored photos as `fit` has them.

The first is then repeated with BLAS on all processors and the folds in turn, instead of a fold to a
processor and BLAS on one, to show why `select_head` limits BLAS.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import TypeVar
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from rehead.backbones.backbone import load_backbone
from rehead.backbones.features import extract
from rehead.data import read_dataset
from rehead.heads import model_selection, ridge, select_head

X32 = NDArray[np.float32]
Labels = NDArray[np.intp]
T = TypeVar("T")


def digits() -> tuple[X32, Labels]:
    """(1797, 1280) Features that are about as correlated as a network's."""
    data = load_digits()
    mix = np.random.default_rng(0).normal(size=(64, 1280)) / 8
    return np.maximum(data.data @ mix, 0).astype(np.float32), data.target.astype(np.intp)


def clusters(n: int = 10_000, classes: int = 100, width: int = 1280) -> tuple[X32, Labels]:
    """(n, width) Features of overlapping classes in 64 latent directions."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    hidden = rng.normal(size=(classes, 64))[y] + 1.3 * rng.normal(size=(n, 64))
    X = np.maximum(hidden @ rng.normal(size=(64, width)) / 8, 0) + 0.05 * rng.random((n, width))
    return X.astype(np.float32), y


def five_folds(y: Labels) -> Labels:
    fold = np.zeros(len(y), dtype=np.intp)
    for number, (_, out) in enumerate(StratifiedKFold(5, shuffle=True, random_state=0).split(y, y)):
        fold[out] = number
    return fold


def timed(work: Callable[[], T]) -> tuple[float, float, T]:
    """Wall-clock and processor seconds, and the result."""
    start, busy = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - start, time.process_time() - busy, result


def measure(
    name: str,
    X: X32,
    y: Labels,
    blocks: Sequence[slice],
    *,
    rounds: int,
    target: float | None = None,
    mirrored: X32 | None = None,
) -> None:
    n_levels = sorted({1, min(2, len(blocks)), len(blocks)})
    fold = five_folds(y)
    ours: list[tuple[float, float]] = []
    peers: list[tuple[float, float]] = []
    for _ in range(rounds):
        wall, busy, found = timed(
            lambda: select_head(X, y, fold, blocks, mirrored=mirrored, n_levels=n_levels)
        )
        ours.append((wall, busy))
        peer = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000))
        wall, busy, _ = timed(lambda model=peer: model.fit(X, y))  # type: ignore[misc]
        peers.append((wall, busy))
    wall, peer_wall = median(w for w, _ in ours), median(w for w, _ in peers)
    print(f"{name}: {X.shape[0]} x {X.shape[1]}, {y.max() + 1} classes")
    goal = f"; {wall / target:.2f} of the target of {target:.0f} s" if target else ""
    print(f"  select_head           {wall:7.2f} s, {median(b for _, b in ours):7.2f} s processor{goal}")
    print(f"  scikit-learn, one fit {peer_wall:7.2f} s, {median(b for _, b in peers):7.2f} s processor")
    chosen, right = found.chosen, float(np.mean(found.held_out.argmax(axis=1) == y))
    print(f"  ratio {wall / peer_wall:.2f}; {len(found.path)} points tried, held-out accuracy {right:.3f}")
    print(f"  {chosen}")


def blas_threads(X: X32, y: Labels, rounds: int) -> None:
    fold, found = five_folds(y), dict[str, list[tuple[float, float]]]()
    for _ in range(rounds):
        for name in ("BLAS on one, a fold to a processor", "BLAS on all, folds in turn"):
            with contextlib.ExitStack() as stack:
                if name.startswith("BLAS on all"):
                    for module in (model_selection, ridge):
                        stack.enter_context(mock.patch.object(module, "map_in_order", map))
                    free = mock.patch(
                        "threadpoolctl.threadpool_limits", lambda *_, **__: contextlib.nullcontext()
                    )
                    stack.enter_context(free)
                wall, busy, _ = timed(lambda: select_head(X, y, fold, [slice(0, X.shape[1])]))
            found.setdefault(name, []).append((wall, busy))
    print("BLAS threads, digits")
    for name, times in found.items():
        wall, busy = median(w for w, _ in times), median(b for _, b in times)
        print(f"  {name:36}{wall:7.2f} s, {busy:7.2f} s processor")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip-large", action="store_true", help="leave the 10,000 rows out")
    arguments = parser.parse_args()
    X, y = digits()
    measure("digits", X, y, [slice(0, X.shape[1])], rounds=arguments.rounds, target=4)
    blas_threads(X, y, arguments.rounds)
    if arguments.folder is None:
        print("photos: skipped, no folder was given")
    else:
        dataset, network = read_dataset(arguments.folder), load_backbone("efficientnet_lite0")
        features = extract(dataset.paths, network, mirror=len(dataset) <= 500)
        y = np.unique(dataset.labels, return_inverse=True)[1]
        measure(
            arguments.folder.name,
            features.plain,
            y,
            network.blocks,
            rounds=arguments.rounds,
            mirrored=features.mirrored,
        )
    if not arguments.skip_large:
        X, y = clusters()
        measure("clusters", X, y, [slice(0, X.shape[1])], rounds=1, target=120)


if __name__ == "__main__":
    main()
