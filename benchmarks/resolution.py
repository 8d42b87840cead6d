"""Side of the input, and filter of the resize, against accuracy, log loss and time.

    python benchmarks/resolution.py FOLDER [FOLDER ...] [--backbone efficientnet_lite0] [--seeds 0 1]

Each FOLDER has a folder for each class, or train and val folders of them. Features are taken at each
side with each filter, without a cache; heads are chosen by `select_head` among the usual depths, without
mirrored photos. Accuracy and log loss (nats) are those of held-out folds, at the chosen point, mean over
the seeds of the folds. "ms" is the processor time of a photo: decoding, resizing, network.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Literal

import numpy as np
from sklearn.model_selection import StratifiedKFold

from rehead.backbones.backbone import load_backbone
from rehead.backbones.features import extract
from rehead.data import Dataset, read_dataset
from rehead.heads import select_head

FILTERS: tuple[Literal["bilinear", "bicubic"], ...] = ("bilinear", "bicubic")


def measure(
    dataset: Dataset,
    backbone: str,
    side: int,
    interpolation: Literal["bilinear", "bicubic"],
    seeds: list[int],
) -> None:
    record = load_backbone(backbone).preprocess
    network = load_backbone(
        backbone, preprocess=dataclasses.replace(record, size=side, interpolation=interpolation)
    )
    busy = time.process_time()
    features = extract(dataset.paths, network, cache=False)
    busy = (time.process_time() - busy) / len(dataset)
    keep = features.readable
    X, y = features.plain[keep], np.unique(dataset.labels[keep], return_inverse=True)[1]
    n_levels = sorted({1, min(2, len(network.levels)), len(network.levels)})
    right, loss, used = [], [], []
    for seed in seeds:
        fold = np.zeros(len(y), dtype=np.intp)
        for number, (_, out) in enumerate(StratifiedKFold(5, shuffle=True, random_state=seed).split(X, y)):
            fold[out] = number
        found = select_head(X, y, fold, network.blocks, n_levels=n_levels)
        right.append(np.mean(found.held_out.argmax(axis=1) == y))
        loss.append(found.chosen.log_loss)
        used.append(f"{found.chosen.loss} {found.chosen.n_levels}")
    row = f"{side:5d} {interpolation:9}{busy * 1e3:7.1f}{np.mean(right):10.4f}{np.mean(loss):10.4f}"
    print(f"{row}  {', '.join(used)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--sides", type=int, nargs="+", default=[224, 256, 288])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    arguments = parser.parse_args()
    if not arguments.folders:
        print("resolution: skipped, no folder of photos was given")
        return
    for folder in arguments.folders:
        dataset = read_dataset(folder)
        print(f"\n{folder.name}: {len(dataset)} photos, {arguments.backbone}")
        print(f"{'side':>5} {'filter':9}{'ms':>7}{'accuracy':>10}{'log loss':>10}  loss and depths chosen")
        for side in arguments.sides:
            for interpolation in FILTERS:
                measure(dataset, arguments.backbone, side, interpolation, arguments.seeds)


if __name__ == "__main__":
    main()
