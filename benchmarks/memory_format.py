"""What a training step gains where the numbers of a pixel's channels lie side by side (channels last).

    python benchmarks/memory_format.py [NETWORK:SIDE ...]

Forward and backward of random photos through random weights on one thread, both orders in turn; the ratio of
the medians.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
from torch import nn

from rehead.finetune.model import Network, build

USUAL = ("efficientnet_lite0:128", "mobilenet_v2:128", "small-cnn:160", "inception_v3:96", "resnet50:96")
PHOTOS, ROUNDS = 16, 7


def seconds(network: Network, photos: torch.Tensor, target: torch.Tensor) -> float:
    began = time.perf_counter()
    nn.functional.cross_entropy(network(network.normalised(photos)), target).backward()
    return time.perf_counter() - began


def main() -> None:
    torch.set_num_threads(1)
    print("network               side  usual s  channels last s  ratio")
    for given in sys.argv[1:] or USUAL:
        name, _, side = given.partition(":")
        plain, last = (build(name, classes=2, size=int(side), weights="none") for _ in range(2))
        last.to(memory_format=torch.channels_last)
        photos = torch.randint(0, 256, (PHOTOS, 3, int(side), int(side)), dtype=torch.uint8)
        target = torch.randint(0, 2, (PHOTOS,))
        rounds = [[seconds(network, photos, target) for network in (plain, last)] for _ in range(ROUNDS)]
        one, other = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{name:20}  {side:>4}  {one:7.3f}  {other:15.3f}  {other / one:5.2f}", flush=True)


if __name__ == "__main__":
    main()
