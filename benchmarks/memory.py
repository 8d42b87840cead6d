"""Memory and time of a whole `rehead train`, by the number of photos.

    python benchmarks/memory.py FOLDER [FOLDER ...] [--photos 500 1000 2500 5000 10000] [--classes 2 101]
                                [--keep WORK] [--coordinates]

The photos are made from those of the folders: each is a random part of one, turned, mirrored or not,
brighter or darker, its hue shifted, saved as a JPEG of 192 to 320 pixels. One set of photos serves every
number of classes: each of 101 has five photos of its own as sources and a hue of its own, of which its
photos differ by a twelfth of the circle (one standard deviation); of fewer classes, several of those make
one. Parts of one photo differ enough not to count as copies of each other. `rehead train` then runs in a
process of its own on an empty cache (cold), and again on the full one (warm).

Memory is the largest resident set of the process as the kernel counts it (ru_maxrss), which includes
the interpreter, libraries and the weights. Growth is the slope of a straight line through it. Of times, the
exponent of the number of photos is fitted by least squares in logarithms; "features" is the step of
the run that extracts them. Cold times also say what they are of extraction alone: of that step in seconds,
and of the difference between cold and warm in processor time. The load of the machine stands beside each
run: where it is above the number of processors, only processor time can be compared.

With --coordinates a further table says what it costs to fit on fewer coordinates than there are (see
`rehead.heads.pca`): log loss of held-out photos, nats, and processor time, by the number kept.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
from PIL import Image

from rehead.backbones.backbone import load_backbone
from rehead.backbones.features import extract
from rehead.data import list_photos, read_dataset
from rehead.heads import pca
from rehead.heads.logistic import fit_logistic
from rehead.heads.ridge import ridge_path
from rehead.heads.temperature import fit_temperature, log_loss

MEMORY, GROWTH, EXPONENT, OF_EXTRACTION = 600, 20, 1.05, 1.3  # targets: MB of 8,000 photos, kB a photo
KINDS, SOURCES, HUES = 101, 5, 21.0  # classes at most, photos that each is made of, and 256ths of the circle


class Cost(NamedTuple):
    """Of one run: seconds, processor seconds, MB at most, seconds of extraction, and the machine's load."""

    wall: float
    busy: float
    peak: float
    features: float
    load: float


def make_photo(source: Path, target: Path, kind: int, number: int) -> None:
    rng = np.random.default_rng(number)
    with Image.open(source) as file:
        photo = file.convert("RGB").rotate(rng.uniform(-20, 20), Image.Resampling.BILINEAR)
    wide, high = (side * rng.uniform(0.5, 0.9) for side in photo.size)
    left, top = rng.uniform(0, photo.width - wide), rng.uniform(0, photo.height - high)
    size = tuple(int(side) for side in rng.integers(192, 321, 2))
    part = photo.resize((size[0], size[1]), Image.Resampling.BILINEAR, (left, top, left + wide, top + high))
    if rng.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    hue, saturation, value = part.convert("HSV").split()
    shift, gain = int(rng.normal(kind * 256 / KINDS, HUES)), rng.uniform(0.6, 1.2)
    hue = hue.point(lambda level: (level + shift) % 256)
    value = value.point(lambda level: min(255, level * gain))
    Image.merge("HSV", (hue, saturation, value)).convert("RGB").save(target, quality=85)


def make_photos(folders: Sequence[Path], target: Path, count: int) -> None:
    """Photos 0..count-1, of kind number % KINDS."""
    sources = [path for folder in folders for path in list_photos(folder)]
    order = np.random.default_rng(0).permutation(len(sources))
    target.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        jobs = []
        for number in range(count):
            source = sources[order[(number % (KINDS * SOURCES)) % len(sources)]]
            jobs.append(pool.submit(make_photo, source, target / f"{number:06d}.jpg", number % KINDS, number))
        for job in jobs:
            job.result()


def link_photos(made: Path, target: Path, count: int, classes: int) -> None:
    """The first photos, in folders of their classes."""
    for number in range(count):
        folder = target / f"class {number % KINDS * classes // KINDS:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        os.link(made / f"{number:06d}.jpg", folder / f"{number:06d}.jpg")


def train(photos: Path, out: Path, cache: Path) -> Cost:
    command = [sys.executable, "-m", "rehead", "train", str(photos), "--out", str(out)]
    command += ["--overwrite", "--quiet"]
    start = time.perf_counter()
    pid = os.posix_spawn(sys.executable, command, {**os.environ, "REHEAD_CACHE": str(cache)})
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"rehead train failed ({os.waitstatus_to_exitcode(status)})")
    seconds = json.loads((out / "run.json").read_text("utf-8"))["seconds"]["features"]
    busy, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6
    return Cost(wall, busy, peak, seconds, os.getloadavg()[0])


