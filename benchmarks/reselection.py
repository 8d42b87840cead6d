"""Whether photos at hand should choose levels and strength again, and how many that takes.

    python benchmarks/reselection.py FOLDER [FOLDER ...] [--draws 10] [--threads 1]

Each FOLDER has a folder for each class. In each draw a classifier is trained on a few of the photos, a tenth
but 20 at least, three of each class among them, and learns a third more; 20 to 200 of the others choose anew,
and set the temperature of what was chosen and of what stays; the rest, a third, tests both.

    changed    draws in which one was better by more than a standard error
    kept       mean log loss on the test photos of what the first training chose
    chosen     of what is chosen by the rule
    lowest     of what has the lowest log loss on the photos that choose, without the rule
    worse      draws in which the rule's choice has more log loss than what stays, by more than 0.01

and the processor time of solving all heads.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rehead import ImageClassifier
from rehead.classification.reselection import _Judged, _judged
from rehead.data import read_dataset
from rehead.heads.temperature import log_loss

SIZES = (20, 50, 100, 200)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    for folder in given.folders:
        found: dict[int, list[tuple[float, ...]]] = {}
        seconds = []
        for seed in range(given.draws):
            spent, of_sizes = one_draw(folder, seed, given.threads)
            seconds.append(spent)
            for size, row in of_sizes.items():
                found.setdefault(size, []).append(row)
        print(f"{folder.name}: all heads in {np.median(seconds):.1f} s of a processor")
        for size, rows in found.items():
            kept, chosen, lowest, changed = np.array(rows).T
            print(
                f"  {size:4} photos: changed {int(changed.sum())} of {len(rows)}, kept {kept.mean():.3f}, "
                f"chosen {chosen.mean():.3f}, lowest {lowest.mean():.3f}, "
                f"worse {int((chosen > kept + 0.01).sum())}"
            )


def one_draw(folder: Path, seed: int, threads: int) -> tuple[float, dict[int, tuple[float, ...]]]:
    """Seconds of solving, and for each number of photos the losses of what was kept, chosen and lowest."""
    dataset = read_dataset(folder)
    names, y = np.unique(dataset.labels, return_inverse=True)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(y))
    three = np.concatenate([order[y[order] == n][:3] for n in range(len(names))])
    order = np.concatenate([three, order[~np.isin(order, three)]])
    few, third = max(20, len(y) // 10), len(y) // 3
    first, more, test = order[:few], order[few : few + third], order[-third:]
    others = order[few + third : -third]
    model = ImageClassifier(keep_statistics=True, threads=threads)
    for rows in (first, more):
        model.partial_fit([dataset.paths[n] for n in rows], dataset.labels[rows])
    kept = [list(model.classes_).index(name) for name in names]
    assert kept == list(range(len(names)))
    X = model.transform(list(dataset.paths))
    sums = model.fitted_.statistics
    assert sums is not None
    start = time.process_time()
    heads = _judged(sums, X, y, np.arange(len(y)))
    spent = time.process_time() - start
    sizes = [size for size in SIZES if size <= len(others)]
    return spent, {size: losses(heads, others[:size], test) for size in sizes}


def losses(heads: _Judged, rows: NDArray[np.intp], test: NDArray[np.intp]) -> tuple[float, ...]:
    """Log losses on the test photos."""
    chosen, _, of_heads = heads.choose(rows)

    def tested(number: int) -> float:
        temperature = heads.temperature(number, rows)
        return log_loss(heads.logits[number][test] / temperature, heads.target[test])

    return tested(0), tested(chosen), tested(int(np.argmin(of_heads))), float(chosen != 0)


if __name__ == "__main__":
    main()
