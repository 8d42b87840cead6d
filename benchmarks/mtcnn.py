"""MTCNN: how much of its time is ONNX Runtime's.

    python benchmarks/mtcnn.py FOLDER [FOLDER ...] [--photos 100]

The ratio is `FaceDetector.detect`, further looks and quality included, on pixels that are decoded already,
over what of it `InferenceSession.run` takes, in processor time on one thread; median and range of five
rounds. The target is 1.25.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from rehead.data import list_photos
from rehead.faces import FaceDetector
from rehead.images import read_image

Pixels = NDArray[np.uint8]
ROUNDS = 5


class RunClock:
    """Processor seconds inside `InferenceSession.run`, of all sessions."""

    def __init__(self) -> None:
        self.seconds = 0.0
        run = onnxruntime.InferenceSession.run

        def timed(session: Any, *arguments: Any, **options: Any) -> Any:
            start = time.process_time()
            try:
                return run(session, *arguments, **options)
            finally:
                self.seconds += time.process_time() - start

        onnxruntime.InferenceSession.run = timed


def over_the_network(name: str, photos: Sequence[Pixels], clock: RunClock) -> None:
    detector = FaceDetector(threads=1)
    for pixels in photos[:5]:
        detector.detect(pixels)
    rounds = []
    for _ in range(ROUNDS):
        start, clock.seconds = time.process_time(), 0.0
        for pixels in photos:
            detector.detect(pixels)
        rounds.append((time.process_time() - start, clock.seconds))
    whole, network = (1e3 * median(part) / len(photos) for part in zip(*rounds, strict=True))
    ratios = [all_ / run for all_, run in rounds]
    print(
        f"{name:20}{len(photos):7d}{whole:10.1f}{network:10.1f}{median(ratios):8.2f}"
        f"  ({min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER")
    parser.add_argument("--photos", type=int, default=100, help="of each folder, evenly spaced")
    arguments = parser.parse_args()
    if not arguments.folders:
        print("mtcnn: skipped, no folder of photos was given")
        return
    clock = RunClock()
    print(f"{'':20}{'photos':>7}{'detect ms':>10}{'run ms':>10}{'ratio':>8}  target 1.25")
    for folder in arguments.folders:
        files = list_photos(folder)
        few = files[:: max(1, len(files) // arguments.photos)][: arguments.photos]
        over_the_network(folder.name, [read_image(file) for file in few], clock)


if __name__ == "__main__":
    main()
