"""What `select_head` may leave out, and where it should start.

    python benchmarks/head_candidates.py FOLDER [FOLDER ...] [--backbone efficientnet_lite0] [--seed 0]

Each FOLDER has a folder for each class, or train and val folders of them. For each candidate (how many
of the last depths, photos alone or with their mirror images, blocks of features scaled as one or every
feature by itself) the whole path of ridge and of logistic regression is cross-validated over five folds.
A row gives the least log loss after one temperature, nats, its accuracy and its strength (power of ten),
for both losses, and

    screened    best ridge loss / that of the best candidate: a short list up to r leaves out rows above r
    start       logistic loss at 1e-4 / best ridge loss: what `_HOPELESS` is compared with
    final       least loss of both kinds / that of the best candidate

The lines below each table say what the constants of `heads/select.py` cost: the loss of the best row
that they would let through, against the best of all rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import threadpoolctl
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from rehead.backbones.backbone import load_backbone
from rehead.backbones.features import extract
from rehead.core.parallel import map_in_order
from rehead.data import read_dataset
from rehead.heads.logistic import fit_logistic
from rehead.heads.pca import fit_pca
from rehead.heads.ridge import ridge_path
from rehead.heads.temperature import fit_temperature, log_loss

RIDGE = [step / 2 for step in range(-10, 1)]
LOGISTIC = [step / 2 for step in range(-4, -13, -1)]  # strong to weak, so that starts are near
START = -4.0

X32 = NDArray[np.float32]
Labels = NDArray[np.intp]


@dataclass(frozen=True)
class Best:
    """Least log loss of a path, its accuracy, its power of ten."""

    loss: float
    accuracy: float
    power: float


@dataclass(frozen=True)
class Candidate:
    """One row of the table."""

    scaling: str
    n_levels: int
    mirrored: bool
    ridge: Best
    logistic: Best
    start: float

    @property
    def final(self) -> float:
        """Least log loss of both kinds."""
        return min(self.ridge.loss, self.logistic.loss)


def judge(logits: NDArray[np.float64], y: Labels, power: float) -> Best:
    logits = logits / fit_temperature(logits, y)
    return Best(log_loss(logits, y), float(np.mean(logits.argmax(axis=1) == y)), power)


def candidate(
    X: X32, copies: int, y: Labels, fold: Labels, blocks: list[slice], label: str, n_levels: int
) -> Candidate:
    """Cross-validate both paths on rows X (n * copies, d), the mirrored ones behind."""
    n, classes = len(y), int(y.max()) + 1
    z = fit_pca(X, blocks).z
    tiled, folds, weight = np.tile(y, copies), np.tile(fold, copies), np.ones(n * copies)
    strengths = [10.0**power for power in RIDGE]
    held = dict(ridge_path(z, tiled, folds, weight, strengths, photos=n))
    ridge = [judge(held[10.0**power].logits, y, power) for power in RIDGE]
    logits = {power: np.zeros((n, classes)) for power in LOGISTIC}

    def run(number: int) -> None:
        rows, out, theta = folds != number, np.flatnonzero(fold == number), None
        for power in LOGISTIC:
            theta = fit_logistic(z[rows], tiled[rows], weight[rows], classes, 10.0**power, theta)
            logits[power][out] = z[out] @ theta[:-1] + theta[-1]

    list(map_in_order(run, range(5)))
    logistic = [judge(logits[power], y, power) for power in LOGISTIC]
    start = next(best.loss for best in logistic if best.power == START)
    least = min(ridge, key=lambda best: best.loss), min(logistic, key=lambda best: best.loss)
    return Candidate(label, n_levels, copies == 2, *least, start)


def candidates(plain: X32, mirrored: X32, y: Labels, blocks: list[slice], seed: int) -> Iterator[Candidate]:
    fold = np.zeros(len(y), dtype=np.intp)
    for number, (_, out) in enumerate(StratifiedKFold(5, shuffle=True, random_state=seed).split(y, y)):
        fold[out] = number
    for n_levels in (1, 2, len(blocks)):
        first = blocks[-n_levels].start
        own = [slice(b.start - first, b.stop - first) for b in blocks[-n_levels:]]
        X = plain[:, first:]
        yield candidate(X, 1, y, fold, own, "blocks", n_levels)
        yield candidate(np.concatenate([X, mirrored[:, first:]]), 2, y, fold, own, "blocks", n_levels)
        each = [slice(column, column + 1) for column in range(X.shape[1])]
        yield candidate(X, 1, y, fold, each, "each", n_levels)


def show(rows: list[Candidate]) -> None:
    screened, final = min(row.ridge.loss for row in rows), min(row.final for row in rows)
    kinds = f" |{'ridge':>7}{'acc.':>7}{'10^':>6} |{'logist.':>8}{'acc.':>7}{'10^':>6}"
    print(f"{'scaling':8}{'n_levels':>7}{'mirrored':>9}{kinds} |{'screened':>9}{'start':>7}{'final':>7}")
    for row in rows:
        print(
            f"{row.scaling:8}{row.n_levels:7d}{'yes' if row.mirrored else 'no':>9} |"
            f"{row.ridge.loss:7.3f}{row.ridge.accuracy:7.3f}{row.ridge.power:6.1f} |"
            f"{row.logistic.loss:8.3f}{row.logistic.accuracy:7.3f}{row.logistic.power:6.1f} |"
            f"{row.ridge.loss / screened:9.2f}{row.start / row.ridge.loss:7.2f}{row.final / final:7.2f}"
        )
    blocks = [row for row in rows if row.scaling == "blocks"]
    best, least = min(row.final for row in blocks), min(row.ridge.loss for row in blocks)
    for share in (1.0, 1.05, 1.1, 1.2):
        loss = min(row.final for row in blocks if row.ridge.loss <= share * least)
        print(f"short list up to {share:.2f}: loss {loss / best:.3f} of the best")
    hopeless = [row.start / row.ridge.loss for row in blocks if row.logistic.loss < row.ridge.loss]
    print(f"largest start at which logistic regression came to beat ridge: {max(hopeless, default=0):.2f}")
    plain = min(row.final for row in blocks if not row.mirrored)
    both = min(row.final for row in blocks if row.mirrored)
    print(f"with mirrored photos the least loss is {both / plain:.3f} of that without")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if not arguments.folders:
        print("head_candidates: skipped, no folder of photos was given")
        return
    network = load_backbone(arguments.backbone)
    for folder in arguments.folders:
        dataset = read_dataset(folder)
        features = extract(dataset.paths, network, mirror=True)
        assert features.mirrored is not None
        keep = features.readable
        y = np.unique(dataset.labels[keep], return_inverse=True)[1]
        print(
            f"\n{folder.name}: {len(y)} photos, {y.max() + 1} classes, {network.name}, seed {arguments.seed}"
        )
        with threadpoolctl.threadpool_limits(1, user_api="blas"):
            show(
                list(
                    candidates(
                        features.plain[keep], features.mirrored[keep], y, network.blocks, arguments.seed
                    )
                )
            )


if __name__ == "__main__":
    main()
