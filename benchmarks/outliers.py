"""Which score tells photos of unknown kinds from those of the classes that were trained on.

    python benchmarks/outliers.py FOLDER [FOLDER ...] [--unknown FOLDER ...] [--seeds 0 1 2]

Each FOLDER has a folder for each class, or train and val folders of them. Tasks: each FOLDER known and
all photos of every other one (and of those given as unknown) unknown; and, where a FOLDER has more than
two classes, each class in turn unknown and the rest known. A quarter of the known photos is kept for
testing; the head and all statistics come from the other three quarters; a task is repeated for each seed.

AUROC: chance that an unknown photo scores higher than a known one. FPR95: share of the unknown photos
that are accepted at the threshold that accepts 95 % of the known ones. Both are means over tasks
of a kind, for features of the last depth and of all depths, scaled as in `rehead.heads.pca`.

    kNN k               cosine distance to the k-th nearest training photo
    Mahalanobis s       to the nearest class mean, with the shared covariance (1 - s) S + s tr(S) / d
    rel. Mahalanobis s  less the same distance with one mean for all (Ren et al. 2021)
    energy              -log sum exp of the logits (Liu et al. 2020)
    max. probability    negative
    residual k          squared distance from the space of the k main directions (Wang et al. 2022)
    as shipped          `rehead.heads.mahalanobis`: rel. Mahalanobis on the main directions, all others as one
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from rehead.backbones.backbone import Backbone, load_backbone
from rehead.backbones.features import extract
from rehead.data import list_photos, read_dataset
from rehead.heads import fit_pca, select_head
from rehead.heads.mahalanobis import fit_distance
from rehead.heads.temperature import softmax

X32 = NDArray[np.float32]
Names = NDArray[np.str_]
Task = tuple[str, X32, Names, list[X32]]
"""Name; features and classes of the known photos; features of each kind of unknown ones."""


def nearest(train: X32, test: X32) -> dict[str, NDArray[np.floating]]:
    cosine = np.sort(
        (test / np.linalg.norm(test, axis=1, keepdims=True))
        @ (train / np.linalg.norm(train, axis=1, keepdims=True)).T
    )
    return {f"kNN {k}": -cosine[:, -k] for k in (1, 5)}


def distances(
    z: X32, y: NDArray[np.intp], q: NDArray[np.floating], rest: NDArray[np.floating], d: int
) -> dict[str, NDArray[np.floating]]:
    """Mahalanobis distances from coordinates; `rest` is the squared norm outside of the span."""
    scores: dict[str, NDArray[np.floating]] = {}
    means = np.stack([z[y == c].mean(axis=0) for c in range(int(y.max()) + 1)])

    def squared(rows: X32, shrinkage: float, centres: X32) -> NDArray[np.floating]:
        covariance = rows.T.astype(np.float64) @ rows / len(rows)
        floor = shrinkage * np.trace(covariance) / d
        precision = np.linalg.inv((1 - shrinkage) * covariance + floor * np.eye(len(covariance)))
        each = [np.einsum("ij,jk,ik->i", q - m, precision, q - m, optimize=True) for m in centres]
        result: NDArray[np.floating] = np.min(each, axis=0) + rest / floor
        return result

    for shrinkage in (0.1, 0.3, 0.5, 0.7):
        within = squared(z - means[y], shrinkage, means)
        scores[f"Mahalanobis {shrinkage}"] = within
        scores[f"rel. Mahalanobis {shrinkage}"] = within - squared(
            z, shrinkage, np.zeros((1, z.shape[1]), np.float32)
        )
    return scores


def score(
    train: X32, y: NDArray[np.intp], test: X32, blocks: Sequence[slice]
) -> dict[str, NDArray[np.floating]]:
    """Scores (n,) of the rows of `test`, higher for more unlike."""
    span = fit_pca(train, blocks)
    centred = (test - span.mean) * span.scale
    q = centred @ span.basis
    norm = (centred**2).sum(axis=1)
    head = select_head(train, y, np.arange(len(y)) % 5, blocks, n_levels=(len(blocks),))
    logits = (test @ head.weight + head.bias).astype(np.float64)
    top = logits.max(axis=1)
    return {
        **nearest((train - span.mean) * span.scale, centred),
        **distances(span.z, y, q, norm - (q**2).sum(axis=1), train.shape[1]),
        "as shipped": fit_distance(train, y, blocks).scores(test),
        "energy": -top - np.log(np.exp(logits - top[:, None]).sum(axis=1)),
        "max. probability": -softmax(logits).max(axis=1),
        **{f"residual {k}": norm - (q[:, :k] ** 2).sum(axis=1) for k in (16, 32, 64, 128)},
    }


def tasks(folders: Sequence[Path], unknown: Sequence[Path], network: Backbone) -> Iterator[Task]:
    known: dict[str, tuple[X32, Names]] = {}
    for folder in folders:
        dataset = read_dataset(folder)
        features = extract(dataset.paths, network)
        known[folder.name] = features.plain[features.readable], dataset.labels[features.readable]
    others = {folder.name: extract(list_photos(folder), network) for folder in unknown}
    strange = {name: features.plain[features.readable] for name, features in others.items()}
    for name, (X, labels) in known.items():
        rest = [rows for other, (rows, _) in known.items() if other != name]
        yield name, X, labels, [*rest, *strange.values()]
        classes = np.unique(labels)
        for left in classes if len(classes) > 2 else ():
            yield f"{name} without {left}", X[labels != left], labels[labels != left], [X[labels == left]]


def measure(found: Iterator[Task], blocks: Sequence[slice], seeds: Sequence[int]) -> None:
    table: dict[tuple[str, str], dict[str, NDArray[np.float64]]] = defaultdict(dict)
    for name, X, labels, strange in found:
        y = np.unique(labels, return_inverse=True)[1]
        for depth, used in (("last", blocks[-1:]), ("all", blocks)):
            first = used[0].start
            own = [slice(b.start - first, b.stop - first) for b in used]
            for seed in seeds:
                order = np.random.default_rng(seed).permutation(len(y))
                test, train = order[: len(y) // 4], order[len(y) // 4 :]
                rows = np.concatenate([X[test], *strange])[:, first:]
                out = np.arange(len(rows)) >= len(test)
                for method, values in score(X[train][:, first:], y[train], rows, own).items():
                    accepted = values[out] <= np.quantile(values[~out], 0.95)
                    pair = np.array([roc_auc_score(out, values), accepted.mean()])
                    row = table[method, depth]
                    row[name] = row.get(name, np.zeros(2)) + pair / len(seeds)
    show(table)


def show(table: dict[tuple[str, str], dict[str, NDArray[np.float64]]]) -> None:
    names = list(next(iter(table.values())))
    print("tasks: " + ", ".join(names))
    print(f"{'':22}{'':>7}{'other folders':>16}{'class left out':>16}")
    print(f"{'':22}{'n_levels':>7}" + f"{'AUROC':>8}{'FPR95':>8}" * 2 + "  AUROC of each task")

    def means(row: dict[str, NDArray[np.float64]], left_out: bool) -> NDArray[np.float64]:
        pairs = [pair for name, pair in row.items() if (" without " in name) == left_out]
        return np.mean(pairs, axis=0) if pairs else np.full(2, np.nan)

    for (method, depth), row in sorted(
        table.items(), key=lambda item: -np.mean([pair[0] for pair in item[1].values()])
    ):
        columns = "".join(f"{value:8.3f}" for kind in (False, True) for value in means(row, kind))
        print(f"{method:22}{depth:>7}{columns}  " + " ".join(f"{auc:.2f}" for auc, _ in row.values()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER")
    parser.add_argument("--unknown", type=Path, nargs="*", default=[], metavar="FOLDER")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    if not arguments.folders:
        print("outliers: skipped, no folder of photos was given")
        return
    network = load_backbone(arguments.backbone)
    measure(tasks(arguments.folders, arguments.unknown, network), network.blocks, arguments.seeds)


if __name__ == "__main__":
    main()
