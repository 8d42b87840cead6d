"""What `rehead similar` costs, and whether the nearest photos are of the same class.

    python benchmarks/neighbours.py FOLDER [--count 5] [--rows 1000 10000]

FOLDER is as `rehead train` takes it, with a few classes.

Same class: of the `count` nearest photos to each photo, the share that is of its class, beside chance: the
share of all pairs of photos that are of one class. Copies of one picture count as one and the same
photo: none is its own neighbour.

Time: of finding the nearest of N rows of features to one photo, beside one product of the matrix of them
and a vector, in turns; features are drawn at random, since their values do not matter to it. The
command as a whole is timed on the folder, in a process of its own, with features in the cache.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from rehead.backbones.backbone import load_backbone
from rehead.backbones.features import duplicate_groups, extract
from rehead.backbones.neighbours import nearest
from rehead.data import read_dataset

_ROUNDS = 15


def same_class(folder: Path, count: int) -> None:
    dataset, network = read_dataset(folder), load_backbone("efficientnet_lite0")
    features = extract(dataset.paths, network)
    first = np.unique(duplicate_groups(features, network), return_index=True)[1]
    rows = np.intersect1d(first, np.flatnonzero(features.readable))
    plain, labels = features.plain[rows], dataset.labels[rows]
    order = nearest(plain, plain, network.blocks, count + 1)[0]
    others = np.array([[n for n in found if n != row][:count] for row, found in enumerate(order)])
    sizes = np.unique(labels, return_counts=True)[1]
    chance = (sizes * (sizes - 1)).sum() / (len(rows) * (len(rows) - 1))
    share = (labels[others] == labels[:, None]).mean(axis=0)
    print(f"{folder}: {len(rows)} different photos, {len(sizes)} classes")
    print(
        f"of the same class: nearest {share[0]:.1%}, {count} nearest {share.mean():.1%}, chance {chance:.1%}"
    )


def cost(rows: int) -> None:
    network = load_backbone("efficientnet_lite0")
    rng = np.random.default_rng(0)
    features = rng.random((rows, network.blocks[-1].stop), dtype=np.float32)
    query = features[:1].copy()
    ours, product = [], []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        nearest(query, features, network.blocks, 12)
        middle = time.perf_counter()
        features @ query[0]
        ours.append(middle - start)
        product.append(time.perf_counter() - middle)
    ratio = np.median(np.array(ours) / np.array(product))
    print(
        f"{rows:6d} rows of {features.shape[1]}: {1e3 * np.median(ours):7.1f} ms, "
        f"{ratio:.1f} times one product of matrix and vector"
    )


def command(folder: Path) -> None:
    photo = read_dataset(folder).paths[0]
    words = [sys.executable, "-m", "rehead", "similar", str(folder), "--to", str(photo)]
    for name in ("first", "features in the cache"):
        start = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True)
        print(f"rehead similar, {name}: {time.perf_counter() - start:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=5)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10000])
    arguments = parser.parse_args()
    same_class(arguments.folder, arguments.count)
    for rows in arguments.rows:
        cost(rows)
    command(arguments.folder)


if __name__ == "__main__":
    main()