def measure(made: Path, work: Path, count: int, classes: int) -> tuple[Cost, Cost]:
    """Costs of a cold and a warm run."""
    photos, out, cache = (work / name for name in ("photos", "run", "cache"))
    for folder in (photos, cache):
        shutil.rmtree(folder, ignore_errors=True)
    link_photos(made, photos, count, classes)
    cold, warm = train(photos, out, cache), train(photos, out, cache)
    test = json.loads((out / "metrics.json").read_text("utf-8"))["test"]
    accuracy = test["accuracy"]["value"] if test else float("nan")
    row = f"{classes:8d}{count:8d}"
    for cost in (cold, warm):
        row += f"{cost.wall:9.1f}{cost.busy:7.1f}{cost.peak:6.0f}{cost.load:6.1f}"
    of_features, of_difference = cold.wall / cold.features, cold.busy / (cold.busy - warm.busy)
    print(f"{row}{cold.features:10.1f}{of_features:7.2f}{of_difference:7.2f}{accuracy:10.3f}", flush=True)
    return cold, warm


def table(made: Path, work: Path, counts: Sequence[int], class_counts: Sequence[int]) -> None:
    print(f"targets: {MEMORY} MB at 8,000 photos, {GROWTH} kB a photo, exponent {EXPONENT}, ", end="")
    print(f"{OF_EXTRACTION} of extraction (101 classes, 8,000 photos)")
    of_run = f"{'s':>9}{'proc.':>7}{'MB':>6}{'load':>6}"
    print(f"{'':16}{'cold':>9}{'':19}{'warm':>9}{'':19}{'features':>10}{'cold / features':>16}")
    print(f"{'classes':>8}{'photos':>8}{of_run}{of_run}{'s':>10}{'s':>7}{'proc.':>7}{'accuracy':>10}")
    for classes in class_counts:
        costs = [measure(made, work, count, classes) for count in counts]
        if len(counts) > 1:
            for name, side in (("cold", 0), ("warm", 1)):
                growth(name, counts, [both[side] for both in costs])


def growth(name: str, counts: Sequence[int], costs: Sequence[Cost]) -> None:
    n = np.array(counts, float)
    wall, busy = (
        np.polyfit(np.log(n), np.log([getattr(cost, field) for cost in costs]), 1)[0]
        for field in ("wall", "busy")
    )
    slope, fixed = np.polyfit(n, [cost.peak for cost in costs], 1)
    last = np.log(costs[-1].busy / costs[-2].busy) / np.log(n[-1] / n[-2])
    print(
        f"{name}: exponent of seconds {wall:.2f}, of processor time {busy:.2f} (of the last two {last:.2f}); "
        f"{fixed:.0f} MB + {1000 * slope:.1f} kB a photo",
        flush=True,
    )


def coordinates(photos: Path, cache: Path) -> None:
    """What it costs to fit on the coordinates that vary most: one held-out fold, all depths."""
    backbone, dataset = load_backbone("efficientnet_lite0"), read_dataset(photos)
    X = extract(dataset.paths, backbone, cache_root=cache).plain
    y = np.unique(dataset.labels, return_inverse=True)[1]
    fold = np.random.default_rng(0).permutation(len(y)) % 5
    shown, out = fold != 0, fold == 0
    with mock.patch.object(pca, "_MOST", X.shape[1]):
        whole = pca.fit_pca(X, backbone.blocks).z
    energy = np.cumsum((whole**2).sum(axis=0))
    print(f"{'coordinates':>12}{'energy':>8}{'logistic':>10}{'seconds':>9}{'ridge':>8}{'seconds':>9}")
    for most in (512, 1024, 1536, 2048, whole.shape[1]):
        z, ones = np.ascontiguousarray(whole[:, :most]), np.ones(len(y))
        start = time.process_time()
        theta = fit_logistic(z[shown], y[shown], ones[shown], int(y.max()) + 1, 10**-5.5)
        logits = z[out] @ theta[:-1] + theta[-1]
        loss = log_loss(logits / fit_temperature(logits, y[out]), y[out])
        logistic, start = time.process_time() - start, time.process_time()
        held = dict(ridge_path(z, y, fold, ones, [10**-4.5, 10**-3.5, 10**-2.5], photos=len(y)))
        least, ridge = min(each.loss for each in held.values()), time.process_time() - start
        row = f"{most:12d}{energy[most - 1] / energy[-1]:8.4f}"
        print(f"{row}{loss:10.4f}{logistic:9.1f}{least:8.4f}{ridge:9.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER")
    parser.add_argument("--photos", type=int, nargs="+", default=[500, 1000, 2500, 5000, 10_000])
    parser.add_argument("--classes", type=int, nargs="+", default=[2, KINDS])
    parser.add_argument("--keep", type=Path, metavar="WORK", help="folder for the photos, kept afterwards")
    parser.add_argument("--coordinates", action="store_true", help="also: how many are worth fitting on")
    arguments = parser.parse_args()
    if not arguments.folders:
        print("memory: skipped, no folder of photos was given")
        return
    with contextlib.ExitStack() as stack:
        work = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        made, most = work / "made", max(arguments.photos)
        if not (made / f"{most - 1:06d}.jpg").is_file():
            make_photos(arguments.folders, made, most)
        table(made, work, arguments.photos, arguments.classes)
        if arguments.coordinates:
            coordinates(work / "photos", work / "cache")


if __name__ == "__main__":
    main()
