"""What the batch norm of trained blocks does to a head that was fitted on the frozen network.

    python benchmarks/batch_norm.py FOLDER [--train top:4] [--seed 0]

FOLDER has a folder for each class. A linear head is fitted on the last depth of the frozen network, as
fine-tuning begins with (LP-FT), and the network is put into training mode with those blocks to be trained:
once with the batch norm in them keeping its statistics, once counting them anew from each batch of 32.
Nothing is trained: the loss is that of held-out photos before the first step.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from rehead.backbones.backbone import load_backbone
from rehead.backbones.features import duplicate_groups, extract
from rehead.data import cv_folds, holdout_mask, read_dataset
from rehead.finetune.model import build
from rehead.finetune.trainable import set_trainable
from rehead.heads import select_head
from rehead.heads.temperature import fit_temperature
from rehead.images import load_image

BACKBONES = ("mobilenet_v2", "efficientnet_lite0")
BATCH = 32


def measure(folder: Path, name: str, train: str, seed: int) -> None:
    dataset = read_dataset(folder)
    target = np.unique(dataset.labels, return_inverse=True)[1]
    network = build(name, classes=int(target.max()) + 1)
    backbone = load_backbone(name, preprocess=network.preprocess)
    found = extract(dataset.paths, backbone)
    group = duplicate_groups(found, backbone)
    last = found.plain[:, backbone.blocks[-1]]
    held = holdout_mask(target, group, seed=seed)
    fold = cv_folds(target[~held], group[~held], count=5, seed=seed)
    head = select_head(last[~held], target[~held], fold, [slice(0, last.shape[1])])
    checked = fold >= 0
    heat = fit_temperature(head.held_out[checked], target[~held][checked], smooth=True)
    with torch.no_grad():
        network.linear.weight.copy_(torch.from_numpy(head.weight.T / heat))
        network.linear.bias.copy_(torch.from_numpy(np.asarray(head.bias / heat)))
    photos = np.stack([load_image(dataset.paths[row], network.preprocess) for row in np.flatnonzero(held)])
    inputs = network.normalised(torch.from_numpy(photos.transpose(0, 3, 1, 2).copy()))
    truth = torch.from_numpy(target[held])
    for kept in (True, False):
        set_trainable(network, train, freeze_bn_stats=kept)
        network.train()
        with torch.no_grad():
            logits = torch.cat([network(batch) for batch in inputs.split(BATCH)])
        right = (logits.argmax(1) == truth).float().mean().item()
        loss = cross_entropy(logits, truth).item()
        print(f"{name:20}{'kept' if kept else 'counted':10}{loss:8.3f}{100 * right:8.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--train", default="top:4")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.folder is None:
        print("bn_stats: skipped, no folder of photos was given")
        return
    print(f"{'':20}{'statistics':10}{'loss':>8}{'right %':>9}")
    for name in BACKBONES:
        measure(arguments.folder, name, arguments.train, arguments.seed)


if __name__ == "__main__":
    main()
